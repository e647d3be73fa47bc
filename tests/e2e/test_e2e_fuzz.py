"""Every public RPC, as its descriptors list it, answers 2,000 senseless requests with sense.

The accounts of this fleet are throw-away ones, so destructive calls are fuzzed as well. One word is kept out
of the pool: the name of the token that the fuzzer itself calls with.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

import tgfleet.gateway.v1
from tests.support.fleet import Client, Fleet
from tests.support.fuzzing import Fuzzer
from tests.support.telegram import new_accounts
from tests.support.transfers import new_scene
from tgfleet.gateway.v1 import account_pb2, fleet_pb2, token_pb2, transfer_pb2

REQUESTS = 2_000
"""For each RPC, as the issue asks."""
WARM_UP = 300
"""So many of them go before memory is measured: caches and pools have their size then."""
IN_FLIGHT = 24
GROWTH_KIB = 24 * 1024
"""A process that keeps 1 KiB of each request would grow by more than 30 MiB."""
WATCH_SECONDS = 0.3
"""The deadline of watches, which would go on for ever. Fleet calls have CALL_SECONDS, to be answered in."""
CALL_SECONDS = 20.0

WATCHES = {"WatchEvents", "WatchTransfer"}
NEVER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
NAMES = [f"fuzz-{n}" for n in range(6)]


def public_methods() -> Iterator[MethodDescriptor]:
    """Every RPC of every service in the public package: a new one is fuzzed without being named here."""
    for module in pkgutil.iter_modules(tgfleet.gateway.v1.__path__):
        if module.name.endswith("_pb2"):
            described = importlib.import_module(f"tgfleet.gateway.v1.{module.name}").DESCRIPTOR
            for service in described.services_by_name.values():
                yield from service.methods


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


class Volley:
    """Sends fuzzed requests of one method and counts how they end."""

    def __init__(self, channel: grpc.aio.Channel, token: str, rng: random.Random) -> None:
        self._channel, self._rng = channel, rng
        self._metadata = (("authorization", f"Bearer {token}"),)
        self.ends: Counter[tuple[str, str]] = Counter()
        self.bad: list[str] = []

    async def fire(self, method: MethodDescriptor, count: int, words: list[str]) -> None:
        """`count` requests, IN_FLIGHT at a time."""
        fuzzer = Fuzzer(self._rng, words)
        requests = (fuzzer.request(method.input_type) for _ in range(count))

        async def shoot() -> None:
            for request in requests:
                await self._one(method, request)

        await asyncio.gather(*(shoot() for _ in range(IN_FLIGHT)))

    async def _one(self, method: MethodDescriptor, request: bytes) -> None:
        path = f"/{method.containing_service.full_name}/{method.name}"
        try:
            if method.server_streaming:
                await self._stream(path, request)
            else:
                unary: Any = self._channel.unary_unary(path)
                await unary(request, timeout=30, metadata=self._metadata)
            self.ends[method.name, "OK"] += 1
        except grpc.aio.AioRpcError as error:
            code = error.code()
            self.ends[method.name, code.name] += 1
            late = code is grpc.StatusCode.DEADLINE_EXCEEDED and method.name not in WATCHES
            nobody = "NO_ACCOUNT_RUNNING" in repr(
                error.trailing_metadata()
            )  # as it should be: none can start
            if (code in NEVER and not nobody) or late:
                self.bad.append(f"{path} {code.name} {error.details()!r}: {request[:300].hex()}")

    async def _stream(self, path: str, request: bytes) -> None:
        watches = path.rpartition("/")[2] in WATCHES
        seconds = WATCH_SECONDS if watches else CALL_SECONDS
        streaming: Any = self._channel.unary_stream(path)
        call = streaming(request, timeout=seconds, metadata=self._metadata)
        try:
            async for _ in call:
                if watches:
                    break
        finally:
            call.cancel()


class Targets:
    """Throw-away accounts and a token, made again before each volley: some volleys delete them. And two chats
    with a transfer between them."""

    def __init__(self, sessions: list[str], source: str, target: str) -> None:
        self._sessions = dict(zip(NAMES, sessions, strict=True))
        self._chats = (source, target)

    async def words(self, client: Client) -> list[str]:
        """Texts that mean something to the fleet as it is now; what is missing is made first."""
        items = [
            account_pb2.ImportItem(name=name, session_string=session, labels={NAMES[0]: NAMES[1]})
            for name, session in self._sessions.items()
        ]
        await client.accounts.ImportAccounts(account_pb2.ImportAccountsRequest(items=items))
        known = (await client.accounts.ListAccounts(account_pb2.ListAccountsRequest(page_size=1000))).accounts
        for odd in (account for account in known if account.name not in self._sessions):
            await client.accounts.DeleteAccount(account_pb2.DeleteAccountRequest(account_id=odd.account_id))
        token = token_pb2.CreateTokenRequest(name="fuzz-token", role=token_pb2.ROLE_VIEWER)
        with contextlib.suppress(grpc.aio.AioRpcError):  # it is there already
            await client.tokens.CreateToken(token)
        ids = [account.account_id for account in known if account.name in self._sessions]
        transfer = await self._transfer(client)
        words = [
            *NAMES,
            *ids,
            *ids,
            "fuzz-token",
            "worker-1",
            "name",
            "labels",
            "priority",
            "transfer_policy",
        ]
        return [*words, *self._chats, *([transfer] * 3)]

    async def _transfer(self, client: Client) -> str:
        """The same one each time, unless its accounts cannot even be started now."""
        spec = transfer_pb2.TransferSpec(source=self._chats[0], target=self._chats[1], account_ids=NAMES)
        request = transfer_pb2.CreateTransferRequest(spec=spec, request_id="fuzz")
        try:
            return (await client.transfers.CreateTransfer(request, timeout=60)).transfer.transfer_id
        except grpc.aio.AioRpcError as error:
            if "NO_ACCOUNT_RUNNING" not in repr(error.trailing_metadata()):
                raise
            return "tr_aaaaaaaaaaaa"


async def _still_works(fleet: Fleet) -> None:
    """Another account, imported now, starts: the fleet is whole."""
    async with fleet.control() as control, fleet.client() as client:
        await client.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="worker-1", undo=True))
        await client.fleet.ResumeStarts(fleet_pb2.ResumeStartsRequest())
        account = (await new_accounts(control, 1, prefix="after"))["after-1"]
        await client.import_sessions({"after": account.session})
        results = await client.start_all(account_ids=["after"])
        assert [result.detail for result in results if result.outcome != 1] == []


@pytest.mark.timeout(400)
async def test_every_public_rpc_survives_two_thousand_senseless_requests(tmp_path: Path) -> None:
    methods = list(public_methods())
    assert len(methods) >= 20, "the public interface has shrunk"
    async with Fleet(tmp_path, workers=1, settings={"TGFLEET_LOG_LEVEL": "warning"}) as fleet:
        ours = [
            name
            for name in fleet.services
            if name.split("-")[0] in {"gateway", "registry", "scheduler", "worker"}
        ]
        async with fleet.control() as control:
            scene = await new_scene(control, accounts=len(NAMES), messages=50)
        sessions = [account.session for account in scene.accounts.values()]
        targets = Targets(sessions, str(scene.source_id), str(scene.target_id))
        address = f"127.0.0.1:{fleet.ports['gateway-1']}"
        async with fleet.client() as client, grpc.aio.insecure_channel(address) as channel:
            volley = Volley(channel, fleet.admin_token, random.Random(3))
            for method in methods:
                await volley.fire(method, WARM_UP, await targets.words(client))
            before = {name: resident_kib(fleet.services[name].pid) for name in ours}
            for method in methods:
                await volley.fire(method, REQUESTS - WARM_UP, await targets.words(client))
            after = {name: resident_kib(fleet.services[name].pid) for name in ours}
        assert not volley.bad, f"{len(volley.bad)} requests:\n" + "\n".join(volley.bad[:20])
        assert {
            name: kib - before[name] for name, kib in after.items() if kib - before[name] > GROWTH_KIB
        } == {}
        assert all(fleet.services[name].alive() for name in ours)
        await _still_works(fleet)
