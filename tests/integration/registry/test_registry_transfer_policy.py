"""What transfers may ask of an account: kept, checked, shown, and sent down the watch; and the waits they go
by."""

import asyncio
import secrets
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.registry import messages
from services.registry.adapters.migrate import FOLDER, differences, upgrade
from services.registry.domain.account import FloodWait, TransferPolicy
from services.registry.domain.facts import Fact
from services.registry.handlers.changes import Update
from services.registry.ports import Selection
from services.runtime import migrations
from services.runtime.errors import InvalidArgument
from tests.integration.registry.conftest import Parts
from tests.integration.registry.test_registry_accounts import patch

POLICY = TransferPolicy(2_000, ("08:00-12:00", "22:00-06:00"))


async def set_policy(parts: Parts, name: str, policy: TransferPolicy) -> None:
    await parts.accounts.update(patch(name, "transfer_policy", transfer_policy=policy))


async def test_a_new_account_has_none_and_a_given_one_is_kept_in_order(parts: Parts) -> None:
    await parts.add("a", "b")
    assert (await parts.accounts.get("a")).account.transfer_policy == TransferPolicy()
    given = TransferPolicy(2_000, ("22:00-06:00", "08:00-12:00", "22:00-06:00"))
    await set_policy(parts, "a", given)
    views, _ = await parts.again().accounts.page(Selection(), 0, "")
    assert {view.account.name: view.account.transfer_policy for view in views} == {
        "a": POLICY,
        "b": TransferPolicy(),
    }
    shown = messages.account(views[0]).transfer_policy
    assert messages.transfer_policy_from(shown) == POLICY
    await set_policy(parts, "a", TransferPolicy())
    assert (await parts.accounts.get("a")).account.transfer_policy == TransferPolicy()


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (TransferPolicy(daily_cap=-1), "daily_cap"),
        (TransferPolicy(daily_cap=1_000_001), "daily_cap"),
        (TransferPolicy(allowed_hours=("8:00-22:00",)), "allowed_hours[0]"),
        (TransferPolicy(allowed_hours=("08:00-22:00", "24:00-01:00")), "allowed_hours[1]"),
        (TransferPolicy(allowed_hours=("08:00-08:00",)), "allowed_hours[0]"),
        (TransferPolicy(allowed_hours=("08:60-09:00",)), "allowed_hours[0]"),
        (TransferPolicy(allowed_hours=("08:00-09:00",) * 25), "allowed_hours"),
    ],
)
async def test_what_is_no_policy_is_refused_with_its_field(
    parts: Parts, policy: TransferPolicy, field: str
) -> None:
    await parts.add("a")
    await set_policy(parts, "a", POLICY)
    with pytest.raises(InvalidArgument) as caught:
        await set_policy(parts, "a", policy)
    assert caught.value.field == f"account.transfer_policy.{field}"
    assert (await parts.accounts.get("a")).account.transfer_policy == POLICY


async def test_watchers_are_told_of_a_new_policy(parts: Parts) -> None:
    await parts.add("a")
    stopping = asyncio.Event()
    updates = parts.watch.updates(stopping)
    first = await anext(updates)
    assert first.accounts[0].account.transfer_policy == TransferPolicy()
    await set_policy(parts, "a", POLICY)
    told: Update = await asyncio.wait_for(anext(updates), 5)
    assert messages.record(told.accounts[0]).account.transfer_policy.daily_cap == 2_000
    stopping.set()
    await updates.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_the_schema_goes_down_and_up_without_taking_anything_along(parts: Parts) -> None:
    ids = await parts.add("a", "b", labels={"k": "v"}, proxy="socks5://u:p@h:1")
    await set_policy(parts, "a", POLICY)
    await migrations.downgrade(parts.database, FOLDER, "0002")
    async with parts.database.read() as tx:
        labels = (await tx.execute(text("SELECT count(*) FROM account_labels"))).scalar_one()
        sealed = (await tx.execute(text("SELECT count(*) FROM account_secrets"))).scalar_one()
    assert (labels, sealed) == (2, 4)
    await upgrade(parts.database)
    assert await differences(parts.database) == []
    views = [await parts.accounts.get(account_id) for account_id in ids]
    assert [view.account.transfer_policy for view in views] == [TransferPolicy()] * 2
    await set_policy(parts, "b", POLICY)
    assert (await parts.accounts.get("b")).account.transfer_policy == POLICY


async def test_waits_are_kept_apart_by_method_and_chat(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    forwarding, now = "messages.ForwardMessages", parts.clock.wall()

    def fact(method: str, chat_id: int, seconds: int) -> Fact:
        wait = FloodWait(method, chat_id, now + timedelta(seconds=seconds))
        return Fact(secrets.token_hex(16), account_id, now, "w1", wait)

    reported = [fact(forwarding, 0, 600), fact(forwarding, -1001, 30), fact("messages.GetHistory", 0, 60)]
    await parts.observations.report([*reported, fact(forwarding, -1001, 20)])
    waits = (await parts.again().accounts.get("a")).flood_waits
    left = {(w.method, w.chat_id): (w.until - now).total_seconds() for w in waits}
    assert left == {(forwarding, 0): 600, (forwarding, -1001): 30, ("messages.GetHistory", 0): 60}
    parts.clock.advance(61)
    assert [w.method for w in (await parts.accounts.get("a")).flood_waits] == [forwarding]
