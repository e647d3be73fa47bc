"""One fleet call from the caller's side: exactly one result per selected account, whatever happens to
schedulers.

A lost leader is asked again, with the same request id, for the accounts that are still owed. At the end of
the time the rest are WAITING/STILL_STARTING. Leaving the generator cancels the inner call; what was started
goes on."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from services.gateway.domain.fleet_call import BATCH, FleetLedger
from services.gateway.handlers.losing import is_leader_lost
from services.gateway.ports import AccountDirectory, FleetAnswer, FleetCall, FleetScheduler
from services.runtime.errors import DeadlineExceeded, NotFound, TgfleetError, Unavailable
from services.runtime.logs import get_logger
from services.runtime.tasks import backoff
from tgfleet.gateway.v1 import result_pb2

Results = Sequence[result_pb2.AccountResult]

_log = get_logger("gateway.fleet_calls")

_RETRY_FIRST = 0.05
_RETRY_MOST = 1.0
_NAMES_TIMEOUT = 0.5
_NAMES_SHARE = 0.05
"""Seconds, and share of the call's time, to find the names of accounts that no scheduler answered for: half
of what is left until the caller's deadline (`seconds_for_call`)."""

_OUTCOMES = {number: name.removeprefix("OUTCOME_") for name, number in result_pb2.Outcome.items()}


class FleetCallRun:
    """The run of one call. `results()` once, then `summary()`."""

    def __init__(
        self,
        call: FleetCall,
        seconds: float,
        scheduler: FleetScheduler,
        directory: AccountDirectory,
        rng: random.Random | None = None,
    ) -> None:
        """`seconds` is how long the call may work."""
        # A new leader must know when the call arrived: what came up since then was started by it.
        self._call = replace(call, start_time=datetime.now(UTC))
        self._scheduler = scheduler
        self._directory = directory
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries
        self._ledger = FleetLedger()
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._end = self._started + seconds
        self._names_within = min(_NAMES_TIMEOUT, seconds * _NAMES_SHARE)

    async def results(self) -> AsyncGenerator[Results, None]:
        """Batches of results as they come, each account once. Raises what the scheduler says of the request
        itself, and Unavailable when no scheduler took the call in time."""
        attempt = 0
        while not self._ledger.is_complete and self._left() > 0:
            try:
                async with aclosing(self._ask()) as batches:
                    async for batch in batches:
                        attempt = 0
                        yield batch
            except NotFound:
                if not self._ledger.is_selected:
                    raise
                for batch in await self._deleted():
                    yield batch
            except TgfleetError as error:
                # Of a call that ran out of time before ours did, the same holds as of a lost one.
                if not (is_leader_lost(error) or isinstance(error, DeadlineExceeded)):
                    raise
                _log.info("leader lost, asking again", reason=error.reason, owed=len(self._ledger.owed))
            attempt += 1
            await self._pause(attempt)
        for batch in await self._rest():
            yield batch

    def summary(self) -> result_pb2.FleetSummary:
        """The counts over everything that `results` gave."""
        summary = result_pb2.FleetSummary(total=self._ledger.total, by_outcome=self._ledger.by_outcome)
        summary.elapsed.FromNanoseconds(self._elapsed())
        return summary

    async def _ask(self) -> AsyncGenerator[Results, None]:
        """Asks a scheduler once, for everything or for what is owed."""
        call = self._call
        if self._ledger.is_selected:
            call = replace(call, account_ids=self._ledger.owed, match_labels={})
        async with aclosing(self._scheduler.run(call, self._left())) as answers:
            while (answer := await self._next(answers)) is not None:
                if answer.selected is not None:
                    gone = self._ledger.select(answer.selected)
                    if gone:
                        yield self._admitted(map(self._gone, gone))
                admitted = self._admitted(answer.results)
                if admitted:
                    yield admitted
                if self._ledger.is_complete:
                    return

    async def _next(self, answers: AsyncGenerator[FleetAnswer, None]) -> FleetAnswer | None:
        """The next message within the time, None after the last."""
        try:
            async with asyncio.timeout_at(self._end):
                return await anext(answers, None)
        except TimeoutError as error:
            raise DeadlineExceeded("The scheduler did not answer in time.") from error

    def _admitted(self, results: Iterable[result_pb2.AccountResult]) -> Results:
        return [r for r in results if self._ledger.admit(r.account_id, _OUTCOMES.get(r.outcome, "OTHER"))]

    async def _pause(self, attempt: int) -> None:
        if not self._ledger.is_complete:
            await asyncio.sleep(
                min(backoff(attempt, _RETRY_FIRST, _RETRY_MOST, self._rng), max(0.0, self._left()))
            )

    async def _deleted(self) -> Iterator[Results]:
        """A scheduler does not know some of the owed accounts any more: results for those that are gone."""
        names = await self._names(max(self._names_within, self._left() / 4))
        gone = [account for account in self._ledger.owed if names is not None and account not in names]
        return _batches(self._admitted(map(self._gone, gone)))

    async def _rest(self) -> Iterator[Results]:
        """Results for everything still owed at the end of the time."""
        if not self._ledger.is_selected:
            raise Unavailable(
                "No scheduler took the call in time. Whether it took effect is not known; "
                "make it again with the same request_id.",
                reason="SCHEDULER_UNAVAILABLE",
                metadata={"request_id": self._call.request_id},
            )
        owed = self._ledger.owed
        names = (await self._names(self._names_within) or {}) if owed else {}
        return _batches(
            self._admitted(self._still_starting(account, names.get(account, "")) for account in owed)
        )

    async def _names(self, within: float) -> dict[str, str] | None:
        """Names of the owed accounts that exist; None when the registry does not say."""
        try:
            return dict(await self._directory.names(self._ledger.owed, within))
        except (TgfleetError, TimeoutError) as error:
            _log.warning("names of unanswered accounts are not known", error=type(error).__name__)
            return None

    def _still_starting(self, account_id: str, name: str) -> result_pb2.AccountResult:
        return self._result(
            account_id,
            name,
            outcome=result_pb2.OUTCOME_WAITING,
            reason=result_pb2.REASON_STILL_STARTING,
            detail="The call's time ended before a scheduler reported on this account.",
            action="Look at the status, or make the call again with the same request id.",
        )

    def _gone(self, account_id: str) -> result_pb2.AccountResult:
        return self._result(
            account_id,
            "",
            outcome=result_pb2.OUTCOME_SKIPPED,
            detail="The account was deleted during the call.",
        )

    def _result(
        self,
        account_id: str,
        name: str,
        *,
        outcome: result_pb2.Outcome.ValueType,
        reason: result_pb2.Reason.ValueType = result_pb2.REASON_UNSPECIFIED,
        detail: str,
        action: str = "",
    ) -> result_pb2.AccountResult:
        result = result_pb2.AccountResult(
            account_id=account_id, name=name, outcome=outcome, reason=reason, detail=detail, action=action
        )
        result.elapsed.FromNanoseconds(self._elapsed())
        return result

    def _elapsed(self) -> int:
        """Nanoseconds since the call arrived."""
        return int((self._loop.time() - self._started) * 1e9)

    def _left(self) -> float:
        return self._end - self._loop.time()


def _batches(results: Results) -> Iterator[Results]:
    rest = iter(results)
    while batch := list(islice(rest, BATCH)):
        yield batch
