"""Master keys: several at once, rotation under changes, and a file that is watched."""

import asyncio
import base64
import secrets
from pathlib import Path

import pytest

from services.registry.adapters.key_file import watch_key_file
from services.registry.adapters.vault import AesGcmVault, load_master_keys
from services.registry.domain.refusals import Refusal
from services.registry.handlers import keys as handler
from services.registry.handlers.candidates import AcquireItem, Candidate, Candidates
from services.registry.handlers.changes import ChangeSignal
from services.registry.handlers.keys import Keys, Progress
from tests.integration.registry.conftest import Parts

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)


async def rotate(parts: Parts) -> list[Progress]:
    return [progress async for progress in parts.keys.rotate()]


async def sealed_by(parts: Parts) -> dict[str, int]:
    return {key.key_id: key.secrets for key in await parts.keys.list_keys()}


async def readable(parts: Parts, ids: list[str]) -> list[bool]:
    found = await Candidates(parts.store, parts.vault, ChangeSignal()).look(
        "w1", [AcquireItem(account_id, "") for account_id in ids], parts.clock.wall()
    )
    return [isinstance(one, Candidate) for one in found]


async def test_everything_moves_to_the_first_key_and_the_old_one_can_go(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "BATCH", 4)
    parts.vault.use({"old": OLD})
    ids = await parts.add(*(f"a{n}" for n in range(10)), proxy="socks5://u:p@127.0.0.1:1080")
    parts.vault.use({"new": NEW, "old": OLD})
    assert await sealed_by(parts) == {"new": 0, "old": 20}
    steps = await rotate(parts)
    assert [(s.resealed, s.remaining) for s in steps[:-1]] == [(4, 16), (8, 12), (12, 8), (16, 4), (20, 0)]
    assert (steps[-1].done, steps[-1].key_id, steps[-1].resealed, steps[-1].unreadable) == (
        True,
        "new",
        20,
        0,
    )
    assert await sealed_by(parts) == {"new": 20, "old": 0}
    parts.vault.use({"new": NEW})
    assert await readable(parts, ids) == [True] * 10
    assert (await rotate(parts))[-1].resealed == 0


async def test_a_rotation_that_was_broken_off_goes_on_where_it_was(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "BATCH", 3)
    parts.vault.use({"old": OLD})
    await parts.add(*(f"a{n}" for n in range(8)))
    parts.vault.use({"new": NEW, "old": OLD})
    first = parts.keys.rotate()
    await anext(first)
    await first.aclose()
    assert await sealed_by(parts) == {"new": 3, "old": 5}
    assert (await rotate(parts))[-1].resealed == 5


async def test_an_unknown_key_spoils_only_its_own_accounts(parts: Parts) -> None:
    parts.vault.use({"lost": secrets.token_bytes(32)})
    [lost] = await parts.add("lost")
    parts.vault.use({"old": OLD})
    [kept] = await parts.add("kept")
    parts.vault.use({"new": NEW, "old": OLD})
    last = (await rotate(parts))[-1]
    assert (last.resealed, last.unreadable, last.unreadable_account_ids) == (1, 1, (lost,))
    assert await readable(parts, [lost, kept]) == [False, True]
    [refusal] = await Candidates(parts.store, parts.vault, ChangeSignal()).look(
        "w1", [AcquireItem(lost, "")], parts.clock.wall()
    )
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, "lost" in refusal.detail) == ("SECRET_UNREADABLE", True)
    listed = {key.key_id: (key.active, key.present, key.secrets) for key in await parts.keys.list_keys()}
    assert listed == {"new": (True, True, 1), "old": (False, True, 0), "lost": (False, False, 1)}


async def test_a_secret_that_changed_in_between_is_left_alone(parts: Parts) -> None:
    parts.vault.use({"old": OLD})
    [account_id] = await parts.add("a")
    parts.vault.use({"new": NEW, "old": OLD})
    async with parts.store.read() as tx:
        [before] = await tx.secrets_not_under("new", ("", ""), 10)
    fresh, _ = Keys(parts.store, parts.vault)._reseal([before])
    changed = parts.vault.seal(b"another", account_id, before.purpose)
    async with parts.store.write() as tx:
        await tx.save_secret(account_id, before.purpose, changed)
    async with parts.store.write() as tx:
        assert await tx.replace_secrets(fresh) == 0
        assert (await tx.secrets([account_id], before.purpose))[account_id] == changed


async def test_the_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    def line(key_id: str, key: bytes) -> str:
        return f"{key_id}:{base64.b64encode(key).decode()}\n"

    async def until(*expected: str) -> None:
        async with asyncio.timeout(5):
            while vault.key_ids() != expected:
                await asyncio.sleep(0.01)

    path = tmp_path / "master.key"
    path.write_text(line("old", OLD))
    path.chmod(0o600)
    vault = AesGcmVault(load_master_keys(path))
    task = asyncio.create_task(watch_key_file(path, vault, 0.01))
    path.write_text(line("new", NEW) + line("old", OLD))
    await until("new", "old")
    path.write_text("new:half-writ")
    await asyncio.sleep(0.1)
    path.unlink()
    await asyncio.sleep(0.1)
    assert vault.key_ids() == ("new", "old")
    other = tmp_path / "next"
    other.write_text(line("new", NEW))
    other.replace(path)
    await until("new")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
