"""A gateway that answers by a scenario, as a program of its own: `python -m ... SCENARIO`.

Prints its address on the first line. The CLI is tested against it as a real process over a real socket.
"""

# ruff: noqa: N802 - gRPC names its methods in CamelCase and always passes a request and a context

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from services.runtime.addresses import HostPort
from services.runtime.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from services.runtime.process import Lifecycle, RuntimeSettings
from services.runtime.server import ServiceServer
from tgfleet.gateway.v1 import account_pb2 as acc
from tgfleet.gateway.v1 import (
    account_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    event_pb2,
    fleet_pb2,
    fleet_pb2_grpc,
    key_pb2,
    key_pb2_grpc,
    token_pb2,
    token_pb2_grpc,
)
from tgfleet.gateway.v1 import result_pb2 as res

TOKEN = "tgf_the_right_token_00"
STRANGE = "mallory\x1b[31m\u202e[bold]red"
"""A name that tries to colour the terminal."""

SAMPLES: list[tuple[str, str, str, str, str, int]] = [
    ("alice", "STARTED", "", "", "", 0),
    ("bob-two-step", "STARTED", "", "", "", 0),
    ("+4915112345678", "ALREADY_RUNNING", "", "", "", 0),
    ("carol", "SKIPPED", "DISABLED", "The account is disabled.", "tgfleet accounts enable carol", 0),
    ("dave", "SKIPPED", "NEEDS_LOGIN", "The account has no valid login.", "tgfleet login dave", 0),
    (
        "erin-with-a-rather-long-name-for-a-column",
        "FAILED",
        "SESSION_MISSING",
        "Worker w2 has no file erin.session; worker w1 announced this key.",
        "Run: tgfleet accounts set erin --home-worker w1",
        0,
    ),
    ("frank", "FAILED", "ACCOUNT_BANNED", "", "Appeal to Telegram.", 0),
    ("grace", "WAITING", "FLOOD_WAIT", "Telegram told the account to wait before it may connect.", "", 95),
    ("heidi", "WAITING", "SETTLING", "Worker w1 is gone and Telegram is given time to notice.", "", 2),
    (STRANGE, "FAILED", "CONNECT_TIMEOUT", "The data centre did not answer within 30 s.", "", 0),
]
NAMED = {"good": ("alice", "bob-two-step", "carol"), "waiting": ("alice", "grace"), "all": None}


def results(scenario: str) -> list[res.AccountResult]:
    """The sample accounts that a scenario has."""
    chosen = NAMED.get(scenario)
    made = []
    for index, (name, outcome, reason, detail, action, retry) in enumerate(SAMPLES):
        if chosen is not None and name not in chosen:
            continue
        result = res.AccountResult(
            account_id=f"acc_{index:012d}",
            name=name,
            outcome=res.Outcome.Value(f"OUTCOME_{outcome}"),
            reason=res.Reason.Value(f"REASON_{reason}") if reason else 0,
            detail=detail,
            action=action,
            worker_id="w1" if outcome in {"STARTED", "ALREADY_RUNNING"} else "",
        )
        if retry:
            result.retry_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=retry))
        result.elapsed.FromMilliseconds(150 * (index + 1))
        made.append(result)
    return made


