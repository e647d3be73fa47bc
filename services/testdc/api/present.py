"""Shows the world as one account sees it: domain objects to TL objects.

Access hashes, phone numbers, "out" flags and read marks depend on who looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from services.testdc.domain.boxes import Event, EventKind, Message
from services.testdc.domain.peers import SERVICE_USER_ID, Channel, Group, Peer, PeerKind, User, access_hash
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
        )

    def channel(self, channel: Channel) -> Any:
        """A channel or supergroup."""
        is_creator = channel.creator_id == self._viewer_id
        is_admin = is_creator or self._viewer_id in channel.admins
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
            admin_rights=_admin_rights() if is_admin else None,
            participants_count=len(channel.members),
        )

    def message(self, message: Message) -> Any:
        """A message; the one that opened a group is a service message."""
        common: dict[str, Any] = {
            "id": message.message_id,
            "peer_id": raw_peer(message.peer),
            "from_id": None if self._needs_no_sender(message) else raw_peer(message.sender),
            "date": message.date,
            "out": self.is_out(message) or None,
            "post": message.sender.kind is PeerKind.CHANNEL or None,
            "reply_to": _reply(message),
        }
        if message.created_title:
            return raw.types.MessageService(action=_created(message), **common)
        return raw.types.Message(message=message.text, entities=list(message.entities) or None, **common)

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
        return {"users": users, "chats": chats}

    def around(self, messages: Iterable[Message]) -> dict[str, list[Any]]:
        """The `users` and `chats` that go with these messages."""
        return self.people(peer for message in messages for peer in (message.peer, message.sender))

    def updates(self, events: Sequence[Event], now: int, extra: Sequence[Any] = ()) -> Any:
        """Events of the viewer's own box or of channels, as clients are told of them."""
        messages = [m for event in events for m in self._messages(event)]
        told = [event.peer for event in events]
        return raw.types.Updates(
            updates=[*extra, *(self.update(event) for event in events)],
            date=now,
            seq=0,
            **self.people([*told, *(p for m in messages for p in (m.peer, m.sender))]),
        )

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

    def _messages(self, event: Event) -> list[Message]:
        box = self._world.box_of(self._viewer_id, event.peer)
        return [box.messages[i] for i in event.message_ids if i in box.messages]

    def _needs_no_sender(self, message: Message) -> bool:
        """Posts of a channel are from the channel, and incoming private messages from their chat."""
        return message.sender == message.peer and message.peer.kind is not PeerKind.CHAT


def raw_peer(peer: Peer) -> Any:
    """A chat partner as TL names it."""
    if peer.kind is PeerKind.USER:
        return raw.types.PeerUser(user_id=peer.peer_id)
    if peer.kind is PeerKind.CHAT:
        return raw.types.PeerChat(chat_id=peer.peer_id)
    return raw.types.PeerChannel(channel_id=peer.peer_id)


def _reply(message: Message) -> Any:
    return raw.types.MessageReplyHeader(reply_to_msg_id=message.reply_to) if message.reply_to else None


def _created(message: Message) -> Any:
    if message.peer.kind is PeerKind.CHANNEL:
        return raw.types.MessageActionChannelCreate(title=message.created_title)
    return raw.types.MessageActionChatCreate(title=message.created_title, users=[message.author_id])


def _admin_rights() -> Any:
    return raw.types.ChatAdminRights(
        change_info=True, post_messages=True, edit_messages=True, delete_messages=True, other=True
    )
