"""Protobuf <-> domain for transfer orders and their answers. Nothing else."""

from collections.abc import Iterable

from services.worker import wire
from services.worker.domain import transfer_answers as answers
from services.worker.domain import transfer_orders as orders
from services.worker.domain.picture import Token
from tgfleet.gateway.v1 import transfer_pb2 as public
from tgfleet.worker.v1 import transfer_pb2 as worker

_DEFAULT_LIMIT = 30.0
"""Seconds, for an order that names none."""
_MOST_IDS = 100
"""Telegram cuts longer lists silently (TELEGRAM.md section 2)."""
_KIND_PREFIX = "MEDIA_KIND_"


def transfer_orders(message: worker.TransferOrders) -> orders.TransferOrders:
    """What the scheduler said."""
    return orders.TransferOrders(
        tuple(order(one) for one in message.orders),
        tuple(message.acknowledged_order_ids),
        tuple(message.cancelled_order_ids),
    )


def order(message: worker.TransferOrder) -> orders.TransferOrder:
    """One order."""
    limit = message.limit.ToTimedelta().total_seconds() if message.HasField("limit") else _DEFAULT_LIMIT
    token = Token(message.token.generation, message.token.revision)
    return orders.TransferOrder(message.order_id, message.account_id, token, limit, _work(message))


def _work(message: worker.TransferOrder) -> orders.Work:
    match message.WhichOneof("order"):
        case "inspect":
            return _inspect(message.inspect)
        case "read":
            return _read(message.read)
        case "send":
            return _send(message.send)
        case "look":
            return _look(message.look)
        case _:
            return None


def _chat(message: worker.ChatReference) -> orders.ChatReference:
    return orders.ChatReference(message.query, message.chat_id)


def _inspect(message: worker.InspectChats) -> orders.InspectChats:
    source, target = _chat(message.source), _chat(message.target)
    return orders.InspectChats(source, target, message.topic_id, _range(message))


def _range(message: worker.InspectChats) -> orders.Range | None:
    match message.WhichOneof("range"):
        case "ids":
            return orders.IdRange(message.ids.first, message.ids.last)
        case "dates":
            dates = message.dates
            return orders.DateRange(
                wire.to_datetime(dates.since) if dates.HasField("since") else None,
                wire.to_datetime(dates.until) if dates.HasField("until") else None,
            )
        case "last":
            return orders.Newest(message.last)
        case _:
            return None


def _read(message: worker.ReadSource) -> orders.ReadSource:
    return orders.ReadSource(
        source=_chat(message.source),
        after_id=message.after_id,
        through_id=message.through_id,
        limit=min(message.limit or _MOST_IDS, _MOST_IDS),
        media=frozenset(public.MediaKind.Name(kind).removeprefix(_KIND_PREFIX) for kind in message.media),
        match=message.match,
        min_age=message.min_age.ToTimedelta().total_seconds(),
    )


def _send(message: worker.SendBatch) -> orders.SendBatch:
    return orders.SendBatch(
        source=_chat(message.source),
        target=_chat(message.target),
        message_ids=tuple(message.message_ids),
        random_ids=tuple(message.random_ids),
        drop_author=message.drop_author,
        drop_captions=message.drop_captions,
        silent=message.silent,
        topic_id=message.topic_id,
    )


def _look(message: worker.LookInTarget) -> orders.LookInTarget:
    return orders.LookInTarget(
        source=_chat(message.source),
        target=_chat(message.target),
        message_ids=tuple(message.message_ids),
        above_id=message.above_id,
        topic_id=message.topic_id,
        limit=message.limit or _MOST_IDS,
    )


def transfer_answers(given: Iterable[answers.TransferAnswer]) -> worker.TransferAnswers:
    """Answers on the wire."""
    return worker.TransferAnswers(answers=[answer(one) for one in given])


def answer(given: answers.TransferAnswer) -> worker.TransferAnswer:
    """One answer on the wire."""
    message = worker.TransferAnswer(order_id=given.order_id, account_id=given.account_id)
    match given.answer:
        case answers.Inspected() as found:
            message.inspected.CopyFrom(_inspected(found))
        case answers.SourcePage() as page:
            message.page.CopyFrom(_page(page))
        case answers.Sent() as sent:
            message.sent.message_ids.extend(sent.message_ids)
            message.sent.target_ids.extend(sent.target_ids)
            message.sent.migrated_to_chat_id = sent.migrated_to_chat_id
        case answers.Looked() as looked:
            message.looked.target.extend(_trace(one) for one in looked.target)
            message.looked.source.extend(_trace(one) for one in looked.source)
            message.looked.complete = looked.complete
        case answers.OrderRefused() as refused:
            message.refused.code, message.refused.name = refused.code, refused.name
            message.refused.seconds, message.refused.method = refused.seconds, refused.method
        case answers.OrderUnknown() as unknown:
            message.unknown.cause = unknown.cause
        case answers.OrderNotDone() as not_done:
            message.not_done.cause = not_done.cause
            if not_done.retry_time is not None:
                message.not_done.retry_time.CopyFrom(wire.timestamp(not_done.retry_time))
    return message


def _inspected(given: answers.Inspected) -> worker.Inspected:
    return worker.Inspected(
        source=_facts(given.source),
        target=_facts(given.target),
        first_id=given.first_id,
        last_id=given.last_id,
    )


def _facts(given: answers.ChatFacts) -> worker.ChatFacts:
    return worker.ChatFacts(
        chat_id=given.chat_id,
        kind=given.kind,
        title=given.title,
        can_read=given.can_read,
        can_post=given.can_post,
        protected=given.protected,
        slow_mode_seconds=given.slow_mode_seconds,
        top_message_id=given.top_message_id,
        migrated_to_chat_id=given.migrated_to_chat_id,
        error=given.error,
    )


def _page(given: answers.SourcePage) -> worker.SourcePage:
    page = worker.SourcePage(
        looked_through_id=given.looked_through_id,
        end=given.end,
        migrated_to_chat_id=given.migrated_to_chat_id,
    )
    for one in given.messages:
        page.messages.add(message_id=one.message_id, grouped_id=one.grouped_id, skip=one.skip or "")
    return page


def _trace(given: answers.MessageTrace) -> worker.MessageTrace:
    return worker.MessageTrace(
        message_id=given.message_id,
        time=wire.timestamp(given.time),
        sender_id=given.sender_id,
        outgoing=given.outgoing,
        forward_chat_id=given.forward_chat_id,
        forward_message_id=given.forward_message_id,
        text_hash=given.text_hash,
        media_id=given.media_id,
        grouped_id=given.grouped_id,
    )