class Fleet(fleet_pb2_grpc.FleetServiceServicer):
    """Answers by scenario; writes what it was asked to stderr as JSON lines."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario

    async def StartAll(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._call(request, context, fleet_pb2.StartAllResponse):
            yield answer

    async def StopAll(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._call(request, context, fleet_pb2.StopAllResponse):
            yield answer

    async def StartChat(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._call(request, context, fleet_pb2.StartChatResponse):
            yield answer

    async def StopChat(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._call(request, context, fleet_pb2.StopChatResponse):
            yield answer

    async def _call(self, request: Any, context: Any, answer: Any) -> AsyncIterator[Any]:
        authenticate(context)
        log(type(request).__name__, ids=list(request.account_ids), labels=dict(request.match_labels))
        if self.scenario == "nobody":
            raise NotFound("No account has these labels.", reason="NO_ACCOUNT_SELECTED")
        rows = results("good" if self.scenario in {"cut", "hang"} else self.scenario)
        for row in rows:
            yield answer(results=[row])
            await asyncio.sleep(0.03 if self.scenario == "all" else 0)
        if self.scenario == "cut":
            raise Unavailable("The gateway is stopping.", reason="SHUTTING_DOWN")
        if self.scenario == "hang":
            await asyncio.Event().wait()
        summary = res.FleetSummary(total=len(rows))
        for row in rows:
            summary.by_outcome[res.Outcome.Name(row.outcome).removeprefix("OUTCOME_")] += 1
        summary.elapsed.FromMilliseconds(3400)
        yield answer(summary=summary)

    async def GetFleetStatus(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return fleet_status()

    async def ListWorkers(self, request: Any, context: Any) -> Any:
        authenticate(context)
        files = [
            fleet_pb2.AnnouncedFile(file_name="erin.session", auth_key_id="00" * 8, user_id=77),
            fleet_pb2.AnnouncedFile(file_name="junk.session", problem="The file is no session."),
        ]
        workers = [
            fleet_pb2.Worker(worker_id="w1", state=1, capacity=500, sessions=7, files=files),
            fleet_pb2.Worker(worker_id="w2", state=3, capacity=500),
        ]
        for worker in workers:
            worker.last_seen_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=4))
        return fleet_pb2.ListWorkersResponse(workers=workers)

    async def DrainWorker(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("DrainWorker", worker=request.worker_id, undo=request.undo)
        if request.worker_id == "w9":
            raise NotFound("There is no worker w9.", reason="WORKER_NOT_FOUND", field="worker_id")
        left = results("waiting")[1:] if request.worker_id == "w2" else []
        return fleet_pb2.DrainWorkerResponse(moved=7, remaining=left)

    async def ResumeStarts(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return fleet_pb2.ResumeStartsResponse(were_stopped=True)

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        authenticate(context)
        yield fleet_pb2.WatchEventsResponse()
        yield fleet_pb2.WatchEventsResponse(events=sample_events())
        if self.scenario == "hang":
            await asyncio.Event().wait()


def sample_events() -> list[event_pb2.Event]:
    """One of each that a person meets often."""
    received = event_pb2.MessageReceived(chat_id=-1001, message_id=4, sender_id=9, text="hello \x1b[2Jthere")
    answered = event_pb2.MessageAnswered(
        chat_id=-1001, message_id=5, reply_to_message_id=4, text="Hi! How can I help?"
    )
    made = [
        event_pb2.Event(
            name="alice",
            worker_id="w1",
            detail="The session is running.",
            session_changed=event_pb2.SessionChanged(state="RUNNING"),
        ),
        event_pb2.Event(name="alice", detail="A message arrived in chat -1001.", message_received=received),
        event_pb2.Event(name="alice", detail="It was answered in chat -1001.", message_answered=answered),
        event_pb2.Event(
            worker_id="w2",
            detail="Worker w2 is offline.",
            worker_changed=event_pb2.WorkerChanged(state="OFFLINE"),
        ),
        event_pb2.Event(detail="3 events were lost.", events_lost=event_pb2.EventsLost(count=3)),
    ]
    for event in made:
        event.time.FromDatetime(datetime(2026, 11, 21, 12, 3, 22, tzinfo=UTC))
    return made


def fleet_status() -> fleet_pb2.GetFleetStatusResponse:
    """The sample accounts as the status shows them."""
    status = fleet_pb2.GetFleetStatusResponse(term=4)
    for result in results("all"):
        runs = result.outcome in {res.OUTCOME_STARTED, res.OUTCOME_ALREADY_RUNNING}
        row = status.accounts.add(
            account_id=result.account_id,
            name=result.name,
            enabled=result.reason != res.REASON_DISABLED,
            wanted_running=result.outcome != res.OUTCOME_SKIPPED,
            wanted_chatting=runs,
            chatting=runs,
            state=fleet_pb2.SESSION_STATE_RUNNING if runs else 0,
            worker_id=result.worker_id,
            reason=result.reason,
            detail=result.detail,
            action=result.action,
            received_today=12345 if runs else 0,
            answered_today=42 if runs else 0,
        )
        if result.HasField("retry_time"):
            row.retry_time.CopyFrom(result.retry_time)
        row.state_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=64))
        status.by_state["RUNNING" if runs else "NOT_RUNNING"] += 1
    until = status.accounts[0].flood_waits.add(method="messages.sendMessage").until_time
    until.FromDatetime(datetime.now(UTC) + timedelta(minutes=40))
    return status


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


class Tokens(token_pb2_grpc.TokenServiceServicer):
    """Makes one token and lists it."""

    async def CreateToken(self, request: Any, context: Any) -> Any:
        authenticate(context)
        if request.role == token_pb2.ROLE_ADMIN:
            raise PermissionDenied(
                "This call needs the role admin; the token has operator.", reason="ROLE_TOO_LOW"
            )
        token = token_pb2.ApiToken(name=request.name, role=request.role)
        return token_pb2.CreateTokenResponse(token=token, secret="tgf_brand_new_secret_1")

    async def ListTokens(self, request: Any, context: Any) -> Any:
        authenticate(context)
        token = token_pb2.ApiToken(name="grafana", role=token_pb2.ROLE_VIEWER)
        token.create_time.GetCurrentTime()
        token.last_use_time.GetCurrentTime()
        return token_pb2.ListTokensResponse(tokens=[token])

    async def UpdateToken(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("UpdateToken", name=request.name, role=request.role)
        return token_pb2.UpdateTokenResponse()

    async def RevokeToken(self, request: Any, context: Any) -> Any:
        authenticate(context)
        return token_pb2.RevokeTokenResponse()


class Keys(key_pb2_grpc.KeyServiceServicer):
    """Two keys; in the scenario `lost` some secrets are under a third one."""

    def __init__(self, scenario: str) -> None:
        self._lost = scenario == "lost"

    async def ListKeys(self, request: Any, context: Any) -> Any:
        authenticate(context)
        keys = [
            key_pb2.MasterKey(key_id="new", active=True, present=True, secrets=1200),
            key_pb2.MasterKey(key_id="old", present=True),
            key_pb2.MasterKey(key_id="gone", secrets=1),
        ]
        return key_pb2.ListKeysResponse(keys=keys[: 2 + self._lost])

    async def RotateKeys(self, request: Any, context: Any) -> AsyncIterator[Any]:
        authenticate(context)
        yield key_pb2.RotateKeysResponse(key_id="new", resealed=100, remaining=20)
        last = key_pb2.RotateKeysResponse(key_id="new", resealed=120, done=True)
        if self._lost:
            last.unreadable, last.unreadable_account_ids[:] = 1, ["acc_aaaaaaaaaaaa"]
        yield last


class Audit(audit_pb2_grpc.AuditServiceServicer):
    """Three entries, two to a page at most."""

    async def ListAuditEntries(self, request: Any, context: Any) -> Any:
        authenticate(context)
        log("ListAuditEntries", size=request.page_size, token=request.page_token)
        entries = []
        for number, outcome in enumerate((1, 2, 3)):
            entry = audit_pb2.AuditEntry(
                entry_id=f"e{number}",
                token_name="ops" if outcome != audit_pb2.AUDIT_OUTCOME_REFUSED else "",
                role=token_pb2.ROLE_OPERATOR,
                peer="127.0.0.1:4711",
                method="FleetService.StartAll",
                targets=[f"account={STRANGE}"],
                outcome=outcome,
                reason="TOKEN_INVALID" if outcome == audit_pb2.AUDIT_OUTCOME_REFUSED else "",
            )
            entry.time.GetCurrentTime()
            entries.append(entry)
        first = int(request.page_token or 0)
        last = first + min(2, request.page_size)
        token = str(last) if last < len(entries) else ""
        return audit_pb2.ListAuditEntriesResponse(entries=entries[first:last], next_page_token=token)


def authenticate(context: Any) -> None:
    """As the real one, with one token."""
    if dict(context.invocation_metadata()).get("authorization") != f"Bearer {TOKEN}":
        raise Unauthenticated(
            "The token is not known here; it may have been revoked.", reason="TOKEN_INVALID"
        )


def log(call: str, **facts: Any) -> None:
    print(json.dumps({"call": call, **facts}), file=sys.stderr, flush=True)


async def main(scenario: str) -> None:
    server = ServiceServer(
        "gateway", HostPort("127.0.0.1", 0), Lifecycle(RuntimeSettings(shutdown_grace=timedelta(0)))
    )
    server.add(fleet_pb2_grpc.add_FleetServiceServicer_to_server, Fleet(scenario))
    server.add(account_pb2_grpc.add_AccountServiceServicer_to_server, Accounts())
    server.add(token_pb2_grpc.add_TokenServiceServicer_to_server, Tokens())
    server.add(key_pb2_grpc.add_KeyServiceServicer_to_server, Keys(scenario))
    server.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, Audit())
    async with server:
        print(server.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    from services.runtime.logs import set_up_logs

    set_up_logs("fake", level="error")
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
