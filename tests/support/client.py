"""The public gRPC interface from a test's side, as a third party would use it; how tests wait and compare."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

import grpc

from tgfleet.gateway.v1 import (
    account_pb2,
    account_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    result_pb2,
    token_pb2_grpc,
    transfer_pb2_grpc,
)


class _Authorized:
    """A stub whose every call carries the token."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub, self._token = stub, token

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._stub, method)
        metadata = (("authorization", f"Bearer {self._token}"),) if self._token else ()

        def with_token(request: Any, timeout: float = 60) -> Any:
            return call(request, timeout=timeout, metadata=metadata)

        return with_token


class Client:
    """The public services, as a third party would use them."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self.fleet = _Authorized(fleet_pb2_grpc.FleetServiceStub(channel), token)
        self.accounts = _Authorized(account_pb2_grpc.AccountServiceStub(channel), token)
        self.tokens = _Authorized(token_pb2_grpc.TokenServiceStub(channel), token)
        self.transfers = _Authorized(transfer_pb2_grpc.TransferServiceStub(channel), token)

    async def import_sessions(
        self, sessions: Mapping[str, str], **common: Any
    ) -> dict[str, account_pb2.Account]:
        """Import session strings by name; fails unless all are added."""
        items = [
            account_pb2.ImportItem(name=name, session_string=text, **common)
            for name, text in sessions.items()
        ]
        added: dict[str, account_pb2.Account] = {}
        for start in range(0, len(items), 500):
            answer = await self.accounts.ImportAccounts(
                account_pb2.ImportAccountsRequest(items=items[start : start + 500])
            )
            for result in answer.results:
                assert not result.reason, f"{result.name}: {result.reason} {result.detail}"
                added[result.name] = result.account
        return added

    async def start_all(self, timeout: float = 60, **request: Any) -> list[result_pb2.AccountResult]:
        """StartAll; every result. Fails unless the summary agrees and no account has two."""
        return await collect(self.fleet.StartAll(fleet_pb2.StartAllRequest(**request), timeout=timeout))

    async def stop_all(self, timeout: float = 60, **request: Any) -> list[result_pb2.AccountResult]:
        """StopAll; every result, checked as in `start_all`."""
        return await collect(self.fleet.StopAll(fleet_pb2.StopAllRequest(**request), timeout=timeout))

    async def start_chat(self, timeout: float = 60, **request: Any) -> list[result_pb2.AccountResult]:
        """StartChat; every result, checked as in `start_all`."""
        return await collect(self.fleet.StartChat(fleet_pb2.StartChatRequest(**request), timeout=timeout))

    async def status(self) -> dict[str, fleet_pb2.AccountStatus]:
        """Every account's status by name."""
        answer = await self.fleet.GetFleetStatus(
            fleet_pb2.GetFleetStatusRequest(page_size=10_000), timeout=10
        )
        return {account.name: account for account in answer.accounts}


async def collect(call: Any) -> list[result_pb2.AccountResult]:
    """Drain a fleet call's stream; fails unless it ends with a summary that counts exactly its results."""
    results: list[result_pb2.AccountResult] = []
    summary = None
    try:
        async for message in call:
            assert summary is None, "a message after the summary"
            results += message.results
            if message.HasField("summary"):
                summary = message.summary
    finally:
        call.cancel()
    assert summary is not None, "the stream ended without a summary"
    assert summary.total == len(results)
    assert len({r.account_id for r in results}) == len(results), "an account has two results"
    return results


def outcomes(results: Iterable[result_pb2.AccountResult]) -> dict[str, str]:
    """Results as `{name: "OUTCOME" or "OUTCOME/REASON"}`, for comparing and reading."""
    return {r.name: outcome_text(r) for r in results}


def outcome_text(result: result_pb2.AccountResult) -> str:
    outcome = result_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_")
    reason = result_pb2.Reason.Name(result.reason).removeprefix("REASON_")
    return outcome if result.reason == result_pb2.REASON_UNSPECIFIED else f"{outcome}/{reason}"


async def eventually(check: Any, within: float, what: str) -> Any:
    """Poll an async check until it gives something true; fails with `what` at the deadline."""
    deadline = time.monotonic() + within
    while True:
        last: Any = None
        with contextlib.suppress(grpc.aio.AioRpcError):
            last = await check()
        if last:
            return last
        assert time.monotonic() < deadline, f"not within {within} s: {what} (last: {last!r})"
        await asyncio.sleep(0.1)
