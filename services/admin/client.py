"""The channel to the gateway: token, deadlines and error translation. The only file that knows stubs and
metadata."""

from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from services.admin.connection import Connection
from services.runtime.calls import open_call, unary
from services.runtime.channels import open_channel
from tgfleet.gateway.v1.account_pb2_grpc import AccountServiceStub
from tgfleet.gateway.v1.audit_pb2_grpc import AuditServiceStub
from tgfleet.gateway.v1.fleet_pb2_grpc import FleetServiceStub
from tgfleet.gateway.v1.key_pb2_grpc import KeyServiceStub
from tgfleet.gateway.v1.token_pb2_grpc import TokenServiceStub
from tgfleet.gateway.v1.transfer_pb2_grpc import TransferServiceStub

if TYPE_CHECKING:  # these exist for the type checker only
    from tgfleet.gateway.v1.account_pb2_grpc import AccountServiceAsyncStub
    from tgfleet.gateway.v1.audit_pb2_grpc import AuditServiceAsyncStub
    from tgfleet.gateway.v1.fleet_pb2_grpc import FleetServiceAsyncStub
    from tgfleet.gateway.v1.key_pb2_grpc import KeyServiceAsyncStub
    from tgfleet.gateway.v1.token_pb2_grpc import TokenServiceAsyncStub
    from tgfleet.gateway.v1.transfer_pb2_grpc import TransferServiceAsyncStub

Request = TypeVar("Request")
Answer = TypeVar("Answer")

DEFAULT_SECONDS = 30.0


class Gateway:
    """One connection to a gateway, as `async with Gateway(connection) as gateway:`. Raises TgfleetError
    only."""

    fleet: "FleetServiceAsyncStub"
    accounts: "AccountServiceAsyncStub"
    tokens: "TokenServiceAsyncStub"
    keys: "KeyServiceAsyncStub"
    audit: "AuditServiceAsyncStub"
    transfers: "TransferServiceAsyncStub"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Self:
        tls = grpc.ssl_channel_credentials(self._connection.roots) if self._connection.tls else None
        self._channel = open_channel(str(self._connection.gateway), credentials=tls)
        self.fleet = FleetServiceStub(self._channel)
        self.accounts = AccountServiceStub(self._channel)
        self.tokens = TokenServiceStub(self._channel)
        self.keys = KeyServiceStub(self._channel)
        self.audit = AuditServiceStub(self._channel)
        self.transfers = TransferServiceStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def ask(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Answer]",
        request: Request,
        seconds: float = DEFAULT_SECONDS,
    ) -> Answer:
        """Calls a unary method of a stub."""
        return await unary(method, request, timeout=seconds, metadata=self._metadata())

    async def stream(
        self, method: Callable[..., Any], request: Any, *, seconds: float | None
    ) -> AsyncGenerator[Any, None]:
        """The messages of a streaming method. Closing the generator ends the call."""
        async with open_call(method, request, timeout=seconds, metadata=self._metadata()) as messages:
            async for message in messages:
                yield message

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._connection.token.reveal()}"),)
