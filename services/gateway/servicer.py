"""The public services: the form is checked, then a use case or the owner's port does the work. Nothing
else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from services.gateway.checks import check
from services.gateway.domain.fleet_call import seconds_for_call
from services.gateway.handlers.authentication import Authenticator, authorization_of, current_session
from services.gateway.handlers.events import guarded, watch_events, without_texts
from services.gateway.handlers.fleet_calls import FleetCallRun
from services.gateway.ports import (
    AccountRegistry,
    AuditRegistry,
    FleetCall,
    FleetCallKind,
    FleetScheduler,
    KeyRegistry,
    TokenRegistry,
)
from services.runtime.request_id import new_request_id
from tgfleet.gateway.v1 import (
    account_pb2,
    account_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
    key_pb2,
    key_pb2_grpc,
    token_pb2,
    token_pb2_grpc,
)

Context = grpc.aio.ServicerContext[Any, Any]
Answer = TypeVar("Answer")

_DEFAULT_SECONDS = 10.0
_DEFAULT_IMPORT_SECONDS = 60.0
_DEFAULT_DRAIN = timedelta(seconds=60)
_DRAIN_SLACK = timedelta(seconds=10)
"""Beside its own timeout, for the way there and back."""


class FleetServicer(fleet_pb2_grpc.FleetServiceServicer):
    """tgfleet.gateway.v1.FleetService."""

    def __init__(
        self,
        scheduler: FleetScheduler,
        accounts: AccountRegistry,
        authenticator: Authenticator,
        stopping: asyncio.Event,
        call_timeout: timedelta,
    ) -> None:
        """`call_timeout` is for fleet calls whose caller set no deadline."""
        self._scheduler = scheduler
        self._accounts = accounts
        self._authenticator = authenticator
        self._stopping = stopping
        self._call_timeout = call_timeout

    async def StartAll(
        self, request: fleet_pb2.StartAllRequest, context: Context
    ) -> AsyncGenerator[fleet_pb2.StartAllResponse, None]:
        check(request)
        call = _call(FleetCallKind.START_ALL, request, request.wait_for.ToTimedelta())
        async with aclosing(self._run(call, context, fleet_pb2.StartAllResponse)) as answers:
            async for answer in answers:
                yield answer

    async def StopAll(
        self, request: fleet_pb2.StopAllRequest, context: Context
    ) -> AsyncGenerator[fleet_pb2.StopAllResponse, None]:
        check(request)
        call = _call(FleetCallKind.STOP_ALL, request)
        async with aclosing(self._run(call, context, fleet_pb2.StopAllResponse)) as answers:
            async for answer in answers:
                yield answer

    async def StartChat(
        self, request: fleet_pb2.StartChatRequest, context: Context
    ) -> AsyncGenerator[fleet_pb2.StartChatResponse, None]:
        check(request)
        call = _call(FleetCallKind.START_CHAT, request)
        async with aclosing(self._run(call, context, fleet_pb2.StartChatResponse)) as answers:
            async for answer in answers:
                yield answer

    async def StopChat(
        self, request: fleet_pb2.StopChatRequest, context: Context
    ) -> AsyncGenerator[fleet_pb2.StopChatResponse, None]:
        check(request)
        call = _call(FleetCallKind.STOP_CHAT, request)
        async with aclosing(self._run(call, context, fleet_pb2.StopChatResponse)) as answers:
            async for answer in answers:
                yield answer

    async def GetFleetStatus(
        self, request: fleet_pb2.GetFleetStatusRequest, context: Context
    ) -> fleet_pb2.GetFleetStatusResponse:
        check(request)
        return await self._scheduler.status(request, _seconds(context))

    async def ListWorkers(
        self, request: fleet_pb2.ListWorkersRequest, context: Context
    ) -> fleet_pb2.ListWorkersResponse:
        check(request)
        return await self._scheduler.workers(request, _seconds(context))

    async def DrainWorker(
        self, request: fleet_pb2.DrainWorkerRequest, context: Context
    ) -> fleet_pb2.DrainWorkerResponse:
        check(request)
        wished = request.timeout.ToTimedelta() or _DEFAULT_DRAIN
        allowed = _seconds(context, (wished + _DRAIN_SLACK).total_seconds())
        inner = fleet_pb2.DrainWorkerRequest()
        inner.CopyFrom(request)
        # The scheduler must answer with what is left before the caller's own deadline.
        inner.timeout.FromTimedelta(min(wished, timedelta(seconds=seconds_for_call(allowed, allowed))))
        return await self._scheduler.drain(inner, allowed)

    async def ResumeStarts(
        self, request: fleet_pb2.ResumeStartsRequest, context: Context
    ) -> fleet_pb2.ResumeStartsResponse:
        check(request)
        stopped = await self._accounts.resume_starts(_seconds(context))
        return fleet_pb2.ResumeStartsResponse(were_stopped=stopped)

    async def WatchEvents(
        self, request: fleet_pb2.WatchEventsRequest, context: Context
    ) -> AsyncGenerator[fleet_pb2.WatchEventsResponse, None]:
        check(request)
        session = current_session.get()
        authorization = authorization_of(context.invocation_metadata())

        async def recheck() -> None:
            await self._authenticator.recheck(authorization)

        events = watch_events(request, context.time_remaining(), self._scheduler)
        async with aclosing(guarded(events, recheck, self._stopping)) as batches:
            async for batch in batches:
                yield fleet_pb2.WatchEventsResponse(
                    events=batch if session.sees_texts else without_texts(batch)
                )

    async def _run(
        self, call: FleetCall, context: Context, answer: type[Answer]
    ) -> AsyncGenerator[Answer, None]:
        """The results of a call in messages of the given kind, then its summary."""
        default = (self._call_timeout + call.wait_for).total_seconds()
        seconds = seconds_for_call(context.time_remaining(), default)
        run = FleetCallRun(call, seconds, self._scheduler, self._accounts)
        async with aclosing(run.results()) as batches:
            async for batch in batches:
                yield answer(results=batch)  # type: ignore[call-arg]
        yield answer(summary=run.summary())  # type: ignore[call-arg]


class AccountServicer(account_pb2_grpc.AccountServiceServicer):
    """tgfleet.gateway.v1.AccountService."""

    def __init__(self, accounts: AccountRegistry) -> None:
        self._accounts = accounts

    async def ListAccounts(
        self, request: account_pb2.ListAccountsRequest, context: Context
    ) -> account_pb2.ListAccountsResponse:
        check(request)
        return await self._accounts.list_accounts(request, _seconds(context))

    async def GetAccount(
        self, request: account_pb2.GetAccountRequest, context: Context
    ) -> account_pb2.GetAccountResponse:
        check(request)
        return await self._accounts.get_account(request, _seconds(context))

    async def ImportAccounts(
        self, request: account_pb2.ImportAccountsRequest, context: Context
    ) -> account_pb2.ImportAccountsResponse:
        check(request)
        return await self._accounts.import_accounts(request, _seconds(context, _DEFAULT_IMPORT_SECONDS))

    async def UpdateAccount(
        self, request: account_pb2.UpdateAccountRequest, context: Context
    ) -> account_pb2.UpdateAccountResponse:
        check(request)
        return await self._accounts.update_account(request, _seconds(context))

    async def DeleteAccount(
        self, request: account_pb2.DeleteAccountRequest, context: Context
    ) -> account_pb2.DeleteAccountResponse:
        check(request)
        await self._accounts.delete_account(request.account_id, _seconds(context))
        return account_pb2.DeleteAccountResponse()

    async def EnableAccount(
        self, request: account_pb2.EnableAccountRequest, context: Context
    ) -> account_pb2.EnableAccountResponse:
        check(request)
        account = await self._accounts.set_enabled(request.account_id, enabled=True, within=_seconds(context))
        return account_pb2.EnableAccountResponse(account=account)

    async def DisableAccount(
        self, request: account_pb2.DisableAccountRequest, context: Context
    ) -> account_pb2.DisableAccountResponse:
        check(request)
        account = await self._accounts.set_enabled(
            request.account_id, enabled=False, within=_seconds(context)
        )
        return account_pb2.DisableAccountResponse(account=account)

    async def ResetFloodWaits(
        self, request: account_pb2.ResetFloodWaitsRequest, context: Context
    ) -> account_pb2.ResetFloodWaitsResponse:
        check(request)
        return await self._accounts.reset_flood_waits(request, _seconds(context))


class TokenServicer(token_pb2_grpc.TokenServiceServicer):
    """tgfleet.gateway.v1.TokenService."""

    def __init__(self, tokens: TokenRegistry) -> None:
        self._tokens = tokens

    async def CreateToken(
        self, request: token_pb2.CreateTokenRequest, context: Context
    ) -> token_pb2.CreateTokenResponse:
        check(request)
        return await self._tokens.create_token(request, _seconds(context))

    async def ListTokens(
        self, request: token_pb2.ListTokensRequest, context: Context
    ) -> token_pb2.ListTokensResponse:
        check(request)
        return await self._tokens.list_tokens(request, _seconds(context))

    async def UpdateToken(
        self, request: token_pb2.UpdateTokenRequest, context: Context
    ) -> token_pb2.UpdateTokenResponse:
        check(request)
        return await self._tokens.update_token(request, _seconds(context))

    async def RevokeToken(
        self, request: token_pb2.RevokeTokenRequest, context: Context
    ) -> token_pb2.RevokeTokenResponse:
        check(request)
        await self._tokens.revoke_token(request, _seconds(context))
        return token_pb2.RevokeTokenResponse()


class KeyServicer(key_pb2_grpc.KeyServiceServicer):
    """tgfleet.gateway.v1.KeyService."""

    def __init__(self, keys: KeyRegistry) -> None:
        self._keys = keys

    async def ListKeys(self, request: key_pb2.ListKeysRequest, context: Context) -> key_pb2.ListKeysResponse:
        check(request)
        return await self._keys.list_keys(_seconds(context))

    async def RotateKeys(
        self, request: key_pb2.RotateKeysRequest, context: Context
    ) -> AsyncGenerator[key_pb2.RotateKeysResponse, None]:
        check(request)
        async with aclosing(self._keys.rotate_keys(context.time_remaining())) as steps:
            async for progress in steps:
                yield progress


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """tgfleet.gateway.v1.AuditService."""

    def __init__(self, audit: AuditRegistry) -> None:
        self._audit = audit

    async def ListAuditEntries(
        self, request: audit_pb2.ListAuditEntriesRequest, context: Context
    ) -> audit_pb2.ListAuditEntriesResponse:
        check(request)
        return await self._audit.list_audit(request, _seconds(context))


def _call(kind: FleetCallKind, request: Any, wait_for: timedelta = timedelta(0)) -> FleetCall:
    return FleetCall(
        kind,
        request.request_id or new_request_id(),
        account_ids=tuple(request.account_ids),
        match_labels=dict(request.match_labels),
        wait_for=wait_for,
    )


def _seconds(context: Context, default: float = _DEFAULT_SECONDS) -> float:
    """How long the owner may take: what the caller allows, or the default."""
    allowed: float | None = context.time_remaining()
    return default if allowed is None else allowed
