"""Users, basic groups and channels: who exists and who belongs where."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from services.testdc.domain.boxes import Box

SERVICE_USER_ID = 777000
"""Telegram's own account, which sends login codes."""


class PeerKind(Enum):
    """The three kinds of chat partner that Telegram has."""

    USER = "user"
    CHAT = "chat"
    """Basic group: each member has its own copy and number of every message."""
    CHANNEL = "channel"
    """Channel or supergroup: one numbering for all."""


class Peer(NamedTuple):
    """Names a chat partner; the id is Telegram's bare, positive one."""

    kind: PeerKind
    peer_id: int


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
    contacts: set[int] = field(default_factory=set)
    box: Box = field(default_factory=Box)
    """Private and basic-group messages of this user, numbered for it alone."""
    sent: dict[int, int] = field(default_factory=dict)
    """random_id -> message id of what was sent with it, in private chats and basic groups."""

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

    @property
    def peer(self) -> Peer:
        """This group as a chat partner."""
        return Peer(PeerKind.CHAT, self.chat_id)


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
    box: Box = field(default_factory=Box)
    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    """(sender, random_id) -> message id."""
    read: dict[int, int] = field(default_factory=dict)
    """member -> highest id it has read."""

    @property
    def peer(self) -> Peer:
        """This channel as a chat partner."""
        return Peer(PeerKind.CHANNEL, self.channel_id)


def access_hash(secret: bytes, viewer_id: int, peer: Peer) -> int:
    """The signed 64-bit number with which one account, and only that one, may address a peer."""
    text = f"{viewer_id} {peer.kind.value} {peer.peer_id}".encode()
    return int.from_bytes(blake2b(text, key=secret, digest_size=8).digest(), "little", signed=True)
