"""Topics of forums."""

from __future__ import annotations

from typing import Any

from services.testdc.api.inputs import peer_of
from services.testdc.api.registry import Call, method
from services.testdc.api.show_message import raw_peer
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peer import PeerKind
from services.testdc.domain.peers import Channel, Topic
from services.testdc.tl import raw

_BLUE = 0x6FB9F0
"""Telegram's first icon colour."""


@method(raw.functions.messages.GetForumTopicsByID)
def get_forum_topics_by_id(call: Call, query: Any) -> Any:
    """Topics by number; those that are not there come back as deleted."""
    forum = _forum_of(call, query.peer)
    return _listed(call, forum, [_topic(call, forum, number) for number in query.topics])


@method(raw.functions.messages.GetForumTopics)
def get_forum_topics(call: Call, query: Any) -> Any:
    """All topics, the general one first, then the newest."""
    forum = _forum_of(call, query.peer)
    numbers = [1, *sorted(forum.topics, reverse=True)]
    wanted = [number for number in numbers if not query.offset_topic or number < query.offset_topic]
    return _listed(call, forum, [_topic(call, forum, number) for number in wanted[: query.limit or 100]])


def _forum_of(call: Call, given: Any) -> Channel:
    peer = peer_of(call, given)
    channel = call.world.channels.get(peer.peer_id) if peer.kind is PeerKind.CHANNEL else None
    if channel is None or not channel.forum:
        raise TelegramError(400, "CHANNEL_FORUM_MISSING")
    return channel


def _topic(call: Call, forum: Channel, number: int) -> Any:
    topic = forum.topics.get(number)
    if topic is None and number == 1:
        topic = Topic(1, "General", forum.creator_id, forum.date)
    if topic is None:
        return raw.types.ForumTopicDeleted(id=number)
    run = forum.box.run(forum.peer, number if number > 1 else 0)
    return raw.types.ForumTopic(
        id=topic.topic_id,
        date=topic.date,
        peer=raw_peer(forum.peer),
        title=topic.title,
        icon_color=_BLUE,
        top_message=run.below(forum.box.last_id + 1),
        read_inbox_max_id=0,
        read_outbox_max_id=0,
        unread_count=0,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        from_id=raw.types.PeerUser(user_id=topic.creator_id),
        notify_settings=raw.types.PeerNotifySettings(),
        my=topic.creator_id == call.me.user_id or None,
        closed=topic.closed or None,
    )


def _listed(call: Call, forum: Channel, topics: list[Any]) -> Any:
    people = call.present.people([forum.peer])
    return raw.types.messages.ForumTopics(
        count=len(topics), topics=topics, messages=[], pts=forum.box.pts, **people
    )
