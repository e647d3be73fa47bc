"""Who exists: users, basic groups, channels and their messages, and how to find them.

What is said and read in them is changed by speech.py and afterwards.py alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.testdc.domain.boxes import Box
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.ledger import Ledger
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import SERVICE_USER_ID, Channel, Group, User

_ALBUMS = 13 << 50
"""Albums are counted from here, far from those of archives."""


@dataclass
class World:
    """All state of the data centre beside keys and connections."""

    users: dict[int, User] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    refuses_missing: bool = False
    """Whether forwarding a number that is not there refuses the whole call instead of passing it over [U]."""
    bad: dict[tuple[Peer, int], TelegramError] = field(default_factory=dict)
    """Messages of channels that cannot be forwarded, with the error that refuses the whole call."""
    _uid: int = 0
    _album: int = 0
    _archives: int = 0

    def __post_init__(self) -> None:
        service = User(SERVICE_USER_ID, "42777", "Telegram")
        self.users[SERVICE_USER_ID] = service

    def add_user(self, user: User) -> User:
        """Take in a user, under the next free id if it has none; raises ValueError when a name is taken."""
        user.user_id = user.user_id or 700_000_000 + len(self.users)
        if user.user_id in self.users:
            raise ValueError(f"user {user.user_id} exists already")
        if user.username and self.by_username(user.username):
            raise ValueError(f"username {user.username} is taken")
        self.users[user.user_id] = user
        return user

    def add_group(self, group: Group) -> Group:
        """Take in a basic group under the next free id; raises ValueError for unknown members."""
        group.members.add(group.creator_id)
        self._must_know(group.members)
        group.chat_id = 400_000_001 + len(self.groups)
        self.groups[group.chat_id] = group
        return group

    def add_channel(self, channel: Channel) -> Channel:
        """Take in a channel under the next free id; raises ValueError for unknown members."""
        channel.members |= {channel.creator_id} | channel.admins
        self._must_know(channel.members)
        channel.channel_id = channel.channel_id or 1_900_000_001 + len(self.channels)
        self.channels[channel.channel_id] = channel
        return channel

    def next_uid(self, count: int = 1) -> int:
        """A number for a new message, the same for all its copies; the first of `count` in a row."""
        self._uid += count
        return self._uid - count + 1

    def next_album(self) -> int:
        """A grouped_id for a new album."""
        self._album += 1
        return _ALBUMS + self._album

    def next_archive(self) -> int:
        """A number for a new archive."""
        self._archives += 1
        return self._archives

    def box_of(self, user_id: int, peer: Peer) -> Box:
        """Where a user finds the messages of a chat: its own box, or the channel's."""
        if peer.kind is PeerKind.CHANNEL:
            return self.channels[peer.peer_id].box
        return self.users[user_id].box

    def by_username(self, username: str) -> User | Channel | None:
        """Who bears a public name, whatever its case and with or without the @."""
        wanted = username.lstrip("@").lower()
        holders: list[User | Channel] = [*self.users.values(), *self.channels.values()]
        for holder in holders:
            if wanted and holder.username.lower() == wanted:
                return holder
        return None

    def by_phone(self, phone: str) -> User | None:
        """Who has a phone number, digits compared."""
        wanted = "".join(filter(str.isdigit, phone))
        return next((user for user in self.users.values() if wanted and user.phone == wanted), None)

    def peers_of(self, user_id: int) -> list[Peer]:
        """The chats of a user, the one with the newest message first."""
        box = self.users[user_id].box
        found = [(box.messages[ids[-1]].uid, peer) for peer, ids in box.messages.by_peer.items() if ids]
        for channel in self.channels.values():
            if user_id in channel.members:
                top = channel.box.top(channel.peer)
                found.append((top.uid if top else 0, channel.peer))
        return [peer for _, peer in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def group_of(self, user_id: int, peer: Peer) -> Group:
        """The basic group as a member; raises TelegramError for others."""
        group = self.groups.get(peer.peer_id)
        if group is None or user_id not in group.members:
            raise TelegramError(400, "CHAT_ID_INVALID")
        return group

    def channel_of(self, user_id: int, peer: Peer) -> Channel:
        """The channel as a member; raises TelegramError for others."""
        channel = self.channels.get(peer.peer_id)
        if channel is None:
            raise TelegramError(400, "CHANNEL_INVALID")
        if user_id in channel.banned or (user_id not in channel.members and not channel.username):
            raise TelegramError(400, "CHANNEL_PRIVATE")
        return channel

    def _must_know(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            if user_id not in self.users:
                raise ValueError(f"no user {user_id}")
