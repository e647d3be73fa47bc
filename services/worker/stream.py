"""Keeps the one stream to the leading scheduler: hello with the full picture, then heartbeats and whatever
the outbox holds.

A stream that breaks is made anew with jittered backoff. The sessions know nothing of it: they go on as long
as their leases hold.
"""

import asyncio
import random

from services.runtime.errors import TgfleetError, Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff, cancel_and_wait
from services.worker.catalog import Catalog
from services.worker.domain.orders import Welcome
from services.worker.domain.picture import SessionFile
from services.worker.fleet import Fleet
from services.worker.outbox import Outbox
from services.worker.ports import STUCK, Attachment, Dispatcher
from services.worker.transfers.desk import TransferDesk

_log = get_logger("worker.stream")

_RETRY_BASE, _RETRY_CAP = 0.1, 3.0
_WELCOME_LIMIT = 10.0
_GATHER = 0.005
"""Seconds to let reports gather into one message; results are to be flushed within 20 ms (DESIGN section
4)."""
_BATCH = 256


class StreamKeeper:
    """`run` until cancelled."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        fleet: Fleet,
        outbox: Outbox,
        catalog: Catalog,
        *,
        transfers: TransferDesk,
        rng: random.Random,
    ) -> None:
        self._dispatcher = dispatcher
        self._fleet = fleet
        self._outbox = outbox
        self._rng = rng
        self._files = asyncio.Event()
        self._catalog = catalog
        self._transfers = transfers
        self._welcomed = False
        catalog.on_change(self._on_files)

    async def run(self) -> None:
        """Attaches again and again, first with the session files known: the first picture must be whole."""
        await self._catalog.refresh()
        attempt = 0
        while True:
            self._welcomed = False
            self._files.clear()  # before the picture is taken: a scan that ends after it is told by itself
            try:
                await self._dispatcher.attach(self._fleet.picture(), self._serve)
            except TgfleetError as error:
                _log.warning("no stream to the scheduler", reason=error.reason, detail=error.message)
            attempt = 1 if self._welcomed else attempt + 1
            await asyncio.sleep(backoff(attempt, _RETRY_BASE, _RETRY_CAP, self._rng))

    async def _serve(self, attachment: Attachment) -> None:
        self._outbox.tell_again()
        self._transfers.tell_again()
        period: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        tasks = [
            asyncio.create_task(self._listen(attachment, period), name="listen to the scheduler"),
            asyncio.create_task(self._speak(attachment), name="report to the scheduler"),
            asyncio.create_task(self._beat(attachment, period), name="heartbeat"),
            asyncio.create_task(self._announce(attachment), name="announce files"),
            asyncio.create_task(self._answer(attachment), name="answer transfer orders"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_and_wait(*tasks)

    async def _listen(self, attachment: Attachment, period: "asyncio.Future[float]") -> None:
        async for order in attachment.orders():
            if not self._fleet.handle(order):
                raise Unavailable("The scheduler at the other end no longer leads.", reason="NOT_LEADER")
            if isinstance(order.command, Welcome) and not period.done():
                period.set_result(order.command.heartbeat_period)
                self._welcomed = True
                _log.info("attached to the scheduler", term=order.term)
        raise Unavailable("The scheduler ended the stream.")

    async def _speak(self, attachment: Attachment) -> None:
        while True:
            await self._outbox.wait()
            await asyncio.sleep(_GATHER)
            reports, happenings = self._outbox.take(_BATCH)
            try:
                if reports:
                    await attachment.send_reports(reports)
                if happenings:
                    await attachment.send_happenings(happenings)
            except BaseException:
                self._outbox.put_back(reports, happenings)
                raise
            self._outbox.taken(reports)

    async def _beat(self, attachment: Attachment, period: "asyncio.Future[float]") -> None:
        try:
            async with asyncio.timeout(_WELCOME_LIMIT):
                seconds = await period
        except TimeoutError as error:
            raise Unavailable("The scheduler did not welcome this worker.", reason=STUCK) from error
        sequence = 0
        while True:
            sequence += 1
            await attachment.heartbeat(sequence, len(self._fleet))
            await asyncio.sleep(seconds)

    async def _announce(self, attachment: Attachment) -> None:
        while True:
            await self._files.wait()
            self._files.clear()
            await attachment.send_files(self._catalog.current)

    async def _answer(self, attachment: Attachment) -> None:
        """At once, without gathering: the next batch waits for it. What is lost with this stream is told
        again on the next one."""
        while True:
            await self._transfers.filled()
            await attachment.send_answers(self._transfers.take(_BATCH))
            self._transfers.told()

    def _on_files(self, _files: tuple[SessionFile, ...]) -> None:
        self._files.set()
