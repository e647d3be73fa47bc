"""The ways in which people name a chat, read as far as the text alone allows: enough to refuse what names no
chat and to see that two names are the same chat. Only Telegram knows the rest."""

import re

from services.gateway.domain.forms import BadForm

MAX_CHAT = 256
_NAME = re.compile(r"@?([A-Za-z][A-Za-z0-9_]{3,31})")
_ID = re.compile(r"-?[0-9]{1,18}")
_LINK = re.compile(r"(?:https?://)?(?:www\.)?(?:t|telegram)\.(?:me|dog)/(.+)", re.IGNORECASE)
_RESOLVE = re.compile(r"tg://resolve\?domain=([A-Za-z0-9_]+)", re.IGNORECASE)
_INVITE = re.compile(r"(?:\+|joinchat/)([A-Za-z0-9_-]+)")
_PRIVATE = re.compile(r"c/([0-9]{1,15})(?:/.*)?")
_CHANNELS_BELOW = -1_000_000_000_000
"""Marked ids of channels and supergroups are this minus their own id."""


def chat_key(field: str, text: str) -> str:
    """What all names of one kind for one chat have in common: a lower-case name without @, a marked id, an
    invite's code, or `me`. Raises BadForm for what names no chat."""
    named = text.strip()
    if not named:
        raise BadForm(field, "Name a chat: @name, a t.me link, or its id.")
    if len(text) > MAX_CHAT or not text.isprintable():
        raise BadForm(field, f"A chat is named by at most {MAX_CHAT} printable characters.")
    if named.lower() in {"me", "self"}:
        return "me"
    link, resolve = _LINK.fullmatch(named), _RESOLVE.fullmatch(named)
    key = _from_link(link.group(1)) if link else _from_name(resolve.group(1) if resolve else named)
    if not key:
        raise BadForm(
            field,
            "This names no chat; use @name, a t.me link, or Telegram's id (-100... for channels and groups).",
        )
    return key


def _from_name(text: str) -> str:
    if _ID.fullmatch(text) and int(text):
        return str(int(text))
    name = _NAME.fullmatch(text)
    return name.group(1).lower() if name else ""


def _from_link(path: str) -> str:
    """`name`, `name/55`, `s/name`, `c/1234/55`, `+code`, `joinchat/code`."""
    path = path.split("?", maxsplit=1)[0].strip("/")
    invite, private = _INVITE.fullmatch(path), _PRIVATE.fullmatch(path)
    if invite:
        return f"+{invite.group(1)}"
    if private:
        return str(_CHANNELS_BELOW - int(private.group(1)))
    name = _NAME.fullmatch(path.removeprefix("s/").split("/")[0])
    return name.group(1).lower() if name else ""
