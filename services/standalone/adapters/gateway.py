"""The public gateway as a client sees it: what `tgfleet up` and the demo ask of the fleet they started."""

from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from services.runtime.calls import open_call, unary
from services.runtime.channels import open_channel
from tgfleet.gateway.v1 import (
    account_pb2,
    account_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    result_pb2,
    transfer_pb2_grpc,
)

_LIMIT = 10.0
_PAGE = 1000


class GatewayClient:
    """A connection with an administrator's token. All methods raise TgfleetError."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = open_channel(address, wait_for_ready=True)
        self.fleet: Any = fleet_pb2_grpc.FleetServiceStub(self._channel)
        self.accounts: Any = account_pb2_grpc.AccountServiceStub(self._channel)
        self.transfers: Any = transfer_pb2_grpc.TransferServiceStub(self._channel)
        self.metadata = (("authorization", f"Bearer {token}"),)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def call(self, method: Any, request: Any, limit: float = _LIMIT) -> Any:
        """One answer, within so many seconds."""
        return await unary(method, request, timeout=limit, metadata=self.metadata)

    async def results(
        self, method: Any, request: Any, limit: float = 60.0
    ) -> AsyncIterator[result_pb2.AccountResult]:
        """The results of a fleet call as they come; the summary ends it."""
        async with open_call(method, request, timeout=limit, metadata=self.metadata) as call:
            async for message in call:
                for result in message.results:
                    yield result

    async def workers(self) -> Sequence[fleet_pb2.Worker]:
        """All workers that the scheduler knows."""
        request = fleet_pb2.ListWorkersRequest(page_size=_PAGE)
        return list((await self.call(self.fleet.ListWorkers, request)).workers)

    async def connected_workers(self) -> int:
        """How many workers the scheduler can give accounts to."""
        return sum(worker.state == fleet_pb2.WORKER_STATE_CONNECTED for worker in await self.workers())

    async def status(self) -> dict[str, fleet_pb2.AccountStatus]:
        """Every account's status, by name."""
        request = fleet_pb2.GetFleetStatusRequest(page_size=_PAGE)
        return {
            account.name: account
            for account in (await self.call(self.fleet.GetFleetStatus, request)).accounts
        }

    async def import_accounts(
        self, items: Iterable[account_pb2.ImportItem]
    ) -> Sequence[account_pb2.ImportResult]:
        """One result for each item, in order."""
        request = account_pb2.ImportAccountsRequest(items=items)
        return list((await self.call(self.accounts.ImportAccounts, request, limit=30)).results)

    async def account(self, name: str) -> account_pb2.Account:
        """One account by id or name."""
        request = account_pb2.GetAccountRequest(account_id=name)
        answer: account_pb2.GetAccountResponse = await self.call(self.accounts.GetAccount, request)
        return answer.account
