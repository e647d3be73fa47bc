"""Between protobuf and domain, for accounts, leases and facts. Decides nothing; `servicer` uses it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.registry.domain import importing, leasing
from services.registry.domain.account import (
    AccountView,
    ChatPolicy,
    FloodWait,
    Reason,
    SessionLocation,
    TransferPolicy,
)
from services.registry.domain.facts import (
    ChatCounts,
    Fact,
    Kind,
    LinkLost,
    SessionDied,
    SessionRan,
    WorkerCrashed,
)
from services.registry.domain.refusals import Refusal
from services.registry.handlers.changes import Update
from services.registry.handlers.imports import ImportResult
from services.registry.handlers.sessions import Grant
from services.registry.ports import Selection
from services.runtime.errors import InvalidArgument
from tgfleet.gateway.v1 import account_pb2, result_pb2
from tgfleet.registry.v1 import registry_pb2
from tgfleet.worker.v1 import worker_pb2

_LOCATIONS = {
    found: account_pb2.SessionLocation.Value(f"SESSION_LOCATION_{found}") for found in SessionLocation
}
_REASONS = {found: result_pb2.Reason.Value(f"REASON_{found}") for found in Reason}
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """None stays unset."""
    if moment is None:
        return None
    seconds = int(moment.timestamp() // 1)
    return Timestamp(seconds=seconds, nanos=moment.microsecond * 1000)


def moment(stamp: Timestamp, field: str) -> datetime:
    """A time from 1970 to 9999. Raises InvalidArgument."""
    try:
        found = stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument("This is no point in time.", field=field) from error
    if not _FIRST <= found <= _LAST:
        raise InvalidArgument("A time lies between 1970 and 9999.", field=field)
    return found


def duration(message: Duration, field: str) -> timedelta:
    """A length of time that is not negative. Raises InvalidArgument."""
    try:
        found = message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidArgument("This is no length of time.", field=field) from error
    if found < timedelta(0):
        raise InvalidArgument("A length of time is not negative.", field=field)
    return found


def selection(account_ids: object, match_labels: Mapping[str, str]) -> Selection:
    """From the fields that every selection has."""
    return Selection(tuple(account_ids), dict(match_labels))  # type: ignore[arg-type]  # a repeated field


def account(view: AccountView) -> account_pb2.Account:
    """The public message."""
    found = view.account
    return account_pb2.Account(
        account_id=found.account_id,
        name=found.name,
        labels=dict(found.labels),
        priority=found.priority,
        enabled=found.enabled,
        user_id=found.user_id,
        auth_key_id=found.auth_key_id,
        session_location=_LOCATIONS[found.session_location],
        home_worker=found.home_worker,
        session_file=found.session_file,
        proxy=found.proxy_public,
        api_id=found.api_id,
        time_zone=found.time_zone,
        chat_policy=chat_policy(found.chat_policy),
        transfer_policy=transfer_policy(found.transfer_policy),
        wanted_running=found.wanted_running,
        wanted_chatting=found.wanted_chatting,
        block_reason=reason(found.block.reason),
        block_detail=found.block.detail,
        block_retry_time=timestamp(found.block.retry_time),
        flood_waits=[flood_wait(wait) for wait in view.flood_waits],
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
    )


def reason(found: Reason) -> result_pb2.Reason.ValueType:
    """The same name in the proto."""
    return _REASONS[found]


def chat_policy(policy: ChatPolicy) -> account_pb2.ChatPolicy:
    """The public message."""
    return account_pb2.ChatPolicy(
        chat_ids=policy.chat_ids, user_ids=policy.user_ids, contacts=policy.contacts
    )


def chat_policy_from(message: account_pb2.ChatPolicy) -> ChatPolicy:
    """As asked, unchecked."""
    return ChatPolicy(tuple(message.chat_ids), tuple(message.user_ids), message.contacts)


def transfer_policy(policy: TransferPolicy) -> account_pb2.TransferPolicy:
    """The public message."""
    return account_pb2.TransferPolicy(daily_cap=policy.daily_cap, allowed_hours=policy.allowed_hours)


def transfer_policy_from(message: account_pb2.TransferPolicy) -> TransferPolicy:
    """As asked, unchecked."""
    return TransferPolicy(message.daily_cap, tuple(message.allowed_hours))


def flood_wait(wait: FloodWait) -> result_pb2.FloodWait:
    """The public message."""
    return result_pb2.FloodWait(method=wait.method, chat_id=wait.chat_id, until_time=timestamp(wait.until))


def import_item(item: account_pb2.ImportItem) -> importing.Item:
    """As asked, unchecked."""
    return importing.Item(
        name=item.name,
        labels=dict(item.labels),
        priority=item.priority,
        source=_source(item),
        home_worker=item.home_worker,
        proxy=item.proxy,
        api_id=item.api_id,
        chat_policy=chat_policy_from(item.chat_policy),
        disabled=item.disabled,
        time_zone=item.time_zone,
    )


def _source(item: account_pb2.ImportItem) -> importing.Source:
    match item.WhichOneof("source"):
        case "session_string":
            return importing.StringSource(item.session_string)
        case "session_file":
            return importing.FileSource(item.session_file)
        case "worker_file":
            return importing.WorkerFileSource(item.worker_file.worker_id, item.worker_file.file_name)
        case "without_session":
            return importing.NoSource()
        case _:
            return None


def import_result(result: ImportResult, views: Mapping[str, AccountView]) -> account_pb2.ImportResult:
    """The public message. An account that was deleted since (a repeated call) appears with id and name
    only."""
    shown = None
    if result.account_id in views:
        shown = account(views[result.account_id])
    elif result.account_id:
        shown = account_pb2.Account(account_id=result.account_id, name=result.name)
    return account_pb2.ImportResult(
        name=result.name,
        account=shown,
        kind=result.kind,
        reason=result.reason,
        field=result.field,
        detail=result.detail,
    )


def record(view: AccountView) -> registry_pb2.AccountRecord:
    """An account as the scheduler needs it."""
    return registry_pb2.AccountRecord(
        account=account(view),
        received_today=view.received_today,
        answered_today=view.answered_today,
        last_worker_id=view.account.last_worker_id,
        crash_streak=view.account.crash_streak,
    )


def watch_update(update: Update, terms: leasing.LeaseTerms) -> registry_pb2.WatchAccountsResponse:
    """A message of the watch; `terms` go with the one that completes the snapshot."""
    message = registry_pb2.WatchAccountsResponse(
        accounts=[record(view) for view in update.accounts],
        deleted_account_ids=update.deleted,
        snapshot_complete=update.snapshot_complete,
        starts_stopped=update.starts_stopped or "",
        starts_stopped_changed=update.starts_stopped is not None,
        revision=update.revision,
        wishes=[
            registry_pb2.WishChange(running=w.running, chatting=w.chatting, account_ids=w.account_ids)
            for w in update.wishes
        ],
    )
    if update.snapshot_complete:
        message.lease_ttl.FromTimedelta(terms.ttl)
        message.lease_settle.FromTimedelta(terms.settle)
    return message


def token_from(message: worker_pb2.Token) -> leasing.Token:
    """A grant's proof."""
    return leasing.Token(message.generation, message.revision)


