"""What a message can carry beside its text. There are no bytes behind it: only the ids that stay the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class MediaKind(Enum):
    """Kinds of media, as clients tell them apart."""

    PHOTO = "photo"
    VIDEO = "video"
    DOCUMENT = "document"
    AUDIO = "audio"
    VOICE = "voice"
    VIDEO_NOTE = "video_note"
    ANIMATION = "animation"
    STICKER = "sticker"
    POLL = "poll"
    CONTACT = "contact"
    LOCATION = "location"


CAPTIONED = frozenset(
    {
        MediaKind.PHOTO,
        MediaKind.VIDEO,
        MediaKind.DOCUMENT,
        MediaKind.AUDIO,
        MediaKind.VOICE,
        MediaKind.ANIMATION,
    }
)
"""Kinds whose text is a caption; the others have none."""

FILES = CAPTIONED | {MediaKind.VIDEO_NOTE, MediaKind.STICKER}
"""Kinds with a photo or a document behind them, and so with an id."""


@dataclass(frozen=True, slots=True)
class Media:
    """One photo, document or the like. Copies and forwards carry the very same one."""

    kind: MediaKind
    media_id: int
    """Telegram's id of the photo, document or poll; contacts and locations have one here, too."""
