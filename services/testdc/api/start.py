"""What every client asks when it starts: configuration, itself, other users."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from services.testdc.api.inputs import user_of
from services.testdc.api.registry import Call, method
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peers import Channel, Group, User
from services.testdc.tl import raw

_ZEROES = {"int": 0, "str": "", "bool": False, "bytes": b""}
_CONFIG_LIFE = 3600
"""Seconds for which a client may keep help.getConfig."""


@method(raw.functions.help.GetConfig)
def get_config(call: Call, _: Any) -> Any:
    """Lists this data centre only, so that clients that follow it stay on loopback."""
    where = call.endpoint
    options = [
        raw.types.DcOption(id=where.dc_id, ip_address=where.host, port=where.port, this_port_only=True),
        raw.types.DcOption(
            id=where.dc_id, ip_address=where.host, port=where.media_port, media_only=True, this_port_only=True
        ),
    ]
    return _filled(
        raw.types.Config,
        date=call.now,
        expires=call.now + _CONFIG_LIFE,
        this_dc=where.dc_id,
        dc_options=options,
        forwarded_count_max=100,
        chat_size_max=200,
        megagroup_size_max=200_000,
        edit_time_limit=172_800,
        message_length_max=4096,
        caption_length_max=1024,
        me_url_prefix="https://t.me/",
    )


@method(raw.functions.help.GetNearestDc)
def get_nearest_dc(call: Call, _: Any) -> Any:
    """There is only this one."""
    dc_id = call.endpoint.dc_id
    return raw.types.NearestDc(country="DE", this_dc=dc_id, nearest_dc=dc_id)


@method(raw.functions.help.GetAppConfig)
def get_app_config(call: Call, _: Any) -> Any:
    """A frozen account is told so here (https://core.telegram.org/api/auth#frozen-accounts)."""
    values: list[Any] = []
    if call.frozen:
        since = raw.types.JsonNumber(value=float(call.now - 60))
        until = raw.types.JsonNumber(value=float(call.now + 7 * 86_400))
        values = [
            raw.types.JsonObjectValue(key="freeze_since_date", value=since),
            raw.types.JsonObjectValue(key="freeze_until_date", value=until),
            raw.types.JsonObjectValue(
                key="freeze_appeal_url", value=raw.types.JsonString(value="https://t.me/spambot")
            ),
        ]
    return raw.types.help.AppConfig(hash=1, config=raw.types.JsonObject(value=values))


@method(raw.functions.users.GetUsers)
def get_users(call: Call, query: Any) -> list[Any]:
    """UserEmpty for whoever cannot be addressed, as Telegram answers."""
    return [_user_or_empty(call, given) for given in query.id]


@method(raw.functions.users.GetFullUser)
def get_full_user(call: Call, query: Any) -> Any:
    """A user with its settings; get_me of kurigram."""
    user = user_of(call, query.id)
    full = raw.types.UserFull(
        id=user.user_id,
        settings=raw.types.PeerSettings(),
        notify_settings=raw.types.PeerNotifySettings(),
        common_chats_count=_common_chats(call, user),
    )
    return raw.types.users.UserFull(full_user=full, chats=[], users=[call.present.user(user)])


@method(raw.functions.account.UpdateStatus)
def update_status(call: Call, _: Any) -> bool:  # noqa: ARG001 - the signature of every method
    """Being online is not shown to anybody yet."""
    return True


def _user_or_empty(call: Call, given: Any) -> Any:
    try:
        return call.present.user(user_of(call, given))
    except TelegramError:
        return raw.types.UserEmpty(id=getattr(given, "user_id", 0))


def _common_chats(call: Call, user: User) -> int:
    if user is call.me:
        return 0
    rooms: list[Group | Channel] = [*call.world.groups.values(), *call.world.channels.values()]
    return sum({user.user_id, call.me.user_id} <= room.members for room in rooms)


def _filled(cls: type[Any], **given: Any) -> Any:
    """An object whose other required fields are zero, empty or false."""
    return cls(**(_required(cls.__init__) | given))


@cache
def _required(init: Callable[..., None]) -> dict[str, Any]:
    parameters = inspect.signature(init).parameters.values()
    return {
        p.name: _ZEROES[p.annotation]
        for p in parameters
        if p.default is inspect.Parameter.empty and p.annotation in _ZEROES
    }
