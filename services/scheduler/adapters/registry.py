"""The registry, reached over gRPC. Knows nothing of the scheduler's decisions; errors leave as
TgfleetError."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from services.runtime.calls import open_call, unary
from services.runtime.errors import Unavailable
from services.scheduler import wire
from services.scheduler.domain.commands import ReportCrashes, SetWanted
from services.scheduler.domain.events import AccountsChanged, AccountsSnapshot, Wishes
from services.scheduler.domain.model import AccountSpec
from services.scheduler.ports import Resolved, Saved, Selection, WatchBegan
from tgfleet.registry.v1 import registry_pb2
from tgfleet.registry.v1.registry_pb2_grpc import RegistryServiceStub

_Watch = grpc.aio.UnaryStreamCall[Any, Any]

_TIMEOUT = 15.0
_FACTS_PER_CALL = 1000


class RegistryClient:
    """Implements ports.Registry."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = RegistryServiceStub(channel)

    async def resolve(self, selection: Selection, time_left: float) -> Resolved:
        request = registry_pb2.ResolveAccountsRequest(
            account_ids=selection.account_ids, match_labels=selection.match_labels
        )
        answer = await unary(self._stub.ResolveAccounts, request, timeout=min(time_left, _TIMEOUT))
        return Resolved(list(answer.account_ids), answer.revision)

    async def revision(self, time_left: float) -> int:
        request = registry_pb2.ResolveAccountsRequest(revision_only=True)
        answer = await unary(self._stub.ResolveAccounts, request, timeout=min(time_left, _TIMEOUT))
        return answer.revision

    async def set_wanted(self, command: SetWanted) -> Saved:
        request = registry_pb2.SetWantedRequest(
            account_ids=command.account_ids, running=command.running, chatting=command.chatting
        )
        answer = await unary(self._stub.SetWanted, request, timeout=_TIMEOUT)
        return Saved(frozenset(answer.account_ids), answer.revision)

    async def report_crashes(self, command: ReportCrashes, fact_ids: Sequence[str]) -> None:
        facts = wire.crash_facts(command, fact_ids)
        for start in range(0, len(facts), _FACTS_PER_CALL):
            request = registry_pb2.ReportFactsRequest(facts=facts[start : start + _FACTS_PER_CALL])
            await unary(self._stub.ReportFacts, request, timeout=_TIMEOUT)

    async def watch(self) -> AsyncIterator[WatchBegan | AccountsChanged]:
        async with open_call(self._stub.WatchAccounts, registry_pb2.WatchAccountsRequest()) as call:
            yield await _snapshot(call)
            while True:  # not `async for`: grpc.aio allows no mixture of iterating and reading
                yield _change(await _read(call))


async def _snapshot(call: _Watch) -> WatchBegan:
    accounts: list[AccountSpec] = []
    starts_stopped = ""
    while True:
        message = await _read(call)
        accounts.extend(wire.account_spec(record) for record in message.accounts)
        if message.starts_stopped:
            starts_stopped = message.starts_stopped
        if message.snapshot_complete:
            snapshot = AccountsSnapshot(accounts, message.revision, starts_stopped)
            ttl, settle = wire.seconds_of(message.lease_ttl), wire.seconds_of(message.lease_settle)
            return WatchBegan(snapshot, ttl, settle)


async def _read(call: _Watch) -> registry_pb2.WatchAccountsResponse:
    message: Any = await call.read()
    if message is grpc.aio.EOF:
        raise Unavailable("The registry ended the watch of accounts.", reason="WATCH_ENDED")
    answer: registry_pb2.WatchAccountsResponse = message
    return answer


def _change(message: registry_pb2.WatchAccountsResponse) -> AccountsChanged:
    return AccountsChanged(
        accounts=[wire.account_spec(record) for record in message.accounts],
        deleted=list(message.deleted_account_ids),
        revision=message.revision,
        starts_stopped=message.starts_stopped if message.starts_stopped_changed else None,
        wishes=[Wishes(one.running, one.chatting, list(one.account_ids)) for one in message.wishes],
    )
