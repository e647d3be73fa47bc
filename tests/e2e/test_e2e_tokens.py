"""A token is rotated under load: a new one is made, the old one revoked, while both are in use."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from tests.support.errors import refusal
from tests.support.fleet import Client, Fleet, eventually, outcomes
from tests.support.telegram import new_accounts
from tgfleet.gateway.v1 import account_pb2, fleet_pb2, token_pb2

GATEWAYS = (1, 2)
REMEMBERED = 5.0
"""Seconds for which a gateway may still let a revoked token in, by OPERATIONS.md."""
SLACK = 1.0
"""What a busy machine may add to that."""


@dataclass
class Bearer:
    """Calls of one token through one gateway; times are seconds on this process's monotonic clock."""

    client: Client
    served: list[float] = field(default_factory=list)
    refused: list[tuple[float, str]] = field(default_factory=list)

    async def call(self, stop: asyncio.Event) -> None:
        """Read, look and change until told to stop."""
        change = account_pb2.UpdateAccountRequest(
            account=account_pb2.Account(account_id="acc-1", priority=3), update_mask={"paths": ["priority"]}
        )
        while not stop.is_set():
            for request in (
                lambda: self.client.accounts.ListAccounts(account_pb2.ListAccountsRequest()),
                lambda: self.client.fleet.GetFleetStatus(fleet_pb2.GetFleetStatusRequest()),
                lambda: self.client.accounts.UpdateAccount(change),
            ):
                began = time.monotonic()
                try:
                    await request()
                    self.served.append(began)
                except grpc.aio.AioRpcError as error:
                    self.refused.append((began, refusal(error).reason))
                await asyncio.sleep(0.02)


async def _secret(admin: Client, name: str) -> str:
    request = token_pb2.CreateTokenRequest(name=name, role=token_pb2.ROLE_OPERATOR)
    return str((await admin.tokens.CreateToken(request)).secret)


@pytest.mark.timeout(120)
async def test_a_new_token_works_at_once_and_the_old_one_stops_in_time(tmp_path: Path) -> None:
    async with Fleet(tmp_path, workers=1, gateways=len(GATEWAYS)) as fleet, fleet.client() as admin:
        async with fleet.control() as control:
            accounts = await new_accounts(control, 2)
        await admin.import_sessions({name: account.session for name, account in accounts.items()})
        assert outcomes(await admin.start_all()) == dict.fromkeys(accounts, "STARTED")
        await _rotated_under_load(fleet, admin)


async def _rotated_under_load(fleet: Fleet, admin: Client) -> None:
    stop = asyncio.Event()
    async with contextlib.AsyncExitStack() as channels, asyncio.TaskGroup() as group:

        async def use(secret: str) -> list[Bearer]:
            clients = [await channels.enter_async_context(fleet.client(n, secret)) for n in GATEWAYS]
            bearers = [Bearer(client) for client in clients]
            for bearer in bearers:
                group.create_task(bearer.call(stop))
            return bearers

        try:
            old = await use(await _secret(admin, "old"))
            await eventually(lambda: _all_served(old, 10), 20, "the old token is in use")
            new = await use(await _secret(admin, "new"))
            await eventually(lambda: _all_served(new, 10), 20, "both are in use")
            asked = time.monotonic()
            await admin.tokens.RevokeToken(token_pb2.RevokeTokenRequest(name="old"))
            revoked = time.monotonic()
            await eventually(lambda: _all_refused(old, 10), REMEMBERED + 20, "the old token is of no use")
            await eventually(lambda: _all_served(new, 300), 30, "the new one is used on")
        finally:
            stop.set()
    for bearer in new:
        assert bearer.refused == [], "0 failed requests with the new one"
    for bearer in old:
        assert {reason for _, reason in bearer.refused} == {"TOKEN_INVALID"}
        assert min(at for at, _ in bearer.refused) > asked, "not refused before it was revoked"
        assert max(bearer.served) < revoked + REMEMBERED + SLACK
        assert max(bearer.served) < min(at for at, _ in bearer.refused), "once refused it stays refused"


async def _all_served(bearers: list[Bearer], count: int) -> bool:
    return all(len(bearer.served) >= count for bearer in bearers)


async def _all_refused(bearers: list[Bearer], count: int) -> bool:
    return all(len(bearer.refused) >= count for bearer in bearers)
