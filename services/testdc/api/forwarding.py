"""messages.forwardMessages on the wire."""

from __future__ import annotations

from typing import Any

from services.testdc.api.inputs import peer_of
from services.testdc.api.registry import Call, method
from services.testdc.domain.forwarding import Order, forward
from services.testdc.tl import raw


@method(raw.functions.messages.ForwardMessages)
def forward_messages(call: Call, query: Any) -> Any:
    """Forward or copy; the answer names each random_id's message and shows the messages."""
    order = Order(
        source=peer_of(call, query.from_peer),
        target=peer_of(call, query.to_peer),
        message_ids=tuple(query.id),
        random_ids=tuple(query.random_id),
        drop_author=bool(query.drop_author),
        drop_captions=bool(query.drop_media_captions),
        silent=bool(query.silent),
        topic_id=query.top_msg_id or getattr(query.reply_to, "top_msg_id", 0) or 0,
    )
    done = forward(call.world, call.me.user_id, order, call.now)
    call.forwarded = done
    call.deliver(done.deliveries)
    named = [
        raw.types.UpdateMessageID(id=sent.message.message_id, random_id=sent.message.random_id)
        for sent in done.sent
    ]
    return call.present.updates([sent.event for sent in done.sent], call.now, named)
