"""FleetService of the fake gateway: sample accounts of every outcome."""

# ruff: noqa: N802 - gRPC names its methods in CamelCase and always passes a request and a context

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from services.runtime.errors import NotFound, Unavailable
from tests.integration.admin.fake_common import STRANGE, authenticate, log
from tgfleet.gateway.v1 import event_pb2, fleet_pb2, fleet_pb2_grpc
from tgfleet.gateway.v1 import result_pb2 as res

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
