"""Transfers as people meet them: roles, the real command line, and watching while what is between dies."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.fleet import ROOT, Fleet
from tests.support.transfers import ENDED, Scene, Transfers, new_scene
from tgfleet.gateway.v1 import account_pb2, token_pb2
from tgfleet.gateway.v1 import transfer_pb2 as tr
from tgfleet.testdc.v1 import control_pb2 as pb

FORWARD = "messages.forwardMessages"


async def tgfleet(fleet: Fleet, *arguments: str, within: float = 60) -> tuple[int, str, str]:
    """The installed command as a person uses it; exit code, stdout, stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TGFLEET_")}
    address = f"127.0.0.1:{fleet.ports['gateway-1']}"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.admin", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, "TGFLEET_GATEWAY": address, "TGFLEET_TOKEN": fleet.admin_token},
        cwd=ROOT,
    )
    out, err = await asyncio.wait_for(process.communicate(), within)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def staged(fleet: Fleet, *, slow: bool = False, **scene: Any) -> Scene:
    """A scene whose accounts run; with `slow` forwarding takes its time."""
    async with fleet.control() as control, fleet.client() as client:
        made = await new_scene(control, **scene)
        if slow:
            cost = pb.MethodCost(method=FORWARD)
            cost.per_call.FromMilliseconds(400)
            await control.SetRules(pb.SetRulesRequest(costs=[cost]))
        await client.import_sessions({name: sample.session for name, sample in made.accounts.items()})
        await client.start_all()
    return made


async def test_the_command_line_moves_messages_and_tells_all(tmp_path: Path) -> None:
    async with Fleet(tmp_path, workers=1) as fleet:
        scene = await staged(fleet, messages=300)
        chats = ("--from", str(scene.source_id), "--to", str(scene.target_id))
        names = ("--accounts", ",".join(scene.accounts))
        code, out, err = await tgfleet(fleet, "transfer", "create", *chats, *names, "--ids", "2-301")
        assert (code, "moves up to 300 messages: Source → Target, with 2 accounts." in out) == (0, True), err
        transfer_id = out.split()[0]
        assert f"→ Watch it: tgfleet transfer watch {transfer_id}" in err
        code, out, _ = await tgfleet(fleet, "transfer", "watch", transfer_id)
        assert code == 0
        moved = int(re.findall(r"Completed: (\d+) messages moved", out)[0])
        _, out, _ = await tgfleet(fleet, "transfer", "show", transfer_id, "--json")
        shown = json.loads(out)
        assert (shown["state"], shown["done"]) == ("COMPLETED", moved)
        assert moved + sum(shown["skipped"].values()) == 300
        _, out, _ = await tgfleet(fleet, "transfer", "list")
        assert re.search(rf"{transfer_id} +Source → Target +completed +{moved}", out)
        code, _, err = await tgfleet(fleet, "transfer", "resume", transfer_id)
        assert (code, "has ended" in err) == (1, True)


async def test_a_cap_and_a_wait_are_explained_and_waited_for(tmp_path: Path) -> None:
    async with Fleet(tmp_path, workers=1) as fleet:
        scene = await staged(fleet, messages=300, accounts=2)
        [first, second] = scene.accounts
        code, _, err = await tgfleet(
            fleet, "account", "set", first, "--daily-cap", "100", "--hours", "00:00-23:59"
        )
        assert code == 0, err
        async with fleet.control() as control:
            policy = pb.FloodPolicy(
                user_id=scene.accounts[second].user_id,
                methods=[FORWARD],
                shape=pb.FLOOD_SHAPE_BUCKET,
                budget=60,
            )
            policy.wait.FromSeconds(600)
            policy.period.FromSeconds(600)
            await control.SetFloodPolicy(pb.SetFloodPolicyRequest(policy=policy))
        async with fleet.client() as client:
            transfers = Transfers(client)
            made = await transfers.create(scene)
            waits = await transfers.until(
                made.transfer_id, lambda transfer: transfer.state == tr.TRANSFER_STATE_WAITING
            )
            assert waits.HasField("next_wake_time")
            assert 100 <= waits.done <= 200
            request = tr.ExplainTransferRequest(transfer_id=made.transfer_id)
            explained = {a.name: a for a in (await client.transfers.ExplainTransfer(request)).accounts}
            assert [o.reason for o in explained[first].obstacles] == ["DAILY_CAP"]
            assert (explained[first].sent_today, explained[first].daily_cap) == (100, 100)
            [flood] = [o for o in explained[second].obstacles if o.reason == "FLOOD_WAIT"]
            assert flood.HasField("until_time")
            _, out, _ = await tgfleet(fleet, "transfer", "explain", made.transfer_id)
            assert re.search(rf"{first} +not now .*100 of 100", out)
            # A person lifts the cap: the transfer wakes at once, and is done by the first account alone.
            assert (await tgfleet(fleet, "accounts", "set", first, "--daily-cap", "0"))[0] == 0
            ended = await transfers.ended(made.transfer_id)
            assert ended.state == tr.TRANSFER_STATE_COMPLETED
            account = await client.accounts.GetAccount(account_pb2.GetAccountRequest(account_id=second))
            assert FORWARD.lower() in {wait.method.lower() for wait in account.account.flood_waits}