def held_lease(message: registry_pb2.HeldLease, field: str) -> leasing.HeldLease:
    """A lease that a worker says it has. Raises InvalidArgument."""
    settle = duration(message.settle, f"{field}.settle")
    return leasing.HeldLease(message.lease_id, message.sessions, settle)


def session_lease(terms: leasing.LeaseTerms) -> registry_pb2.SessionLease:
    """A lease that the worker does not know yet."""
    message = registry_pb2.SessionLease(lease_id=terms.lease_id)
    message.ttl.FromTimedelta(terms.ttl)
    message.settle.FromTimedelta(terms.settle)
    return message


def add_acquire_result(
    response: registry_pb2.AcquireSessionsResponse, account_id: str, result: Grant | Refusal
) -> None:
    """What became of one item. Written where it stands: protobuf copies what is put together from parts."""
    message = response.results.add(account_id=account_id)
    if isinstance(result, Refusal):
        message.refusal.CopyFrom(_refusal(result))
    else:
        _write_grant(message.grant, result)


def _refusal(refusal: Refusal) -> registry_pb2.SessionRefusal:
    return registry_pb2.SessionRefusal(
        outcome=result_pb2.Outcome.Value(f"OUTCOME_{refusal.outcome}"),
        reason=reason(refusal.reason),
        detail=refusal.detail,
        retry_time=timestamp(refusal.retry_time),
        holder_worker_id=refusal.holder_worker_id,
    )


