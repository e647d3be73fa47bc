"""RegistryService: protobuf in, use cases, protobuf out. Nothing is decided here."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from services.registry import admin_messages, messages
from services.registry.domain.leasing import LeaseTerms, Owner
from services.registry.handlers.accounts import AccountPatch, Accounts
from services.registry.handlers.audit import Audit
from services.registry.handlers.candidates import AcquireItem
from services.registry.handlers.changes import AccountWatch
from services.registry.handlers.imports import Imports
from services.registry.handlers.keys import Keys
from services.registry.handlers.observations import Observations
from services.registry.handlers.sessions import ReleaseItem, Sessions
from services.registry.handlers.tokens import Tokens
from services.registry.ports import Assignments
from tgfleet.gateway.v1 import account_pb2, audit_pb2, key_pb2, token_pb2
from tgfleet.registry.v1 import registry_pb2 as pb
from tgfleet.registry.v1 import registry_pb2_grpc


@dataclass(frozen=True, slots=True)
class Handlers:
    """All use cases of the registry."""

    accounts: Accounts
    imports: Imports
    watch: AccountWatch
    sessions: Sessions
    observations: Observations
    tokens: Tokens
    keys: Keys
    audit: Audit


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Implements protos/tgfleet/registry/v1/registry.proto."""

    def __init__(
        self,
        handlers: Handlers,
        terms: LeaseTerms,
        stopping: asyncio.Event,
        assignments: Assignments | None = None,
    ) -> None:
        """`terms` hold T and S for watchers; `stopping` ends watches. Without `assignments` a worker acquires
        what it asks for."""
        self._assignments = assignments
        self._do = handlers
        self._terms = terms
        self._stopping = stopping

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsResponse:
        asked = request.request
        selection = messages.selection(asked.account_ids, asked.match_labels)
        views, token = await self._do.accounts.page(selection, asked.page_size, asked.page_token)
        accounts = [messages.account(view) for view in views]
        return pb.ListAccountsResponse(
            response=account_pb2.ListAccountsResponse(accounts=accounts, next_page_token=token)
        )

    async def GetAccount(self, request: pb.GetAccountRequest, context: Any) -> pb.GetAccountResponse:
        account = messages.account(await self._do.accounts.get(request.request.account_id))
        return pb.GetAccountResponse(response=account_pb2.GetAccountResponse(account=account))

    async def ImportAccounts(
        self, request: pb.ImportAccountsRequest, context: Any
    ) -> pb.ImportAccountsResponse:
        items = [messages.import_item(item) for item in request.request.items]
        results, views = await self._do.imports.run(items, request.request.request_id)
        answered = [messages.import_result(result, views) for result in results]
        return pb.ImportAccountsResponse(response=account_pb2.ImportAccountsResponse(results=answered))

    async def UpdateAccount(self, request: pb.UpdateAccountRequest, context: Any) -> pb.UpdateAccountResponse:
        asked, account = request.request, request.request.account
        patch = AccountPatch(
            ref=account.account_id,
            mask=tuple(asked.update_mask.paths),
            name=account.name,
            labels=dict(account.labels),
            priority=account.priority,
            home_worker=account.home_worker,
            time_zone=account.time_zone,
            chat_policy=messages.chat_policy_from(account.chat_policy),
            transfer_policy=messages.transfer_policy_from(account.transfer_policy),
            proxy=asked.proxy,
        )
        changed = messages.account(await self._do.accounts.update(patch))
        return pb.UpdateAccountResponse(response=account_pb2.UpdateAccountResponse(account=changed))

    async def DeleteAccount(self, request: pb.DeleteAccountRequest, context: Any) -> pb.DeleteAccountResponse:
        await self._do.accounts.delete(request.request.account_id)
        return pb.DeleteAccountResponse()

    async def SetAccountEnabled(
        self, request: pb.SetAccountEnabledRequest, context: Any
    ) -> pb.SetAccountEnabledResponse:
        view = await self._do.accounts.set_enabled(request.account_id, enabled=request.enabled)
        return pb.SetAccountEnabledResponse(account=messages.account(view))

    async def ResetFloodWaits(
        self, request: pb.ResetFloodWaitsRequest, context: Any
    ) -> pb.ResetFloodWaitsResponse:
        removed = await self._do.accounts.reset_flood_waits(request.request.account_id)
        return pb.ResetFloodWaitsResponse(response=account_pb2.ResetFloodWaitsResponse(removed=removed))

    async def ResolveAccounts(
        self, request: pb.ResolveAccountsRequest, context: Any
    ) -> pb.ResolveAccountsResponse:
        if request.revision_only:
            return pb.ResolveAccountsResponse(revision=await self._do.accounts.revision())
        selection = messages.selection(request.account_ids, request.match_labels)
        ids, revision = await self._do.accounts.resolve(selection)
        return pb.ResolveAccountsResponse(account_ids=ids, revision=revision)

    async def SetWanted(self, request: pb.SetWantedRequest, context: Any) -> pb.SetWantedResponse:
        ids, revision = await self._do.accounts.set_wanted(
            request.account_ids,
            running=request.running if request.HasField("running") else None,
            chatting=request.chatting if request.HasField("chatting") else None,
        )
        return pb.SetWantedResponse(account_ids=ids, revision=revision)

    async def WatchAccounts(
        self, request: pb.WatchAccountsRequest, context: Any
    ) -> AsyncIterator[pb.WatchAccountsResponse]:
        async for update in self._do.watch.updates(self._stopping):
            yield messages.watch_update(update, self._terms)

    async def AcquireSessions(
        self, request: pb.AcquireSessionsRequest, context: Any
    ) -> pb.AcquireSessionsResponse:
        results, leases = await self._do.sessions.acquire(
            Owner(request.worker_id, request.incarnation),
            request.request_id,
            [AcquireItem(item.account_id, item.auth_key_id) for item in request.items],
            [messages.held_lease(lease, f"leases[{index}]") for index, lease in enumerate(request.leases)],
            self._assignments.assigned(request.worker_id, request.assignments) if self._assignments else None,
        )
        response = pb.AcquireSessionsResponse(leases=[messages.session_lease(terms) for terms in leases])
        for item, result in zip(request.items, results, strict=True):
            messages.add_acquire_result(response, item.account_id, result)
        return response

    async def RenewLeases(self, request: pb.RenewLeasesRequest, context: Any) -> pb.RenewLeasesResponse:
        owner = Owner(request.worker_id, request.incarnation)
        held = await self._do.sessions.renew(owner, list(request.lease_ids))
        statuses = zip(request.lease_ids, held, strict=True)
        return pb.RenewLeasesResponse(leases=[pb.LeaseStatus(lease_id=i, held=h) for i, h in statuses])

    async def ReleaseSessions(
        self, request: pb.ReleaseSessionsRequest, context: Any
    ) -> pb.ReleaseSessionsResponse:
        items = [
            ReleaseItem(r.account_id, r.auth_key_id, messages.token_from(r.token), r.clean)
            for r in request.releases
        ]
        released = await self._do.sessions.release(Owner(request.worker_id, request.incarnation), items)
        return pb.ReleaseSessionsResponse(released=released)

    async def ReportFacts(self, request: pb.ReportFactsRequest, context: Any) -> pb.ReportFactsResponse:
        facts = [messages.fact_from(fact, f"facts[{index}]") for index, fact in enumerate(request.facts)]
        await self._do.observations.report(facts)
        return pb.ReportFactsResponse()

    async def ResumeStarts(self, request: pb.ResumeStartsRequest, context: Any) -> pb.ResumeStartsResponse:
        return pb.ResumeStartsResponse(were_stopped=await self._do.observations.resume_starts())

    async def VerifyToken(self, request: pb.VerifyTokenRequest, context: Any) -> pb.VerifyTokenResponse:
        return pb.VerifyTokenResponse(
            token=admin_messages.api_token(await self._do.tokens.verify(request.secret))
        )

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.CreateTokenResponse:
        asked = request.request
        expires = messages.moment(asked.expire_time, "expire_time") if asked.HasField("expire_time") else None
        token, secret = await self._do.tokens.create(
            asked.name, admin_messages.role_from(asked.role), expires
        )
        return pb.CreateTokenResponse(
            response=token_pb2.CreateTokenResponse(token=admin_messages.api_token(token), secret=secret)
        )

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        asked = request.request
        found, next_token = await self._do.tokens.page(asked.page_size, asked.page_token)
        tokens = [admin_messages.api_token(token) for token in found]
        return pb.ListTokensResponse(
            response=token_pb2.ListTokensResponse(tokens=tokens, next_page_token=next_token)
        )

    async def UpdateToken(self, request: pb.UpdateTokenRequest, context: Any) -> pb.UpdateTokenResponse:
        asked = request.request
        token = await self._do.tokens.set_role(asked.name, admin_messages.role_from(asked.role))
        return pb.UpdateTokenResponse(
            response=token_pb2.UpdateTokenResponse(token=admin_messages.api_token(token))
        )

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        await self._do.tokens.revoke(request.request.name)
        return pb.RevokeTokenResponse()

    async def ListKeys(self, request: pb.ListKeysRequest, context: Any) -> pb.ListKeysResponse:
        keys = [admin_messages.master_key(key) for key in await self._do.keys.list_keys()]
        return pb.ListKeysResponse(response=key_pb2.ListKeysResponse(keys=keys))

    async def RotateKeys(
        self, request: pb.RotateKeysRequest, context: Any
    ) -> AsyncGenerator[pb.RotateKeysResponse, None]:
        async with aclosing(self._do.keys.rotate()) as steps:
            async for progress in steps:
                yield pb.RotateKeysResponse(response=admin_messages.progress(progress))

    async def RecordAudit(self, request: pb.RecordAuditRequest, context: Any) -> pb.RecordAuditResponse:
        entries = [
            admin_messages.entry_from(entry, f"entries[{index}]")
            for index, entry in enumerate(request.entries)
        ]
        await self._do.audit.record(entries)
        return pb.RecordAuditResponse()

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Any
    ) -> pb.ListAuditEntriesResponse:
        found, next_token = await self._do.audit.page(request.request.page_size, request.request.page_token)
        entries = [admin_messages.entry(entry) for entry in found]
        return pb.ListAuditEntriesResponse(
            response=audit_pb2.ListAuditEntriesResponse(entries=entries, next_page_token=next_token)
        )
