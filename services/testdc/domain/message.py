"""One message: what it says, whom it is from, where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .media import Media
    from .peer import Peer


@dataclass(frozen=True, slots=True)
class Origin:
    """The header of a forwarded message.

    A post of a broadcast channel names the channel and the post's number. A message of a person names the
    person alone: neither the chat that it was forwarded from nor its number there
    (https://core.telegram.org/constructor/messageFwdHeader), or nothing but its name where it wants to be
    hidden. A message that is forwarded again keeps the header of the first time.
    """

    peer: Peer | None
    """None for somebody hidden."""
    date: int
    post: int = 0
    """Number of the post in its channel; 0 for people."""
    name: str = ""
    """Of somebody hidden."""
    saved_peer: Peer | None = None
    """In Saved Messages: the chat that it was saved from."""
    saved_id: int = 0
    """In Saved Messages: its number there."""

    def __str__(self) -> str:
        """As control clients are told it."""
        return str(self.peer) if self.peer else f"name:{self.name}"


@dataclass(slots=True)
class Message:
    """One message as the owner of a box sees it."""

    message_id: int
    uid: int
    """The same for every copy of one message."""
    peer: Peer
    """The chat it is in, from the owner's side."""
    sender: Peer
    """Whom it is shown as from; in a broadcast channel that is the channel."""
    author_id: int
    """The account that wrote it."""
    date: int
    text: str
    outgoing: bool
    pts: int = 0
    """What its box counted after it came; 0 for those of an archive."""
    random_id: int = 0
    reply_to: int = 0
    entities: tuple[Any, ...] = ()
    """Formatting as the client sent it; nobody here looks inside."""
    media: Media | None = None
    grouped_id: int = 0
    """The same for all parts of an album; 0 outside of albums."""
    origin: Origin | None = None
    """Where it was forwarded from; None for messages and for copies."""
    topic_id: int = 0
    """The topic of a forum; 0 for the general one and outside of forums."""
    silent: bool = False
    source_chat: str = ""
    """For judges alone, no client sees it: the chat that it was forwarded or copied from."""
    source_id: int = 0
    """Its number there."""
    service: str = ""
    """Kind of a service message: create, pin, title, join, topic, migrate_to, migrate_from; else empty."""
    service_text: str = ""
    """The title or id that a service message tells."""
