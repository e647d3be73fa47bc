"""Session files stay on their worker: announced, offered, imported only when asked, started only there."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.testdc.adapters.sessions import Login, write_session_file
from tests.support.fleet import Client, Fleet, eventually, outcomes
from tests.support.telegram import Sample, connected_keys, new_accounts, violations
from tgfleet.gateway.v1 import account_pb2, fleet_pb2


async def _announced(client: Client, worker_id: str, file_name: str) -> fleet_pb2.AnnouncedFile | None:
    workers = (await client.fleet.ListWorkers(fleet_pb2.ListWorkersRequest())).workers
    files = [file for worker in workers if worker.worker_id == worker_id for file in worker.files]
    return next((file for file in files if file.file_name == file_name), None)


async def _import_file(client: Client, name: str, worker_id: str, file_name: str) -> None:
    source = account_pb2.WorkerFile(worker_id=worker_id, file_name=file_name)
    items = [account_pb2.ImportItem(name=name, worker_file=source)]
    answer = await client.accounts.ImportAccounts(account_pb2.ImportAccountsRequest(items=items))
    assert not answer.results[0].reason, answer.results[0].detail


def _place(fleet: Fleet, worker_id: str, file_name: str, sample: Sample) -> Path:
    path = fleet.directory / worker_id / file_name
    login = Login(
        dc_id=2,
        auth_key=sample.auth_key,
        user_id=sample.user_id,
        api_id=4242,
        host="127.0.0.1",
        port=fleet.ports["testdc"],
    )
    write_session_file(path, login)
    return path


async def test_a_session_file_is_offered_then_imported_then_started_on_its_worker(fleet: Fleet) -> None:
    async with fleet.control() as control, fleet.client() as client:
        sample = (await new_accounts(control, 1))["acc-1"]
        path = _place(fleet, "worker-2", "night.session", sample)
        before = path.read_bytes()
        file = await eventually(lambda: _announced(client, "worker-2", "night.session"), 20, "announced")
        assert (file.auth_key_id, file.user_id, file.account_id) == (sample.auth_key_id, sample.user_id, "")
        listed = (await client.accounts.ListAccounts(account_pb2.ListAccountsRequest())).accounts
        assert not listed, "nothing is imported by itself"
        await _import_file(client, "night", "worker-2", "night.session")

        async def owned() -> bool:
            found = await _announced(client, "worker-2", "night.session")
            return found is not None and bool(found.account_id)

        await eventually(owned, 10, "the file is somebody's now, although it never ran")
        results = await client.start_all()
        assert outcomes(results) == {"night": "STARTED"}
        assert results[0].worker_id == "worker-2"
        assert await connected_keys(control) == {sample.auth_key_id}
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == ["night.session"], "no journal, no lock"
        assert not (await violations(control)).sentences


async def test_what_is_wrong_with_a_session_file_is_said(fleet: Fleet) -> None:
    async with fleet.control() as control, fleet.client() as client:
        samples = await new_accounts(control, 2)
        gone = _place(fleet, "worker-1", "gone.session", samples["acc-1"])
        twice = _place(fleet, "worker-1", "twice.session", samples["acc-2"])
        (fleet.directory / "worker-1" / "garbage.session").write_bytes(b"this is no session")
        for name in ("gone", "twice", "garbage"):
            await eventually(lambda name=name: _announced(client, "worker-1", f"{name}.session"), 20, name)
            await _import_file(client, name, "worker-1", f"{name}.session")
        shutil.copy(twice, fleet.directory / "worker-2" / "copy.session")
        await eventually(lambda: _announced(client, "worker-2", "copy.session"), 20, "the copy is announced")
        gone.unlink()

        async def forgotten() -> bool:
            return await _announced(client, "worker-1", "gone.session") is None

        await eventually(forgotten, 20, "the missing file is no longer announced")
        results = {result.name: result for result in await client.start_all()}
        assert outcomes(results.values()) == {
            "gone": "FAILED/SESSION_MISSING",
            "twice": "SKIPPED/SESSION_CONFLICT",
            "garbage": "FAILED/SESSION_INVALID",
        }
        assert "worker-1" in results["twice"].detail
        assert "worker-2" in results["twice"].detail
        assert all(result.action for result in results.values())
        assert await connected_keys(control) == set()
