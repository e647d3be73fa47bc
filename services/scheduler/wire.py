"""Protobuf to domain and back, for everything that the scheduler hears and says. Decides nothing."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.scheduler.domain import commands as c
from services.scheduler.domain.model import (
    AccountSpec,
    AnnouncedFile,
    CallKind,
    CallResult,
    Config,
    Flood,
    Location,
    Outcome,
    Reason,
    Report,
    SessionState,
    Token,
    Verdict,
)
from tgfleet.gateway.v1 import account_pb2, event_pb2, fleet_pb2, result_pb2
from tgfleet.registry.v1 import registry_pb2
from tgfleet.scheduler.v1 import scheduler_pb2
from tgfleet.worker.v1 import worker_pb2

_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_REASONS = {reason.value: reason for reason in Reason}
_STATES = {state.value: state for state in SessionState}
_LOCATIONS = {
    account_pb2.SESSION_LOCATION_VAULT: Location.VAULT,
    account_pb2.SESSION_LOCATION_WORKER_FILE: Location.WORKER_FILE,
}
_KINDS = {kind.value: kind for kind in CallKind}


def timestamp(when: float) -> Timestamp | None:
    """None for 0, which means "no time"."""
    if not when:
        return None
    made = Timestamp()
    made.FromDatetime(datetime.fromtimestamp(when, UTC))
    return made


def wall_time(value: Timestamp) -> float:
    """Seconds since 1970; 0 when it is not set."""
    return value.seconds + value.nanos / 1e9


def duration(seconds: float) -> Duration:
    made = Duration()
    made.FromTimedelta(timedelta(seconds=max(0.0, seconds)))
    return made


def seconds_of(value: Duration) -> float:
    return float(value.seconds + value.nanos / 1e9)


def call_kind(kind: int) -> CallKind | None:
    """None for a kind that this scheduler does not know."""
    return _KINDS.get(kind)


def account_spec(record: registry_pb2.AccountRecord) -> AccountSpec:
    account = record.account
    policy = account.chat_policy
    return AccountSpec(
        account_id=account.account_id,
        name=account.name,
        labels=dict(account.labels),
        priority=account.priority,
        enabled=account.enabled,
        user_id=account.user_id,
        auth_key_id=account.auth_key_id,
        location=_LOCATIONS.get(account.session_location, Location.NONE),
        home_worker=account.home_worker,
        session_file=account.session_file,
        proxy=account.proxy,
        api_id=account.api_id,
        wanted_running=account.wanted_running,
        wanted_chatting=account.wanted_chatting,
        block_reason=_REASONS.get(account.block_reason, Reason.INTERNAL),
        block_detail=account.block_detail,
        block_retry=wall_time(account.block_retry_time),
        floods=tuple(flood(wait) for wait in account.flood_waits),
        config=Config(
            account.name,
            tuple(policy.chat_ids),
            tuple(policy.user_ids),
            policy.contacts,
            account.time_zone,
        ),
        received_today=record.received_today,
        answered_today=record.answered_today,
        daily_cap=account.transfer_policy.daily_cap,
        allowed_hours=tuple(account.transfer_policy.allowed_hours),
        last_worker=record.last_worker_id,
        crash_streak=record.crash_streak,
    )


def flood(wait: result_pb2.FloodWait) -> Flood:
    return Flood(wait.method, wait.chat_id, wait.until_time.seconds + wait.until_time.nanos / 1e9)


def flood_wait(wait: Flood) -> result_pb2.FloodWait:
    return result_pb2.FloodWait(method=wait.method, chat_id=wait.chat_id, until_time=timestamp(wait.until))


def report(message: worker_pb2.SessionReport) -> Report:
    has = message.HasField
    token = Token(message.token.generation, message.token.revision) if has("token") else None
    return Report(
        account_id=message.account_id,
        state=_STATES.get(message.state, SessionState.UNSPECIFIED),
        token=token,
        command_id=message.command_id,
        outcome=_OUTCOMES.get(message.outcome),
        reason=_REASONS.get(message.reason, Reason.INTERNAL),
        detail=message.detail,
        retry=wall_time(message.retry_time) if has("retry_time") else 0.0,
        chatting=message.chatting,
        state_time=wall_time(message.state_time) if has("state_time") else 0.0,
        user_id=message.user_id,
        released=message.released,
    )


def announced_files(messages: Iterable[fleet_pb2.AnnouncedFile]) -> list[AnnouncedFile]:
    return [AnnouncedFile(m.file_name, m.auth_key_id, m.user_id, m.problem) for m in messages]


def reason_value(reason: Reason) -> result_pb2.Reason.ValueType:
    return result_pb2.Reason.ValueType(reason.value)


def state_value(state: SessionState) -> fleet_pb2.SessionState.ValueType:
    return fleet_pb2.SessionState.ValueType(state.value)


def account_result(result: CallResult) -> result_pb2.AccountResult:
    made = result_pb2.AccountResult()
    write_result(made, result)
    return made


def write_result(made: result_pb2.AccountResult, result: CallResult) -> None:
    """Into an empty message where it stands. A call has thousands; most have neither reason nor detail."""
    verdict = result.verdict
    made.account_id = result.account_id
    made.name = result.name
    made.outcome = verdict.outcome.value  # type: ignore[assignment]  # the same numbers
    made.worker_id = verdict.worker_id
    if verdict.reason is not Reason.UNSPECIFIED:
        made.reason = reason_value(verdict.reason)
    if verdict.detail:
        made.detail = verdict.detail
    if verdict.action:
        made.action = verdict.action
    if verdict.retry:
        made.retry_time.CopyFrom(timestamp(verdict.retry))  # type: ignore[arg-type]  # a time it is
    elapsed = made.elapsed
    elapsed.seconds, elapsed.nanos = divmod(round(max(0.0, result.elapsed) * 1e9), 1_000_000_000)
    elapsed.SetInParent()


def unelapsed(account_id: str, name: str, verdict: Verdict) -> result_pb2.AccountResult:
    """A result outside of a fleet call."""
    return account_result(CallResult(account_id, name, verdict, 0.0))


def worker_message(term: int, command: c.WorkerCommand) -> scheduler_pb2.AttachWorkerResponse:
    """What goes down a worker's stream for a command."""
    made = scheduler_pb2.AttachWorkerResponse(term=term)
    if isinstance(command, c.StartSessions):
        items = [
            worker_pb2.StartSession(account_id=i.account_id, chat=i.chat, session_file=i.session_file)
            for i in command.sessions
        ]
        made.start.CopyFrom(worker_pb2.StartSessions(command_id=command.command_id, sessions=items))
    elif isinstance(command, c.StopSessions):
        made.stop.command_id = command.command_id
        made.stop.account_ids.extend(command.account_ids)
    elif isinstance(command, c.SetChat):
        made.set_chat.command_id = command.command_id
        made.set_chat.account_ids.extend(command.account_ids)
        made.set_chat.chat = command.chat
    elif isinstance(command, c.ConfigureSessions):
        made.configure.sessions.extend(_config(account_id, config) for account_id, config in command.sessions)
    elif isinstance(command, c.FleetUsers):
        made.fleet_users.SetInParent()
        made.fleet_users.user_ids.extend(command.user_ids)
    elif isinstance(command, c.Drain):
        made.drain.drain = command.drain
    else:
        raise TypeError(f"{type(command).__name__} is no message to a worker")
    return made


