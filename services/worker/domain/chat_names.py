"""What an operator may write for a chat: @name, a t.me link, Telegram's marked id, an invite link of a chat
that the account is in, or `me`. Pure reading; nothing is looked up."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"@?([A-Za-z][A-Za-z0-9_]{3,31})")
_ID = re.compile(r"-?[0-9]{1,18}")
_LINK = re.compile(r"(?:https?://)?(?:www\.)?(?:t|telegram)\.(?:me|dog)/(.+)", re.IGNORECASE)
_RESOLVE = re.compile(r"tg://resolve\?domain=([A-Za-z0-9_]+)", re.IGNORECASE)
_INVITE = re.compile(r"(?:\+|joinchat/)([A-Za-z0-9_-]+)")
_PRIVATE = re.compile(r"c/([0-9]{1,15})")
_CHANNELS_BELOW = -1_000_000_000_000
"""Marked ids of channels and supergroups are this minus their own id."""


@dataclass(frozen=True, slots=True)
class ByName:
    """A public name, without the `@`, in lower case."""

    name: str


@dataclass(frozen=True, slots=True)
class ById:
    """A marked id."""

    chat_id: int


@dataclass(frozen=True, slots=True)
class ByInvite:
    """The hash of an invite link."""

    code: str


@dataclass(frozen=True, slots=True)
class Myself:
    """The account's own Saved Messages."""


ChatName = ByName | ById | ByInvite | Myself


def read(query: str) -> ChatName | None:
    """What was meant, or None when it is nothing of that kind."""
    text = query.strip()
    if text.lower() in {"me", "self"}:
        return Myself()
    if _ID.fullmatch(text):
        return ById(int(text))
    link = _LINK.fullmatch(text)
    if link is not None:
        return _read_link(link[1].split("?")[0].strip("/"))
    resolve = _RESOLVE.fullmatch(text)
    name = _NAME.fullmatch(resolve[1] if resolve else text)
    return ByName(name[1].lower()) if name else None


def _read_link(path: str) -> ChatName | None:
    invite = _INVITE.fullmatch(path)
    if invite is not None:
        return ByInvite(invite[1])
    private = _PRIVATE.match(path)
    if private is not None:
        return ById(_CHANNELS_BELOW - int(private[1]))
    name = _NAME.fullmatch(path.removeprefix("s/").split("/")[0])
    return ByName(name[1].lower()) if name else None
