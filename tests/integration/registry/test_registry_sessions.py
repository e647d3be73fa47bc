"""Session leases through the use cases, in virtual time: grants, refusals, generations, many registries."""

import asyncio
import secrets
from datetime import timedelta

import pytest

from services.registry.domain.account import Reason
from services.registry.domain.facts import RAISED_SETTLE, Fact, SessionDied, WorkerCrashed
from services.registry.domain.importing import NoSource, WorkerFileSource
from services.registry.domain.leasing import HeldLease, LeaseTerms, Owner
from services.registry.domain.refusals import Refusal, RefusalOutcome
from services.registry.handlers.candidates import AcquireItem
from services.registry.handlers.sessions import Grant, ReleaseItem
from services.runtime.errors import InvalidArgument, Unavailable
from tests.integration.registry.conftest import LEASE_TTL, SETTLE, Parts

ONE = Owner("w1", "i1")
TWO = Owner("w2", "i2")
WAIT = LEASE_TTL + SETTLE


async def acquire(
    parts: Parts, owner: Owner, *account_ids: str, request: str = "", key: str = ""
) -> tuple[list[Grant | Refusal], tuple[LeaseTerms, ...]]:
    items = [AcquireItem(account_id, key) for account_id in account_ids]
    return await parts.sessions.acquire(owner, request or secrets.token_hex(4), items, [])


async def granted(parts: Parts, owner: Owner, account_id: str, key: str = "") -> Grant:
    [result], _ = await acquire(parts, owner, account_id, key=key)
    assert isinstance(result, Grant), result
    return result


async def refusal(parts: Parts, owner: Owner, account_id: str, key: str = "") -> Refusal:
    [result], _ = await acquire(parts, owner, account_id, key=key)
    assert isinstance(result, Refusal), result
    assert result.detail.endswith("."), result
    return result


async def report(parts: Parts, account_id: str, *kinds: object) -> None:
    now = parts.clock.wall()
    facts = [Fact(secrets.token_hex(8), account_id, now, "w9", kind) for kind in kinds]  # type: ignore[arg-type]
    await parts.observations.report(facts)


async def test_accounts_that_may_not_run_are_refused_with_their_reason(parts: Parts) -> None:
    disabled, lost, crashed, fine = await parts.add("disabled", "lost", "crashed", "fine")
    [none], [file] = (
        await parts.add("none", source=NoSource()),
        await parts.add("file", source=WorkerFileSource("w1", "a.session")),
    )
    await parts.accounts.set_enabled(disabled, enabled=False)
    await report(parts, lost, SessionDied(Reason.SESSION_REVOKED))
    await report(parts, crashed, *(WorkerCrashed("i") for _ in range(3)))
    results, terms = await acquire(parts, ONE, disabled, lost, crashed, none, file, "acc_aaaaaaaaaaaa", fine)
    refusals = [result for result in results if isinstance(result, Refusal)]
    assert [(r.outcome, r.reason) for r in refusals] == [
        (RefusalOutcome.SKIPPED, Reason.DISABLED),
        (RefusalOutcome.SKIPPED, Reason.NEEDS_LOGIN),
        (RefusalOutcome.SKIPPED, Reason.QUARANTINED),
        (RefusalOutcome.SKIPPED, Reason.NEEDS_LOGIN),
        (RefusalOutcome.FAILED, Reason.SESSION_MISSING),
        (RefusalOutcome.FAILED, Reason.INTERNAL),
    ]
    assert isinstance(results[-1], Grant)
    assert len(terms) == 1


