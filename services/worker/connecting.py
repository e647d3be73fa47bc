"""Brings a client's link up: bounded in time, in how many do it at once, and in how often one tries.

Everything that can go wrong is judged by `domain.verdict`; a verdict that is not transient ends the attempts,
so that an error on the connection's first call cannot loop (TELEGRAM.md section 3, hazard 4).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.runtime.logs import get_logger
from services.worker.domain import backoff, verdict
from services.worker.domain.pace import Pace
from services.worker.domain.telegram import LinkCause, LinkDown, Me, Refused
from services.worker.domain.transfer_answers import StillWaiting
from services.worker.domain.verdict import Verdict
from services.worker.ports import TelegramClient

_log = get_logger("worker.connecting")

_SLOT_HELD = 3.0
"""Seconds of one attempt that count against the bound: what takes longer only waits for a silent data centre,
and must not hold up the others."""
_BURST = 20
"""Links made anew at once after a quiet time, before the rate counts."""
_HIGHEST_JITTER = 0.05
"""Seconds before a first dial, so that a batch of starts does not dial in the same instant."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The link did not come up, and trying on would not help (or time is up)."""

    verdict: Verdict
    method: str = ""
    """The call that Telegram refused, if it was one."""


OnFailure = Callable[[Refusal], None]


class Connector:
    """Shared by all sessions of the process: the bounds on how many connect at once, and on how many links
    are made anew a second, are in here."""

    def __init__(
        self, concurrency: int, connect_timeout: float, reconnect_rate: float, rng: random.Random
    ) -> None:
        """Seconds; links a second, 0 for no limit."""
        self._slots = asyncio.Semaphore(concurrency)
        self._pace = Pace(reconnect_rate, _BURST)
        self._timeout = connect_timeout
        self._rng = rng

    async def first(self, client: TelegramClient, expected_user: int) -> Me | Refusal:
        """A start: within the connect timeout, which counts from the first dial. Raises Fenced."""
        await asyncio.sleep(self._rng.random() * _HIGHEST_JITTER)
        return await self._until_up(client, expected_user, self._timeout)

    async def again(
        self, client: TelegramClient, expected_user: int, lost: LinkDown, on_failure: OnFailure
    ) -> Me | Refusal:
        """A reconnect: for as long as it takes; `on_failure` hears of each attempt in vain. Raises Fenced."""
        await asyncio.sleep(backoff.pause(1, lost.cause, self._rng.random()))
        proofs = int(lost.cause is LinkCause.TRANSPORT_404)
        return await self._until_up(client, expected_user, None, proofs, on_failure)

    async def _until_up(
        self,
        client: TelegramClient,
        expected_user: int,
        limit: float | None,
        unknown_key_proofs: int = 0,
        on_failure: OnFailure | None = None,
    ) -> Me | Refusal:
        loop = asyncio.get_running_loop()
        ends: float | None = None
        attempt = 0
        while True:
            attempt += 1
            if limit is None:  # starts are paced by the scheduler, for the whole fleet
                await asyncio.sleep(self._pace.turn(loop.time()))
            async with self._slot():
                if limit is not None and ends is None:
                    ends = loop.time() + limit
                outcome = await self._attempt(client, self._timeout if ends is None else ends - loop.time())
            if isinstance(outcome, Me):
                return await self._checked(client, outcome, expected_user)
            refusal, cause = outcome
            unknown_key_proofs = unknown_key_proofs + 1 if cause is LinkCause.TRANSPORT_404 else 0
            if unknown_key_proofs >= verdict.UNKNOWN_KEY_PROOFS:
                return Refusal(verdict.KEY_UNKNOWN)
            pause = backoff.pause(attempt, cause, self._rng.random())
            if not refusal.verdict.transient or (ends is not None and loop.time() + pause >= ends):
                return refusal
            if on_failure is not None:
                on_failure(refusal)
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of the bounded places, for the block or for its first seconds."""
        await self._slots.acquire()
        held = True

        def free() -> None:
            nonlocal held
            if held:
                held = False
                self._slots.release()

        timer = asyncio.get_running_loop().call_later(_SLOT_HELD, free)
        try:
            yield
        finally:
            timer.cancel()
            free()

    async def _attempt(self, client: TelegramClient, limit: float) -> Me | tuple[Refusal, LinkCause]:
        try:
            return await client.connect(limit)
        except Refused as error:
            _log.info("Telegram refused a connection", code=error.code, error=error.name, method=error.method)
            return Refusal(verdict.of_refusal(error), error.method), LinkCause.REFUSED
        except StillWaiting as wait:
            return Refusal(verdict.of_wait(wait.method, wait.remaining), wait.method), LinkCause.REFUSED
        except LinkDown as error:
            _log.info("no link", cause=error.cause, detail=error.detail)
            return Refusal(verdict.of_link(error)), error.cause

    async def _checked(self, client: TelegramClient, me: Me, expected_user: int) -> Me | Refusal:
        if expected_user in {0, me.user_id}:
            return me
        await client.close()
        return Refusal(verdict.wrong_user(expected_user, me.user_id))
