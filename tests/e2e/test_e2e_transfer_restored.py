"""A fleet that is restored from a backup sends nothing again that it sent since: its transfers are paused."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.e2e.test_e2e_backup import tgfleet
from tests.e2e.test_e2e_transfer_surface import FORWARD, staged
from tests.support.fleet import Client, Fleet
from tests.support.transfers import Transfers
from tgfleet.gateway.v1 import account_pb2
from tgfleet.gateway.v1 import transfer_pb2 as tr
from tgfleet.testdc.v1 import control_pb2 as pb

DATABASES = ("registry", "scheduler")


def copied(fleet: Fleet, folder: Path) -> Path:
    """The databases as a data directory of `tgfleet up` has them, while their owners write on."""
    folder.mkdir()
    for name in DATABASES:
        with (
            closing(sqlite3.connect(fleet.directory / f"{name}.db")) as source,
            closing(sqlite3.connect(folder / f"{name}.sqlite")) as target,
        ):
            source.backup(target)
    shutil.copy(fleet.directory / "master.key", folder / "master.key")
    return folder


def put_back(fleet: Fleet, folder: Path) -> None:
    for name in DATABASES:
        for end in ("-wal", "-shm"):
            (fleet.directory / f"{name}.db{end}").unlink(missing_ok=True)
        shutil.copy(folder / f"{name}.sqlite", fleet.directory / f"{name}.db")


async def sent(fleet: Fleet) -> int:
    """Calls that forwarded something, by the data centre's journal."""
    async with fleet.control() as control:
        records = (await control.GetJournal(pb.GetJournalRequest(page_size=10_000))).records
    return sum(r.method == FORWARD and r.kind == pb.RECORD_KIND_CALL and r.effect for r in records)


async def policy(client: Client, name: str) -> account_pb2.TransferPolicy:
    answer = await client.accounts.GetAccount(account_pb2.GetAccountRequest(account_id=name))
    return answer.account.transfer_policy


async def test_a_restored_fleet_pauses_its_transfers_and_keeps_policies(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    async with Fleet(tmp_path / "fleet", workers=1) as fleet:
        scene = await staged(fleet, slow=True, messages=800)
        name, file = next(iter(scene.accounts)), tmp_path / "backup.tar"
        async with fleet.client() as client:
            update = account_pb2.UpdateAccountRequest(account=account_pb2.Account(account_id=name))
            update.account.transfer_policy.daily_cap = 5_000
            update.account.transfer_policy.allowed_hours.append("00:00-23:59")
            update.update_mask.paths.append("transfer_policy")
            await client.accounts.UpdateAccount(update)
            made = await Transfers(client).create(scene)
            await Transfers(client).until(made.transfer_id, lambda transfer: transfer.done > 150)
            data = await asyncio.to_thread(copied, fleet, tmp_path / "data")
            done = await asyncio.to_thread(tgfleet, "backup", file, data=data)
            assert done.returncode == 0, done.stderr
            ended = await Transfers(client).ended(made.transfer_id)
            assert ended.state == tr.TRANSFER_STATE_COMPLETED
        for service in ("scheduler-1", "registry"):
            await fleet.services[service].stop()
        restored = await asyncio.to_thread(tgfleet, "restore", file, data=tmp_path / "other")
        assert restored.returncode == 0, restored.stderr
        put_back(fleet, tmp_path / "other")
        before = await sent(fleet)
        for service in ("registry", "scheduler-1"):
            fleet.services[service].start()
        await fleet.services["registry"].serving()
        await fleet.leader()
        await fleet.workers_connected(1)
        async with fleet.client() as client:
            results = await client.start_all(account_ids=list(scene.accounts))
            assert len(results) == len(scene.accounts)
            found = await Transfers(client).get(made.transfer_id)
            assert (found.state, found.reason) == (tr.TRANSFER_STATE_PAUSED, "RESTORED")
            assert "sent again" in found.detail
            assert "cancel it" in found.action
            assert 150 < found.done < ended.done
            assert (
                await Transfers(client).wish("Cancel", made.transfer_id)
            ).state == tr.TRANSFER_STATE_CANCELLED
            kept = await policy(client, name)
            assert (kept.daily_cap, list(kept.allowed_hours)) == (5_000, ["00:00-23:59"])
        assert await sent(fleet) == before
