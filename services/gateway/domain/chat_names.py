"""The ways in which people name a chat, read as far as the text alone allows: enough to refuse what names no
chat and to see that two names are the same chat. Only Telegram knows the rest."""

import re

from services.gateway.domain.forms import BadForm

MAX_CHAT = 256
SELF = "me"
"""The account's own Saved Messages."""
_USER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,63}")
_MARKED_ID = re.compile(r"-?[1-9][0-9]{0,18}")
_LINK = re.compile(r"(?:https?://)?(?:www\.)?(?:t\.me|telegram\.me|telegram\.dog)/(.+)", re.IGNORECASE)
_PRIVATE_LINK = re.compile(r"c/([1-9][0-9]{0,17})(?:/.*)?")
_MAX_ID = 2**63 - 1


def chat_key(field: str, text: str) -> str:
    """What two names of one chat have in common: a lower-case user name without @, or a marked id, or `me`.
    Raises BadForm for what names no chat."""
    if not text.strip():
        raise BadForm(field, "Name a chat: @name, a t.me link, or its id.")
    if len(text) > MAX_CHAT or not text.isprintable():
        raise BadForm(field, f"A chat is named by at most {MAX_CHAT} printable characters.")
    link = _LINK.fullmatch(text.strip())
    named = _from_link(field, link.group(1)) if link else text.strip().removeprefix("@")
    if _MARKED_ID.fullmatch(named) and -_MAX_ID <= int(named) <= _MAX_ID:
        return named
    if _USER_NAME.fullmatch(named):
        return named.lower()
    raise BadForm(
        field,
        "This names no chat; use @name, a t.me link, or Telegram's id (-100... for channels and groups).",
    )


def _from_link(field: str, path: str) -> str:
    """`name`, `name/55`, `c/1234/55`, `s/name`."""
    private = _PRIVATE_LINK.fullmatch(path)
    if private:
        return f"-100{private.group(1)}"
    if path.startswith("+") or path.lower().startswith("joinchat/"):
        raise BadForm(
            field, "tgfleet joins no chats; name a chat that the accounts are in by its id or @name."
        )
    return path.removeprefix("s/").split("/")[0].split("?")[0]
