"""Reading messages: pages of a chat or a topic, searches, single messages by number."""

from __future__ import annotations

from itertools import islice
from typing import Any

from services.testdc.api.inputs import channel_of, message_ids, peer_of
from services.testdc.api.registry import Call, method
from services.testdc.domain.errors import TelegramError
from services.testdc.domain.media import MediaKind
from services.testdc.domain.message import Message
from services.testdc.domain.pages import Page
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.tl import raw

MAX_PAGE = 100
"""Most messages in one answer, as Telegram allows."""
_SCANNED = 20_000
"""A search looks at so many of the newest messages."""
_FILTERS: dict[type, frozenset[MediaKind]] = {
    raw.types.InputMessagesFilterPhotos: frozenset({MediaKind.PHOTO}),
    raw.types.InputMessagesFilterVideo: frozenset({MediaKind.VIDEO}),
    raw.types.InputMessagesFilterPhotoVideo: frozenset({MediaKind.PHOTO, MediaKind.VIDEO}),
    raw.types.InputMessagesFilterDocument: frozenset({MediaKind.DOCUMENT}),
    raw.types.InputMessagesFilterMusic: frozenset({MediaKind.AUDIO}),
    raw.types.InputMessagesFilterVoice: frozenset({MediaKind.VOICE}),
    raw.types.InputMessagesFilterRoundVideo: frozenset({MediaKind.VIDEO_NOTE}),
    raw.types.InputMessagesFilterGif: frozenset({MediaKind.ANIMATION}),
}


@method(raw.functions.messages.GetHistory)
def get_history(call: Call, query: Any) -> Any:
    """One page of a chat, newest first."""
    return _page(call, peer_of(call, query.peer), query)


@method(raw.functions.messages.GetReplies)
def get_replies(call: Call, query: Any) -> Any:
    """One page of a topic; threads outside of forums are not kept here."""
    peer = peer_of(call, query.peer)
    if peer.kind is not PeerKind.CHANNEL or query.msg_id not in call.world.channels[peer.peer_id].topics:
        raise TelegramError(400, "MSG_ID_INVALID")
    return _page(call, peer, query, query.msg_id)


@method(raw.functions.messages.Search)
def search(call: Call, query: Any) -> Any:
    """Messages by words and kind of media, in a chat or in a topic of it."""
    peer = peer_of(call, query.peer)
    topic_id = query.top_msg_id or 0
    kinds = _FILTERS.get(type(query.filter))
    if not query.q and kinds is None:
        return _page(call, peer, query, topic_id)
    box = call.world.box_of(call.me.user_id, peer)
    bounds = Page(limit=_SCANNED, offset_id=query.offset_id, max_id=query.max_id, min_id=query.min_id)
    words = query.q.lower()
    hits = (
        message
        for message in box.history(peer, bounds, topic_id)
        if words in message.text.lower()
        and (kinds is None or (message.media is not None and message.media.kind in kinds))
    )
    found = list(islice(hits, max(query.add_offset, 0) + _limit(query)))[max(query.add_offset, 0) :]
    return _found(call, peer, found, len(found))


@method(raw.functions.messages.GetMessages)
def get_messages(call: Call, query: Any) -> Any:
    """Messages of private chats and basic groups by number."""
    found = [call.me.box.messages.get(i) for i in message_ids(query.id)]
    return _listed(call, [message for message in found if message])


@method(raw.functions.channels.GetMessages)
def get_channel_messages(call: Call, query: Any) -> Any:
    """Messages of a channel by number; missing ones come back empty."""
    channel = channel_of(call, query.channel)
    found = {i: channel.box.find(i) for i in message_ids(query.id)}
    around = call.present.around([message for message in found.values() if message])
    return raw.types.messages.ChannelMessages(
        pts=channel.box.pts,
        count=len(found),
        topics=[],
        messages=[call.present.message(m) if m else raw.types.MessageEmpty(id=i) for i, m in found.items()],
        **around,
    )


def _page(call: Call, peer: Peer, query: Any, topic_id: int = 0) -> Any:
    page = Page(
        limit=_limit(query),
        offset_id=query.offset_id,
        offset_date=getattr(query, "offset_date", 0),
        add_offset=query.add_offset,
        max_id=query.max_id,
        min_id=query.min_id,
    )
    box = call.world.box_of(call.me.user_id, peer)
    return _found(call, peer, box.history(peer, page, topic_id), len(box.run(peer, topic_id)))


def _limit(query: Any) -> int:
    return min(query.limit or MAX_PAGE, MAX_PAGE)


def _found(call: Call, peer: Peer, messages: list[Message], total: int) -> Any:
    if peer.kind is PeerKind.CHANNEL:
        return raw.types.messages.ChannelMessages(
            pts=call.world.channels[peer.peer_id].box.pts, count=total, **_content(call, messages)
        )
    if len(messages) == total:
        return _listed(call, messages)
    return raw.types.messages.MessagesSlice(count=total, **_content(call, messages))


def _listed(call: Call, messages: list[Message]) -> Any:
    return raw.types.messages.Messages(**_content(call, messages))


def _content(call: Call, messages: list[Message]) -> dict[str, Any]:
    shown = [call.present.message(message) for message in messages]
    return {"messages": shown, "topics": [], **call.present.around(messages)}
