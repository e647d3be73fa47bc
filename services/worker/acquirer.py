"""Gets sessions from the registry, many in one call and one call at a time.

A call that got no answer is repeated under the same request_id until it gets one, so that grants are never
lost between two answers; its leases count from when it was *first* sent, because that is when they may have
been made. Whoever waits is told after a while that nobody answers; what is granted afterwards is given back,
as it would otherwise stay held by a worker that does not know of it.
"""

import asyncio
import random
import uuid
from dataclasses import dataclass
from datetime import timedelta

from services.runtime.clock import Clock, FenceClock
from services.runtime.errors import TgfleetError
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.gate import Gate
from services.worker.leases import Lease, LeaseKeeper
from services.worker.ports import Acquired, Grant, Registry, Release, Wanted
from services.worker.releaser import Releaser

_log = get_logger("worker.acquirer")

BATCH = 1_000
"""Sessions in one call (registry.proto)."""
_GATHER = 0.005
"""Seconds to let a command's sessions gather into one call."""
_CALL_LIMIT = 10.0
_RETRY_BASE, _RETRY_CAP = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class Granted:
    """A session that may be used, through its gate."""

    grant: Grant
    lease: Lease
    gate: Gate


_Result = Granted | Ending
_Item = tuple[Wanted, asyncio.Future[_Result]]


class Acquirer:
    """`acquire` from anywhere; `run` until cancelled."""

    def __init__(
        self,
        registry: Registry,
        keeper: LeaseKeeper,
        releaser: Releaser,
        clock: Clock,
        *,
        patience: float,
        rng: random.Random,
    ) -> None:
        """`patience`: seconds after which those who wait are told that no registry answers."""
        self._registry = registry
        self._keeper = keeper
        self._releaser = releaser
        self._clock = clock
        self._fence_clock = FenceClock(clock)
        self._patience = patience
        self._rng = rng
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()

    async def acquire(self, wanted: Wanted) -> Granted | Ending:
        """The session, or why not. Cancelling gives back what may still be granted."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((wanted, future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give_back(wanted.account_id, future.result())
            raise

    async def run(self) -> None:
        """Serves the queue until cancelled."""
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(_GATHER)
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [item for item in batch if not item[1].cancelled()]
            if batch:
                await self._serve(batch)

    async def _serve(self, batch: list[_Item]) -> None:
        results = await self._acquire(batch)
        for (wanted, future), result in zip(batch, results, strict=True):
            if future.done():  # cancelled, or told already that nobody answers
                self._give_back(wanted.account_id, result)
            else:
                future.set_result(result)

    async def _acquire(self, batch: list[_Item]) -> list[_Result]:
        wanted = [one for one, _ in batch]
        request_id = str(uuid.uuid4())
        sent = self._fence_clock.mark()
        held = self._keeper.held()
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._registry.acquire(request_id, wanted, held, _CALL_LIMIT)
            except TgfleetError as error:
                if self._fence_clock.elapsed(sent) > self._patience:
                    self._tell_unanswered(batch, error)
                _log.warning("no sessions acquired yet", reason=error.reason, detail=error.message)
                await asyncio.sleep(backoff(attempt, _RETRY_BASE, _RETRY_CAP, self._rng))
            else:
                for lease in answer.leases:
                    self._keeper.adopt(lease, sent)
                return self._judge(wanted, answer)

    def _judge(self, wanted: list[Wanted], answer: Acquired) -> list[_Result]:
        if len(answer.results) != len(wanted):
            _log.error("the registry answered for another number of sessions", asked=len(wanted))
            fault = Ending(
                Outcome.FAILED, Reason.INTERNAL, "The registry's answer does not fit the question."
            )
            return [fault] * len(wanted)
        return [
            self._granted(one.account_id, result) for one, result in zip(wanted, answer.results, strict=True)
        ]

    def _granted(self, account_id: str, result: Grant | Ending) -> _Result:
        if isinstance(result, Ending):
            return result
        lease = self._keeper.find(result.lease_id)
        if lease is None:  # granted, but too late: what it is on may not be used any more
            self._releaser.give_back(Release(account_id, result.auth_key_id, result.token, clean=True), None)
            retry = self._clock.wall() + timedelta(seconds=1)
            detail = "The grant came too late to be used; the session is given back."
            return Ending(Outcome.WAITING, Reason.SETTLING, detail, retry)
        return Granted(result, lease, self._keeper.hold(lease))

    def _give_back(self, account_id: str, result: _Result) -> None:
        """Nobody wants it any more, and nobody ever used it."""
        if isinstance(result, Granted):
            result.gate.close()
            token, key = result.grant.token, result.grant.auth_key_id
            self._releaser.give_back(Release(account_id, key, token, clean=True), result.lease)

    def _tell_unanswered(self, batch: list[_Item], error: TgfleetError) -> None:
        """Those of the batch, and those who queued up behind it and were never asked for."""
        waiting = list(batch)
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait())
        detail = f"No registry has answered for {self._patience:.0f} s ({error.reason})."
        for _, future in waiting:
            if not future.done():
                future.set_result(Ending(Outcome.FAILED, Reason.INTERNAL, detail))
