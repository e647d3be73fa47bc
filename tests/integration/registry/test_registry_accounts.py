"""Accounts over a real database: import, list, change, delete, wishes, the watch."""

import asyncio
import random
import secrets
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.registry.adapters.migrate import differences
from services.registry.domain.account import ChatPolicy, TransferPolicy
from services.registry.domain.importing import FileSource, NoSource, StringSource, WorkerFileSource
from services.registry.domain.leasing import Owner
from services.registry.domain.tokens import Role
from services.registry.handlers import changes
from services.registry.handlers.accounts import AccountPatch
from services.registry.handlers.candidates import AcquireItem
from services.registry.handlers.changes import Update
from services.registry.handlers.imports import ImportResult
from services.registry.ports import Selection, Wishes
from services.runtime.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tests.integration.registry.conftest import Parts, item, session_string


def patch(ref: str, *mask: str, **changes: object) -> AccountPatch:
    values: dict[str, object] = {
        "name": "",
        "labels": {},
        "priority": 0,
        "home_worker": "",
        "time_zone": "",
        "chat_policy": ChatPolicy(),
        "transfer_policy": TransferPolicy(),
        "proxy": "",
    }
    return AccountPatch(ref=ref, mask=mask, **(values | changes))  # type: ignore[arg-type]


async def names(parts: Parts) -> list[str]:
    views, _ = await parts.accounts.page(Selection(), 0, "")
    return [view.account.name for view in views]


async def test_models_and_migrations_agree(parts: Parts) -> None:
    assert await differences(parts.database) == []


async def test_every_item_gets_its_own_result_and_a_bad_one_spoils_no_other(parts: Parts) -> None:
    key = secrets.token_bytes(256)
    items = [
        item("good", StringSource(session_string(key)), labels={"a": "b"}, proxy="socks5://u:p@h:1"),
        item("", StringSource(session_string())),
        item("bad string", StringSource("canary is no session")),
        item("bad file", FileSource(b"canary is no file")),
        item("twice", StringSource(session_string(key))),
        item("good", StringSource(session_string())),
        item("file", WorkerFileSource("w1", "alice.session")),
        item("same file", WorkerFileSource("w1", "alice.session")),
        item("none", NoSource(), disabled=True),
        item("proxy", proxy="socks5://canary"),
        item("api", api_id=99),
        item("zone", time_zone="Nowhere"),
        item("labels", labels={"a b": "c"}),
        item("home", WorkerFileSource("w1", "bob.session"), home_worker="w2"),
        item("chat", chat_policy=ChatPolicy(chat_ids=(5,))),
    ]
    results, views = await parts.imports.run(items, "")
    outcomes = [(r.reason, r.field) for r in results]
    assert outcomes == [
        ("", ""),
        ("INVALID_ARGUMENT", "items[1].name"),
        ("SESSION_INVALID", "items[2].session_string"),
        ("SESSION_INVALID", "items[3].session_file"),
        ("SESSION_ALREADY_IMPORTED", "items[4].session_string"),
        ("NAME_TAKEN", "items[5].name"),
        ("", ""),
        ("SESSION_ALREADY_IMPORTED", "items[7].worker_file"),
        ("", ""),
        ("INVALID_ARGUMENT", "items[9].proxy"),
        ("API_ID_MISMATCH", "items[10].api_id"),
        ("INVALID_ARGUMENT", "items[11].time_zone"),
        ("INVALID_ARGUMENT", "items[12].labels"),
        ("INVALID_ARGUMENT", "items[13].home_worker"),
        ("INVALID_ARGUMENT", "items[14].chat_policy.chat_ids"),
    ]
    assert "good" in results[4].detail
    assert all("canary" not in result.detail for result in results)
    assert [result.kind for result in results if result.account_id] == ["pyrogram", "worker-file", "none"]
    assert await names(parts) == ["file", "good", "none"]
    good = views[results[0].account_id].account
    assert (good.user_id, good.api_id, good.proxy_public) == (4711, 12_345, "socks5://h:1")
    assert views[results[6].account_id].account.home_worker == "w1"
    assert not views[results[8].account_id].account.enabled