def welcome(term: int, heartbeat: float) -> scheduler_pb2.AttachWorkerResponse:
    answer = worker_pb2.Welcome(heartbeat_period=duration(heartbeat))
    return scheduler_pb2.AttachWorkerResponse(term=term, welcome=answer)


def session_event(command: c.PublishSession) -> event_pb2.Event:
    return event_pb2.Event(
        time=timestamp(command.wall),
        account_id=command.account_id,
        name=command.name,
        worker_id=command.worker_id,
        detail=command.detail,
        session_changed=event_pb2.SessionChanged(
            state=command.state.name, reason=reason_value(command.reason)
        ),
    )


def worker_event(command: c.PublishWorker) -> event_pb2.Event:
    return event_pb2.Event(
        time=timestamp(command.wall),
        worker_id=command.worker_id,
        detail=command.detail,
        worker_changed=event_pb2.WorkerChanged(state=command.state),
    )


def crash_facts(command: c.ReportCrashes, fact_ids: Sequence[str]) -> list[registry_pb2.Fact]:
    """One fact for each account, under ids made by the caller so that a repetition counts once."""
    crashed = registry_pb2.WorkerCrashed(incarnation=command.incarnation)
    return [
        registry_pb2.Fact(
            fact_id=fact_id,
            account_id=account_id,
            time=timestamp(command.wall),
            worker_id=command.worker_id,
            worker_crashed=crashed,
        )
        for fact_id, account_id in zip(fact_ids, command.account_ids, strict=True)
    ]


def _config(account_id: str, config: Config) -> worker_pb2.SessionConfig:
    policy = account_pb2.ChatPolicy(
        chat_ids=config.chat_ids, user_ids=config.user_ids, contacts=config.contacts
    )
    return worker_pb2.SessionConfig(
        account_id=account_id, name=config.name, chat_policy=policy, time_zone=config.time_zone
    )
