"""Hands facts to the registry until it says that they are on disk; the same fact_id each time, so repeats do
not count."""

import asyncio
import random
import uuid

from services.runtime.clock import Clock
from services.runtime.errors import TgfleetError
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff
from services.worker.domain.facts import Fact, FactKind, FactQueue, FloodWaited
from services.worker.domain.picture import Token
from services.worker.metrics import FACTS_WAITING
from services.worker.ports import Registry

_log = get_logger("worker.facts")

_BATCH = 1_000
_CALL_LIMIT = 10.0
_GATHER = 0.05
_RETRY_BASE, _RETRY_CAP = 0.2, 10.0
_QUEUE_LIMIT = 10_000


class FactSender:
    """`put` from anywhere; `run` until cancelled."""

    def __init__(self, registry: Registry, clock: Clock, rng: random.Random) -> None:
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._queue = FactQueue(_QUEUE_LIMIT)
        self._wake = asyncio.Event()
        self._turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def put(self, account_id: str, token: Token | None, kind: FactKind) -> None:
        """Queues a fact that was seen now."""
        self._queue.put(Fact(str(uuid.uuid4()), account_id, self._clock.wall(), token, kind))
        FACTS_WAITING.set(len(self._queue))
        self._wake.set()

    def waits(self, account_id: str) -> list[FloodWaited]:
        """Waits of an account that the registry may not know yet: a grant made now may lack them."""
        return self._queue.waits(account_id)

    async def flush(self, limit: float) -> bool:
        """Waits for the next attempt to hand everything over, at most `limit` seconds; whether it worked."""
        if not len(self._queue):
            return True
        turn = self._turn
        await asyncio.wait({turn}, timeout=limit)
        return turn.done() and turn.result()

    async def run(self) -> None:
        """Serves the queue until cancelled."""
        attempt = 0
        while True:
            await self._wake.wait()
            await asyncio.sleep(
                _GATHER if attempt == 0 else backoff(attempt, _RETRY_BASE, _RETRY_CAP, self._rng)
            )
            self._wake.clear()
            worked = await self._send_all()
            turn, self._turn = self._turn, asyncio.get_running_loop().create_future()
            turn.set_result(worked)
            attempt = 0 if worked else attempt + 1
            if len(self._queue):
                self._wake.set()

    async def _send_all(self) -> bool:
        while batch := self._queue.batch(_BATCH):
            try:
                await self._registry.report_facts(batch, _CALL_LIMIT)
            except TgfleetError as error:
                _log.warning("facts are not acknowledged", reason=error.reason, count=len(self._queue))
                return False
            self._queue.acknowledge(batch)
            FACTS_WAITING.set(len(self._queue))
        return True
