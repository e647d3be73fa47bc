"""Transfer orders and answers on the wire: nothing gets lost between protobuf and domain."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.worker import wire_scheduler, wire_transfers
from services.worker.domain import orders as commands
from services.worker.domain import transfer_answers as answers
from services.worker.domain import transfer_orders as orders
from services.worker.domain.picture import Picture, Token
from tgfleet.gateway.v1 import transfer_pb2 as public
from tgfleet.scheduler.v1 import scheduler_pb2
from tgfleet.worker.v1 import transfer_pb2 as pb
from tgfleet.worker.v1 import worker_pb2

SOURCE, TARGET = pb.ChatReference(query="@a", chat_id=-5), pb.ChatReference(chat_id=-6)
A, B = orders.ChatReference("@a", -5), orders.ChatReference("", -6)
WHEN = datetime(2026, 5, 1, 12, tzinfo=UTC)


def stamp(when: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(when)
    return made


def work_of(**kind: object) -> orders.Work:
    message = pb.TransferOrder(order_id="o", account_id="a", **kind)  # type: ignore[arg-type]
    return wire_transfers.order(message).work


def test_a_whole_message_of_the_scheduler() -> None:
    order = pb.TransferOrder(
        order_id="t/1/2/1",
        account_id="acc",
        token=worker_pb2.Token(generation=3, revision=9),
        limit=Duration(seconds=7, nanos=500_000_000),
        send=pb.SendBatch(
            source=SOURCE,
            target=TARGET,
            message_ids=[1, 2],
            random_ids=[-7, 8],
            drop_author=True,
            drop_captions=True,
            silent=True,
            topic_id=4,
        ),
    )
    message = pb.TransferOrders(orders=[order], acknowledged_order_ids=["x", "y"], cancelled_order_ids=["z"])
    received = wire_scheduler.order(scheduler_pb2.AttachWorkerResponse(term=4, transfer_orders=message))
    work = orders.SendBatch(A, B, (1, 2), (-7, 8), True, True, True, 4)  # noqa: FBT003
    expected = orders.TransferOrder("t/1/2/1", "acc", Token(3, 9), 7.5, work)
    assert received == commands.Order(4, orders.TransferOrders((expected,), ("x", "y"), ("z",)))


def test_every_kind_of_order() -> None:
    kinds = [public.MEDIA_KIND_PHOTO, public.MEDIA_KIND_VOICE]
    read = pb.ReadSource(
        source=SOURCE,
        after_id=5,
        through_id=9,
        limit=40,
        media=kinds,
        match="x+",
        min_age=Duration(seconds=2),
    )
    media = frozenset({"PHOTO", "VOICE"})
    assert work_of(read=read) == orders.ReadSource(A, 5, 9, 40, media, "x+", 2.0)
    assert work_of(read=pb.ReadSource(source=SOURCE, limit=1000)) == orders.ReadSource(A, 0, limit=100)
    look = pb.LookInTarget(source=SOURCE, target=TARGET, message_ids=[3], above_id=8, topic_id=2, limit=300)
    assert work_of(look=look) == orders.LookInTarget(A, B, (3,), 8, 2, 300)
    assert work_of() is None


def test_every_kind_of_range() -> None:
    def inspected(**kind: object) -> orders.Range | None:
        work = work_of(inspect=pb.InspectChats(source=SOURCE, target=TARGET, topic_id=3, **kind))  # type: ignore[arg-type]
        assert isinstance(work, orders.InspectChats)
        assert (work.source, work.target, work.topic_id) == (A, B, 3)
        return work.range

    assert inspected() is None
    assert inspected(ids=public.IdRange(first=2, last=8)) == orders.IdRange(2, 8)
    assert inspected(last=9) == orders.Newest(9)
    assert inspected(dates=public.DateRange(since=stamp(WHEN))) == orders.DateRange(WHEN, None)
    assert inspected(dates=public.DateRange(until=stamp(WHEN))) == orders.DateRange(None, WHEN)


def told(answer: answers.Answer) -> pb.TransferAnswer:
    (message,) = wire_transfers.transfer_answers([answers.TransferAnswer("o", "acc", answer)]).answers
    assert (message.order_id, message.account_id) == ("o", "acc")
    return message


def test_every_kind_of_answer() -> None:
    facts = answers.ChatFacts(-5, "channel", "T", True, True, True, 30, 99, -7, "E")  # noqa: FBT003
    inspected = told(answers.Inspected(facts, answers.ChatFacts(), 3, 9)).inspected
    assert inspected.source == pb.ChatFacts(
        chat_id=-5,
        kind="channel",
        title="T",
        can_read=True,
        can_post=True,
        protected=True,
        slow_mode_seconds=30,
        top_message_id=99,
        migrated_to_chat_id=-7,
        error="E",
    )
    assert (inspected.first_id, inspected.last_id) == (3, 9)
    messages = (answers.SourceMessage(1, 8), answers.SourceMessage(2, 0, answers.Skip.NO_MATCH))
    page = told(answers.SourcePage(messages, 7, end=True, migrated_to_chat_id=-9)).page
    assert [(m.message_id, m.grouped_id, m.skip) for m in page.messages] == [(1, 8, ""), (2, 0, "NO_MATCH")]
    assert (page.looked_through_id, page.end, page.migrated_to_chat_id) == (7, True, -9)
    sent = told(answers.Sent((1, 2), (5, 0), -9)).sent
    assert sent == pb.Sent(message_ids=[1, 2], target_ids=[5, 0], migrated_to_chat_id=-9)
    trace = answers.MessageTrace(1, WHEN, 2, True, -3, 4, b"h", 5, 6)  # noqa: FBT003
    looked = told(answers.Looked((trace,), (), complete=True)).looked
    assert looked.complete
    assert list(looked.target) == [
        pb.MessageTrace(
            message_id=1,
            time=stamp(WHEN),
            sender_id=2,
            outgoing=True,
            forward_chat_id=-3,
            forward_message_id=4,
            text_hash=b"h",
            media_id=5,
            grouped_id=6,
        )
    ]
    refused = told(answers.OrderRefused(420, "FLOOD_WAIT_X", 9, "m.f")).refused
    assert refused == pb.OrderRefused(code=420, name="FLOOD_WAIT_X", seconds=9, method="m.f")
    assert told(answers.OrderUnknown("TIMEOUT")).unknown.cause == "TIMEOUT"
    not_done = told(answers.OrderNotDone(answers.NotDoneCause.FLOOD_WAIT, WHEN)).not_done
    assert (not_done.cause, not_done.retry_time) == ("FLOOD_WAIT", stamp(WHEN))
    assert not told(answers.OrderNotDone("STOPPING")).not_done.HasField("retry_time")


def test_a_hello_names_the_orders_under_way() -> None:
    hello = wire_scheduler.hello("w", "i", 5, Picture((), (), draining=False, order_ids=("a", "b")))
    assert list(hello.transfer_order_ids) == ["a", "b"]