async def test_each_role_may_do_with_transfers_what_it_may(tmp_path: Path) -> None:
    async with Fleet(tmp_path, workers=1) as fleet:
        scene = await staged(fleet, messages=20)
        async with fleet.client() as admin:
            tokens = {}
            for name, role in (("seer", token_pb2.ROLE_VIEWER), ("doer", token_pb2.ROLE_OPERATOR)):
                request = token_pb2.CreateTokenRequest(name=name, role=role)
                tokens[name] = (await admin.tokens.CreateToken(request)).secret
        async with fleet.client(token=tokens["doer"]) as doer, fleet.client(token=tokens["seer"]) as seer:
            made = await Transfers(doer).create(scene)
            named = {"transfer_id": made.transfer_id}
            await Transfers(seer).ended(made.transfer_id)
            await seer.transfers.ListTransfers(tr.ListTransfersRequest())
            await seer.transfers.ExplainTransfer(tr.ExplainTransferRequest(**named))
            watch = seer.transfers.WatchTransfer(tr.WatchTransferRequest(**named))
            assert [m.transfer.state async for m in watch] == [tr.TRANSFER_STATE_COMPLETED]
            refused = [
                (seer.transfers.CreateTransfer, tr.CreateTransferRequest()),
                (seer.transfers.PauseTransfer, tr.PauseTransferRequest(**named)),
                (seer.transfers.ResumeTransfer, tr.ResumeTransferRequest(**named)),
                (seer.transfers.CancelTransfer, tr.CancelTransferRequest(**named)),
                (seer.transfers.SettleBatch, tr.SettleBatchRequest(**named, shard=1, batch=1)),
            ]
            for method, wish in refused:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await method(wish)
                assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_watcher_hears_of_the_end_over_dead_leaders_and_gateways(tmp_path: Path) -> None:
    """The caller's own stream goes on over a lost leader; the command line also over a lost gateway."""
    async with Fleet(tmp_path, workers=1, schedulers=2) as fleet:
        scene = await staged(fleet, slow=True, messages=1_000)
        async with fleet.client() as client:
            made = await Transfers(client).create(scene)
            command = asyncio.create_task(tgfleet(fleet, "transfer", "watch", made.transfer_id))
            watch = client.transfers.WatchTransfer(tr.WatchTransferRequest(transfer_id=made.transfer_id))
            states: list[int] = []
            async for message in watch:
                states.append(message.transfer.state)
                if message.transfer.done > 100 and len(fleet.services["scheduler-1"].exits) == 0:
                    (await fleet.leader()).kill()
                    break
            assert not ENDED & set(states)
            last = [message.transfer async for message in watch][-1]
            assert last.state == tr.TRANSFER_STATE_COMPLETED
        code, out, _ = await command
        assert code == 0
        assert "Completed" in out


async def test_the_command_line_goes_on_watching_when_the_gateway_comes_back(tmp_path: Path) -> None:
    async with Fleet(tmp_path, workers=1) as fleet:
        scene = await staged(fleet, slow=True, messages=1_500)
        async with fleet.client() as client:
            made = await Transfers(client).create(scene)
            command = asyncio.create_task(tgfleet(fleet, "transfer", "watch", made.transfer_id))
            await Transfers(client).until(made.transfer_id, lambda transfer: transfer.done > 300)
        fleet.services["gateway-1"].kill()
        await asyncio.sleep(0.5)
        fleet.services["gateway-1"].start()
        code, out, err = await command
        assert (code, err) == (0, "")
        assert out.splitlines()[-1].startswith("Completed: ")
