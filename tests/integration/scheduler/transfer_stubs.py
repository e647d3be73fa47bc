"""Chats, and a worker that carries transfer orders out on them, made of nothing but the stream's messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.integration.scheduler.stubs import StubWorker
from tgfleet.scheduler.v1 import scheduler_pb2
from tgfleet.worker.v1 import transfer_pb2 as pb

SOURCE, TARGET = -1001, -1002


@dataclass
class StubChats:
    """A source of numbered messages and a target; deduplicates random_ids per account as Telegram does."""

    messages: list[pb.SourceMessage] = field(default_factory=list)
    target: list[tuple[int, int, str]] = field(default_factory=list)  # own id, source id, account
    seen: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int, album_every: int = 0) -> StubChats:
        messages = []
        for message_id in range(1, number + 1):
            album = album_every and message_id % album_every < 3
            grouped = message_id // album_every + 1 if album else 0
            messages.append(pb.SourceMessage(message_id=message_id, grouped_id=grouped))
        return cls(messages)

    def forwarded(self) -> list[int]:
        return [source_id for _, source_id, _ in self.target]

    def send(self, account_id: str, order: pb.SendBatch) -> pb.Sent:
        ids = []
        for message_id, random_id in zip(order.message_ids, order.random_ids, strict=True):
            key = (account_id, random_id)
            if key not in self.seen:
                self.seen[key] = len(self.target) + 1
                self.target.append((len(self.target) + 1, message_id, account_id))
            ids.append(self.seen[key])
        return pb.Sent(message_ids=order.message_ids, target_ids=ids)

    def inspect(self, order: pb.InspectChats) -> pb.Inspected:
        first, last = 1, len(self.messages)
        if order.WhichOneof("range") == "ids":
            first, last = order.ids.first, min(order.ids.last, last)
        elif order.WhichOneof("range") == "last":
            first = max(1, last - order.last + 1)
        if first > last:
            first = last = 0
        return pb.Inspected(
            source=_facts(SOURCE, order.source.query, len(self.messages)),
            target=_facts(TARGET, order.target.query, len(self.target)),
            first_id=first,
            last_id=last,
        )

    def read(self, order: pb.ReadSource) -> pb.SourcePage:
        last = order.through_id or len(self.messages)
        page = [one for one in self.messages if order.after_id < one.message_id <= last][: order.limit]
        through = page[-1].message_id if page else last
        end = through >= min(last, len(self.messages))
        return pb.SourcePage(messages=page, looked_through_id=last if end else through, end=end)

    def look(self, order: pb.LookInTarget) -> pb.Looked:
        found = [
            pb.MessageTrace(message_id=own, forward_chat_id=SOURCE, forward_message_id=source_id)
            for own, source_id, _ in self.target
            if own > order.above_id
        ]
        source = [pb.MessageTrace(message_id=one) for one in order.message_ids]
        return pb.Looked(target=found[: order.limit], source=source, complete=len(found) <= order.limit)


class TransferWorker(StubWorker):
    """Carries out orders on stub chats; keeps answers until they are acknowledged. `before_send` may give
    another answer than sending, or wait."""

    def __init__(self, worker_id: str, ports: list[int], chats: StubChats, capacity: int = 500) -> None:
        super().__init__(worker_id, ports, capacity)
        self.chats = chats
        self.orders: list[pb.TransferOrder] = []
        self.cancelled: list[str] = []
        self.kept: dict[str, pb.TransferAnswer] = {}
        self.before_send: Callable[[pb.TransferOrder], pb.TransferAnswer | None] = lambda _: None
        self.send_takes = 0.0
        self.answers_lost = 0
        """So many sends from now on take effect, but are not answered."""
        self._doing: dict[str, asyncio.Task[None]] = {}
        self._call: Any = None

    def sends(self) -> list[pb.TransferOrder]:
        return [order for order in self.orders if order.HasField("send")]

    def _hello(self) -> Any:
        hello = super()._hello()
        hello.transfer_order_ids.extend(self._doing)
        return hello

    async def _attach(self, channel: Any) -> None:
        try:
            await super()._attach(channel)
        finally:
            self._call = None

    async def _obey(self, call: Any, kind: str | None, message: scheduler_pb2.AttachWorkerResponse) -> None:
        self._call = call
        if kind != "transfer_orders":
            await super()._obey(call, kind, message)
            return
        orders = message.transfer_orders
        for order_id in orders.acknowledged_order_ids:
            self.kept.pop(order_id, None)
        self.cancelled.extend(orders.cancelled_order_ids)
        for order in orders.orders:
            self.orders.append(order)
            self._doing[order.order_id] = asyncio.create_task(self._do(order))

    async def _do(self, order: pb.TransferOrder) -> None:
        answer = pb.TransferAnswer(order_id=order.order_id, account_id=order.account_id)
        kind = order.WhichOneof("order")
        session = self.sessions.get(order.account_id)
        if session is None or session.token != order.token:
            answer.not_done.cause = "NOT_RUNNING"
        elif kind == "inspect":
            answer.inspected.CopyFrom(self.chats.inspect(order.inspect))
        elif kind == "read":
            answer.page.CopyFrom(self.chats.read(order.read))
        elif kind == "look":
            answer.looked.CopyFrom(self.chats.look(order.look))
        elif not await self._send(order, answer):
            self._doing.pop(order.order_id, None)
            return
        self._doing.pop(order.order_id, None)
        self.kept[order.order_id] = answer
        await self.tell(answer)

    async def _send(self, order: pb.TransferOrder, answer: pb.TransferAnswer) -> bool:
        other = self.before_send(order)
        if other is not None:
            answer.MergeFrom(other)
            return True
        await asyncio.sleep(self.send_takes)
        answer.sent.CopyFrom(self.chats.send(order.account_id, order.send))
        if self.answers_lost:
            self.answers_lost -= 1
            return False
        return True

    async def tell(self, *answers: pb.TransferAnswer) -> None:
        if self._call is not None:
            message = pb.TransferAnswers(answers=answers)
            request = scheduler_pb2.AttachWorkerRequest(transfer_answers=message)
            with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # told again later
                await self._write(self._call, request)

    async def _beat(self, call: Any, period: float) -> None:
        self._call = call
        if self.kept:
            await self.tell(*self.kept.values())
        await super()._beat(call, period)


def refused(code: int, name: str, seconds: int = 0) -> pb.TransferAnswer:
    method = "messages.forwardMessages"
    return pb.TransferAnswer(refused=pb.OrderRefused(code=code, name=name, seconds=seconds, method=method))


def _facts(chat_id: int, query: str, top: int) -> pb.ChatFacts:
    return pb.ChatFacts(
        chat_id=chat_id,
        kind="channel",
        title=query,
        can_read=True,
        can_post=True,
        top_message_id=top,
    )
