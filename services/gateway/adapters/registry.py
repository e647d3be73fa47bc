"""The registry, reached over gRPC: accounts, tokens, and whose a bearer token is."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import UTC
from typing import TypeVar

import grpc

from services.gateway.adapters.reachability import reached
from services.gateway.domain.credentials import TOKEN_EXPIRED, TOKEN_INVALID, Caller, Refusal
from services.gateway.domain.roles import Role
from services.runtime.calls import open_call, unary
from services.runtime.errors import NotFound, TgfleetError, Unauthenticated, Unavailable
from tgfleet.gateway.v1 import account_pb2, audit_pb2, key_pb2, token_pb2
from tgfleet.registry.v1 import registry_pb2, registry_pb2_grpc

Request = TypeVar("Request")
Reply = TypeVar("Reply")

VERIFY_TIMEOUT = 3.0
"""Seconds for VerifyToken once a registry is reached."""
REGISTRY_WAIT = 8.0
"""Seconds that a call waits for a registry while there is none: the restart of a single one, as on SQLite, is
bridged; an outage is told."""
_NAMES_PAGE = 1000
_SINGLE_LOOKUPS = 16


class GrpcRegistry:
    """One channel to all registries."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: registry_pb2_grpc.RegistryServiceAsyncStub = registry_pb2_grpc.RegistryServiceStub(
            channel
        )

    async def verify(self, secret: str) -> Caller | Refusal:
        request = registry_pb2.VerifyTokenRequest(secret=secret)
        try:
            reply = await self._ask(self._stub.VerifyToken, request, timeout=VERIFY_TIMEOUT + REGISTRY_WAIT)
        except Unauthenticated as error:
            reason = error.reason if error.reason in {TOKEN_INVALID, TOKEN_EXPIRED} else TOKEN_INVALID
            return Refusal(reason, error.message)
        except TgfleetError as error:
            raise Unavailable(
                "The registry cannot be asked whose this token is; try again in a moment.",
                reason="REGISTRY_UNAVAILABLE",
            ) from error
        return _caller(reply.token)

    async def _ask(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Reply]",
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - becomes the deadline of the call
    ) -> Reply:
        """One call; most of its time may go into waiting for a registry. Raises TgfleetError."""
        left = await reached(
            self._channel,
            timeout,
            min(timeout * 0.8, REGISTRY_WAIT),
            Unavailable(
                "No registry is reached right now; try again in a moment.", reason="REGISTRY_UNAVAILABLE"
            ),
        )
        return await unary(method, request, timeout=left)

    async def list_accounts(
        self, request: account_pb2.ListAccountsRequest, within: float
    ) -> account_pb2.ListAccountsResponse:
        inner = registry_pb2.ListAccountsRequest(request=request)
        return (await self._ask(self._stub.ListAccounts, inner, timeout=within)).response

    async def get_account(
        self, request: account_pb2.GetAccountRequest, within: float
    ) -> account_pb2.GetAccountResponse:
        inner = registry_pb2.GetAccountRequest(request=request)
        return (await self._ask(self._stub.GetAccount, inner, timeout=within)).response

    async def import_accounts(
        self, request: account_pb2.ImportAccountsRequest, within: float
    ) -> account_pb2.ImportAccountsResponse:
        inner = registry_pb2.ImportAccountsRequest(request=request)
        return (await self._ask(self._stub.ImportAccounts, inner, timeout=within)).response

    async def update_account(
        self, request: account_pb2.UpdateAccountRequest, within: float
    ) -> account_pb2.UpdateAccountResponse:
        inner = registry_pb2.UpdateAccountRequest(request=request)
        return (await self._ask(self._stub.UpdateAccount, inner, timeout=within)).response

    async def delete_account(self, account_id: str, within: float) -> None:
        request = account_pb2.DeleteAccountRequest(account_id=account_id)
        await self._ask(
            self._stub.DeleteAccount, registry_pb2.DeleteAccountRequest(request=request), timeout=within
        )

    async def set_enabled(self, account_id: str, *, enabled: bool, within: float) -> account_pb2.Account:
        request = registry_pb2.SetAccountEnabledRequest(account_id=account_id, enabled=enabled)
        reply = await self._ask(self._stub.SetAccountEnabled, request, timeout=within)
        return reply.account

    async def reset_flood_waits(
        self, request: account_pb2.ResetFloodWaitsRequest, within: float
    ) -> account_pb2.ResetFloodWaitsResponse:
        inner = registry_pb2.ResetFloodWaitsRequest(request=request)
        return (await self._ask(self._stub.ResetFloodWaits, inner, timeout=within)).response

    async def resume_starts(self, within: float) -> bool:
        reply = await self._ask(self._stub.ResumeStarts, registry_pb2.ResumeStartsRequest(), timeout=within)
        return bool(reply.were_stopped)

    async def create_token(
        self, request: token_pb2.CreateTokenRequest, within: float
    ) -> token_pb2.CreateTokenResponse:
        inner = registry_pb2.CreateTokenRequest(request=request)
        return (await self._ask(self._stub.CreateToken, inner, timeout=within)).response

    async def list_tokens(
        self, request: token_pb2.ListTokensRequest, within: float
    ) -> token_pb2.ListTokensResponse:
        inner = registry_pb2.ListTokensRequest(request=request)
        return (await self._ask(self._stub.ListTokens, inner, timeout=within)).response

    async def update_token(
        self, request: token_pb2.UpdateTokenRequest, within: float
    ) -> token_pb2.UpdateTokenResponse:
        inner = registry_pb2.UpdateTokenRequest(request=request)
        return (await self._ask(self._stub.UpdateToken, inner, timeout=within)).response

    async def list_keys(self, within: float) -> key_pb2.ListKeysResponse:
        return (await self._ask(self._stub.ListKeys, registry_pb2.ListKeysRequest(), timeout=within)).response

    async def rotate_keys(self, within: float | None) -> AsyncGenerator[key_pb2.RotateKeysResponse, None]:
        inner = registry_pb2.RotateKeysRequest()
        async with open_call(self._stub.RotateKeys, inner, timeout=within) as messages:
            async for message in messages:
                yield message.response

    async def list_audit(
        self, request: audit_pb2.ListAuditEntriesRequest, within: float
    ) -> audit_pb2.ListAuditEntriesResponse:
        inner = registry_pb2.ListAuditEntriesRequest(request=request)
        return (await self._ask(self._stub.ListAuditEntries, inner, timeout=within)).response

    async def record_audit(self, entries: Sequence[audit_pb2.AuditEntry], within: float) -> None:
        inner = registry_pb2.RecordAuditRequest(entries=entries)
        await self._ask(self._stub.RecordAudit, inner, timeout=within)

    async def revoke_token(self, request: token_pb2.RevokeTokenRequest, within: float) -> None:
        await self._ask(
            self._stub.RevokeToken, registry_pb2.RevokeTokenRequest(request=request), timeout=within
        )

    async def names(self, account_ids: Collection[str], within: float) -> Mapping[str, str]:
        """In pages; a page that holds an account which is gone is looked up one by one."""
        wanted = list(account_ids)
        found: dict[str, str] = {}
        async with asyncio.timeout(within):
            for start in range(0, len(wanted), _NAMES_PAGE):
                page = wanted[start : start + _NAMES_PAGE]
                try:
                    found |= await self._page_of_names(page, within)
                except NotFound:
                    found |= await self._single_names(page, within)
        return found

    async def _page_of_names(self, account_ids: list[str], within: float) -> dict[str, str]:
        request = account_pb2.ListAccountsRequest(account_ids=account_ids, page_size=_NAMES_PAGE)
        reply = await self.list_accounts(request, within)
        return {account.account_id: account.name for account in reply.accounts}

    async def _single_names(self, account_ids: list[str], within: float) -> dict[str, str]:
        turns = asyncio.Semaphore(_SINGLE_LOOKUPS)

        async def look_up(account_id: str) -> tuple[str, str] | None:
            async with turns:
                try:
                    reply = await self.get_account(
                        account_pb2.GetAccountRequest(account_id=account_id), within
                    )
                except NotFound:
                    return None
                return account_id, reply.account.name

        found = await asyncio.gather(*map(look_up, account_ids))
        return dict(pair for pair in found if pair is not None)


def _caller(token: token_pb2.ApiToken) -> Caller:
    try:
        role = Role(token.role)
    except ValueError as error:  # a registry newer than this gateway
        raise Unavailable(
            "This gateway does not know the token's role; it is older than the registry.",
            reason="ROLE_UNKNOWN",
        ) from error
    expires = token.expire_time.ToDatetime(tzinfo=UTC) if token.HasField("expire_time") else None
    return Caller(token.name, role, expires)
