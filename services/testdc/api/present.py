"""Shows the world as one account sees it: domain objects to TL objects.

Access hashes, phone numbers, "out" flags and read marks depend on who looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from services.testdc.api.show_message import raw_peer, show_message
from services.testdc.domain.boxes import Event, EventKind
from services.testdc.domain.message import Message
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import SERVICE_USER_ID, Channel, Group, User, access_hash
from services.testdc.domain.world import World
from services.testdc.tl import raw


class Presenter:
    """One viewer's eyes."""

    def __init__(self, world: World, secret: bytes, viewer_id: int) -> None:
        self._world = world
        self._secret = secret
        self._viewer_id = viewer_id

    def access_hash(self, peer: Peer) -> int:
        """With what number the viewer may address a user or channel."""
        return access_hash(self._secret, self._viewer_id, peer)

    def user(self, user: User) -> Any:
        """A user; the phone number only to itself and to those who have it as a contact."""
        viewer = self._world.users.get(self._viewer_id)
        is_contact = viewer is not None and user.user_id in viewer.contacts
        is_self = user.user_id == self._viewer_id
        return raw.types.User(
            id=user.user_id,
            is_self=is_self or None,
            contact=is_contact or None,
            mutual_contact=(is_contact and self._viewer_id in user.contacts) or None,
            bot=user.bot or None,
            bot_info_version=1 if user.bot else None,
            verified=user.user_id == SERVICE_USER_ID or None,
            support=user.user_id == SERVICE_USER_ID or None,
            access_hash=self.access_hash(user.peer),
            first_name=user.first_name,
            last_name=user.last_name or None,
            username=user.username or None,
            phone=user.phone if is_self or is_contact or user.user_id == SERVICE_USER_ID else None,
            status=None if user.bot else raw.types.UserStatusRecently(),
        )

    def group(self, group: Group) -> Any:
        """A basic group."""
        return raw.types.Chat(
            id=group.chat_id,
            title=group.title,
            photo=raw.types.ChatPhotoEmpty(),
            participants_count=len(group.members),
            date=group.date,
            version=1,
            creator=group.creator_id == self._viewer_id or None,
            left=self._viewer_id not in group.members or None,
            noforwards=group.protected or None,
            deactivated=bool(group.migrated_to) or None,
            migrated_to=self._input_channel(group.migrated_to) if group.migrated_to else None,
        )

    def channel(self, channel: Channel) -> Any:
        """A channel or supergroup."""
        is_creator = channel.creator_id == self._viewer_id
        is_admin = channel.is_admin(self._viewer_id)
        return raw.types.Channel(
            id=channel.channel_id,
            title=channel.title,
            photo=raw.types.ChatPhotoEmpty(),
            date=channel.date,
            creator=is_creator or None,
            left=self._viewer_id not in channel.members or None,
            broadcast=channel.broadcast or None,
            megagroup=not channel.broadcast or None,
            access_hash=self.access_hash(channel.peer),
            username=channel.username or None,
            admin_rights=admin_rights() if is_admin else None,
            participants_count=len(channel.members),
            slowmode_enabled=bool(channel.slow_mode) or None,
            noforwards=channel.protected or None,
            forum=channel.forum or None,
            banned_rights=muted_rights() if self._viewer_id in channel.muted else None,
            default_banned_rights=muted_rights() if channel.locked else None,
        )

    def message(self, message: Message) -> Any:
        """A message of a box of the viewer's or of a channel."""
        return show_message(
            message, is_out=self.is_out(message), names_sender=not self._needs_no_sender(message)
        )

    def is_out(self, message: Message) -> bool:
        """Whether the viewer wrote it."""
        return message.author_id == self._viewer_id

    def people(self, peers: Iterable[Peer]) -> dict[str, list[Any]]:
        """The `users` and `chats` that go with a result in which these peers occur."""
        users: list[Any] = []
        chats: list[Any] = []
        for peer in dict.fromkeys(peers):
            if peer.kind is PeerKind.USER and peer.peer_id in self._world.users:
                users.append(self.user(self._world.users[peer.peer_id]))
            elif peer.kind is PeerKind.CHAT and peer.peer_id in self._world.groups:
                chats.append(self.group(self._world.groups[peer.peer_id]))
            elif peer.kind is PeerKind.CHANNEL and peer.peer_id in self._world.channels:
                chats.append(self.channel(self._world.channels[peer.peer_id]))
            elif peer.kind is PeerKind.CHANNEL:  # only the headers of generated forwards name such
                chats.append(_elsewhere(peer.peer_id))
        return {"users": users, "chats": chats}

    def around(self, messages: Iterable[Message]) -> dict[str, list[Any]]:
        """The `users` and `chats` that go with these messages."""
        return self.people(peer for message in messages for peer in _named(message))

    def updates(self, events: Sequence[Event], now: int, extra: Sequence[Any] = ()) -> Any:
        """Events of the viewer's own box or of channels, as clients are told of them."""
        messages = [m for event in events for m in self._messages(event)]
        told = [event.peer for event in events]
        return raw.types.Updates(
            updates=[*extra, *(self.update(event) for event in events)],
            date=now,
            seq=0,
            **self.people([*told, *(peer for message in messages for peer in _named(message))]),
        )

    def too_many(self, peer: Peer, now: int) -> Any:
        """News of a channel in short: there are too many to tell."""
        box = self._world.channels[peer.peer_id].box
        short = raw.types.UpdateChannelTooLong(channel_id=peer.peer_id, pts=box.pts)
        return raw.types.Updates(updates=[short], date=now, seq=0, **self.people([peer]))

    def update(self, event: Event) -> Any:
        """One event of a box."""
        step = {"pts": event.pts, "pts_count": event.pts_count}
        is_channel = event.peer.kind is PeerKind.CHANNEL
        if event.kind is EventKind.NEW_MESSAGE:
            shown = self.message(self._messages(event)[0])
            if is_channel:
                return raw.types.UpdateNewChannelMessage(message=shown, **step)
            return raw.types.UpdateNewMessage(message=shown, **step)
        if event.kind is EventKind.DELETED:
            ids = list(event.message_ids)
            if is_channel:
                return raw.types.UpdateDeleteChannelMessages(
                    channel_id=event.peer.peer_id, messages=ids, **step
                )
            return raw.types.UpdateDeleteMessages(messages=ids, **step)
        peer = raw_peer(event.peer)
        if event.kind is EventKind.READ_INBOX:
            return raw.types.UpdateReadHistoryInbox(
                peer=peer, max_id=event.max_id, still_unread_count=0, **step
            )
        return raw.types.UpdateReadHistoryOutbox(peer=peer, max_id=event.max_id, **step)

    def _input_channel(self, channel_id: int) -> Any:
        peer = Peer(PeerKind.CHANNEL, channel_id)
        return raw.types.InputChannel(channel_id=channel_id, access_hash=self.access_hash(peer))

    def _messages(self, event: Event) -> list[Message]:
        box = self._world.box_of(self._viewer_id, event.peer)
        return [message for i in event.message_ids if (message := box.find(i))]

    def _needs_no_sender(self, message: Message) -> bool:
        """Posts of a channel are from the channel, and incoming private messages from their chat."""
        return message.sender == message.peer and message.peer.kind is not PeerKind.CHAT


def _named(message: Message) -> list[Peer]:
    """Whom a message names, and a client must know to show it."""
    named = [message.peer, message.sender]
    if message.service:
        named.append(Peer(PeerKind.USER, message.author_id))
    if message.origin:
        named += [peer for peer in (message.origin.peer, message.origin.saved_peer) if peer]
    return named


def _elsewhere(channel_id: int) -> Any:
    return raw.types.ChannelForbidden(id=channel_id, access_hash=0, title="Elsewhere", broadcast=True)


def admin_rights() -> Any:
    """Everything that matters here."""
    return raw.types.ChatAdminRights(
        change_info=True, post_messages=True, edit_messages=True, delete_messages=True, other=True
    )


def muted_rights() -> Any:
    """What somebody may not do who may only read."""
    return raw.types.ChatBannedRights(
        until_date=0,
        send_messages=True,
        send_media=True,
        send_plain=True,
        send_photos=True,
        send_videos=True,
        send_docs=True,
    )
