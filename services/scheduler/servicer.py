"""SchedulerService: protobuf to handlers and back, nothing else."""

import base64
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc

from services.runtime.calls import remaining
from services.runtime.errors import InvalidArgument, NotFound
from services.scheduler import handlers, wire
from services.scheduler.domain import views
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.model import CallKind, CallResult
from services.scheduler.domain.workers import Presence, Worker
from services.scheduler.leader import Leader, Seat
from services.scheduler.metrics import RESULTS
from services.scheduler.ports import Selection
from tgfleet.gateway.v1 import event_pb2, fleet_pb2
from tgfleet.scheduler.v1 import scheduler_pb2, scheduler_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_STATUS_PAGE = (1_000, 10_000)  # default, most
_WORKERS_PAGE = (100, 1_000)
_DRAIN_TIMEOUT = (60.0, 3600.0)
_MAX_WAIT_FOR = 3600.0


class SchedulerServicer(scheduler_pb2_grpc.SchedulerServiceServicer):
    """What the gateway asks of the leading scheduler."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def RunFleetCall(
        self, request: scheduler_pb2.RunFleetCallRequest, context: Context
    ) -> AsyncIterator[scheduler_pb2.RunFleetCallResponse]:
        leader = self._seat.require()
        parsed = _fleet_call(request, remaining(context, handlers.DEFAULT_DEADLINE))
        first = True
        async for batch in handlers.run_fleet_call(leader, parsed):
            if first:
                yield scheduler_pb2.RunFleetCallResponse(selected_account_ids=batch)  # type: ignore[arg-type]
                first = False
            else:
                response = scheduler_pb2.RunFleetCallResponse()
                for result in batch:
                    wire.write_result(response.results.add(), result)  # type: ignore[arg-type]
                _count(parsed.kind, batch)  # type: ignore[arg-type]
                yield response

    async def GetFleetStatus(
        self, request: scheduler_pb2.GetFleetStatusRequest, context: Context
    ) -> scheduler_pb2.GetFleetStatusResponse:
        leader = self._seat.require()
        asked = request.request
        size = _page_size(asked.page_size, _STATUS_PAGE)
        after = _page_start(asked.page_token)
        chosen = _select(leader, asked.account_ids, asked.match_labels)
        page = views.status_page(chosen, after, size)
        response = fleet_pb2.GetFleetStatusResponse(
            accounts=[_account_status(leader, entry) for entry in page.entries],
            next_page_token=_page_token(page.next_name),
            by_state=page.by_state,
            term=leader.term,
            starts_stopped=leader.core.fleet.starts_stopped,
        )
        return scheduler_pb2.GetFleetStatusResponse(response=response)

    async def ListWorkers(
        self, request: scheduler_pb2.ListWorkersRequest, context: Context
    ) -> scheduler_pb2.ListWorkersResponse:
        leader = self._seat.require()
        size = _page_size(request.request.page_size, _WORKERS_PAGE)
        fleet = leader.core.fleet
        workers, following = views.workers_page(fleet, _page_start(request.request.page_token), size)
        owners = views.users_of_files(fleet.accounts)
        response = fleet_pb2.ListWorkersResponse(
            workers=[_worker(worker, owners) for worker in workers], next_page_token=_page_token(following)
        )
        return scheduler_pb2.ListWorkersResponse(response=response)

    async def DrainWorker(
        self, request: scheduler_pb2.DrainWorkerRequest, context: Context
    ) -> scheduler_pb2.DrainWorkerResponse:
        leader = self._seat.require()
        asked = request.request
        if asked.undo:
            report = await handlers.undo_drain(leader, asked.worker_id)
        else:
            limit = _drain_timeout(asked)
            time_left = remaining(context, None)
            report = await handlers.drain_worker(
                leader, asked.worker_id, limit, 2 * limit if time_left is None else time_left
            )
        response = fleet_pb2.DrainWorkerResponse(
            moved=report.moved,
            remaining=[
                wire.unelapsed(entry.account_id, entry.spec.name, verdict)
                for entry, verdict in report.remaining
            ],
        )
        return scheduler_pb2.DrainWorkerResponse(response=response)

    async def WatchEvents(
        self, request: scheduler_pb2.WatchEventsRequest, context: Context
    ) -> AsyncIterator[scheduler_pb2.WatchEventsResponse]:
        leader = self._seat.require()
        watcher = leader.bus.watch(_wants(leader, request.request))
        try:
            yield _events([])
            while True:
                yield _events(await watcher.next())
        finally:
            leader.bus.leave(watcher)


def _count(kind: CallKind, results: Sequence[CallResult]) -> None:
    told = Counter((result.verdict.outcome, result.verdict.reason) for result in results)
    for (outcome, reason), number in told.items():
        RESULTS.labels(kind.name, outcome.name, reason.name).inc(number)


def _fleet_call(
    request: scheduler_pb2.RunFleetCallRequest, time_left: float | None
) -> handlers.FleetCallRequest:
    kind = wire.call_kind(request.kind)
    if kind is None:
        raise InvalidArgument("This kind of fleet call is not known.", field="kind")
    if not request.request_id:
        raise InvalidArgument("A fleet call needs a request id.", field="request_id")
    if request.account_ids and request.match_labels:
        raise InvalidArgument("Choose accounts by ids or by labels, not both.", field="match_labels")
    wait_for = wire.seconds_of(request.wait_for)
    if not 0 <= wait_for <= _MAX_WAIT_FOR:
        raise InvalidArgument("wait_for must be between 0 and 1 h.", field="wait_for")
    return handlers.FleetCallRequest(
        kind,
        Selection(list(request.account_ids), dict(request.match_labels)),
        request.request_id,
        wait_for,
        handlers.DEFAULT_DEADLINE if time_left is None else time_left,
        wire.wall_time(request.start_time),
    )


def _select(leader: Leader, account_ids: Sequence[str], match_labels: Mapping[str, str]) -> list[Entry]:
    if account_ids and match_labels:
        raise InvalidArgument("Choose accounts by ids or by labels, not both.", field="match_labels")
    try:
        chosen = views.select(leader.core.fleet, account_ids, match_labels)
    except views.UnknownAccountError as error:
        raise NotFound(
            "An account that was named does not exist.",
            reason="ACCOUNT_NOT_FOUND",
            field="account_ids",
            metadata={"account": str(error)},
        ) from error
    if match_labels and not chosen:
        raise NotFound("No account has all these labels.", reason="NO_ACCOUNT_SELECTED", field="match_labels")
    return chosen


def _account_status(leader: Leader, entry: Entry) -> fleet_pb2.AccountStatus:
    spec = entry.spec
    fleet = leader.core.fleet
    why = views.why_not_running(fleet, entry)
    status = fleet_pb2.AccountStatus(
        account_id=spec.account_id,
        name=spec.name,
        enabled=spec.enabled,
        wanted_running=spec.wanted_running,
        wanted_chatting=spec.wanted_chatting,
        state=wire.state_value(views.shown_state(entry)),
        chatting=entry.chatting,
        worker_id=entry.worker_id,
        state_time=wire.timestamp(entry.state_time),
        received_today=spec.received_today,
        answered_today=spec.answered_today,
        flood_waits=[wire.flood_wait(flood) for flood in spec.floods if flood.until > fleet.wall],
    )
    if why is not None:
        status.reason = wire.reason_value(why.reason)
        status.detail = why.detail
        status.action = why.action
        retry = wire.timestamp(why.retry)
        if retry is not None:
            status.retry_time.CopyFrom(retry)
    else:
        status.detail = views.why_running(entry)
    return status


def _worker(worker: Worker, owners: Mapping[str | tuple[str, str], str]) -> fleet_pb2.Worker:
    if not worker.attached:
        state = fleet_pb2.WORKER_STATE_OFFLINE
    elif worker.draining:
        state = fleet_pb2.WORKER_STATE_DRAINING
    else:
        state = fleet_pb2.WORKER_STATE_CONNECTED
    files = [
        fleet_pb2.AnnouncedFile(
            file_name=file.file_name,
            auth_key_id=file.auth_key_id,
            user_id=file.user_id,
            account_id=owners.get((worker.worker_id, file.file_name)) or owners.get(file.auth_key_id, ""),
            problem=file.problem,
        )
        for file in worker.files.values()
    ]
    return fleet_pb2.Worker(
        worker_id=worker.worker_id,
        incarnation=worker.incarnation,
        state=state,
        capacity=worker.capacity,
        sessions=len(worker.entries) if worker.presence is not Presence.LOST else 0,
        last_seen_time=wire.timestamp(worker.seen_wall),
        files=files,
    )


def _wants(leader: Leader, request: fleet_pb2.WatchEventsRequest) -> "_Wants":
    """Which events a watcher wants: those of the chosen accounts, or all."""
    if not request.account_ids and not request.match_labels:
        return _Wants(None)
    chosen = _select(leader, request.account_ids, request.match_labels)
    return _Wants({entry.account_id for entry in chosen})


class _Wants:
    """A filter of events by account; None lets all through."""

    def __init__(self, account_ids: set[str] | None) -> None:
        self._account_ids = account_ids

    def __call__(self, event: event_pb2.Event) -> bool:
        return self._account_ids is None or event.account_id in self._account_ids


def _events(events: Sequence[event_pb2.Event]) -> scheduler_pb2.WatchEventsResponse:
    return scheduler_pb2.WatchEventsResponse(response=fleet_pb2.WatchEventsResponse(events=events))


def _drain_timeout(request: fleet_pb2.DrainWorkerRequest) -> float:
    default, most = _DRAIN_TIMEOUT
    asked = wire.seconds_of(request.timeout)
    if not 0 <= asked <= most:
        raise InvalidArgument("The timeout must be between 0 and 1 h.", field="timeout")
    return asked or default


def _page_size(asked: int, limits: tuple[int, int]) -> int:
    default, most = limits
    if not 0 <= asked <= most:
        raise InvalidArgument(f"page_size must be between 0 and {most}.", field="page_size")
    return asked or default


def _page_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode() if last else ""


def _page_start(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError as error:  # not base64, not UTF-8, not even ASCII
        raise InvalidArgument("This page_token was not made by this method.", field="page_token") from error
