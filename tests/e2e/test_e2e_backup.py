"""A fleet is backed up while it runs and restored when it is stopped; no grant made in between wins after it.
Real registries, etcd and the real command."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.registry.conftest import session_string
from tests.integration.registry.process import RegistryProcess
from tests.support.etcd import EtcdProcess, killable_etcd_binary
from tgfleet.gateway.v1 import account_pb2, result_pb2
from tgfleet.registry.v1 import registry_pb2 as pb

T_AND_S = 3.0


def tgfleet(*arguments: object, data: Path) -> subprocess.CompletedProcess[str]:
    """The command on a data directory, in an environment of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("TGFLEET_")}
    argv = [sys.executable, "-m", "services.admin", "--data", str(data), *map(str, arguments)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


def new_registry(folder: Path, etcd: EtcdProcess) -> RegistryProcess:
    url = f"sqlite:///{folder}/registry.sqlite"
    return RegistryProcess(folder, etcd.endpoint, TGFLEET_REGISTRY_DATABASE_URL=url)


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[EtcdProcess]:
    with EtcdProcess(tmp_path / "etcd", killable_etcd_binary()) as running:
        yield running


async def add(registry: RegistryProcess, name: str) -> str:
    item = account_pb2.ImportItem(name=name, session_string=session_string())
    [result] = await registry.add(item)
    return str(result.account.account_id)


async def granted(
    registry: RegistryProcess, worker: str, account_id: str, within: float = 20
) -> pb.SessionGrant:
    async with asyncio.timeout(within):
        while True:
            answer = await registry.acquire(worker, f"i-{worker}", secrets.token_hex(4), [account_id])
            [result] = answer.results
            if result.HasField("grant"):
                return result.grant
            assert result.refusal.reason in {result_pb2.REASON_SETTLING, result_pb2.REASON_LEASE_HELD}
            await asyncio.sleep(0.05)


def everything_in(archive: Path) -> bytes:
    with tarfile.open(archive) as opened:
        files = [opened.extractfile(member) for member in opened.getmembers()]
        return b"".join(file.read() for file in files if file is not None)


async def names(registry: RegistryProcess) -> list[str]:
    listed = await registry.stub.ListAccounts(pb.ListAccountsRequest(), timeout=5)
    return [account.name for account in listed.response.accounts]


def release(worker: str, account_id: str, grant: pb.SessionGrant) -> pb.ReleaseSessionsRequest:
    one = pb.Release(account_id=account_id, auth_key_id=grant.auth_key_id, token=grant.token, clean=True)
    return pb.ReleaseSessionsRequest(worker_id=worker, incarnation=f"i-{worker}", releases=[one])


async def _backed_up_without_the_key(registry: RegistryProcess, folder: Path, file: Path) -> None:
    key_file = folder / "master.key"  # where `tgfleet up` has it
    key_file.write_bytes(registry.keys.read_bytes())
    made = await asyncio.to_thread(tgfleet, "backup", file, data=folder)
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert "master key is not in it" in made.stderr
    _, _, key = key_file.read_text().strip().partition(":")
    key_file.unlink()
    assert key.encode() not in everything_in(file)
    assert base64.b64decode(key) not in everything_in(file)


@pytest.mark.parametrize("etcd_is_lost", [False, True], ids=["etcd kept", "etcd lost twice"])
async def test_after_a_restore_no_old_token_wins(
    tmp_path: Path, etcd: EtcdProcess, etcd_is_lost: bool
) -> None:
    folder, file = tmp_path / "data", tmp_path / "backup.tar"
    first = await new_registry(folder, etcd).start()
    try:
        account_id = await add(first, "a")
        old = await granted(first, "w1", account_id)
        await _backed_up_without_the_key(first, folder, file)
        await add(first, "b")
        if etcd_is_lost:  # the generation after that of the backup is opened and granted from
            etcd.kill()
            etcd.wipe()
            etcd.start()
            old = await granted(first, "w1", account_id, 30)
        refused = await asyncio.to_thread(tgfleet, "restore", file, data=folder)
        assert refused.returncode == 2
        assert "is in use" in refused.stderr
        assert await names(first) == ["a", "b"]
    finally:
        await first.end()
    if etcd_is_lost:
        etcd.kill()
        etcd.wipe()
        etcd.start()
    restored = await asyncio.to_thread(tgfleet, "restore", file, data=folder)
    assert restored.returncode == 0, restored.stderr
    second = new_registry(folder, etcd)
    began = time.monotonic()
    await second.start()
    try:
        assert await names(second) == ["a"]
        assert await second.renew("w1", "i-w1", old.lease_id) == [False]
        new = await granted(second, "w2", account_id)
        assert time.monotonic() - began >= T_AND_S
        assert new.token.generation > old.token.generation
        answer = await second.stub.ReleaseSessions(release("w1", account_id, old), timeout=5)
        assert list(answer.released) == [False]
        assert await second.renew("w2", "i-w2", new.lease_id) == [True]
    finally:
        await second.end()
    assert [path.name for path in folder.glob("before-restore-*/registry.sqlite")] == ["registry.sqlite"]


async def test_a_backup_moves_to_another_machine_and_can_hold_the_starts(
    tmp_path: Path, etcd: EtcdProcess
) -> None:
    folder, other, file = tmp_path / "data", tmp_path / "other", tmp_path / "backup.tar"
    first = await new_registry(folder, etcd).start()
    account_id = await add(first, "a")
    await first.end()
    keys = folder / "master.keys"
    made = await asyncio.to_thread(tgfleet, "backup", file, "--with-master-key", keys, data=folder)
    assert made.returncode == 0, made.stderr
    assert (await asyncio.to_thread(tgfleet, "backup", file, data=folder)).returncode == 2, "not overwritten"
    done = await asyncio.to_thread(tgfleet, "restore", file, "--hold-starts", data=other)
    assert done.returncode == 0, done.stderr
    assert (other / "master.key").read_bytes() == keys.read_bytes()
    assert {path.stat().st_mode & 0o777 for path in other.iterdir()} == {0o600}
    assert "missing" not in done.stderr
    (other / "master.key").rename(other / "master.keys")
    (other / "token").write_text("tgf_" + "b" * 43)
    second = await new_registry(other, etcd).start()
    try:
        [result] = (await second.acquire("w", "i", "r", [account_id])).results
        assert "restored from a backup" in result.refusal.detail
        resumed = await second.stub.ResumeStarts(pb.ResumeStartsRequest(), timeout=5)
        assert resumed.were_stopped
        await granted(second, "w", account_id)
    finally:
        await second.end()


async def test_damaged_files_are_refused_and_change_nothing(tmp_path: Path, etcd: EtcdProcess) -> None:
    folder, file = tmp_path / "data", tmp_path / "backup.tar"
    first = await new_registry(folder, etcd).start()
    await add(first, "a")
    await first.end()
    assert (await asyncio.to_thread(tgfleet, "backup", file, data=folder)).returncode == 0
    whole = file.read_bytes()
    before = (folder / "registry.sqlite").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    with tarfile.open(tmp_path / "strange.tar", "w") as tar:
        tar.add(Path(__file__), "../../escape")
    for content in (whole[: len(whole) // 2], bytes(flipped), b"", (tmp_path / "strange.tar").read_bytes()):
        bad = tmp_path / "bad.tar"
        bad.write_bytes(content)
        refused = await asyncio.to_thread(tgfleet, "restore", bad, data=folder)
        assert refused.returncode == 2, refused.stdout
        assert "Traceback" not in refused.stderr
        assert (folder / "registry.sqlite").read_bytes() == before
    assert not list(folder.glob(".restore-*"))
    assert (await asyncio.to_thread(tgfleet, "backup", tmp_path / "x", data=tmp_path)).returncode == 2
