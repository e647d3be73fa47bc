"""The life of a session in virtual time: connect, watch, reconnect, fence, stop. Time costs nothing here."""

import asyncio
from datetime import timedelta

import pytest

from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.facts import LinkLost, SessionDied, SessionRan
from services.worker.domain.orders import Configure, SessionConfig, SetChat
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.picture import Disconnected
from services.worker.domain.states import SessionState as S
from services.worker.domain.telegram import LinkCause, Refused
from services.worker.domain.transfer_answers import StillWaiting
from services.worker.fakes.clock import LoopClock
from services.worker.ports import KnownWait
from tests.unit.worker.world import Inside, inside

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]


def now() -> float:
    return asyncio.get_running_loop().time()


def facts(i: Inside, kind: type) -> list[object]:
    return [f.kind for f in i.registry.facts.values() if isinstance(f.kind, kind)]


async def test_start_and_clean_stop() -> None:
    async with inside() as i:
        i.enrol("a", user_id=55)
        i.start("a")
        running = await i.until("a", S.RUNNING)
        assert (running.user_id, running.command_id) == (55, "start-1")
        assert running.token is not None
        i.stop("a")
        stopped = await i.until("a", S.STOPPED)
        assert stopped.released
        assert not i.registry.holders
        assert i.registry.releases[0].clean
        assert i.states("a") == [S.STARTING, S.RUNNING, S.STOPPING, S.STOPPED] or S.STOPPED in i.states("a")
        assert facts(i, SessionRan) == [SessionRan(55, stable=False), SessionRan(55, stable=True)]


async def test_a_refusal_of_the_registry_is_passed_on() -> None:
    async with inside() as i:
        i.refuse("a", Ending(Outcome.WAITING, Reason.SETTLING, "Settling."))
        i.start("a")
        report = await i.until("a", S.FAILED)
        assert (report.outcome, report.reason, report.detail) == (
            Outcome.WAITING,
            Reason.SETTLING,
            "Settling.",
        )
        assert not i.telegram.journal


async def test_connect_timeout_counts_from_the_first_dial_and_no_longer() -> None:
    async with inside() as i:
        i.enrol("a").silent = True
        began = now()
        i.start("a")
        report = await i.until("a", S.FAILED)
        assert report.reason is Reason.CONNECT_TIMEOUT
        assert 29 < now() - began < 32


async def test_silent_data_centres_do_not_hold_up_the_others() -> None:
    async with inside(concurrency=2) as i:
        silent = [f"silent{n}" for n in range(10)]
        for name in silent:
            i.enrol(name).silent = True
        i.enrol("fine")
        began = now()
        i.start(*silent, "fine")
        await i.until("fine", S.RUNNING)
        assert now() - began < 16, "five rounds of 3 s, not of 30 s"
        for name in silent:
            assert (await i.until(name, S.FAILED)).reason is Reason.CONNECT_TIMEOUT


async def test_server_errors_on_the_first_call_do_not_storm() -> None:
    async with inside() as i:
        i.enrol("a").refuse = Refused(500, "INTERNAL", "")
        i.start("a")
        report = await i.until("a", S.FAILED)
        assert report.reason is Reason.CONNECT_TIMEOUT
        assert len(i.telegram.journal) <= 7, "backed off over 30 s"


async def test_a_returning_data_centre_is_not_stormed() -> None:
    async with inside(concurrency=5) as i:
        names = [f"a{n}" for n in range(50)]
        for name in names:
            i.enrol(name)
        i.start(*names)
        for name in names:
            await i.until(name, S.RUNNING)
        for account in i.telegram.accounts.values():
            account.unreachable = LinkCause.DIAL_FAILED
        for name in names:
            i.telegram.drop(i.key(name))
        await asyncio.sleep(60)
        for account in i.telegram.accounts.values():
            account.unreachable = None
        began = now()
        for name in names:
            await i.until(name, S.RUNNING)
        assert now() - began < 31, "the longest pause is 30 s"
        dials = sorted(t for t, _, what in i.telegram.journal if what == "initConnection" and t >= began)
        busiest = max(sum(1 for t in dials if start <= t < start + 1) for start in dials)
        assert busiest <= 25, f"{busiest} dials in one second"


async def test_links_lost_together_come_back_in_a_queue() -> None:
    """300 links end in one instant and the data centre takes new ones at once: the first pause of each is a
    quarter of a second, so only the worker's own pace stands between them and a storm."""
    async with inside(capacity=300, concurrency=50) as i:
        names = [f"a{n}" for n in range(300)]
        for name in names:
            i.enrol(name)
        i.start(*names)
        for name in names:
            await i.until(name, S.RUNNING)
        began = now()
        for name in names:
            i.telegram.drop(i.key(name))
        await asyncio.sleep(10)
        dials = sorted(t for t, _, what in i.telegram.journal if what == "initConnection" and t >= began)
        assert len(dials) == len(names)
        busiest = max(sum(1 for t in dials if start <= t < start + 1) for start in dials)
        assert busiest <= 71, f"{busiest} dials in one second; 50 a second after the first 20"


