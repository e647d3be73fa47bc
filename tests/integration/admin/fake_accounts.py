"""AccountService of the fake gateway."""

# ruff: noqa: N802 - gRPC names its methods in CamelCase and always passes a request and a context

from typing import Any, ClassVar

from services.runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.integration.admin.fake_common import authenticate, log
from tgfleet.gateway.v1 import account_pb2 as acc
from tgfleet.gateway.v1 import account_pb2_grpc


class Accounts(account_pb2_grpc.AccountServiceServicer):
    """Three accounts; a fourth name is not known."""

    rows: ClassVar = {
        name: acc.Account(
            account_id=f"acc_{index:012d}",
            name=name,
            enabled=True,
            session_location=2,
            time_zone="UTC",
            labels={"team": "eu", "tier": str(index)},
            user_id=777 + index,
            transfer_policy=acc.TransferPolicy(daily_cap=500, allowed_hours=["08:00-22:00"]),
        )
        for index, name in enumerate(("alice", "bob-two-step", "+4915112345678"))
    }

    def _get(self, name: str) -> acc.Account:
        if name not in self.rows:
            raise NotFound(f"There is no account {name}.", reason="ACCOUNT_NOT_FOUND", field="account_id")
        return self.rows[name]

    async def ListAccounts(self, request: Any, context: Any) -> Any:
        authenticate(context)
        pages = list(self.rows.values())
        if not request.page_token:  # two pages, so that clients that stop after one are found out
            return acc.ListAccountsResponse(accounts=pages[:2], next_page_token="two")
        return acc.ListAccountsResponse(accounts=pages[2:])

    async def GetAccount(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return acc.GetAccountResponse(account=self._get(request.account_id))

    async def ImportAccounts(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log(
            "ImportAccounts",
            items=[i.name for i in request.items],
            kinds=[i.WhichOneof("source") for i in request.items],
            sizes=[len(i.session_string or i.session_file) for i in request.items],
            proxies=[i.proxy for i in request.items],
            labels=[dict(i.labels) for i in request.items],
        )
        made = []
        for index, item in enumerate(request.items):
            if item.name == "bad":
                made.append(
                    acc.ImportResult(
                        name="bad",
                        reason="SESSION_INVALID",
                        field=f"items[{index}].session_string",
                        detail="This is no session string.",
                    )
                )
            else:
                made.append(
                    acc.ImportResult(name=item.name, kind="pyrogram", account=acc.Account(name=item.name))
                )
        return acc.ImportAccountsResponse(results=made)

    async def UpdateAccount(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log(
            "UpdateAccount",
            mask=list(request.update_mask.paths),
            labels=dict(request.account.labels),
            chats=list(request.account.chat_policy.chat_ids),
            proxy=request.proxy,
            priority=request.account.priority,
            cap=request.account.transfer_policy.daily_cap,
            hours=list(request.account.transfer_policy.allowed_hours),
        )
        if request.account.priority > 1000:
            raise InvalidArgument("Use a number from -1,000 to 1,000.", field="account.priority")
        return acc.UpdateAccountResponse(account=self._get(request.account.account_id))

    async def DeleteAccount(self, request: Any, context: Any) -> Any:
        authenticate(context)
        if request.account_id == "alice":
            raise FailedPrecondition("The account is running.", reason="ACCOUNT_RUNNING")
        log("DeleteAccount", id=self._get(request.account_id).name)
        return acc.DeleteAccountResponse()

    async def EnableAccount(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return acc.EnableAccountResponse(account=self._get(request.account_id))

    async def DisableAccount(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return acc.DisableAccountResponse(account=self._get(request.account_id))

    async def ResetFloodWaits(self, request: Any, context: Any) -> Any:
        authenticate(context)
        self._get(request.account_id)
        return acc.ResetFloodWaitsResponse(removed=2)
