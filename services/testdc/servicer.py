"""The control API on the wire: protobuf in, handlers, protobuf out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from services.runtime.errors import InvalidArgument
from services.testdc import conversions as convert
from services.testdc.chat_servicer import ChatServicer
from services.testdc.domain import judge
from services.testdc.handlers import Control, NewAccount
from services.testdc.rule_servicer import RuleServicer
from services.testdc.scribe import Scribe
from tgfleet.testdc.v1 import control_pb2 as pb
from tgfleet.testdc.v1 import control_pb2_grpc as rpc

_JOURNAL_PAGE = 10_000
_WATCH_BATCH = 1_000


class ControlServicer(ChatServicer, RuleServicer, rpc.ControlServiceServicer):
    """Serves tgfleet.testdc.v1.ControlService."""

    def __init__(self, control: Control, scribe: Scribe) -> None:
        self._control = control
        self._scribe = scribe

    async def CreateAccount(self, request: pb.CreateAccountRequest, context: Any) -> pb.CreateAccountResponse:
        """See the proto."""
        faults = [convert.fault_in(fault) for fault in request.faults]
        wanted = NewAccount(
            phone=request.phone,
            first_name=request.first_name,
            last_name=request.last_name,
            username=request.username,
            password=request.password,
            bot=request.bot,
            virtual=request.virtual,
            user_id=request.user_id,
            auth_key=request.auth_key,
            api_id=request.api_id,
            hidden=request.hidden,
        )
        account = self._control.create_account(wanted)
        for fault in faults:
            self._control.set_fault(replace(fault, user_id=account.user_id))
        return pb.CreateAccountResponse(account=convert.account_out(account))

    async def GetAccount(self, request: pb.GetAccountRequest, context: Any) -> pb.GetAccountResponse:
        """See the proto."""
        account = self._control.get_account(request.user_id)
        return pb.GetAccountResponse(account=convert.account_out(account))

    async def ListAccounts(self, request: pb.ListAccountsRequest, context: Any) -> pb.ListAccountsResponse:
        """See the proto."""
        after = _token(request.page_token)
        accounts = [account for account in self._control.list_accounts() if account.user_id > after]
        page = accounts[: request.page_size] if request.page_size > 0 else accounts
        token = str(page[-1].user_id) if len(page) < len(accounts) else ""
        return pb.ListAccountsResponse(accounts=map(convert.account_out, page), next_page_token=token)

    async def AddContact(self, request: pb.AddContactRequest, context: Any) -> pb.AddContactResponse:
        """See the proto."""
        self._control.add_contact(request.user_id, request.contact_id, mutual=request.mutual)
        return pb.AddContactResponse()

    async def SetFault(self, request: pb.SetFaultRequest, context: Any) -> pb.SetFaultResponse:
        """See the proto."""
        fault = self._control.set_fault(convert.fault_in(request.fault))
        return pb.SetFaultResponse(fault=convert.fault_out(fault))

    async def ClearFaults(self, request: pb.ClearFaultsRequest, context: Any) -> pb.ClearFaultsResponse:
        """See the proto."""
        cleared = self._control.clear_faults(user_id=request.user_id, fault_id=request.fault_id)
        return pb.ClearFaultsResponse(cleared=cleared)

    async def DropConnections(
        self, request: pb.DropConnectionsRequest, context: Any
    ) -> pb.DropConnectionsResponse:
        """See the proto."""
        dropped = self._control.drop_connections(
            user_id=request.user_id,
            auth_key_id=request.auth_key_id,
            connection_id=request.connection_id,
        )
        return pb.DropConnectionsResponse(dropped=dropped)

    async def KillKey(self, request: pb.KillKeyRequest, context: Any) -> pb.KillKeyResponse:
        """See the proto."""
        self._control.kill_key(request.auth_key_id, request.reason)
        return pb.KillKeyResponse()

    async def GetJournal(self, request: pb.GetJournalRequest, context: Any) -> pb.GetJournalResponse:
        """See the proto."""
        records = self._control.get_journal(request.after_seq, request.page_size or _JOURNAL_PAGE)
        return pb.GetJournalResponse(records=convert.within_a_message(map(convert.record_out, records)))

    async def WatchJournal(
        self, request: pb.WatchJournalRequest, context: Any
    ) -> AsyncIterator[pb.WatchJournalResponse]:
        """See the proto."""
        async for batch in self._scribe.watch(request.after_seq):
            for start in range(0, len(batch), _WATCH_BATCH):
                part = batch[start : start + _WATCH_BATCH]
                yield pb.WatchJournalResponse(records=map(convert.record_out, part))

    async def JudgeJournal(self, request: pb.JudgeJournalRequest, context: Any) -> pb.JudgeJournalResponse:
        """See the proto."""
        records = self._control.get_journal(request.after_seq)
        # Beside the event loop: a long journal takes seconds, and clients must be served meanwhile.
        found = list((await asyncio.to_thread(judge.judge, records)).violations)
        for chat in request.chats:
            found += await asyncio.to_thread(judge.repeated, records, chat)
        return pb.JudgeJournalResponse(
            violations=map(convert.violation_out, found),
            last_seq=records[-1].seq if records else request.after_seq,
        )

    async def JudgeTransfer(self, request: pb.JudgeTransferRequest, context: Any) -> pb.JudgeTransferResponse:
        """See the proto."""
        source, target = convert.chat_in(request.source), convert.chat_in(request.target)
        found = self._control.judge_transfer(source, target, request.first_id, request.last_id)
        return pb.JudgeTransferResponse(
            due=found.due,
            arrived=found.arrived,
            lost_ids=found.lost,
            repeated_ids=found.repeated,
            disordered_ids=found.disordered,
            torn_ids=found.torn,
        )


def _token(text: str) -> int:
    if text and not text.isdigit():
        raise InvalidArgument("This is no page token of ours.", field="page_token")
    return int(text or 0)
