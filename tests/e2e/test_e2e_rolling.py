"""Everything is restarted, one process after the other, under load: no unary call fails.

The caller does what any gRPC client does: several addresses behind round_robin with health checks, and the
standard retry policy of the service config. It never tries a call again by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf import field_mask_pb2

from tests.support.fleet import Client, Fleet, etcd_healthy, eventually, outcomes
from tests.support.postgres import PostgresProcess
from tests.support.telegram import new_accounts, violations
from tgfleet.gateway.v1 import account_pb2, fleet_pb2

ACCOUNTS = 6
CALLERS = 3
PAUSE = 0.03
"""Seconds between two calls of one caller: enough to be under way at every moment of a restart."""

POSTGRES = "postgres"

SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


@asynccontextmanager
async def retrying_client(fleet: Fleet) -> AsyncIterator[Client]:
    """A client of all gateways, as a third party would configure it."""
    ports = [port for name, port in sorted(fleet.ports.items()) if name.startswith("gateway-")]
    target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    options = [("grpc.service_config", SERVICE_CONFIG), ("grpc.max_reconnect_backoff_ms", 2_000)]
    if fleet.authority is None:
        opened = grpc.aio.insecure_channel(target, options=options)
    else:
        trusted = grpc.ssl_channel_credentials(fleet.authority.ca.read_bytes())
        named = ("grpc.ssl_target_name_override", "localhost")  # several addresses, one name
        opened = grpc.aio.secure_channel(target, trusted, options=[*options, named])
    async with opened as channel:
        yield Client(channel, fleet.admin_token)


def unary_calls(client: Client) -> list[Callable[[], Awaitable[object]]]:
    """Reads and a change, to the registry and to the scheduler."""
    change = account_pb2.UpdateAccountRequest(
        account=account_pb2.Account(account_id="acc-1", priority=7),
        update_mask=field_mask_pb2.FieldMask(paths=["priority"]),
    )
    return [
        lambda: client.accounts.ListAccounts(account_pb2.ListAccountsRequest()),
        lambda: client.accounts.GetAccount(account_pb2.GetAccountRequest(account_id="acc-2")),
        lambda: client.accounts.UpdateAccount(change),
        lambda: client.fleet.GetFleetStatus(fleet_pb2.GetFleetStatusRequest()),
        lambda: client.fleet.ListWorkers(fleet_pb2.ListWorkersRequest()),
    ]


class Load:
    """Callers that call all the time and note what failed while what was being restarted."""

    def __init__(self, client: Client) -> None:
        self._calls = unary_calls(client)
        self.now = "nothing"
        self.failed: list[str] = []
        self.served: Counter[str] = Counter()

    async def called(self) -> bool:
        """Whether a call that began during this restart has ended."""
        return self.served[self.now] > 0 or bool(self.failed)

    async def run(self, stop: asyncio.Event) -> None:
        """Call until told to stop."""
        number = 0
        while not stop.is_set():
            restarted = self.now
            try:
                await self._calls[number % len(self._calls)]()
                self.served[restarted] += 1
            except grpc.aio.AioRpcError as error:
                self.failed.append(f"{restarted}: {error.code().name} {error.details()}")
            number += 1
            await asyncio.sleep(PAUSE)


async def restart(fleet: Fleet, name: str) -> None:
    """SIGTERM, wait for the end, start again, wait until it serves."""
    if name == POSTGRES:
        assert fleet.postgres is not None
        await asyncio.to_thread(fleet.postgres.stop)
        await asyncio.to_thread(fleet.postgres.start)
        return
    service = fleet.services[name]
    code = await service.stop()
    assert code == (-15 if name.startswith("etcd") else 0), f"{name} ended with {code}:\n{service.tail()}"
    service.start()
    if name.startswith("etcd"):
        await etcd_healthy(service)
    elif name.startswith("scheduler"):
        await fleet.leader()
    else:
        await service.serving()


def everything(fleet: Fleet) -> list[str]:
    """All processes but Telegram, the foundations first."""
    order = ("etcd", "registry", "scheduler", "gateway", "worker")
    database = [POSTGRES] if fleet.postgres is not None else []
    return database + sorted(
        (name for name in fleet.services if name.split("-")[0] in order),
        key=lambda name: (order.index(name.split("-")[0]), name),
    )


@pytest.mark.timeout(240)
async def test_no_unary_call_fails_while_everything_is_restarted(tmp_path: Path) -> None:
    async with Fleet(tmp_path, workers=2, schedulers=2, gateways=2, etcds=3) as fleet:
        await _restarted_under_load(fleet)


@pytest.mark.timeout(240)
async def test_nor_with_two_of_each_on_postgresql_and_mtls(tmp_path: Path) -> None:
    with PostgresProcess() as postgres:
        two = {"workers": 2, "registries": 2, "schedulers": 2, "gateways": 2}
        async with Fleet(tmp_path, **two, etcds=3, postgres=postgres, tls=True) as fleet:
            await _restarted_under_load(fleet)


async def _restarted_under_load(fleet: Fleet) -> None:
    async with retrying_client(fleet) as client:
        async with fleet.control() as control:
            accounts = await new_accounts(control, ACCOUNTS)
        await client.import_sessions({name: account.session for name, account in accounts.items()})
        assert outcomes(await client.start_all()) == dict.fromkeys(accounts, "STARTED")
        load, stop = Load(client), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(load.run(stop))
            try:
                for load.now in everything(fleet):
                    await restart(fleet, load.now)
                    await eventually(load.called, 20, f"calls after the restart of {load.now}")
            finally:
                stop.set()
        assert not load.failed, f"{len(load.failed)} of {load.served.total()}: {load.failed[:10]}"

        async def all_running() -> bool:
            status = await client.status()
            return all(account.state == fleet_pb2.SESSION_STATE_RUNNING for account in status.values())

        await eventually(all_running, 60, "every account runs again")
        async with fleet.control() as control:
            assert (await violations(control)).sentences == []
