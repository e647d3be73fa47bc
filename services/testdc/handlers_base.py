"""What all parts of the control API share: finding users and chats, and telling clients what happened."""

from __future__ import annotations

from services.runtime.errors import NotFound
from services.testdc.centre import DataCentre
from services.testdc.domain.boxes import Box
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import Channel, Group, User
from services.testdc.domain.speech import Sent


class HandlersBase:
    """Over one data centre."""

    def __init__(self, centre: DataCentre) -> None:
        self._centre = centre

    def _user(self, user_id: int) -> User:
        try:
            return self._centre.state.world.users[user_id]
        except KeyError as e:
            raise NotFound(f"There is no user {user_id}.", reason="USER_NOT_FOUND") from e

    def _channel(self, chat: Peer) -> Channel:
        channel = self._centre.state.world.channels.get(chat.peer_id)
        if chat.kind is not PeerKind.CHANNEL or channel is None:
            raise NotFound(f"There is no channel {chat}.", reason="CHAT_NOT_FOUND")
        return channel

    def _group(self, chat: Peer) -> Group:
        group = self._centre.state.world.groups.get(chat.peer_id)
        if chat.kind is not PeerKind.CHAT or group is None:
            raise NotFound(f"There is no basic group {chat}.", reason="CHAT_NOT_FOUND")
        return group

    def _box(self, user_id: int, chat: Peer) -> Box:
        if chat.kind is PeerKind.CHANNEL:
            return self._channel(chat).box
        return self._user(user_id).box

    def _told(self, sent: Sent) -> Sent:
        self._centre.state.touch()
        self._centre.desk.deliver(sent.deliveries)
        return sent

    def _now(self) -> int:
        return int(self._centre.state.clock.wall().timestamp())
