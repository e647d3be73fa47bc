"""The part of the control API that makes chats, fills them, and says who may do what in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from services.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from services.testdc.domain.archive import Archive, Recipe
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.peers import Channel, Group, Topic
from services.testdc.domain.speech import Draft, open_channel, open_group, say
from services.testdc.handlers_base import HandlersBase

_MOST_EAGER = 10_000
"""Messages of a basic group are kept one by one in each member's box."""


class Role(Enum):
    """What somebody is in a chat."""

    NONE = "none"
    MEMBER = "member"
    MUTED = "muted"
    ADMIN = "admin"
    BANNED = "banned"


@dataclass(frozen=True, slots=True)
class History:
    """Messages that follow from a seed."""

    count: int
    recipe: Recipe
    author_ids: tuple[int, ...] = ()
    """Who wrote them, in turn; the creator when empty."""
    start_time: int = 0
    """Unix seconds; `interval` before now for each message when 0."""
    interval: float = 1.0
    topic_id: int = 0


class ChatHandlers(HandlersBase):
    """Chats, their members and what is in them from the start."""

    def create_group(self, title: str, creator_id: int, members: Iterable[int] = ()) -> Peer:
        """Open a basic group. Raises NotFound."""
        members = list(members)
        for user_id in (creator_id, *members):
            self._user(user_id)
        group = Group(0, title, creator_id, self._now(), set(members))
        return self._told(open_group(self._centre.state.world, group)).message.peer

    def create_channel(
        self,
        title: str,
        creator_id: int,
        members: Iterable[int] = (),
        *,
        broadcast: bool = False,
        username: str = "",
        admins: Iterable[int] = (),
        protected: bool = False,
        slow_mode: int = 0,
        history: History | None = None,
    ) -> Peer:
        """Open a supergroup, or a broadcast channel. Raises NotFound, InvalidArgument."""
        admin_ids = set(admins)
        everybody = set(members) | admin_ids
        for user_id in (creator_id, *everybody):
            self._user(user_id)
        channel = Channel(
            0,
            title,
            creator_id,
            self._now(),
            broadcast=broadcast,
            username=username,
            members=everybody,
            admins=admin_ids,
            protected=protected,
            slow_mode=slow_mode,
        )
        if history is not None and not history.start_time:  # the channel is older than what is in it
            channel.date = int(self._now() - history.count * history.interval) - 1
        peer = self._told(open_channel(self._centre.state.world, channel)).message.peer
        if history is not None:
            self.generate(peer, history)
        return peer

    def chats(self) -> list[Peer]:
        """Every basic group and channel."""
        world = self._centre.state.world
        return [*(g.peer for g in world.groups.values()), *(c.peer for c in world.channels.values())]

    def generate(self, chat: Peer, history: History) -> tuple[int, int]:
        """Fill a chat; returns the first and last number. Raises NotFound, InvalidArgument."""
        if history.count <= 0:
            raise InvalidArgument("A history needs at least one message.", field="history")
        for author in history.author_ids:
            self._user(author)
        self._centre.state.touch()
        if chat.kind is PeerKind.CHAT:
            return self._generate_in_group(self._group(chat), history)
        channel = self._channel(chat)
        archive = self._archive(channel, channel.creator_id, history, first=channel.box.last_id + 1)
        channel.box.add_archive(archive)
        return archive.first, archive.last

    def update_chat(
        self,
        chat: Peer,
        *,
        protected: bool | None = None,
        slow_mode: int | None = None,
        locked: bool | None = None,
    ) -> None:
        """Change what a chat allows. Raises NotFound."""
        room = self._group(chat) if chat.kind is PeerKind.CHAT else self._channel(chat)
        room.protected = room.protected if protected is None else protected
        if isinstance(room, Channel):
            room.slow_mode = room.slow_mode if slow_mode is None else slow_mode
            room.locked = room.locked if locked is None else locked
        self._centre.state.touch()

    def set_member(self, chat: Peer, user_id: int, role: Role) -> None:
        """Say what somebody is in a chat. Raises NotFound, InvalidArgument."""
        self._user(user_id)
        self._centre.state.touch()
        if chat.kind is PeerKind.CHAT:
            if role not in {Role.NONE, Role.MEMBER}:
                raise InvalidArgument("A basic group knows members alone.", field="role")
            members = self._group(chat).members
            members.add(user_id) if role is Role.MEMBER else members.discard(user_id)
            return
        channel = self._channel(chat)
        for people in (channel.members, channel.admins, channel.muted, channel.banned):
            people.discard(user_id)
        if role is Role.BANNED:
            channel.banned.add(user_id)
        elif role is not Role.NONE:
            channel.members.add(user_id)
        if role is Role.ADMIN:
            channel.admins.add(user_id)
        elif role is Role.MUTED:
            channel.muted.add(user_id)

    def set_topic(self, chat: Peer, topic_id: int, title: str = "", *, closed: bool = False) -> int:
        """Open a topic (0), or open or close one that is there; returns its number. Raises NotFound."""
        channel = self._channel(chat)
        if topic_id:
            if topic_id not in channel.topics:
                raise NotFound(f"There is no topic {topic_id} in {chat}.", reason="TOPIC_NOT_FOUND")
            channel.topics[topic_id].closed = closed
            return topic_id
        world, creator = self._centre.state.world, self._user(channel.creator_id)
        channel.forum = True
        opening = say(world, creator, channel, Draft("", service="topic", service_text=title), self._now())
        number = opening.message.message_id
        channel.box.messages.file_under(number, opening.message)
        channel.topics[number] = Topic(number, title, creator.user_id, self._now(), closed=closed)
        self._told(opening)
        return number

    def migrate_group(self, chat: Peer) -> Peer:
        """Make a supergroup of a basic group. Raises NotFound, FailedPrecondition."""
        group, world = self._group(chat), self._centre.state.world
        if group.migrated_to:
            raise FailedPrecondition("The group is a supergroup already.", reason="MIGRATED")
        creator = self._user(group.creator_id)
        channel = Channel(
            0,
            group.title,
            creator.user_id,
            self._now(),
            members=set(group.members),
            migrated_from=group.chat_id,
        )
        world.add_channel(channel)
        leaving = Draft("", service="migrate_to", service_text=str(channel.channel_id))
        self._told(say(world, creator, group, leaving, self._now()))
        group.migrated_to = channel.channel_id
        arriving = Draft("", service="migrate_from", service_text=f"{group.title} {group.chat_id}")
        return self._told(say(world, creator, channel, arriving, self._now())).message.peer

    def _archive(self, room: Channel | Group, creator_id: int, history: History, first: int) -> Archive:
        world = self._centre.state.world
        wanted = history.start_time or int(self._now() - history.count * history.interval)
        top = room.box.top(room.peer) if isinstance(room, Channel) else None
        return Archive(
            recipe=history.recipe,
            peer=room.peer,
            first=first,
            count=history.count,
            number=world.next_archive(),
            authors=history.author_ids or (creator_id,),
            broadcast=isinstance(room, Channel) and room.broadcast,
            first_uid=world.next_uid(history.count),
            first_date=max(wanted, top.date if top else 0),
            seconds_apart=history.interval,
            topic_id=history.topic_id,
        )

    def _generate_in_group(self, group: Group, history: History) -> tuple[int, int]:
        if history.count > _MOST_EAGER:
            raise InvalidArgument(f"A basic group takes {_MOST_EAGER} at most.", field="history")
        world = self._centre.state.world
        box = self._user(group.creator_id).box
        first = box.last_id + 1
        for message in self._archive(group, group.creator_id, history, first=1).all():
            draft = Draft(
                message.text,
                media=message.media,
                grouped_id=message.grouped_id,
                origin=message.origin,
                service=message.service,
                service_text=message.service_text,
            )
            self._told(say(world, self._user(message.author_id), group, draft, message.date))
        return first, box.last_id
