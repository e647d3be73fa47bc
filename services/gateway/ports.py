"""What the gateway needs from outside.

The gateway translates nothing: it hands the public messages on. So its ports speak them, and adapters wrap
them in the owners' internal requests. All of them raise `TgfleetError` only."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from services.gateway.domain.credentials import Caller, Refusal
from tgfleet.gateway.v1 import (
    account_pb2,
    audit_pb2,
    event_pb2,
    fleet_pb2,
    key_pb2,
    result_pb2,
    token_pb2,
    transfer_pb2,
)


class FleetCallKind(Enum):
    """Which of the four fleet calls."""

    START_ALL = "StartAll"
    STOP_ALL = "StopAll"
    START_CHAT = "StartChat"
    STOP_CHAT = "StopChat"


@dataclass(frozen=True, slots=True)
class FleetCall:
    """One fleet call, as a scheduler is asked for it."""

    kind: FleetCallKind
    request_id: str
    account_ids: Sequence[str] = ()
    match_labels: Mapping[str, str] = field(default_factory=dict)
    wait_for: timedelta = timedelta(0)
    start_time: datetime | None = None
    """When the caller's call arrived here; the same however often it is asked again."""


@dataclass(frozen=True, slots=True)
class FleetAnswer:
    """One message of a scheduler: the selection (its first), or results."""

    selected: Sequence[str] | None
    results: Sequence[result_pb2.AccountResult]


class TokenAuthority(Protocol):
    """Knows tokens."""

    async def verify(self, secret: str) -> Caller | Refusal:
        """Whose token it is. Raises Unavailable when that cannot be found out now."""
        ...


class AccountDirectory(Protocol):
    """Knows which accounts there are."""

    async def names(self, account_ids: Collection[str], within: float) -> Mapping[str, str]:
        """The names of those accounts that exist, by id, found within `within` seconds."""
        ...


class FleetScheduler(Protocol):
    """The scheduler that leads now."""

    def run(self, call: FleetCall, within: float) -> AsyncGenerator[FleetAnswer, None]:
        """Carries out a fleet call, waiting for a leader if there is none. Closing the generator cancels the
        watching. Raises DeadlineExceeded after `within` seconds, Unavailable or Aborted when the leader is
        lost."""
        ...

    def watch(
        self, request: fleet_pb2.WatchEventsRequest, within: float | None
    ) -> AsyncGenerator[Sequence[event_pb2.Event], None]:
        """Events from now on; the first item is empty and says that the watch stands. Raises as `run`."""
        ...

    async def status(
        self, request: fleet_pb2.GetFleetStatusRequest, within: float
    ) -> fleet_pb2.GetFleetStatusResponse:
        """As FleetService.GetFleetStatus."""
        ...

    async def workers(
        self, request: fleet_pb2.ListWorkersRequest, within: float
    ) -> fleet_pb2.ListWorkersResponse:
        """As FleetService.ListWorkers."""
        ...

    async def drain(
        self, request: fleet_pb2.DrainWorkerRequest, within: float
    ) -> fleet_pb2.DrainWorkerResponse:
        """As FleetService.DrainWorker."""
        ...


class TransferScheduler(Protocol):
    """The scheduler that leads, for transfers. Every method is the public RPC of the same name, within
    `within` seconds; Unavailable and Aborted mean that the leader was lost and may be asked again."""

    async def create(
        self, request: transfer_pb2.CreateTransferRequest, within: float
    ) -> transfer_pb2.CreateTransferResponse: ...

    async def get(
        self, request: transfer_pb2.GetTransferRequest, within: float
    ) -> transfer_pb2.GetTransferResponse: ...

    async def page(
        self, request: transfer_pb2.ListTransfersRequest, within: float
    ) -> transfer_pb2.ListTransfersResponse:
        """As TransferService.ListTransfers."""
        ...

    def watch(
        self, request: transfer_pb2.WatchTransferRequest, within: float | None
    ) -> AsyncGenerator[transfer_pb2.Transfer, None]:
        """As it is now, then after every change, until its end. Closing the generator cancels the
        watching."""
        ...

    async def pause(
        self, request: transfer_pb2.PauseTransferRequest, within: float
    ) -> transfer_pb2.PauseTransferResponse: ...

    async def resume(
        self, request: transfer_pb2.ResumeTransferRequest, within: float
    ) -> transfer_pb2.ResumeTransferResponse: ...

    async def cancel(
        self, request: transfer_pb2.CancelTransferRequest, within: float
    ) -> transfer_pb2.CancelTransferResponse: ...

    async def explain(
        self, request: transfer_pb2.ExplainTransferRequest, within: float
    ) -> transfer_pb2.ExplainTransferResponse: ...

    async def settle(
        self, request: transfer_pb2.SettleBatchRequest, within: float
    ) -> transfer_pb2.SettleBatchResponse: ...


class AccountRegistry(AccountDirectory, Protocol):
    """Owns the accounts. Every method is the public RPC of the same name, within `within` seconds."""

    async def list_accounts(
        self, request: account_pb2.ListAccountsRequest, within: float
    ) -> account_pb2.ListAccountsResponse: ...

    async def get_account(
        self, request: account_pb2.GetAccountRequest, within: float
    ) -> account_pb2.GetAccountResponse: ...

    async def import_accounts(
        self, request: account_pb2.ImportAccountsRequest, within: float
    ) -> account_pb2.ImportAccountsResponse: ...

    async def update_account(
        self, request: account_pb2.UpdateAccountRequest, within: float
    ) -> account_pb2.UpdateAccountResponse: ...

    async def delete_account(self, account_id: str, within: float) -> None: ...

    async def set_enabled(self, account_id: str, *, enabled: bool, within: float) -> account_pb2.Account: ...

    async def reset_flood_waits(
        self, request: account_pb2.ResetFloodWaitsRequest, within: float
    ) -> account_pb2.ResetFloodWaitsResponse: ...

    async def resume_starts(self, within: float) -> bool:
        """Lets accounts start again; whether they were stopped before."""
        ...


class TokenRegistry(Protocol):
    """Owns the tokens. Every method is the public RPC of the same name, within `within` seconds."""

    async def create_token(
        self, request: token_pb2.CreateTokenRequest, within: float
    ) -> token_pb2.CreateTokenResponse: ...

    async def list_tokens(
        self, request: token_pb2.ListTokensRequest, within: float
    ) -> token_pb2.ListTokensResponse: ...

    async def update_token(
        self, request: token_pb2.UpdateTokenRequest, within: float
    ) -> token_pb2.UpdateTokenResponse: ...

    async def revoke_token(self, request: token_pb2.RevokeTokenRequest, within: float) -> None: ...


class KeyRegistry(Protocol):
    """Knows the master keys. Every method is the public RPC of the same name, within `within` seconds."""

    async def list_keys(self, within: float) -> key_pb2.ListKeysResponse: ...

    def rotate_keys(self, within: float | None) -> AsyncGenerator[key_pb2.RotateKeysResponse, None]:
        """The progress, the last message with `done`. Closing the generator ends the rotation."""
        ...


class AuditRegistry(Protocol):
    """Keeps the audit trail."""

    async def list_audit(
        self, request: audit_pb2.ListAuditEntriesRequest, within: float
    ) -> audit_pb2.ListAuditEntriesResponse:
        """As AuditService.ListAuditEntries."""
        ...

    async def record_audit(self, entries: Sequence[audit_pb2.AuditEntry], within: float) -> None:
        """Puts entries on disk, each once however often it is sent."""
        ...
