"""Finds the function that answers an API method, and turns what it returns into bytes.

Methods live in the other modules of this room, which fill the table when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pyrogram.raw.core.primitives import Bool, Vector

from services.testdc.api.present import Presenter
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.forwarding import Forwarded
from services.testdc.domain.peers import User
from services.testdc.domain.speech import Delivery
from services.testdc.domain.world import World
from services.testdc.tl import raw


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clients find the data centre; goes into help.getConfig."""

    dc_id: int
    host: str
    port: int
    media_port: int


@dataclass(slots=True)
class Call:
    """One API call on its way through the world."""

    world: World
    me: User
    """The caller; the nobody with id 0 when the key has no login."""
    present: Presenter
    """Shows the world through the caller's eyes."""
    now: int
    """Wall clock in whole seconds."""
    endpoint: Endpoint
    frozen: bool
    """The account is frozen (help.getAppConfig tells)."""
    deliver: Callable[[Sequence[Delivery]], None]
    """Pushes to all clients concerned, beside the link of this call."""
    forwarded: Forwarded | None = None
    """What a forwardMessages did, for the journal."""


Handler = Callable[[Call, Any], Any]

_METHODS: dict[type, Handler] = {}


def method(query: type) -> Callable[[Handler], Handler]:
    """Register the function that answers one API method."""

    def register(handler: Handler) -> Handler:
        _METHODS[query] = handler
        return handler

    return register


def run(call: Call, query: Any) -> bytes:
    """Carry out a call; returns the serialised result. Raises TelegramError."""
    handler = _METHODS.get(type(query))
    if handler is None:
        raise TelegramError(400, "METHOD_INVALID")
    return encode(handler(call, query))


def encode(result: Any) -> bytes:
    """The TL bytes of a result: an object, a truth value, or a vector of objects."""
    if isinstance(result, bool):
        return bytes(Bool(result))
    if isinstance(result, list):
        return bytes(Vector(result))
    return bytes(result.write())


def encode_error(error: TelegramError) -> bytes:
    """The TL bytes of an rpc_error."""
    return bytes(raw.types.RpcError(error_code=error.code, error_message=error.name).write())


@cache
def method_name(qualname: str) -> str:
    """A method as Telegram writes it: users.getFullUser for functions.users.GetFullUser."""
    room, _, name = qualname.removeprefix("functions.").rpartition(".")
    return f"{room}.{name[:1].lower()}{name[1:]}".lstrip(".")