async def test_a_held_session_names_the_holder_and_when_to_try_again(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    await granted(parts, ONE, account_id)
    held = await refusal(parts, TWO, account_id)
    assert (held.outcome, held.reason, held.holder_worker_id) == (
        RefusalOutcome.WAITING,
        Reason.LEASE_HELD,
        "w1",
    )
    assert held.retry_time == parts.clock.wall() + WAIT
    parts.clock.advance(LEASE_TTL.total_seconds() + 0.1)
    settling = await refusal(parts, TWO, account_id)
    assert (settling.reason, settling.holder_worker_id) == (Reason.SETTLING, "w1")
    assert settling.retry_time is not None
    parts.clock.advance((settling.retry_time - parts.clock.wall()).total_seconds())
    await granted(parts, TWO, account_id)


async def test_a_raised_settle_time_goes_into_the_lease(parts: Parts) -> None:
    plain, raised = await parts.add("plain", "raised")
    await report(parts, raised, SessionDied(Reason.AUTH_KEY_DUPLICATED))
    parts.clock.advance(30 * 60)
    results, terms = await acquire(parts, ONE, plain, raised)
    assert all(isinstance(result, Grant) for result in results)
    assert sorted(t.settle for t in terms) == [SETTLE, RAISED_SETTLE]
    parts.clock.advance(WAIT.total_seconds())
    await granted(parts, TWO, plain)
    assert (await refusal(parts, TWO, raised)).reason is Reason.SETTLING


async def test_the_session_of_a_file_is_bound_to_its_account_and_a_second_use_is_a_conflict(
    parts: Parts,
) -> None:
    [first] = await parts.add("first", source=WorkerFileSource("w1", "a.session"))
    [second] = await parts.add("second", source=WorkerFileSource("w2", "b.session"))
    [vault] = await parts.add("vault")
    elsewhere = await refusal(parts, TWO, first, key="22" * 8)
    assert (elsewhere.outcome, elsewhere.reason) == (RefusalOutcome.FAILED, Reason.SESSION_MISSING)
    assert (await parts.accounts.get(first)).account.auth_key_id == ""
    grant = await granted(parts, ONE, first, key="00" * 8)
    assert (grant.candidate.session, grant.candidate.auth_key_id) == (None, "00" * 8)
    assert (await parts.accounts.get(first)).account.auth_key_id == "00" * 8
    conflict = await refusal(parts, TWO, second, key="00" * 8)
    assert (conflict.outcome, conflict.reason) == (RefusalOutcome.SKIPPED, Reason.SESSION_CONFLICT)
    assert "first" in conflict.detail
    vault_key = (await parts.accounts.get(vault)).account.auth_key_id
    assert "vault" in (await refusal(parts, TWO, second, key=vault_key)).detail
    parts.clock.advance(10)
    assert (await granted(parts, ONE, first, key="11" * 8)).candidate.auth_key_id == "11" * 8
    assert (await parts.accounts.get(first)).account.auth_key_id == "11" * 8


async def test_two_new_files_with_one_session_in_one_call_do_not_both_run(parts: Parts) -> None:
    [first] = await parts.add("first", source=WorkerFileSource("w1", "a.session"))
    [second] = await parts.add("second", source=WorkerFileSource("w1", "b.session"))
    results, _ = await acquire(parts, ONE, first, second, key="00" * 8)
    assert sorted(isinstance(result, Grant) for result in results) == [False, True]


async def test_a_release_through_another_registry_frees_or_settles(parts: Parts) -> None:
    clean, unclean = await parts.add("clean", "unclean")
    grants = {i: await granted(parts, ONE, i) for i in (clean, unclean)}
    releases = [
        ReleaseItem(i, grants[i].candidate.auth_key_id, grants[i].token, clean=i == clean)
        for i in (clean, unclean)
    ]
    other = parts.again()
    assert await other.sessions.release(TWO, releases) == [False, False]
    assert await other.sessions.release(ONE, releases) == [True, True]
    await granted(parts, TWO, clean)
    assert (await refusal(parts, TWO, unclean)).reason is Reason.SETTLING
    parts.clock.advance(SETTLE.total_seconds() + 0.1)
    await granted(parts, TWO, unclean)


async def test_starts_stop_when_two_sessions_die_of_double_use(parts: Parts) -> None:
    first, second, third = await parts.add("a", "b", "c")
    await report(parts, first, SessionDied(Reason.AUTH_KEY_DUPLICATED))
    await granted(parts, ONE, third)
    parts.clock.advance(9 * 60)
    await report(parts, second, SessionDied(Reason.AUTH_KEY_DUPLICATED))
    stopped = await refusal(parts, TWO, third)
    assert (stopped.outcome, stopped.reason) == (RefusalOutcome.SKIPPED, Reason.QUARANTINED)
    assert await parts.again().observations.resume_starts()
    assert not await parts.observations.resume_starts()
    await granted(parts, TWO, third)
    await report(parts, third, SessionDied(Reason.AUTH_KEY_DUPLICATED))
    async with parts.store.read() as tx:
        assert (await tx.flags()).starts_stopped == "", "deaths before the resumption do not count again"


async def test_a_first_installation_does_not_wait(parts: Parts) -> None:
    async with parts.store.read() as tx:
        generation = await tx.generation()
    assert generation is not None
    assert (generation.number, generation.mirrored, generation.waits) == (1, True, False)


LOSSES = {
    "empty": lambda parts, _: parts.leases.wipe(),
    "restored": lambda parts, snapshot: parts.leases.restore(snapshot),
    "another cluster": lambda parts, _: setattr(parts.leases, "cluster_id", 99),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_after_a_loss_nothing_is_granted_for_both_times(parts: Parts, loss: str) -> None:
    """The former holder may use its session until T after its last renewal, and Telegram needs S more."""
    account_id, other = await parts.add("a", "b")
    snapshot = parts.leases.snapshot()
    old = await granted(parts, ONE, account_id)
    LOSSES[loss](parts, snapshot)
    registries = [parts, parts.again(), parts.again()]
    opened = parts.clock.wall()
    for registry in registries:
        found = await refusal(registry, TWO, account_id)
        assert (found.outcome, found.reason) == (RefusalOutcome.WAITING, Reason.SETTLING)
        assert found.retry_time == opened + WAIT
    assert await parts.sessions.renew(ONE, [old.lease_id]) == [False]
    parts.clock.advance(WAIT.total_seconds() - 0.05)
    for registry in registries:
        assert (await refusal(registry, TWO, other)).reason is Reason.SETTLING
    parts.clock.advance(0.1)
    new = await granted(registries[2], TWO, other)
    assert new.token > old.token
    assert new.token.generation == old.token.generation + 1
    stale = ReleaseItem(account_id, old.candidate.auth_key_id, old.token, clean=True)
    if loss != "another cluster":
        assert await parts.sessions.release(ONE, [stale]) == [False]


@pytest.mark.parametrize("clean", [True, False])
async def test_a_store_that_has_forgotten_nothing_but_a_release_is_found_out(
    parts: Parts, clean: bool
) -> None:
    """Else the session would come back on a lease that its worker renews for another one's sake."""
    account_id, neighbour = await parts.add("a", "b")
    old = await granted(parts, ONE, account_id)
    kept = await granted(parts, ONE, neighbour)
    snapshot = parts.leases.snapshot()
    item = ReleaseItem(account_id, old.candidate.auth_key_id, old.token, clean=clean)
    assert await parts.sessions.release(ONE, [item]) == [True]
    parts.leases.restore(snapshot)
    assert await parts.sessions.renew(ONE, [old.lease_id, kept.lease_id]) == [False, False]
    assert (await refusal(parts, TWO, account_id)).reason is Reason.SETTLING
    parts.clock.advance(WAIT.total_seconds() + 0.05)
    assert (await granted(parts, TWO, account_id)).token > old.token


async def test_many_registries_open_one_generation(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    await granted(parts, ONE, account_id)
    parts.leases.wipe()
    registries = [parts.again() for _ in range(5)]
    await asyncio.gather(*(acquire(registry, TWO, account_id) for registry in registries))
    view = await parts.leases.view()
    async with parts.store.read() as tx:
        generation = await tx.generation()
    assert generation is not None
    assert (generation.number, view.mirror) == (2, 2)


async def test_a_loss_is_noticed_by_renewals_and_by_the_watch(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    grant = await granted(parts, ONE, account_id)
    parts.leases.wipe()
    assert await parts.sessions.renew(ONE, [grant.lease_id]) == [False]
    assert (await parts.leases.view()).mirror == 2
    parts.leases.wipe()
    watch = asyncio.create_task(parts.again().generations.watch())
    async with asyncio.timeout(5):
        while (await parts.leases.view()).mirror != 3:
            await asyncio.sleep(0.01)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def test_a_clock_on_the_wall_that_jumps_does_not_shorten_the_wait(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    parts.leases.wipe()
    assert (await refusal(parts, TWO, account_id)).reason is Reason.SETTLING
    parts.clock.jump_wall(3600)
    assert (await refusal(parts, TWO, account_id)).reason is Reason.SETTLING
    parts.clock.jump_wall(-7200)
    parts.clock.advance(WAIT.total_seconds() + 0.1)
    await granted(parts, TWO, account_id)


async def test_a_registry_that_died_between_the_steps_of_opening_is_finished_by_the_next(
    parts: Parts,
) -> None:
    [account_id] = await parts.add("a")
    parts.leases.wipe()
    real = parts.leases.set_mirror

    async def unreachable(number: int, seen: int | None, wait: timedelta) -> None:
        raise Unavailable("gone", reason="ETCD_UNAVAILABLE")

    parts.leases.set_mirror = unreachable  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable):
        await acquire(parts, TWO, account_id)
    parts.leases.set_mirror = real  # type: ignore[method-assign]
    parts.clock.advance(1)
    found = await refusal(parts.again(), TWO, account_id)
    assert found.retry_time == parts.clock.wall() + WAIT, "until the mirror is written others may renew"
    parts.clock.advance(WAIT.total_seconds())
    assert (await granted(parts.again(), TWO, account_id)).token.generation == 2


async def test_an_unreachable_lease_store_is_an_error_and_changes_nothing(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    grant = await granted(parts, ONE, account_id)
    parts.leases.available = False
    for call in (acquire(parts, TWO, account_id), parts.sessions.renew(ONE, [grant.lease_id])):
        with pytest.raises(Unavailable):
            await call
    parts.leases.available = True
    assert await parts.sessions.renew(ONE, [grant.lease_id]) == [True]
    assert (await granted(parts, ONE, (await parts.add("b"))[0])).token.generation == 1


async def test_a_lease_that_the_worker_lost_is_named_to_nobody_anew(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    gone = HeldLease(4711, 1, SETTLE)
    [result], terms = await parts.sessions.acquire(ONE, "r", [AcquireItem(account_id, "")], [gone])
    assert isinstance(result, Refusal)
    assert (result.outcome, result.reason, terms) == (RefusalOutcome.WAITING, Reason.SETTLING, ())


async def test_the_same_account_twice_in_a_call_is_refused(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    with pytest.raises(InvalidArgument):
        await acquire(parts, ONE, account_id, account_id)


async def test_a_ciphertext_moved_to_another_account_is_unreadable(parts: Parts) -> None:
    first, second = await parts.add("a", "b")
    async with parts.store.write() as tx:
        stolen = (await tx.secrets([first], "session"))[first]
        await tx.save_secret(second, "session", stolen)
    found = await refusal(parts, ONE, second)
    assert (found.outcome, found.reason) == (RefusalOutcome.FAILED, Reason.SECRET_UNREADABLE)
    await granted(parts, ONE, first)
