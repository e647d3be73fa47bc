"""What every lease store does, the one in memory and the one over a real etcd alike (DESIGN section 3)."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from services.registry.domain.leasing import (
    SESSIONS_PER_LEASE,
    AcquireAnswer,
    Epoch,
    Granted,
    HeldLease,
    LeaseGone,
    LeaseTerms,
    Outcome,
    Owner,
    Release,
    Taken,
    Token,
    Want,
)
from tests.contract.registry.conftest import LEASE_TTL, Harness

SETTLE = timedelta(seconds=1)
FULL = LEASE_TTL + SETTLE
GENERATION = 7
NO_WAIT = timedelta(0)
ALICE = Owner("alice", "incarnation-a")
BOB = Owner("bob", "incarnation-b")


def keys(count: int) -> list[str]:
    return [secrets.token_hex(8) for _ in range(count)]


def wants(auth_key_ids: Sequence[str], settle: timedelta = SETTLE) -> list[Want]:
    return [Want(f"acc_{key}", key, settle) for key in auth_key_ids]


async def opened(harness: Harness) -> Harness:
    view = await harness.store.view()
    assert await harness.store.set_mirror(GENERATION, view.mirror, NO_WAIT) is not None
    return harness


async def acquire(
    harness: Harness,
    owner: Owner,
    wanted: Sequence[Want],
    *,
    request: str = "r1",
    held: Sequence[HeldLease] = (),
    generation: int = GENERATION,
    high_water: int = 0,
) -> AcquireAnswer:
    return await harness.store.acquire(owner, request, Epoch(generation, high_water), wanted, held)


async def release(
    harness: Harness, owner: Owner, releases: Sequence[Release], *, high_water: int = 0
) -> list[bool]:
    answer = await harness.store.release(owner, Epoch(GENERATION, high_water), releases)
    return list(answer.released)


def granted(outcome: Outcome) -> Granted:
    assert isinstance(outcome, Granted), outcome
    return outcome


def taken(outcome: Outcome) -> Taken:
    assert isinstance(outcome, Taken), outcome
    return outcome


def released(key: str, token: Token, *, clean: bool) -> list[Release]:
    return [Release(key, token, clean, SETTLE)]


async def test_free_sessions_are_granted_on_one_new_lease(harness: Harness) -> None:
    await opened(harness)
    answer = await acquire(harness, ALICE, wants(keys(3)))
    grants = [granted(outcome) for outcome in answer.outcomes]
    assert {g.token.generation for g in grants} == {GENERATION}
    assert {g.token.revision for g in grants} == {answer.view.mark}
    assert answer.new_leases == (LeaseTerms(grants[0].lease_id, LEASE_TTL, SETTLE),)
    assert {g.lease_id for g in grants} == {grants[0].lease_id}
    assert answer.view.mirror == GENERATION


async def test_a_held_session_is_refused_and_names_its_holder(harness: Harness) -> None:
    await opened(harness)
    wanted = wants(keys(2))
    await acquire(harness, ALICE, wanted[:1])
    answer = await acquire(harness, BOB, wanted, request="r2")
    refusal = taken(answer.outcomes[0])
    assert (refusal.worker_id, refusal.settling) == ("alice", False)
    assert SETTLE <= refusal.remaining <= FULL + timedelta(seconds=1)
    granted(answer.outcomes[1])


async def test_a_repeat_gets_the_same_tokens_and_learns_of_the_lease(harness: Harness) -> None:
    await opened(harness)
    wanted = wants(keys(3))
    first = await acquire(harness, ALICE, wanted)
    again = await acquire(harness, ALICE, wanted)
    assert again.outcomes == first.outcomes
    assert again.new_leases == first.new_leases


async def test_a_repeat_does_not_announce_a_lease_that_the_worker_named(harness: Harness) -> None:
    await opened(harness)
    wanted = wants(keys(1))
    first = await acquire(harness, ALICE, wanted)
    held = [HeldLease(first.new_leases[0].lease_id, 1, SETTLE)]
    again = await acquire(harness, ALICE, wanted, held=held)
    assert again.outcomes == first.outcomes
    assert again.new_leases == ()


async def test_a_repeat_gives_the_lease_its_full_time_again(harness: Harness) -> None:
    """The worker counts its time from when it sent the repeat."""
    await opened(harness)
    wanted = wants(keys(1))
    first = await acquire(harness, ALICE, wanted)
    async for passed in harness.moments(30):
        answer = await acquire(harness, ALICE, wanted)
        assert answer.outcomes == first.outcomes
        if passed > 2 * FULL.total_seconds():
            return
    pytest.fail("time did not pass")


@pytest.mark.parametrize(
    "owner", [replace(ALICE, incarnation="incarnation-c"), ALICE], ids=["restarted", "other-request"]
)
async def test_who_asks_anew_inherits_nothing(harness: Harness, owner: Owner) -> None:
    await opened(harness)
    wanted = wants(keys(1))
    await acquire(harness, ALICE, wanted)
    answer = await acquire(harness, owner, wanted, request="r2")
    assert taken(answer.outcomes[0]).worker_id == "alice"


async def test_new_sessions_share_a_held_lease_with_room_and_the_same_settle_time(harness: Harness) -> None:
    await opened(harness)
    first = await acquire(harness, ALICE, wants(keys(1)))
    lease_id = first.new_leases[0].lease_id
    held = [HeldLease(lease_id, SESSIONS_PER_LEASE - 2, SETTLE)]
    longer = timedelta(seconds=2)
    answer = await acquire(
        harness, ALICE, [*wants(keys(3)), *wants(keys(1), longer)], request="r2", held=held
    )
    lease_ids = [granted(outcome).lease_id for outcome in answer.outcomes]
    assert lease_ids[:2] == [lease_id, lease_id]
    assert len(set(lease_ids)) == 3
    assert {(t.lease_id, t.settle) for t in answer.new_leases} == {
        (lease_ids[2], SETTLE),
        (lease_ids[3], longer),
    }


async def test_a_lease_that_is_gone_or_anothers_is_never_granted_on(harness: Harness) -> None:
    await opened(harness)
    bobs = (await acquire(harness, BOB, wants(keys(1)))).new_leases[0].lease_id
    for lease_id in (4711, bobs):
        wanted = wants(keys(2))
        held = [HeldLease(lease_id, SESSIONS_PER_LEASE - 1, SETTLE)]
        answer = await acquire(harness, ALICE, wanted, request=f"r{lease_id}", held=held)
        assert answer.outcomes[0] == LeaseGone(lease_id)
        assert granted(answer.outcomes[1]).lease_id != lease_id
        assert set(await harness.store.holders([w.auth_key_id for w in wanted])) == {wanted[1].auth_key_id}


async def test_nothing_is_done_in_another_generation(harness: Harness) -> None:
    await opened(harness)
    wanted = wants(keys(1))
    answer = await acquire(harness, ALICE, wanted, generation=GENERATION + 1)
    assert answer.outcomes == ()
    assert answer.view.mirror == GENERATION
    assert await harness.store.holders([wanted[0].auth_key_id]) == {}


async def test_nothing_is_done_in_a_store_that_has_forgotten_grants(harness: Harness) -> None:
    await opened(harness)
    first = await acquire(harness, ALICE, wants(keys(1)))
    mark = first.view.mark
    assert mark == (await harness.store.view()).mark == granted(first.outcomes[0]).token.revision
    wanted = wants(keys(1))
    for _ in range(2):
        behind = await acquire(harness, BOB, wanted, high_water=mark + 1)
        assert behind.outcomes == ()
        assert (behind.view.mirror, behind.view.mark) == (GENERATION, mark)
    assert await harness.store.holders([wanted[0].auth_key_id]) == {}
    granted((await acquire(harness, BOB, wanted, high_water=mark)).outcomes[0])


async def test_after_an_opening_nothing_is_granted_for_a_while_by_the_stores_own_clock(
    harness: Harness,
) -> None:
    view = await harness.store.set_mirror(GENERATION, None, FULL)
    assert view is not None
    assert view.waiting
    wanted = wants(keys(1))
    async for passed in harness.moments(30):
        answer = await acquire(harness, ALICE, wanted, high_water=view.mark)
        if answer.outcomes:
            assert passed >= FULL.total_seconds() - 0.2
            assert not (await harness.store.view()).waiting
            granted(answer.outcomes[0])
            return
        assert (answer.view.mirror, answer.view.waiting) == (GENERATION, True)
    pytest.fail("the wait never ended")


async def test_the_mirror_is_only_replaced_by_who_saw_it(harness: Harness) -> None:
    assert await harness.store.set_mirror(1, None, NO_WAIT) is not None
    assert await harness.store.set_mirror(2, None, NO_WAIT) is None
    view = await harness.store.set_mirror(2, 1, NO_WAIT)
    assert view is not None
    assert view.mirror == 2
    assert (await harness.store.view()).mirror == 2


async def test_only_the_owner_renews_and_only_in_the_generation(harness: Harness) -> None:
    await opened(harness)
    lease_id = (await acquire(harness, ALICE, wants(keys(1)))).new_leases[0].lease_id
    answer = await harness.store.renew(ALICE, GENERATION, [lease_id, 4711])
    assert answer.held == (True, False)
    assert answer.view.mirror == GENERATION
    assert (await harness.store.renew(BOB, GENERATION, [lease_id])).held == (False,)
    other = replace(ALICE, incarnation="incarnation-c")
    assert (await harness.store.renew(other, GENERATION, [lease_id])).held == (False,)
    assert (await harness.store.renew(ALICE, GENERATION + 1, [lease_id])).held == (False,)
    assert (await harness.store.renew(ALICE, GENERATION, [])).held == ()


async def test_a_renewed_session_stays_and_an_unrenewed_one_settles_and_comes_free(harness: Harness) -> None:
    await opened(harness)
    [kept], [left] = keys(1), keys(1)
    lease_id = (await acquire(harness, ALICE, wants([kept]))).new_leases[0].lease_id
    await acquire(harness, ALICE, wants([left]), request="r2")
    was_settling = False
    async for passed in harness.moments(30):
        assert (await harness.store.renew(ALICE, GENERATION, [lease_id])).held == (True,)
        answer = await acquire(harness, BOB, wants([left, kept]), request=f"b{passed}")
        assert not taken(answer.outcomes[1]).settling
        if isinstance(answer.outcomes[0], Granted):
            assert was_settling
            assert FULL.total_seconds() - 0.2 <= passed <= FULL.total_seconds() + 1.5
            return
        was_settling = was_settling or taken(answer.outcomes[0]).settling
        assert not (was_settling and passed < 0.1)
    pytest.fail("the unrenewed session never came free")


async def test_a_clean_release_frees_at_once_and_the_next_token_is_newer(harness: Harness) -> None:
    await opened(harness)
    [key] = keys(1)
    first = granted((await acquire(harness, ALICE, wants([key]))).outcomes[0])
    assert await release(harness, ALICE, released(key, first.token, clean=True)) == [True]
    second = granted((await acquire(harness, BOB, wants([key]), request="r2")).outcomes[0])
    assert second.token > first.token
    assert await release(harness, ALICE, released(key, first.token, clean=True)) == [False]
    assert (await harness.store.holders([key]))[key].worker_id == "bob"


@pytest.mark.parametrize("clean", [True, False])
async def test_only_the_holder_releases_by_its_token(harness: Harness, clean: bool) -> None:
    await opened(harness)
    [key] = keys(1)
    token = granted((await acquire(harness, ALICE, wants([key]))).outcomes[0]).token
    assert await release(harness, BOB, released(key, token, clean=clean)) == [False]
    stale = replace(token, revision=token.revision - 1)
    assert await release(harness, ALICE, released(key, stale, clean=clean)) == [False]
    former = replace(token, generation=token.generation - 1)
    assert await release(harness, ALICE, released(key, former, clean=clean)) == [False]
    assert not (await harness.store.holders([key]))[key].settling


async def test_an_unclean_release_settles_even_while_the_workers_lease_goes_on(harness: Harness) -> None:
    await opened(harness)
    [key, other] = keys(2)
    answer = await acquire(harness, ALICE, wants([key, other]))
    token, lease_id = granted(answer.outcomes[0]).token, answer.new_leases[0].lease_id
    assert await release(harness, ALICE, released(key, token, clean=False)) == [True]
    assert await release(harness, ALICE, released(key, token, clean=False)) == [True]
    assert await release(harness, ALICE, released(key, token, clean=True)) == [False]
    assert (await harness.store.holders([key]))[key].settling
    repeat = await acquire(harness, ALICE, wants([key]))
    assert taken(repeat.outcomes[0]).settling
    async for passed in harness.moments(30):
        assert (await harness.store.renew(ALICE, GENERATION, [lease_id])).held == (True,)
        answer = await acquire(harness, BOB, wants([key, other]), request=f"b{passed}")
        assert not taken(answer.outcomes[1]).settling
        if isinstance(answer.outcomes[0], Granted):
            assert passed >= SETTLE.total_seconds() - 0.2
            return
        assert taken(answer.outcomes[0]).settling
    pytest.fail("the released session never came free")


@pytest.mark.parametrize("clean", [True, False])
async def test_a_release_moves_the_mark_so_that_forgetting_it_is_found_out(
    harness: Harness, clean: bool
) -> None:
    await opened(harness)
    [key] = keys(1)
    answer = await acquire(harness, ALICE, wants([key]))
    token = granted(answer.outcomes[0]).token
    epoch = Epoch(GENERATION, answer.view.mark)
    gone = await harness.store.release(ALICE, epoch, released(key, token, clean=clean))
    assert gone.released == (True,)
    assert gone.view.mark > answer.view.mark
    assert gone.view == await harness.store.view()
    idle = await harness.store.release(BOB, epoch, released(key, token, clean=clean))
    assert idle.view == gone.view, "what changed nothing moves nothing"


async def test_a_release_does_not_hide_that_the_store_has_forgotten_changes(harness: Harness) -> None:
    await opened(harness)
    first, second, third = keys(3)
    answer = await acquire(harness, ALICE, wants([first, second, third]))
    tokens = [granted(outcome).token for outcome in answer.outcomes]
    later = Epoch(GENERATION, answer.view.mark + 1)
    gone = await harness.store.release(ALICE, later, released(first, tokens[0], clean=True))
    assert gone.released == (True,)
    assert gone.view.mark == (await harness.store.view()).mark == answer.view.mark
    other = Epoch(GENERATION + 1, 0)
    gone = await harness.store.release(ALICE, other, released(second, tokens[1], clean=False))
    assert gone.view.mark == (await harness.store.view()).mark == answer.view.mark


async def test_a_thousand_sessions_fit_into_one_call_and_lease(harness: Harness) -> None:
    await opened(harness)
    many = keys(SESSIONS_PER_LEASE)
    answer = await acquire(harness, ALICE, wants(many))
    grants = [granted(outcome) for outcome in answer.outcomes]
    assert len({g.lease_id for g in grants}) == 1
    assert len(answer.new_leases) == 1
    releases = [Release(k, g.token, clean=True, settle=SETTLE) for k, g in zip(many, grants, strict=True)]
    assert await release(harness, ALICE, releases) == [True] * len(many)
    assert await harness.store.holders(many) == {}


async def test_of_many_who_ask_at_once_exactly_one_gets_each_session(harness: Harness) -> None:
    await opened(harness)
    contested = keys(150)
    owners = [Owner(f"worker-{n}", f"incarnation-{n}") for n in range(4)]
    answers = await asyncio.gather(*(acquire(harness, owner, wants(contested)) for owner in owners))
    for index in range(len(contested)):
        winners = [a for a in answers if isinstance(a.outcomes[index], Granted)]
        assert len(winners) == 1


async def test_callers_at_once_do_not_spoil_each_other(harness: Harness) -> None:
    """They may share a transaction, also when they want the same session or name a lease that is gone."""
    await opened(harness)
    [contested] = keys(1)
    own = keys(40)
    owners = [Owner(f"worker-{n}", f"incarnation-{n}") for n in range(len(own))]
    gone = [HeldLease(4711, SESSIONS_PER_LEASE - 1, SETTLE)]
    answers = await asyncio.gather(
        *(
            acquire(harness, owner, wants([key, contested]), held=gone if n % 4 == 0 else [])
            for n, (owner, key) in enumerate(zip(owners, own, strict=True))
        )
    )
    for n, answer in enumerate(answers):
        assert isinstance(answer.outcomes[0], LeaseGone if n % 4 == 0 else Granted)
    assert sum(isinstance(answer.outcomes[1], Granted) for answer in answers) == 1
    tokens = [o.token for a in answers for o in a.outcomes if isinstance(o, Granted)]
    assert len(tokens) == 31
    held = await harness.store.holders([*own, contested])
    assert len(held) == 31


async def test_leases_on_which_nothing_lies_are_not_announced(harness: Harness) -> None:
    await opened(harness)
    wanted = wants(keys(2))
    await acquire(harness, ALICE, wanted)
    answer = await acquire(harness, BOB, wanted, request="r2")
    assert answer.new_leases == ()


async def test_after_a_loss_nothing_is_granted_or_renewed(harness: Harness) -> None:
    await opened(harness)
    wanted = wants(keys(1))
    lease_id = (await acquire(harness, ALICE, wanted)).new_leases[0].lease_id
    await harness.lose_everything()
    assert (await harness.store.view()).mirror is None
    assert (await acquire(harness, BOB, wanted, request="r2")).outcomes == ()
    answer = await harness.store.renew(ALICE, GENERATION, [lease_id])
    assert answer.held == (False,)
    assert answer.view.mirror is None
