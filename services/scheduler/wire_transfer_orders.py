"""Orders of transfers to protobuf, and workers' answers back. Decides nothing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.scheduler.domain.transfers import orders as o
from services.scheduler.domain.transfers.commands import Acknowledge, CancelOrders, GiveOrders
from services.scheduler.wire import duration, timestamp, wall_time
from tgfleet.gateway.v1 import transfer_pb2
from tgfleet.scheduler.v1 import scheduler_pb2
from tgfleet.worker.v1 import transfer_pb2 as pb
from tgfleet.worker.v1 import worker_pb2


def message(
    term: int, commands: Iterable[GiveOrders | Acknowledge | CancelOrders]
) -> scheduler_pb2.AttachWorkerResponse:
    """What goes down a worker's stream for some commands, all in one."""
    made = scheduler_pb2.AttachWorkerResponse(term=term)
    told = made.transfer_orders
    for command in commands:
        if isinstance(command, GiveOrders):
            told.orders.extend([_order(order) for order in command.orders])
        elif isinstance(command, Acknowledge):
            told.acknowledged_order_ids.extend(command.order_ids)
        else:
            told.cancelled_order_ids.extend(command.order_ids)
    return made


def answer(told: pb.TransferAnswer) -> o.OrderAnswer:
    """An answer that this version does not know leaves open what happened."""
    kind = told.WhichOneof("answer")
    read = _ANSWERS.get(kind or "")
    said = o.OrderUnknown("UNKNOWN_ANSWER") if read is None else read(getattr(told, kind or ""))
    return o.OrderAnswer(told.order_id, told.account_id, said)


def media_kinds(names: Iterable[str]) -> list[transfer_pb2.MediaKind.ValueType]:
    """By their names without the prefix."""
    return [transfer_pb2.MediaKind.Value(f"MEDIA_KIND_{name}") for name in names]


def _order(order: o.Order) -> pb.TransferOrder:
    field, work = _WORKS[type(order.work)]
    made = pb.TransferOrder(order_id=order.order_id, account_id=order.account_id, limit=duration(order.limit))
    if order.token is not None:
        token = worker_pb2.Token(generation=order.token.generation, revision=order.token.revision)
        made.token.CopyFrom(token)
    getattr(made, field).CopyFrom(work(order.work))
    return made


def _chat(chat: o.ChatReference) -> pb.ChatReference:
    return pb.ChatReference(query=chat.query, chat_id=chat.chat_id)


def _inspect(work: o.InspectChats) -> pb.InspectChats:
    made = pb.InspectChats(source=_chat(work.source), target=_chat(work.target), topic_id=work.topic_id)
    if work.range_kind == "ids":
        made.ids.CopyFrom(transfer_pb2.IdRange(first=work.range_first, last=work.range_last))
    elif work.range_kind == "dates":
        made.dates.CopyFrom(
            transfer_pb2.DateRange(
                since=timestamp(work.range_since),
                until=timestamp(work.range_until),
            )
        )
    elif work.range_kind == "last":
        made.last = work.range_last
    return made


def _read(work: o.ReadSource) -> pb.ReadSource:
    return pb.ReadSource(
        source=_chat(work.source),
        after_id=work.after_id,
        through_id=work.through_id,
        limit=work.limit,
        media=media_kinds(work.media),
        match=work.match,
        min_age=duration(work.min_age) if work.min_age else None,
    )


def _send(work: o.SendBatch) -> pb.SendBatch:
    return pb.SendBatch(
        source=_chat(work.source),
        target=_chat(work.target),
        message_ids=work.message_ids,
        random_ids=work.random_ids,
        drop_author=work.drop_author,
        drop_captions=work.drop_captions,
        silent=work.silent,
        topic_id=work.topic_id,
    )


def _look(work: o.LookInTarget) -> pb.LookInTarget:
    return pb.LookInTarget(
        source=_chat(work.source),
        target=_chat(work.target),
        message_ids=work.message_ids,
        above_id=work.above_id,
        topic_id=work.topic_id,
        limit=work.limit,
    )


_WORKS: Mapping[type[Any], tuple[str, Callable[[Any], Any]]] = {
    o.InspectChats: ("inspect", _inspect),
    o.ReadSource: ("read", _read),
    o.SendBatch: ("send", _send),
    o.LookInTarget: ("look", _look),
}


def _facts(message: pb.ChatFacts) -> o.ChatFacts:
    return o.ChatFacts(
        chat_id=message.chat_id,
        kind=message.kind,
        title=message.title,
        can_read=message.can_read,
        can_post=message.can_post,
        protected=message.protected,
        slow_mode_seconds=message.slow_mode_seconds,
        top_message_id=message.top_message_id,
        migrated_to_chat_id=message.migrated_to_chat_id,
        error=message.error,
    )


def _inspected(message: pb.Inspected) -> o.Inspected:
    return o.Inspected(_facts(message.source), _facts(message.target), message.first_id, message.last_id)


def _page(message: pb.SourcePage) -> o.SourcePage:
    messages = [o.SourceMessage(one.message_id, one.grouped_id, one.skip) for one in message.messages]
    return o.SourcePage(messages, message.looked_through_id, message.end, message.migrated_to_chat_id)


def _sent(message: pb.Sent) -> o.Sent:
    return o.Sent(tuple(message.message_ids), tuple(message.target_ids), message.migrated_to_chat_id)


def _trace(message: pb.MessageTrace) -> o.MessageTrace:
    return o.MessageTrace(
        message_id=message.message_id,
        time=wall_time(message.time),
        sender_id=message.sender_id,
        outgoing=message.outgoing,
        forward_chat_id=message.forward_chat_id,
        forward_message_id=message.forward_message_id,
        text_hash=message.text_hash,
        media_id=message.media_id,
        grouped_id=message.grouped_id,
    )


def _looked(message: pb.Looked) -> o.Looked:
    target, source = ([_trace(one) for one in traces] for traces in (message.target, message.source))
    return o.Looked(target, source, message.complete)


_ANSWERS: Mapping[str, Callable[[Any], o.Answer]] = {
    "inspected": _inspected,
    "page": _page,
    "sent": _sent,
    "looked": _looked,
    "refused": lambda m: o.OrderRefused(m.code, m.name, m.seconds, m.method),
    "unknown": lambda m: o.OrderUnknown(m.cause),
    "not_done": lambda m: o.OrderNotDone(m.cause, wall_time(m.retry_time)),
}
