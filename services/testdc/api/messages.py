"""Sending and deleting messages, read marks, and the list of chats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.testdc.api.inputs import channel_of, message_ids, peer_of, topic_of
from services.testdc.api.registry import Call, method
from services.testdc.api.show_message import raw_peer
from services.testdc.api.updates import state
from services.testdc.domain import afterwards
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.domain.speech import Draft, send
from services.testdc.tl import raw

_MAX_PAGE = 100
"""Most messages or dialogs in one answer, as Telegram allows."""


@method(raw.functions.messages.SendMessage)
def send_message(call: Call, query: Any) -> Any:
    """Always full Updates: kurigram stumbles over UpdateShortSentMessage when it writes to itself."""
    draft = Draft(
        text=query.message,
        random_id=query.random_id,
        reply_to=getattr(query.reply_to, "reply_to_msg_id", 0) or 0,
        entities=tuple(query.entities or ()),
        silent=bool(query.silent),
    )
    peer = peer_of(call, query.peer)
    draft = replace(draft, topic_id=topic_of(call, peer, query.reply_to))
    sent = send(call.world, call.me.user_id, peer, draft, call.now)
    call.deliver(sent.deliveries)
    named = raw.types.UpdateMessageID(id=sent.message.message_id, random_id=query.random_id)
    return call.present.updates([sent.event], call.now, [named])


@method(raw.functions.messages.GetDialogs)
def get_dialogs(call: Call, query: Any) -> Any:
    """The caller's chats, the newest first; there is one folder and nothing is pinned."""
    peers = [] if query.folder_id else call.world.peers_of(call.me.user_id)
    if query.offset_id or query.offset_date:
        after = peer_of(call, query.offset_peer)
        peers = peers[peers.index(after) + 1 :] if after in peers else []
    page = peers[: min(query.limit or _MAX_PAGE, _MAX_PAGE)]
    content = _dialogs(call, page)
    if len(page) == len(peers) and not query.offset_id:
        return raw.types.messages.Dialogs(**content)
    return raw.types.messages.DialogsSlice(count=len(call.world.peers_of(call.me.user_id)), **content)


@method(raw.functions.messages.GetPeerDialogs)
def get_peer_dialogs(call: Call, query: Any) -> Any:
    """The named chats only."""
    peers = [peer_of(call, given) for given in query.peers]
    return raw.types.messages.PeerDialogs(state=state(call), **_dialogs(call, peers))


@method(raw.functions.messages.GetPinnedDialogs)
def get_pinned_dialogs(call: Call, _: Any) -> Any:
    """Nothing is pinned."""
    return raw.types.messages.PeerDialogs(dialogs=[], messages=[], chats=[], users=[], state=state(call))


@method(raw.functions.messages.ReadHistory)
def read_history(call: Call, query: Any) -> Any:
    """Mark a private chat or basic group as read."""
    before = call.me.box.pts
    deliveries = afterwards.read(call.world, call.me.user_id, peer_of(call, query.peer), query.max_id)
    call.deliver(deliveries)
    return raw.types.messages.AffectedMessages(pts=call.me.box.pts, pts_count=call.me.box.pts - before)


@method(raw.functions.channels.ReadHistory)
def read_channel_history(call: Call, query: Any) -> bool:
    """Mark a channel as read."""
    afterwards.read(call.world, call.me.user_id, channel_of(call, query.channel).peer, query.max_id)
    return True


@method(raw.functions.messages.DeleteMessages)
def delete_messages(call: Call, query: Any) -> Any:
    """Remove messages of private chats and basic groups."""
    before = call.me.box.pts
    call.deliver(
        afterwards.delete(call.world, call.me.user_id, message_ids(query.id), revoke=bool(query.revoke))
    )
    return raw.types.messages.AffectedMessages(pts=call.me.box.pts, pts_count=call.me.box.pts - before)


@method(raw.functions.channels.DeleteMessages)
def delete_channel_messages(call: Call, query: Any) -> Any:
    """Remove messages of a channel."""
    channel = channel_of(call, query.channel)
    before = channel.box.pts
    call.deliver(
        afterwards.delete_in_channel(call.world, call.me.user_id, channel.peer, message_ids(query.id))
    )
    return raw.types.messages.AffectedMessages(pts=channel.box.pts, pts_count=channel.box.pts - before)


@method(raw.functions.messages.SetTyping)
def set_typing(call: Call, query: Any) -> bool:
    """Accepted and shown to nobody."""
    peer_of(call, query.peer)
    return True


def _dialogs(call: Call, peers: list[Peer]) -> dict[str, Any]:
    tops = [top for peer in peers if (top := call.world.box_of(call.me.user_id, peer).top(peer))]
    told = [*peers, *(p for top in tops for p in (top.peer, top.sender))]
    return {
        "dialogs": [_dialog(call, peer) for peer in peers],
        "messages": [call.present.message(top) for top in tops],
        **call.present.people(told),
    }


def _dialog(call: Call, peer: Peer) -> Any:
    box, me = call.world.box_of(call.me.user_id, peer), call.me.user_id
    top = box.top(peer)
    if peer.kind is PeerKind.CHANNEL:
        read = call.world.channels[peer.peer_id].read.get(me, 0)
        unread = box.unread_by(me, peer, read)
        marks = {"read_inbox_max_id": read, "read_outbox_max_id": box.last_id, "pts": box.pts}
    else:
        unread = box.unread(peer)
        marks = {
            "read_inbox_max_id": box.read_in.get(peer, 0),
            "read_outbox_max_id": box.read_out.get(peer, 0),
        }
    return raw.types.Dialog(
        peer=raw_peer(peer),
        top_message=top.message_id if top else 0,
        unread_count=unread,
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=raw.types.PeerNotifySettings(),
        **marks,
    )
