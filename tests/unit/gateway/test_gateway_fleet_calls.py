"""A fleet call over schedulers that come and go, in virtual time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from typing import Any

import pytest

from services.gateway.handlers.fleet_calls import FleetCallRun
from services.gateway.ports import FleetAnswer, FleetCall, FleetCallKind
from services.runtime.errors import (
    Aborted,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    TgfleetError,
    Unavailable,
)
from tgfleet.gateway.v1 import result_pb2

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]

Script = Callable[[FleetCall, float], AsyncGenerator[FleetAnswer, None]]
CALL = FleetCall(FleetCallKind.START_ALL, "r1", match_labels={"team": "eu"})
LOST = Unavailable("The leader is gone.", reason="NOT_LEADER")


class Schedulers:
    """One script for each time it is asked; the last one goes on for ever."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.asked: list[FleetCall] = []
        self.closed = 0

    async def run(self, call: FleetCall, timeout: float) -> AsyncGenerator[FleetAnswer, None]:
        self.asked.append(call)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            async for answer in script(call, timeout):
                yield answer
        finally:
            self.closed += 1


class Directory:
    """Knows names; some accounts are gone."""

    def __init__(self, *gone: str, error: TgfleetError | None = None) -> None:
        self.gone = gone
        self.error = error

    async def names(self, account_ids: Collection[str], timeout: float) -> Mapping[str, str]:
        if self.error:
            raise self.error
        return {a: f"name-{a}" for a in account_ids if a not in self.gone}


def selected(*accounts: str) -> FleetAnswer:
    return FleetAnswer(accounts, [])


def started(*accounts: str) -> FleetAnswer:
    return FleetAnswer(None, [result(a) for a in accounts])


def result(account: str, outcome: Any = result_pb2.OUTCOME_STARTED) -> result_pb2.AccountResult:
    return result_pb2.AccountResult(account_id=account, outcome=outcome)


def script(*steps: FleetAnswer | TgfleetError | float) -> Script:
    """Says its steps; a number is seconds of silence."""

    async def said(_call: FleetCall, _timeout: float) -> AsyncGenerator[FleetAnswer, None]:
        for step in steps:
            if isinstance(step, TgfleetError):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step

    return said


async def collect(
    schedulers: Schedulers, *, seconds: float = 60, directory: Directory | None = None
) -> tuple[list[result_pb2.AccountResult], result_pb2.FleetSummary]:
    run = FleetCallRun(CALL, seconds, schedulers, directory or Directory(), random.Random(1))
    results = [r async for batch in run.results() for r in batch]
    return results, run.summary()


async def test_everything_answered() -> None:
    schedulers = Schedulers(script(selected("a", "b"), started("b"), started("a")))
    results, summary = await collect(schedulers)
    assert [r.account_id for r in results] == ["b", "a"]
    assert (summary.total, dict(summary.by_outcome)) == (2, {"STARTED": 2})
    assert schedulers.closed == 1


async def test_a_lost_leader_is_asked_again_for_what_is_owed() -> None:
    schedulers = Schedulers(
        script(selected("a", "b", "c"), started("b"), LOST),
        script(LOST),
        script(Aborted("The term is over.")),
        script(selected("a", "c"), started("a", "b"), started("c")),
    )
    results, summary = await collect(schedulers)
    assert [r.account_id for r in results] == ["b", "a", "c"]
    assert summary.total == 3
    first, *again = schedulers.asked
    assert (first.account_ids, first.match_labels) == ((), {"team": "eu"})
    assert [(c.account_ids, c.match_labels, c.request_id) for c in again] == [(("a", "c"), {}, "r1")] * 3


async def test_a_stream_that_ends_early_or_breaks_inside_is_a_lost_leader() -> None:
    broken = Internal("A service answered with an error that it did not explain.")
    schedulers = Schedulers(
        script(selected("a", "b")), script(selected("a", "b"), started("a"), broken), script(started("b"))
    )
    results, _ = await collect(schedulers)
    assert [r.account_id for r in results] == ["a", "b"]


async def test_at_the_end_of_the_time_the_rest_is_still_starting() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    schedulers = Schedulers(script(selected("a", "b"), started("a"), 500.0))
    results, summary = await collect(schedulers, seconds=9)
    assert loop.time() - begun == pytest.approx(9)
    rest = results[1]
    assert (rest.account_id, rest.name) == ("b", "name-b")
    assert (rest.outcome, rest.reason) == (result_pb2.OUTCOME_WAITING, result_pb2.REASON_STILL_STARTING)
    assert dict(summary.by_outcome) == {"STARTED": 1, "WAITING": 1}
    assert summary.elapsed.ToSeconds() == 9


async def test_a_scheduler_that_runs_out_of_time_before_the_call_does_is_asked_again() -> None:
    late = DeadlineExceeded("The registry did not answer the scheduler.")
    schedulers = Schedulers(script(late), script(selected("a"), started("a")))
    results, _ = await collect(schedulers)
    assert [r.account_id for r in results] == ["a"]


async def test_names_that_cannot_be_found_do_not_cost_results() -> None:
    schedulers = Schedulers(script(selected("a"), 500.0))
    results, _ = await collect(schedulers, seconds=9, directory=Directory(error=LOST))
    assert [(r.account_id, r.name) for r in results] == [("a", "")]


async def test_no_scheduler_at_all_is_unavailable_and_nothing_is_claimed() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    schedulers = Schedulers(script(LOST))
    with pytest.raises(Unavailable) as caught:
        await collect(schedulers, seconds=30)
    assert caught.value.reason == "SCHEDULER_UNAVAILABLE"
    assert loop.time() - begun == pytest.approx(30)
    assert 20 < len(schedulers.asked) < 100  # backed off, and not asleep


@pytest.mark.parametrize(
    "error",
    [
        NotFound("Nobody.", reason="NO_ACCOUNT_SELECTED"),
        InvalidArgument("Wrong.", field="account_ids"),
        Internal("Ours.", metadata={"incident": "42"}),
    ],
)
async def test_what_the_scheduler_says_of_the_request_is_passed_on_at_once(error: TgfleetError) -> None:
    schedulers = Schedulers(script(error))
    with pytest.raises(type(error)) as caught:
        await collect(schedulers)
    assert caught.value is error
    assert len(schedulers.asked) == 1


async def test_an_account_that_is_deleted_in_between_gets_its_result_too() -> None:
    unknown = NotFound("There is no account b.", reason="ACCOUNT_NOT_FOUND")
    schedulers = Schedulers(
        script(selected("a", "b", "c"), LOST), script(unknown), script(selected("a"), started("a"))
    )
    results, summary = await collect(schedulers, directory=Directory("b"))
    assert {r.account_id: r.outcome for r in results} == {
        "a": result_pb2.OUTCOME_STARTED,
        "b": result_pb2.OUTCOME_SKIPPED,
        "c": result_pb2.OUTCOME_SKIPPED,
    }
    assert summary.total == 3


async def test_leaving_ends_the_inner_call() -> None:
    schedulers = Schedulers(script(selected("a", "b"), started("a"), 500.0))
    run = FleetCallRun(CALL, 60, schedulers, Directory())
    results = run.results()
    await anext(results)
    await results.aclose()
    assert schedulers.closed == 1


async def test_results_are_cut_into_messages_of_256() -> None:
    accounts = [f"a{i}" for i in range(1000)]
    run = FleetCallRun(CALL, 5, Schedulers(script(selected(*accounts), 500.0)), Directory())
    sizes = [len(batch) async for batch in run.results()]
    assert sizes == [256, 256, 256, 232]
