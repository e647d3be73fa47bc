"""The test data centre's control interface as the demo uses it."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from services.runtime.calls import unary
from services.runtime.channels import open_channel
from tgfleet.testdc.v1 import control_pb2, control_pb2_grpc

_LIMIT = 10.0
_PAGE = 5000


class Control:
    """A connection to it. All methods raise TgfleetError."""

    def __init__(self, address: str) -> None:
        self._channel = open_channel(address, wait_for_ready=True)
        self._stub: Any = control_pb2_grpc.ControlServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def accounts(self) -> dict[str, control_pb2.Account]:
        """Everybody there, by first name."""
        answer = await self._call("ListAccounts", control_pb2.ListAccountsRequest())
        return {account.first_name: account for account in answer.accounts}

    async def create(self, request: control_pb2.CreateAccountRequest) -> control_pb2.Account:
        """Makes an account."""
        answer: control_pb2.CreateAccountResponse = await self._call("CreateAccount", request)
        return answer.account

    async def set_faults(self, user_id: int, faults: Iterable[control_pb2.Fault]) -> None:
        """These faults and no others are in force for the account from now on."""
        await self._call("ClearFaults", control_pb2.ClearFaultsRequest(user_id=user_id))
        for fault in faults:
            scoped = control_pb2.Fault()
            scoped.CopyFrom(fault)
            scoped.user_id = user_id
            await self._call("SetFault", control_pb2.SetFaultRequest(fault=scoped))

    async def say(self, sender_id: int, to_user: int, text: str) -> control_pb2.Message:
        """Says something in a private chat."""
        chat = control_pb2.Chat(user_id=to_user)
        request = control_pb2.SendMessageRequest(sender_id=sender_id, chat=chat, text=text)
        answer: control_pb2.SendMessageResponse = await self._call("SendMessage", request)
        return answer.message

    async def messages(self, user_id: int, with_user: int) -> Sequence[control_pb2.Message]:
        """A private chat as the user sees it, oldest first."""
        chat = control_pb2.Chat(user_id=with_user)
        request = control_pb2.ListMessagesRequest(user_id=user_id, chat=chat)
        return list((await self._call("ListMessages", request)).messages)

    async def channel(
        self, title: str, members: Sequence[int], *, broadcast: bool = False, messages: int = 0
    ) -> control_pb2.CreateChatResponse:
        """A channel or supergroup in which all members may post, with so many messages and albums in it."""
        history = control_pb2.History(count=messages, seed=1, albums=0.04, media=0.2, captions=0.5)
        request = control_pb2.CreateChatRequest(
            kind=control_pb2.CHAT_KIND_BROADCAST if broadcast else control_pb2.CHAT_KIND_SUPERGROUP,
            creator_id=members[0],
            member_ids=members[1:],
            title=title,
            history=history if messages else None,
        )
        answer: control_pb2.CreateChatResponse = await self._call("CreateChat", request)
        return answer

    async def history(self, chat: control_pb2.Chat) -> Sequence[control_pb2.Message]:
        """The newest messages of a channel, oldest first; more than any sample channel has."""
        request = control_pb2.ListMessagesRequest(chat=chat, page_size=_PAGE)
        return list((await self._call("ListMessages", request)).messages)

    async def flood(self, user_id: int, method: str, budget: int, seconds: int) -> None:
        """From now on the account is told to wait once it has sent so many messages."""
        policy = control_pb2.FloodPolicy(
            user_id=user_id, methods=[method], shape=control_pb2.FLOOD_SHAPE_BUCKET, budget=budget
        )
        policy.wait.FromSeconds(seconds)
        policy.period.FromSeconds(seconds)
        await self._call("SetFloodPolicy", control_pb2.SetFloodPolicyRequest(policy=policy))

    async def costly(self, method: str, *, call_ms: int, message_ms: int) -> None:
        """A method takes its time, as Telegram's do."""
        cost = control_pb2.MethodCost(method=method)
        cost.per_call.FromMilliseconds(call_ms)
        cost.per_message.FromMilliseconds(message_ms)
        await self._call("SetRules", control_pb2.SetRulesRequest(costs=[cost]))

    async def cheap(self, method: str) -> None:
        """It takes no time any more, and nobody is told to wait."""
        rules = control_pb2.SetRulesRequest(costs=[control_pb2.MethodCost(method=method)])
        await self._call("SetRules", rules)
        await self._call("ClearFloodPolicies", control_pb2.ClearFloodPoliciesRequest())

    async def last_record(self) -> int:
        """Number of the journal's latest record."""
        return int((await self._call("JudgeJournal", control_pb2.JudgeJournalRequest())).last_seq)

    async def journal(self, after: int = 0) -> list[control_pb2.Record]:
        """All records with a higher number."""
        found: list[control_pb2.Record] = []
        while True:
            request = control_pb2.GetJournalRequest(after_seq=after, page_size=_PAGE)
            page = (await self._call("GetJournal", request)).records
            found.extend(page)
            if len(page) < _PAGE:
                return found
            after = page[-1].seq

    async def verdict(self) -> Sequence[control_pb2.Violation]:
        """What the judge reads off the whole journal."""
        return list((await self._call("JudgeJournal", control_pb2.JudgeJournalRequest())).violations)

    async def _call(self, method: str, request: Any) -> Any:
        return await unary(getattr(self._stub, method), request, timeout=_LIMIT)
