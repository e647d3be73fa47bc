"""Watches one link from outside until it is gone: pings, API calls, and what the client shows of itself."""

import asyncio
from collections.abc import Callable

from services.runtime.logs import get_logger
from services.worker.connecting import Refusal
from services.worker.domain.linkwatch import diagnose
from services.worker.domain.telegram import LinkCause, LinkDown, Refused
from services.worker.domain.transfer_answers import StillWaiting
from services.worker.domain.verdict import of_refusal
from services.worker.ports import TelegramClient

_log = get_logger("worker.watching")

CALL_LIMIT = 10.0
"""Seconds for one ping or probe."""
_PATIENT_PINGS = 2
"""Ping intervals without any answer after which a link is gone whatever it says of itself."""


class LinkWatch:
    """One watch over one link; intervals in seconds."""

    def __init__(
        self,
        client: TelegramClient,
        ping_interval: float,
        probe_interval: float,
        on_wait: Callable[[Refusal], None],
    ) -> None:
        """`on_wait`: a probe was told to wait."""
        self._client = client
        self._ping_interval = ping_interval
        self._probe_interval = probe_interval
        self._on_wait = on_wait

    async def until_down(self) -> LinkDown | Refusal:
        """Why the link is gone, or why the session must end. Raises Fenced."""
        ended = asyncio.create_task(self._client.ended(), name="link end")
        try:
            return await self._watch(ended)
        finally:
            ended.cancel()

    async def _watch(self, ended: "asyncio.Task[LinkDown]") -> LinkDown | Refusal:
        loop = asyncio.get_running_loop()
        next_ping = loop.time() + self._ping_interval
        next_probe = loop.time() + self._probe_interval
        while True:
            pause = max(0.0, min(next_ping, next_probe) - loop.time())
            await asyncio.wait({ended}, timeout=pause)
            if ended.done():
                return ended.result()
            probing = loop.time() >= next_probe
            gone = await self._check(probing=probing)
            if gone is not None:
                return gone
            next_ping = loop.time() + self._ping_interval
            if probing:
                next_probe = loop.time() + self._probe_interval

    async def _check(self, *, probing: bool) -> LinkDown | Refusal | None:
        try:
            await (self._probe() if probing else self._client.ping(CALL_LIMIT))
        except LinkDown as down:
            return self._named(down, probing=probing)
        except Refused as error:
            return self._judge(error)
        cause = diagnose(self._client.facts(), _PATIENT_PINGS * self._ping_interval + CALL_LIMIT)
        return LinkDown(cause) if cause is not None else None

    async def _probe(self) -> None:
        """An API call; inside a wait for it, the link is only asked for a sign of life."""
        try:
            await self._client.probe(CALL_LIMIT)
        except StillWaiting:
            await self._client.ping(CALL_LIMIT)

    def _named(self, down: LinkDown, *, probing: bool) -> LinkDown:
        if down.cause is not LinkCause.NO_ANSWER:
            return down
        return LinkDown(LinkCause.PROBE_FAILED if probing else LinkCause.PING_TIMEOUT)

    def _judge(self, error: Refused) -> Refusal | None:
        refusal = Refusal(of_refusal(error), error.method)
        if refusal.verdict.died:
            return refusal
        if refusal.verdict.wait is not None:
            self._on_wait(refusal)
        else:
            _log.warning("a probe was refused", code=error.code, error=error.name)
        return None