def _write_grant(message: registry_pb2.SessionGrant, grant: Grant) -> None:
    found, account = grant.candidate, grant.candidate.account
    message.token.generation = grant.token.generation
    message.token.revision = grant.token.revision
    message.lease_id = grant.lease_id
    message.auth_key_id = found.auth_key_id
    if found.session is not None:
        material, session = message.session, found.session
        material.dc_id = session.dc_id
        material.auth_key = session.auth_key
        material.test_mode = session.test_mode
        material.user_id = session.user_id
    if found.flood_waits:
        message.flood_waits.extend(flood_wait(wait) for wait in found.flood_waits)
    message.proxy = found.proxy
    message.chat_policy.CopyFrom(_policy_message(account.chat_policy))
    message.user_id = account.user_id
    message.api_id = account.api_id
    message.device_model = account.device_model
    message.name = account.name
    message.time_zone = account.time_zone


@lru_cache(maxsize=256)
def _policy_message(policy: ChatPolicy) -> account_pb2.ChatPolicy:
    """Not to be changed: most accounts have the same few policies."""
    return chat_policy(policy)


def fact_from(message: registry_pb2.Fact, field: str) -> Fact:
    """Raises InvalidArgument."""
    return Fact(
        message.fact_id,
        message.account_id,
        moment(message.time, f"{field}.time"),
        message.worker_id,
        _fact_kind(message, field),
    )


def _fact_kind(message: registry_pb2.Fact, field: str) -> Kind:
    match message.WhichOneof("kind"):
        case "flood_wait":
            wait = message.flood_wait
            return FloodWait(
                wait.method, wait.chat_id, moment(wait.until_time, f"{field}.flood_wait.until_time")
            )
        case "session_died":
            died = message.session_died
            return SessionDied(_death_reason(died.reason), died.auth_key_id)
        case "link_lost":
            lost = message.link_lost
            uptime = duration(lost.uptime, f"{field}.link_lost.uptime")
            downtime = duration(lost.downtime, f"{field}.link_lost.downtime")
            is_back = lost.HasField("downtime")
            return LinkLost(lost.cause, uptime, downtime if is_back else None, lost.reconnected)
        case "session_ran":
            return SessionRan(message.session_ran.user_id, message.session_ran.stable)
        case "chat_counts":
            counts = message.chat_counts
            return ChatCounts(counts.day, counts.incarnation, counts.received, counts.answered)
        case "worker_crashed":
            return WorkerCrashed(message.worker_crashed.incarnation)
        case _:
            raise InvalidArgument("A fact says what was seen.", field=f"{field}.kind")


def _death_reason(number: int) -> Reason:
    """Reasons that are no death, or unknown, become UNSPECIFIED, which the handler refuses."""
    try:
        return Reason(result_pb2.Reason.Name(number).removeprefix("REASON_"))  # type: ignore[arg-type]
    except ValueError:
        return Reason.UNSPECIFIED