async def test_the_same_session_under_another_name_is_refused_and_names_the_account(parts: Parts) -> None:
    text = session_string()
    await parts.imports.run([item("first", StringSource(text))], "")
    [again], _ = await parts.imports.run([item("second", StringSource(text))], "")
    assert again.reason == "SESSION_ALREADY_IMPORTED"
    assert "first" in again.detail
    assert await names(parts) == ["first"]
    [same_user], _ = await parts.imports.run([item("other login", StringSource(session_string()))], "")
    assert same_user.account_id
    assert "first is of the same Telegram user" in same_user.detail


async def test_a_repeated_request_gives_the_same_results_and_adds_nothing(parts: Parts) -> None:
    items = [item("a"), item("", NoSource()), item("b", proxy="http://u:p@h:1")]
    first, _ = await parts.imports.run(items, "request-1")
    again, views = await parts.again().imports.run(items, "request-1")
    assert again == first
    assert await names(parts) == ["a", "b"]
    await parts.accounts.delete(first[0].account_id)
    after, views = await parts.imports.run(items, "request-1")
    assert after == first
    assert first[0].account_id not in views
    with pytest.raises(InvalidArgument) as caught:
        await parts.imports.run([item("c")], "request-1")
    assert (caught.value.field, caught.value.reason) == ("request_id", "REQUEST_ID_REUSED")