async def test_a_key_unknown_once_is_tried_again_twice_is_dead() -> None:
    async with inside() as i:
        account = i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        i.telegram.drop(i.key("a"), LinkCause.TRANSPORT_404)
        await i.until("a", S.RECONNECTING)
        await i.until("a", S.RUNNING)
        account.unreachable = LinkCause.TRANSPORT_404
        began = now()
        i.telegram.drop(i.key("a"), LinkCause.TRANSPORT_404)
        report = await i.until("a", S.FAILED)
        assert report.reason is Reason.AUTH_KEY_UNREGISTERED
        assert now() - began < 10
        await asyncio.sleep(1)
        assert facts(i, SessionDied) == [SessionDied(Reason.AUTH_KEY_UNREGISTERED, "a")]


async def test_a_link_that_falls_silent_is_noticed_by_the_ping() -> None:
    async with inside() as i:
        account = i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        account.silent = True
        began = now()
        await i.until("a", S.RECONNECTING)
        assert now() - began <= 41, "a ping every 30 s, and 10 s for its answer"
        account.silent = False
        await i.until("a", S.RUNNING)
        await asyncio.sleep(1)
        lost = facts(i, LinkLost)
        assert [(f.cause, f.reconnected) for f in lost] == [("PING_TIMEOUT", True)]  # type: ignore[attr-defined]
        i.collect()
        turns = [h.kind for h in i.happenings if isinstance(h.kind, Disconnected)]
        assert [t.reconnected for t in turns] == [False, True]
        assert turns[1].downtime is not None


async def test_a_lease_that_cannot_be_renewed_fences_by_its_deadline() -> None:
    async with inside(ttl=30.0) as i:
        i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        await asyncio.sleep(25)
        i.registry.down = True
        last_renewal = i.registry.renewals[-1]
        report = await i.until("a", S.FAILED)
        assert (report.outcome, report.reason) == (Outcome.WAITING, Reason.SETTLING)
        assert report.retry_time is not None
        assert now() - last_renewal == pytest.approx(28, abs=0.2)
        assert max(t for t, _, _ in i.telegram.journal) < last_renewal + 28
        assert not i.telegram.live(i.key("a"))
        i.registry.down = False
        await asyncio.sleep(10)
        assert [r.clean for r in i.registry.releases] == [False]


async def test_a_slow_renewal_counts_from_when_it_was_sent() -> None:
    async with inside(ttl=30.0) as i:
        i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        i.registry.delay = 4.0
        await asyncio.sleep(200)
        assert i.last("a").state is S.RUNNING  # type: ignore[union-attr]
        i.registry.delay = 6.0  # beyond T/6: never acknowledged in time
        await i.until("a", S.FAILED)


async def test_a_lease_lost_in_etcd_fences_every_session_on_it() -> None:
    async with inside() as i:
        for name in ("a", "b"):
            i.enrol(name)
        i.start("a", "b")
        await i.until("a", S.RUNNING)
        await i.until("b", S.RUNNING)
        i.registry.leases.clear()
        began = now()
        await i.until("a", S.FAILED)
        await i.until("b", S.FAILED)
        assert now() - began < 12


async def test_stop_during_the_start_gives_the_grant_back() -> None:
    async with inside() as i:
        i.registry.delay = 5.0
        i.enrol("a")
        i.start("a")
        await asyncio.sleep(1)
        i.stop("a")
        await i.until("a", S.STOPPED)
        i.registry.delay = 0.0
        await asyncio.sleep(20)
        assert not i.registry.holders
        assert not i.telegram.journal


async def test_start_again_while_it_stops() -> None:
    async with inside() as i:
        i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        i.stop("a")
        i.start("a", command_id="start-2")
        report = await i.until("a", S.RUNNING)
        while report.command_id != "start-2":
            await asyncio.sleep(0.1)
            report = await i.until("a", S.RUNNING)
        assert [r.clean for r in i.registry.releases] == [True]


async def test_a_wait_from_the_grant_blocks_only_connecting_methods() -> None:
    until = LoopClock().wall() + timedelta(minutes=5)
    async with inside() as i:
        i.enrol("a", waits=(KnownWait("updates.getState", 0, until),))
        i.enrol("b", waits=(KnownWait("messages.forwardMessages", 0, until),))
        i.start("a", "b")
        report = await i.until("a", S.FAILED)
        assert (report.reason, report.retry_time) == (Reason.FLOOD_WAIT, until)
        await i.until("b", S.RUNNING)


