"""The audit trail over a real database; and what tokens tell of themselves."""

from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from services.registry.domain.account import Reason
from services.registry.domain.audit import Entry, Outcome
from services.registry.domain.facts import Fact, SessionDied
from services.registry.domain.tokens import Role
from services.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.integration.registry.conftest import Parts


def entry(parts: Parts, entry_id: str, **changes: object) -> Entry:
    made = Entry(
        entry_id=entry_id,
        time=parts.clock.wall(),
        token_name="ops",
        role="OPERATOR",
        peer="127.0.0.1:4",
        method="FleetService.StartAll",
        targets=("account=acc_a", "label=k=v"),
        outcome=Outcome.DONE,
        reason="",
        detail="STARTED 1",
        request_id="r",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_entries_are_kept_once_and_listed_in_pages_the_newest_first(parts: Parts) -> None:
    entries = [entry(parts, f"e{n}") for n in range(3)]
    parts.clock.advance(1)
    entries += [entry(parts, f"f{n}", outcome=Outcome.REFUSED, role="") for n in range(2)]
    await parts.audit.record(entries)
    await parts.again().audit.record([entry(parts, "e1", detail="another"), entry(parts, "g")])
    listed, token = [], ""
    while True:
        page, token = await parts.audit.page(2, token)
        listed += page
        if not token:
            break
    assert [e.entry_id for e in listed] == ["g", "f1", "f0", "e2", "e1", "e0"]
    assert listed[1:] == list(reversed(entries))
    assert listed[0].time.tzinfo is UTC


async def test_old_entries_are_forgotten_after_the_days_that_are_kept(parts: Parts) -> None:
    await parts.audit.record([entry(parts, "old")])
    parts.clock.advance(90 * 86_400)
    await parts.audit.record([entry(parts, "new")])
    await parts.audit.prune()
    assert len((await parts.audit.page(10, ""))[0]) == 2
    parts.clock.advance(1)
    await parts.audit.prune()
    assert [e.entry_id for e in (await parts.audit.page(10, ""))[0]] == ["new"]


@pytest.mark.parametrize(
    "changes", [{"entry_id": ""}, {"detail": "x" * 5000}, {"targets": ("x",) * 100}, {"peer": "x" * 300}]
)
async def test_a_broken_gateway_cannot_fill_the_database(parts: Parts, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        await parts.audit.record([entry(parts, "good"), replace(entry(parts, "e"), **changes)])  # type: ignore[arg-type]
    assert (await parts.audit.page(10, "")) == ([], "")


@pytest.mark.parametrize("token", ["zzz", "é", "MjAyNg=="])
async def test_page_tokens_are_ours(parts: Parts, token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await parts.audit.page(10, token)
    assert caught.value.field == "page_token"


async def test_a_tokens_last_use_is_written_at_most_once_a_minute(parts: Parts) -> None:
    async def last_use() -> object:
        [token], _ = await parts.tokens.page(10, "")
        return token.last_use_time

    _, secret = await parts.tokens.create("t", Role.VIEWER, None)
    await parts.tokens.save_uses()
    assert await last_use() is None
    first = parts.clock.wall()
    await parts.tokens.verify(secret)
    await parts.tokens.save_uses()
    assert await last_use() == first
    parts.clock.advance(30)
    second = parts.clock.wall()
    await parts.tokens.verify(secret)
    await parts.tokens.save_uses()
    assert await last_use() == first
    parts.clock.advance(31)
    await parts.tokens.save_uses()  # nobody used it since: the use half a minute ago is written
    assert await last_use() == second


async def test_a_role_changes_under_the_same_secret(parts: Parts) -> None:
    token, secret = await parts.tokens.create("t", Role.VIEWER, None)
    assert await parts.again().tokens.set_role("t", Role.OPERATOR) == replace(token, role=Role.OPERATOR)
    assert (await parts.tokens.verify(secret)).role is Role.OPERATOR
    with pytest.raises(NotFound):
        await parts.tokens.set_role("nobody", Role.VIEWER)
    await parts.tokens.keep_bootstrap("tgf_bootstrap_secret_00")
    with pytest.raises(FailedPrecondition):
        await parts.tokens.set_role("bootstrap", Role.VIEWER)


async def test_a_late_death_of_an_earlier_key_does_not_block_the_new_session(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    view = await parts.accounts.get(account_id)
    own, other = view.account.auth_key_id, "0123456789abcdef"

    async def report(fact_id: str, key: str) -> Reason:
        died = SessionDied(Reason.AUTH_KEY_UNREGISTERED, key)
        await parts.observations.report([Fact(fact_id, account_id, parts.clock.wall(), "w1", died)])
        return (await parts.accounts.get(account_id)).account.block.reason

    assert await report("f1", other) is Reason.UNSPECIFIED
    assert await report("f2", own) is Reason.NEEDS_LOGIN
    with pytest.raises(InvalidArgument):
        await report("f3", "no key")
    async with parts.store.read() as tx:
        deaths = await tx.deaths(Reason.AUTH_KEY_UNREGISTERED.value, parts.clock.wall() - timedelta(days=1))
    assert {death.auth_key_id for death in deaths} == {own, other}
