"""Facts over a real database: counted once, merged, kept, shown to watchers."""

import asyncio
import secrets
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from services.registry.adapters import models
from services.registry.domain.account import FloodWait, Reason
from services.registry.domain.facts import (
    ChatCounts,
    Fact,
    Kind,
    LinkLost,
    SessionDied,
    SessionRan,
    WorkerCrashed,
)
from services.runtime.errors import InvalidArgument
from tests.integration.registry.conftest import Parts

SECOND = timedelta(seconds=1)


def fact(parts: Parts, account_id: str, kind: Kind, fact_id: str = "", age: timedelta = timedelta(0)) -> Fact:
    return Fact(fact_id or secrets.token_hex(16), account_id, parts.clock.wall() - age, "w1", kind)


def wait(parts: Parts, seconds: float, method: str = "messages.sendMessage") -> FloodWait:
    return FloodWait(method, 0, parts.clock.wall() + timedelta(seconds=seconds))


async def rows(parts: Parts, table: object) -> int:
    async with parts.database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())  # type: ignore[arg-type]


async def test_a_fact_is_counted_once_whoever_sends_it_again(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    crash = fact(parts, account_id, WorkerCrashed("i"))
    await parts.observations.report([crash, crash])
    await asyncio.gather(*(parts.again().observations.report([crash]) for _ in range(5)))
    assert (await parts.accounts.get(account_id)).account.crash_streak == 1


async def test_the_longest_wait_wins_and_ended_ones_do_not_show(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    await parts.observations.report(
        [fact(parts, account_id, wait(parts, seconds)) for seconds in (30, 90, 60)]
    )
    await parts.observations.report([fact(parts, account_id, wait(parts, 10))])
    await parts.observations.report([fact(parts, account_id, wait(parts, 10, "users.getUsers"))])
    view = await parts.accounts.get(account_id)
    left = [(w.method, (w.until - parts.clock.wall()).total_seconds()) for w in view.flood_waits]
    assert left == [("users.getUsers", 10), ("messages.sendMessage", 90)]
    parts.clock.advance(11)
    assert [w.method for w in (await parts.accounts.get(account_id)).flood_waits] == ["messages.sendMessage"]
    assert await parts.accounts.reset_flood_waits("a") == 1
    assert (await parts.accounts.get(account_id)).flood_waits == ()
    assert await parts.accounts.reset_flood_waits("a") == 0


async def test_counts_of_one_process_replace_each_other_and_those_of_several_add_up(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    day = parts.clock.wall().date().isoformat()
    for incarnation, received, answered in (("i1", 5, 1), ("i1", 9, 3), ("i1", 7, 2), ("i2", 1, 1)):
        counts = ChatCounts(day, incarnation, received, answered)
        await parts.observations.report([fact(parts, account_id, counts)])
    view = await parts.accounts.get(account_id)
    assert (view.received_today, view.answered_today) == (10, 4)


async def test_counts_are_those_of_the_accounts_own_day(parts: Parts) -> None:
    [tokyo] = await parts.add("tokyo", time_zone="Asia/Tokyo")
    [utc] = await parts.add("utc")
    parts.clock.advance(20 * 3600)  # 20:00 UTC is the next day in Tokyo
    today = parts.clock.wall().date()
    for account_id in (tokyo, utc):
        for day in (today, today + timedelta(days=1)):
            counts = ChatCounts(day.isoformat(), "i", day.day, 0)
            await parts.observations.report([fact(parts, account_id, counts)])
    assert (await parts.accounts.get(tokyo)).received_today == today.day + 1
    assert (await parts.accounts.get(utc)).received_today == today.day


async def test_a_watch_tells_when_an_accounts_day_is_over(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    day = parts.clock.wall().date().isoformat()
    await parts.observations.report([fact(parts, account_id, ChatCounts(day, "i", 5, 1))])
    updates = parts.watch.updates(asyncio.Event())
    async with asyncio.timeout(10):
        assert (await anext(updates)).accounts[0].received_today == 5
        parts.clock.advance(25 * 3600)
        assert (await anext(updates)).accounts[0].received_today == 0
    await updates.aclose()  # type: ignore[attr-defined]


async def test_what_was_seen_reaches_watchers(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    updates = parts.watch.updates(asyncio.Event())
    await anext(updates)
    async with asyncio.timeout(10):
        await parts.observations.report([fact(parts, account_id, wait(parts, 30))])
        assert len((await anext(updates)).accounts[0].flood_waits) == 1
        await parts.observations.report([fact(parts, account_id, SessionRan(7, stable=True))])
        assert (await anext(updates)).accounts[0].account.last_worker_id == "w1"
        died = [fact(parts, i, SessionDied(Reason.AUTH_KEY_DUPLICATED)) for i in await parts.add("b", "c")]
        assert len((await anext(updates)).accounts) == 2
        await parts.observations.report(died)
        assert "double use" in ((await anext(updates)).starts_stopped or "")
        await parts.observations.resume_starts()
        assert (await anext(updates)).starts_stopped == ""
    await updates.aclose()  # type: ignore[attr-defined]


async def test_links_and_deaths_are_kept_and_old_ones_forgotten(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    lost = LinkLost("CLOSED", 60 * SECOND, 2 * SECOND, reconnected=True)
    await parts.observations.report(
        [
            fact(parts, account_id, lost),
            fact(parts, account_id, lost, age=timedelta(days=40)),
            fact(parts, account_id, SessionDied(Reason.SESSION_REVOKED)),
        ]
    )
    assert (await rows(parts, models.LINKS), await rows(parts, models.DEATHS)) == (2, 1)
    async with parts.store.write() as tx:
        await tx.prune(parts.clock.wall())
    assert (await rows(parts, models.LINKS), await rows(parts, models.SEEN_FACTS)) == (1, 3)
    parts.clock.advance(8 * 24 * 3600)
    async with parts.store.write() as tx:
        await tx.prune(parts.clock.wall())
    assert await rows(parts, models.SEEN_FACTS) == 0
    await parts.accounts.delete(account_id)
    assert (await rows(parts, models.LINKS), await rows(parts, models.DEATHS)) == (0, 1)


async def test_facts_of_unknown_accounts_and_from_the_future_do_no_harm(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    await parts.observations.report(
        [
            fact(parts, "acc_aaaaaaaaaaaa", SessionDied(Reason.SESSION_REVOKED)),
            fact(
                parts,
                account_id,
                FloodWait("m", 0, parts.clock.wall() + timedelta(days=900)),
                age=-timedelta(days=9),
            ),
        ]
    )
    [found] = (await parts.accounts.get(account_id)).flood_waits
    assert found.until == parts.clock.wall() + timedelta(days=14)


@pytest.mark.parametrize(
    "kind",
    [
        SessionDied(Reason.FLOOD_WAIT),
        SessionDied(Reason.UNSPECIFIED),
        ChatCounts("yesterday", "i", 1, 1),
        ChatCounts("2026-01-01", "i", -1, 1),
        ChatCounts("2026-01-01", "i", 1, 2**62),
        LinkLost("x" * 101, SECOND, None, reconnected=False),
    ],
)
async def test_one_bad_fact_refuses_the_call_and_names_the_field(parts: Parts, kind: Kind) -> None:
    [account_id] = await parts.add("a")
    good = fact(parts, account_id, WorkerCrashed("i"))
    with pytest.raises(InvalidArgument) as caught:
        await parts.observations.report([good, fact(parts, account_id, kind)])
    assert caught.value.field is not None
    assert caught.value.field.startswith("facts[1].")
    assert (await parts.accounts.get(account_id)).account.crash_streak == 0
