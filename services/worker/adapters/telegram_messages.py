"""Raw messages into what a transfer needs of them: kind, filter's word, trace. Pure translation; no
high-level object of the library is ever built (they cost more than the parsing)."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from pyrogram import raw, utils

from services.worker.domain.transfer_answers import MessageTrace, Skip

_t = raw.types

NAMELESS = 1
"""Stands for the chat in a forward header that names none."""


def media_kind(message: Any) -> str:
    """The contract's name of what a message carries."""
    media = message.media
    if media is None or isinstance(media, _t.MessageMediaEmpty | _t.MessageMediaWebPage):
        return "TEXT"
    if isinstance(media, _t.MessageMediaPhoto):
        return "PHOTO"
    if isinstance(media, _t.MessageMediaDocument):
        return _document_kind(media)
    return "POLL" if isinstance(media, _t.MessageMediaPoll) else "OTHER"


def _document_kind(media: Any) -> str:
    if getattr(media, "round", False):
        return "VIDEO"
    if getattr(media, "voice", False):
        return "VOICE"
    kinds = {type(one) for one in getattr(media.document, "attributes", None) or ()}
    if _t.DocumentAttributeSticker in kinds:
        return "STICKER"
    if _t.DocumentAttributeAnimated in kinds:
        return "ANIMATION"
    if _t.DocumentAttributeVideo in kinds or getattr(media, "video", False):
        return "VIDEO"
    for one in getattr(media.document, "attributes", None) or ():
        if isinstance(one, _t.DocumentAttributeAudio):
            return "VOICE" if one.voice else "AUDIO"
    return "DOCUMENT"


def skip_of(message: Any, media: frozenset[str], pattern: Any) -> Skip | None:
    """Why the filters pass a message over; `pattern` is a compiled expression or None."""
    if isinstance(message, _t.MessageService):
        return Skip.SERVICE
    if media and media_kind(message) not in media:
        return Skip.MEDIA
    if pattern is not None and pattern.search(message.message or "") is None:
        return Skip.NO_MATCH
    return None


def migrated_to(message: Any) -> int:
    """The supergroup that a basic group became, by its service message; 0 for none."""
    action = getattr(message, "action", None)
    if isinstance(action, _t.MessageActionChatMigrateTo):
        return int(utils.get_channel_id(action.channel_id))
    return 0


def trace(message: Any) -> MessageTrace:
    """What can be compared of a message."""
    forward_chat, forward_id = _forward(getattr(message, "fwd_from", None))
    sender = message.from_id or message.peer_id
    return MessageTrace(
        message_id=message.id,
        time=datetime.fromtimestamp(message.date, UTC),
        sender_id=int(utils.get_peer_id(sender)),
        outgoing=bool(message.out),
        forward_chat_id=forward_chat,
        forward_message_id=forward_id,
        text_hash=text_hash(getattr(message, "message", "") or "", getattr(message, "entities", None) or ()),
        media_id=media_id(getattr(message, "media", None)),
        grouped_id=getattr(message, "grouped_id", None) or 0,
    )


def _forward(header: Any) -> tuple[int, int]:
    """Where a message says it is from. Of posts of channels the header names chat and id; of others only the
    author, so then the id is 0; of authors who hide, nobody that has an id. What Saved Messages add is left
    out: the same message has it nowhere else."""
    if header is None:
        return 0, 0
    if header.from_id is None:
        return NAMELESS, 0
    return int(utils.get_peer_id(header.from_id)), header.channel_post or 0


def text_hash(text: str, entities: Any) -> bytes:
    """SHA-256 over text and entities; that of nothing (as after drop_captions) is the hash of no bytes."""
    digest = hashlib.sha256(text.encode())
    for entity in entities:
        facts = [
            type(entity).__name__,
            *(f"{name}={getattr(entity, name)}" for name in entity.__slots__ if _plain(entity, name)),
        ]
        digest.update(b"\0" + "\1".join(facts).encode())
    return digest.digest()


def _plain(entity: Any, name: str) -> bool:
    """Whether a field can be compared between accounts."""
    return isinstance(getattr(entity, name), int | str | bool)


def media_id(media: Any) -> int:
    """The id of a photo, document or poll; 0 for none and for what has no id of its own. Link previews do not
    count: they may come late."""
    if isinstance(media, _t.MessageMediaPhoto):
        return int(getattr(media.photo, "id", 0) or 0)
    if isinstance(media, _t.MessageMediaDocument):
        return int(getattr(media.document, "id", 0) or 0)
    if isinstance(media, _t.MessageMediaPoll):
        return int(media.poll.id)
    return 0
