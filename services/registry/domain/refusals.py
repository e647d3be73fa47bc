"""Why a session is not granted, in the words of AccountResult. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.registry.domain.account import Reason, SessionLocation, Startable
from services.registry.domain.leasing import Owner, Taken

_SOON = timedelta(seconds=1)


class RefusalOutcome(StrEnum):
    """How the start ends for now."""

    SKIPPED = "SKIPPED"
    WAITING = "WAITING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One session that was not granted. `retry_time` None when no time is known."""

    outcome: RefusalOutcome
    reason: Reason
    detail: str
    retry_time: datetime | None = None
    holder_worker_id: str = ""


def refuse_account(
    account: Startable | None, worker_id: str, file_key: str, starts_stopped: str, now: datetime
) -> Refusal | None:
    """Whether the account itself forbids it. `file_key` is the key that the worker found in its own session
    file."""
    if account is None:
        return Refusal(RefusalOutcome.FAILED, Reason.INTERNAL, "The account does not exist any more.")
    if not account.enabled:
        return Refusal(RefusalOutcome.SKIPPED, Reason.DISABLED, "The operator disabled the account.")
    if account.block.forbids_start(now):
        block = account.block
        return Refusal(RefusalOutcome.SKIPPED, block.reason, block.detail, block.retry_time)
    if starts_stopped:
        return Refusal(RefusalOutcome.SKIPPED, Reason.QUARANTINED, starts_stopped)
    if account.session_location is SessionLocation.NONE:
        detail = "The account has no session yet; log in."
        return Refusal(RefusalOutcome.SKIPPED, Reason.NEEDS_LOGIN, detail)
    if account.session_location is SessionLocation.WORKER_FILE:
        return _refuse_file(account, worker_id, file_key)
    return None


def _refuse_file(account: Startable, worker_id: str, file_key: str) -> Refusal | None:
    """A file of the same name on another worker may hold any session."""
    if worker_id == account.home_worker and file_key:
        return None
    detail = f"The session is in the file {account.session_file} on worker {account.home_worker}"
    where = (
        ", which does not have it." if worker_id == account.home_worker else f", not on worker {worker_id}."
    )
    return Refusal(RefusalOutcome.FAILED, Reason.SESSION_MISSING, detail + where)


def not_assigned() -> Refusal:
    """No scheduler has said that this worker may."""
    detail = (
        "No valid assignment of the scheduler names this account for this worker. "
        "If this goes on, compare the clocks of the scheduler and the registry."
    )
    return Refusal(RefusalOutcome.FAILED, Reason.INTERNAL, detail)


def conflict(other: str) -> Refusal:
    """The key is also that of another account."""
    detail = f"The session file holds the same session as account {other}; one of the two must go."
    return Refusal(RefusalOutcome.SKIPPED, Reason.SESSION_CONFLICT, detail)


def unreadable(why: str) -> Refusal:
    """The vault's ciphertext cannot be opened."""
    detail = f"The stored session cannot be decrypted. {why}"
    return Refusal(RefusalOutcome.FAILED, Reason.SECRET_UNREADABLE, detail)


def new_generation(until: datetime) -> Refusal:
    """The lease store was lost or restored; nobody knows who still holds what."""
    detail = (
        "The lease store (etcd) was lost or restored; until every former holder has let go, nothing is "
        f"granted (until {until:%H:%M:%S} UTC)."
    )
    return Refusal(RefusalOutcome.WAITING, Reason.SETTLING, detail, until)


def lease_gone(now: datetime) -> Refusal:
    """The worker's own lease has ended, on which the session would have gone."""
    detail = "The worker's lease has ended; its sessions are being fenced."
    return Refusal(RefusalOutcome.WAITING, Reason.SETTLING, detail, now + _SOON)


def taken(found: Taken, owner: Owner, now: datetime) -> Refusal:
    """Somebody has the session. A holder that goes on renewing has it for longer than `retry_time` says."""
    retry = now + found.remaining
    whom = (
        "this worker's former process" if found.worker_id == owner.worker_id else f"worker {found.worker_id}"
    )
    if not found.settling:
        detail = f"{whom[0].upper()}{whom[1:]} holds the session."
        return Refusal(RefusalOutcome.WAITING, Reason.LEASE_HELD, detail, retry, found.worker_id)
    detail = (
        f"The session was held by {whom}; Telegram is given time to notice that it is gone "
        f"(until about {retry:%H:%M:%S} UTC)."
    )
    return Refusal(RefusalOutcome.WAITING, Reason.SETTLING, detail, retry, found.worker_id)