async def test_two_imports_of_the_same_at_once_add_it_once(parts: Parts) -> None:
    items = [item(f"n{number}") for number in range(20)]
    answers = await asyncio.gather(*(parts.again().imports.run(items, "") for _ in range(4)))
    added = [result for results, _ in answers for result in results if result.account_id]
    assert len(added) == 20
    assert len(await names(parts)) == 20


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_call_has_1_to_1000_items(parts: Parts, count: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await parts.imports.run([item("x", NoSource())] * count, "")
    assert caught.value.field == "items"


async def test_a_thousand_accounts_come_in_pages_by_name(parts: Parts) -> None:
    items = [item(f"n{number:04}", NoSource(), labels={"half": str(number % 2)}) for number in range(1000)]
    results, _ = await parts.imports.run(items, "")
    assert all(isinstance(result, ImportResult) and result.account_id for result in results)
    seen: list[str] = []
    token = ""
    while True:
        views, token = await parts.accounts.page(Selection(labels={"half": "1"}), 150, token)
        seen += [view.account.name for view in views]
        if not token:
            break
    assert seen == [f"n{number:04}" for number in range(1, 1000, 2)]
    ids, _ = await parts.accounts.resolve(Selection(labels={"half": "0"}))
    assert len(ids) == 500


async def test_accounts_are_found_by_id_and_by_name(parts: Parts) -> None:
    [account_id] = await parts.add("+49 151 1234567")
    assert (await parts.accounts.get(account_id)).account.name == "+49 151 1234567"
    assert (await parts.accounts.get("+49 151 1234567")).account.account_id == account_id
    for ref in ("nobody", "acc_aaaaaaaaaaaa"):
        with pytest.raises(NotFound) as caught:
            await parts.accounts.get(ref)
        assert caught.value.reason == "ACCOUNT_NOT_FOUND"
    for ref in ("", "x" * 65, "a\x00"):
        with pytest.raises(InvalidArgument):
            await parts.accounts.get(ref)


async def test_a_selection_is_by_ids_or_labels_and_never_empty(parts: Parts) -> None:
    with pytest.raises(NotFound) as none:
        await parts.accounts.resolve(Selection())
    assert none.value.reason == "NO_ACCOUNT_SELECTED"
    low, high, other = await parts.add("b", "a", "c")
    await parts.accounts.update(patch(other, "priority", "labels", priority=5, labels={"x": "y"}))
    assert (await parts.accounts.resolve(Selection()))[0] == [other, high, low]
    assert (await parts.accounts.resolve(Selection((low, "a", "b"))))[0] == [high, low]
    with pytest.raises(InvalidArgument):
        await parts.accounts.resolve(Selection((low,), {"x": "y"}))
    with pytest.raises(NotFound) as missing:
        await parts.accounts.resolve(Selection((low, "nobody", "acc_aaaaaaaaaaaa")))
    assert "nobody" in missing.value.message
    with pytest.raises(NotFound) as unmatched:
        await parts.accounts.resolve(Selection(labels={"x": "z"}))
    assert unmatched.value.reason == "NO_ACCOUNT_SELECTED"


async def test_an_update_changes_what_the_mask_names_or_nothing(parts: Parts) -> None:
    account_id, other = await parts.add("a", "b")
    changed = await parts.accounts.update(
        patch(
            "a",
            "name",
            "labels",
            "proxy",
            "time_zone",
            name="z",
            labels={"k": "v"},
            proxy="http://u:p@h:8",
            time_zone="Asia/Tokyo",
        )
    )
    account = changed.account
    assert (account.name, dict(account.labels), account.proxy_public) == ("z", {"k": "v"}, "http://h:8")
    before = await parts.accounts.get(account_id)
    bad = [
        (patch("z", "name", "priority", name="y", priority=9999), InvalidArgument, "account.priority"),
        (patch("z", "name", name="b"), AlreadyExists, "account.name"),
        (patch("z", "labels", "name", labels={"q": "r"}, name=""), InvalidArgument, "account.name"),
        (patch("z", "proxy", "priority", proxy="nonsense", priority=3), InvalidArgument, "proxy"),
        (patch("z", "account_id"), InvalidArgument, "update_mask"),
        (patch("z"), InvalidArgument, "update_mask"),
        (patch("nobody", "name", name="n"), NotFound, "account.account_id"),
    ]
    for wrong, kind, field in bad:
        with pytest.raises(kind) as caught:
            await parts.accounts.update(wrong)
        assert caught.value.field == field
    assert await parts.accounts.get(account_id) == before
    assert (await parts.accounts.update(patch("z", "name", name="z"))).account.name == "z"
    assert (await parts.accounts.update(patch(account_id, "proxy"))).account.proxy_public == ""
    assert (await parts.accounts.get(other)).account.name == "b"


async def test_an_account_is_only_deleted_when_nobody_runs_it(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    await parts.accounts.set_wanted([account_id], running=True, chatting=None)
    with pytest.raises(FailedPrecondition) as wanted:
        await parts.accounts.delete("a")
    assert wanted.value.reason == "ACCOUNT_RUNNING"
    owner = Owner("w1", "i1")
    await parts.sessions.acquire(owner, "r", [AcquireItem(account_id, "")], [])
    await parts.accounts.set_wanted([account_id], running=False, chatting=None)
    with pytest.raises(FailedPrecondition) as held:
        await parts.accounts.delete("a")
    assert held.value.metadata["worker_id"] == "w1"
    parts.clock.advance(10)
    await parts.accounts.delete("a")
    with pytest.raises(NotFound):
        await parts.accounts.get(account_id)


async def test_wishes_of_many_are_one_change_and_leave_out_who_may_not(parts: Parts) -> None:
    ids = await parts.add(*(f"n{number}" for number in range(50)))
    await parts.accounts.set_enabled(ids[0], enabled=False)
    before = (await parts.accounts.resolve(Selection()))[1]
    done, revision = await parts.accounts.set_wanted([*ids, "acc_aaaaaaaaaaaa"], running=True, chatting=None)
    assert sorted(done) == sorted(ids[1:])
    assert revision == before + 1
    done, _ = await parts.accounts.set_wanted(ids, running=False, chatting=True)
    assert sorted(done) == sorted(ids)
    view = await parts.accounts.get(ids[1])
    assert (view.account.wanted_running, view.account.wanted_chatting) == (False, True)


async def take(updates: AsyncIterator[Update], limit: float = 5) -> Update:
    async with asyncio.timeout(limit):
        return await anext(updates)


async def test_a_watch_has_a_snapshot_and_then_every_change(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: it does not depend on looking every half second."""
    monkeypatch.setattr(changes, "POLL_SECONDS", 60)
    first, second = await parts.add("a", "b")
    updates = parts.watch.updates(asyncio.Event())
    snapshot = await take(updates)
    assert {view.account.account_id for view in snapshot.accounts} == {first, second}
    assert snapshot.snapshot_complete
    assert snapshot.starts_stopped == ""
    _, revision = await parts.accounts.set_wanted([first], running=True, chatting=None)
    change = await take(updates)
    assert (change.accounts, change.wishes) == ((), (Wishes(True, False, (first,)),))  # noqa: FBT003
    assert (change.revision, change.starts_stopped) == (revision, None)
    await parts.accounts.delete(second)
    assert (await take(updates)).deleted == (second,)
    await updates.aclose()  # type: ignore[attr-defined]


async def test_only_an_account_that_is_the_same_in_all_else_is_told_by_its_wish_alone(parts: Parts) -> None:
    first, second, third = await parts.add("a", "b", "c")
    before = await parts.accounts.revision()
    await parts.accounts.set_wanted([first, second, third], running=True, chatting=None)
    await parts.accounts.set_wanted([third], running=None, chatting=True)
    await parts.accounts.update(patch(first, "priority", priority=7))
    async with parts.store.read() as tx:
        found = await tx.changes(before, parts.clock.wall())
        nothing = await tx.changes(found.flags.revision, parts.clock.wall())
    [whole] = [view.account for view in found.accounts]
    assert (whole.account_id, whole.priority, whole.wanted_running) == (first, 7, True)
    assert set(found.wishes) == {Wishes(True, False, (second,)), Wishes(True, True, (third,))}  # noqa: FBT003
    assert (nothing.accounts, nothing.wishes, nothing.deleted) == ((), (), ())


async def test_a_watch_finds_what_another_registry_changed(parts: Parts) -> None:
    [account_id] = await parts.add("a")
    updates = parts.watch.updates(asyncio.Event())
    await take(updates)
    await parts.again().accounts.set_enabled(account_id, enabled=False)
    assert not (await take(updates)).accounts[0].account.enabled
    await updates.aclose()  # type: ignore[attr-defined]


async def test_a_large_snapshot_comes_in_messages_and_only_the_last_has_the_revision(parts: Parts) -> None:
    for start in (0, 1000):
        await parts.imports.run([item(f"n{start + n}", NoSource()) for n in range(1000)], "")
    updates = parts.watch.updates(asyncio.Event())
    seen: set[str] = set()
    while True:
        update = await take(updates)
        seen |= {view.account.account_id for view in update.accounts}
        if update.snapshot_complete:
            break
        assert update.revision == 0
    assert len(seen) == 2000
    assert update.revision == 2
    await updates.aclose()  # type: ignore[attr-defined]


async def test_a_watch_ends_with_the_server(parts: Parts) -> None:
    stopping = asyncio.Event()
    updates = parts.watch.updates(stopping)
    await take(updates)
    stopping.set()
    with pytest.raises(StopAsyncIteration):
        await take(updates, 2)


async def test_cancelled_calls_leave_the_database_in_order(parts: Parts) -> None:
    """aiosqlite's thread does not hear of a cancellation; an open BEGIN would lock out every writer."""
    ids = await parts.add(*(f"n{number}" for number in range(20)))
    chance = random.Random(7)
    async with asyncio.timeout(30):
        for _ in range(60):
            calls = [
                asyncio.create_task(parts.accounts.set_wanted(ids, running=bool(n % 2), chatting=None))
                for n in range(4)
            ] + [asyncio.create_task(parts.accounts.get("n1")) for _ in range(4)]
            await asyncio.sleep(chance.random() * 0.02)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            done, _ = await asyncio.wait_for(parts.accounts.set_wanted(ids, running=True, chatting=None), 2)
            assert len(done) == 20
    views, _ = await parts.accounts.page(Selection(), 0, "")
    assert all(view.account.wanted_running for view in views)


async def test_nothing_secret_stands_in_the_database_in_the_clear(
    parts: Parts, database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    key = secrets.token_bytes(256)
    text = session_string(key)
    await parts.imports.run(
        [item("a", StringSource(text), proxy="socks5://user:canary-proxy@h:1", time_zone="Europe/Oslo")], "r1"
    )
    _, secret = await parts.tokens.create("t", Role.VIEWER, None)
    await parts.tokens.verify(secret)
    if database_url.startswith("postgresql"):
        stored = request.getfixturevalue("postgres").stored(database_url)
    else:
        with sqlite3.connect(tmp_path / "registry.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(FULL)")
        connection.close()
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Europe/Oslo" in stored
    for canary in (
        text.encode(),
        text[40:80].encode(),
        key,
        key[:32],
        key[-32:],
        b"canary-proxy",
        secret.encode(),
    ):
        assert canary not in stored
    assert secret[4:].encode() not in stored
