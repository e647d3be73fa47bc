"""Users, basic groups and channels: who exists and who belongs where."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from services.testdc.domain.boxes import Box
from services.testdc.domain.peer import Peer, PeerKind

SERVICE_USER_ID = 777000
"""Telegram's own account, which sends login codes."""


@dataclass(slots=True)
class User:
    """A person, an account of the fleet, or a bot."""

    user_id: int
    phone: str
    first_name: str
    last_name: str = ""
    username: str = ""
    bot: bool = False
    password: str = ""
    """Two-step verification password; empty: none set."""
    hidden: bool = False
    """Forwards of its messages name it without a link to it."""
    contacts: set[int] = field(default_factory=set)
    box: Box = field(default_factory=Box)
    """Private and basic-group messages of this user, numbered for it alone."""

    @property
    def peer(self) -> Peer:
        """This user as a chat partner."""
        return Peer(PeerKind.USER, self.user_id)


@dataclass(slots=True)
class Group:
    """A basic group."""

    chat_id: int
    title: str
    creator_id: int
    date: int
    members: set[int] = field(default_factory=set)
    protected: bool = False
    """Nothing may be forwarded out of it (noforwards)."""
    migrated_to: int = 0
    """The supergroup that it became; nobody writes here any more."""

    @property
    def peer(self) -> Peer:
        """This group as a chat partner."""
        return Peer(PeerKind.CHAT, self.chat_id)


@dataclass(slots=True)
class Topic:
    """A thread of a forum, named by the number of the message that opened it."""

    topic_id: int
    title: str
    creator_id: int
    date: int
    closed: bool = False
    """Only admins write in it."""


@dataclass(slots=True)
class Channel:
    """A supergroup, or a broadcast channel in which only the creator and admins write."""

    channel_id: int
    title: str
    creator_id: int
    date: int
    broadcast: bool = False
    username: str = ""
    members: set[int] = field(default_factory=set)
    admins: set[int] = field(default_factory=set)
    muted: set[int] = field(default_factory=set)
    """Members who may read and not write."""
    banned: set[int] = field(default_factory=set)
    """Who was thrown out: for them the channel is private, public name or not."""
    locked: bool = False
    """In a supergroup only admins write."""
    protected: bool = False
    """Nothing may be forwarded out of it (noforwards)."""
    slow_mode: int = 0
    """Seconds that members who are no admins wait between two messages."""
    forum: bool = False
    topics: dict[int, Topic] = field(default_factory=dict)
    migrated_from: int = 0
    """The basic group that it was."""
    box: Box = field(default_factory=Box)
    read: dict[int, int] = field(default_factory=dict)
    """member -> highest id it has read."""
    last_sent: dict[int, int] = field(default_factory=dict)
    """member -> when it wrote last, in whole seconds of the wall clock; kept for slow mode."""

    @property
    def peer(self) -> Peer:
        """This channel as a chat partner."""
        return Peer(PeerKind.CHANNEL, self.channel_id)

    def is_admin(self, user_id: int) -> bool:
        """The creator is one, too."""
        return user_id == self.creator_id or user_id in self.admins


def access_hash(secret: bytes, viewer_id: int, peer: Peer) -> int:
    """The signed 64-bit number with which one account, and only that one, may address a peer."""
    text = f"{viewer_id} {peer.kind.value} {peer.peer_id}".encode()
    return int.from_bytes(blake2b(text, key=secret, digest_size=8).digest(), "little", signed=True)