async def test_the_stable_fact_comes_after_its_time() -> None:
    async with inside() as i:
        i.enrol("a", user_id=9)
        i.start("a")
        await i.until("a", S.RUNNING)
        await asyncio.sleep(590)
        assert facts(i, SessionRan) == [SessionRan(9, stable=False)]
        await asyncio.sleep(20)
        assert SessionRan(9, stable=True) in facts(i, SessionRan)


async def test_chat_and_configuration_follow_while_it_runs() -> None:
    async with inside() as i:
        i.enrol("a")
        i.start("a")
        assert not (await i.until("a", S.RUNNING)).chatting
        i.order(SetChat("chat-1", ("a", "absent"), chat=True))
        i.collect()
        answers = {r.account_id: r for r in i.reports if r.command_id == "chat-1"}
        assert answers["a"].chatting
        assert answers["absent"].state is S.STOPPED
        i.order(Configure((SessionConfig("a", "Renamed", ChatPolicy(), "Asia/Tokyo"),)))
        i.telegram.drop(i.key("a"))
        await i.until("a", S.RECONNECTING)
        i.collect()
        assert i.happenings[-1].name == "Renamed"


async def test_an_old_term_is_refused() -> None:
    async with inside() as i:
        i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        assert i.order(SetChat("x", ("a",), chat=True), term=9)
        assert not i.order(SetChat("y", ("a",), chat=False), term=8)
        i.collect()
        assert "y" not in {r.command_id for r in i.reports}


async def test_our_own_fault_is_internal_with_an_incident() -> None:
    async with inside() as i:
        i.enrol("a")
        del i.telegram.accounts[i.key("a")]  # the fake breaks in a way that no port allows
        i.start("a")
        report = await i.until("a", S.FAILED)
        assert report.reason is Reason.INTERNAL
        assert "incident" in report.detail


async def test_why_a_reconnect_does_not_work_is_shown_and_a_stop_records_the_loss() -> None:
    async with inside() as i:
        account = i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        account.unreachable = LinkCause.PROXY_FAILED
        i.telegram.drop(i.key("a"))
        async with asyncio.timeout(60):
            while (await i.until("a", S.RECONNECTING)).reason is not Reason.PROXY_ERROR:
                await asyncio.sleep(0.1)
        i.stop("a")
        await i.until("a", S.STOPPED)
        assert [f.reconnected for f in facts(i, LinkLost)] == [False]  # type: ignore[attr-defined]


async def test_a_probe_that_was_told_to_wait_is_not_made_again_inside_the_wait() -> None:
    async with inside() as i:
        account = i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        account.refuse = Refused(420, "FLOOD_WAIT_X", "", 1000)
        await asyncio.sleep(301)
        account.refuse = None
        told = len([m for *_, m in i.telegram.journal if m == "updates.getState"])
        await asyncio.sleep(900)
        assert len([m for *_, m in i.telegram.journal if m == "updates.getState"]) == told
        assert i.states("a")[-1] is S.RUNNING
        await asyncio.sleep(400)
        assert len([m for *_, m in i.telegram.journal if m == "updates.getState"]) > told


async def test_a_link_that_ends_inside_a_wait_for_connecting_is_not_made_anew_before_its_end() -> None:
    async with inside() as i:
        account = i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        account.refuse = Refused(420, "FLOOD_WAIT_X", "", 1000)
        await asyncio.sleep(301)
        account.refuse = None
        i.telegram.drop(i.key("a"))
        last = await i.until("a", S.FAILED)
        assert (last.outcome, last.reason) == (Outcome.WAITING, Reason.FLOOD_WAIT)
        assert last.retry_time is not None
        assert 650 < (last.retry_time - i.tools.clock.wall()).total_seconds() < 700 + 300


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_jumps_neither_ends_a_wait_nor_makes_it_longer(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    async with inside() as i:
        i.enrol("a")
        i.start("a")
        await i.until("a", S.RUNNING)
        supervisor = i.fleet._sessions["a"]
        supervisor._restraint.note(Refused(420, "FLOOD_WAIT_X", "messages.forwardMessages", 60))
        wall = i.tools.clock.wall
        monkeypatch.setattr(i.tools.clock, "wall", lambda: wall() + timedelta(hours=hours))
        with pytest.raises(StillWaiting) as waiting:
            supervisor._restraint.check("messages.forwardMessages", -100)
        assert 59 < waiting.value.remaining <= 60
        supervisor._restraint.check("messages.getHistory", -100)
        await asyncio.sleep(61)
        supervisor._restraint.check("messages.forwardMessages", -100)
