"""How chat partners are named."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


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

    def __str__(self) -> str:
        """As the journal writes it: channel:1900000001."""
        return f"{self.kind.value}:{self.peer_id}"
