"""Human sentences for what the scheduler decides: every refusal says what is the matter (`detail`) and what
a person can do (`action`). Knows no protobuf. Accounts are never named in a detail: their names may be phone
numbers.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from services.scheduler.domain.model import AccountSpec, CallKind, Flood, Outcome, Reason, Report, Verdict

_PHONE = re.compile(r"\+?[\d\s()-]{5,}")

_FAILURES: dict[Reason, tuple[str, str]] = {
    Reason.SESSION_INVALID: (
        "What is stored as this account's session is not a session.",
        "Import the account's session again.",
    ),
    Reason.SESSION_MISSING: (
        "The home worker has no session file for this account.",
        "Put the file back on its home worker.",
    ),
    Reason.AUTH_KEY_UNREGISTERED: (
        "Telegram does not know this session's key any more.",
        "Log the account in again and import the new session.",
    ),
    Reason.AUTH_KEY_DUPLICATED: (
        "Another program used this session at the same time, so Telegram killed its key.",
        "Find and stop the other program; then log in again and import the new session.",
    ),
    Reason.SESSION_REVOKED: (
        "The login was revoked in Telegram or has expired.",
        "Log the account in again and import the new session.",
    ),
    Reason.ACCOUNT_BANNED: ("Telegram has deleted or banned this account.", "Disable or delete the account."),
    Reason.ACCOUNT_FROZEN: (
        "Telegram has frozen this account: it can read, but do nothing else.",
        "Appeal in an official Telegram app, or disable the account.",
    ),
    Reason.CONNECT_TIMEOUT: (
        "Telegram's data centre did not answer in time.",
        "Check the worker's network; the fleet tries again by itself.",
    ),
    Reason.PROXY_ERROR: (
        "The account's proxy does not work; the account never connects without it.",
        "Check the proxy, or set another one with `tgfleet accounts set NAME --proxy-stdin`.",
    ),
    Reason.SECRET_UNREADABLE: (
        "The stored session cannot be decrypted with the master keys at hand.",
        "Give the registry the master key that the session was stored with.",
    ),
    Reason.INTERNAL: ("Something went wrong inside tgfleet.", "Look into the worker's log."),
    Reason.LEASE_HELD: ("Another worker holds this session.", "Nothing: the fleet tries again by itself."),
    Reason.SETTLING: (
        "The session's last holder is gone and Telegram is given time to notice.",
        "Nothing: the fleet tries again by itself.",
    ),
    Reason.FLOOD_WAIT: (
        "Telegram told the account to wait before it connects.",
        "Nothing: the fleet tries again when the wait is over.",
    ),
    Reason.NEEDS_LOGIN: ("The account has no valid login.", "Log the account in and import its session."),
    Reason.QUARANTINED: (
        "The account was set aside.",
        "Find out why, then let it start again with `tgfleet accounts enable NAME`.",
    ),
    Reason.DISABLED: (
        "The account is disabled.",
        "To let it start again, run `tgfleet accounts enable NAME`.",
    ),
}


def clock(when: float) -> str:
    """A time of day as people read it."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def handle(spec: AccountSpec) -> str:
    """How a command line should name the account: its name, or its id when the name looks like a phone
    number."""
    return spec.account_id if _PHONE.fullmatch(spec.name) else shlex.quote(spec.name)


def action_for(reason: Reason, spec: AccountSpec) -> str:
    """What a person can do about a reason."""
    return _FAILURES.get(reason, ("", ""))[1].replace("NAME", handle(spec))


def disabled(spec: AccountSpec) -> Verdict:
    return Verdict(
        Outcome.SKIPPED, Reason.DISABLED, "The account is disabled.", action_for(Reason.DISABLED, spec)
    )


def deleted() -> Verdict:
    return Verdict(Outcome.SKIPPED, Reason.DISABLED, "The account was deleted.")


def taken_back() -> Verdict:
    """A StopAll came while the account was starting."""
    return Verdict(Outcome.SKIPPED, detail="A later call stopped the account before it was up.")


def needs_login(spec: AccountSpec) -> Verdict:
    detail = spec.block_detail or "The account has no valid login."
    return Verdict(Outcome.SKIPPED, Reason.NEEDS_LOGIN, detail, action_for(Reason.NEEDS_LOGIN, spec))


def quarantined(spec: AccountSpec) -> Verdict:
    detail = spec.block_detail or "The account was set aside."
    if spec.block_retry:
        detail += f" The fleet tries it once by itself after {clock(spec.block_retry)}."
    action = action_for(Reason.QUARANTINED, spec)
    return Verdict(Outcome.SKIPPED, Reason.QUARANTINED, detail, action, spec.block_retry)


def starts_stopped(why: str) -> Verdict:
    detail = f"All starts are stopped: {why}"
    action = "Find the other program that uses these sessions, then run `tgfleet resume-starts`."
    return Verdict(Outcome.SKIPPED, Reason.QUARANTINED, detail, action)


def conflict(places: Iterable[str]) -> Verdict:
    """`places` as in "the registry's vault" or "the file a.session on worker w1"."""
    detail = (
        f"The same session lies in several places: {_and(places)}. Telegram kills a key that is used twice."
    )
    return Verdict(
        Outcome.SKIPPED,
        Reason.SESSION_CONFLICT,
        detail,
        "Remove the copies until one is left, then start again.",
    )


def file_place(file_name: str, worker_id: str) -> str:
    return f"the file {file_name} on worker {worker_id}"


def flood_wait(flood: Flood) -> Verdict:
    detail = f"Telegram told the account to wait until {clock(flood.until)} before it calls {flood.method}."
    action = "Nothing: the fleet starts it when the wait is over."
    return Verdict(Outcome.WAITING, Reason.FLOOD_WAIT, detail, action, flood.until)


def home_offline(worker_id: str, others: Mapping[str, str], spec: AccountSpec) -> Verdict:
    detail = f"The account's home worker {worker_id} is not connected."
    action = f"Start worker {worker_id}; the fleet then starts the account by itself."
    if others:
        detail += f" Its session also lies on {_and(sorted(others))}."
        action += f" Or move it: {_set_home(spec, min(others))}."
    return Verdict(Outcome.WAITING, Reason.HOME_WORKER_OFFLINE, detail, action)


def home_draining(worker_id: str) -> Verdict:
    detail = f"The account's home worker {worker_id} is being drained."
    action = f"Restart the worker, or end the drain with `tgfleet workers undrain {worker_id}`."
    return Verdict(Outcome.WAITING, Reason.HOME_WORKER_OFFLINE, detail, action)


def no_capacity(explanations: Mapping[str, int]) -> Verdict:
    """`explanations`: how many workers gave which sentence for refusing."""
    if not explanations:
        detail = "No worker is connected."
    else:
        told = "; ".join(f"{count} {sentence}" for sentence, count in explanations.items())
        detail = f"No worker can take the account: {told}."
    action = (
        "Start another worker or raise TGFLEET_WORKER_CAPACITY; the fleet then starts the account by itself."
    )
    return Verdict(Outcome.WAITING, Reason.NO_WORKER_CAPACITY, detail, action)


def home_full(worker_id: str, capacity: int) -> Verdict:
    detail = f"The account's home worker {worker_id} is full ({capacity} sessions)."
    action = f"Raise TGFLEET_WORKER_CAPACITY of worker {worker_id}, or stop accounts there."
    return Verdict(Outcome.WAITING, Reason.NO_WORKER_CAPACITY, detail, action)


def lent() -> str:
    return "A transfer needs it; it stops when the transfer does not need it any more."


def missing(spec: AccountSpec, holders: Mapping[str, str]) -> Verdict:
    home = spec.home_worker
    detail = (
        f"The home worker {home} has no file {spec.session_file}."
        if home
        else "The account has no home worker."
    )
    if not holders:
        return Verdict(
            Outcome.FAILED, Reason.SESSION_MISSING, detail, f"Put {spec.session_file} back on worker {home}."
        )
    detail += f" The session was announced by {_and(sorted(holders))}."
    action = f"If it belongs there, run {_set_home(spec, min(holders))}."
    return Verdict(Outcome.FAILED, Reason.SESSION_MISSING, detail, action)


def file_problem(file_name: str, worker_id: str, problem: str) -> Verdict:
    detail = f"The file {file_name} on worker {worker_id} cannot be used: {problem}"
    return Verdict(
        Outcome.FAILED,
        Reason.SESSION_INVALID,
        detail,
        "Put a good session file in its place.",
        0.0,
        worker_id,
    )


def still_starting(kind: CallKind, worker_id: str) -> Verdict:
    doing = "stop" if kind is CallKind.STOP_ALL else "start" if kind is CallKind.START_ALL else "answer"
    where = f" on worker {worker_id}" if worker_id else ""
    detail = f"The call ended before the account could {doing}{where}; the fleet goes on with it."
    return Verdict(
        Outcome.WAITING, Reason.STILL_STARTING, detail, "Look again with `tgfleet status`.", 0.0, worker_id
    )


def worker_lost(worker_id: str, *, starting: bool, retry: float) -> Verdict:
    what = "during the start" if starting else "while the account was on it"
    detail = f"Worker {worker_id} went away {what}."
    action = "Nothing: the fleet starts the account again as soon as its session is free."
    return Verdict(Outcome.FAILED, Reason.WORKER_LOST, detail, action, retry, worker_id)


def stop_unseen(worker_id: str) -> Verdict:
    detail = f"Worker {worker_id} went away before it could stop the account; its session ends by itself."
    return Verdict(
        Outcome.FAILED, Reason.WORKER_LOST, detail, "Look again with `tgfleet status`.", 0.0, worker_id
    )


def not_running(detail: str) -> Verdict:
    return Verdict(Outcome.NOT_RUNNING, detail=detail, action="Start it first with `tgfleet start-all`.")


def not_recorded(detail: str) -> Verdict:
    action = "Try again; if it stays like this, look into the registry's log."
    return Verdict(Outcome.FAILED, Reason.INTERNAL, f"The wish could not be recorded: {detail}", action)


def from_report(report: Report, spec: AccountSpec, worker_id: str) -> Verdict:
    """How a session ended, by its worker's word; missing sentences are filled in."""
    reason = report.reason
    outcome = report.outcome or Outcome.FAILED
    if reason is Reason.UNSPECIFIED:
        detail = report.detail or f"The session on worker {worker_id} ended by itself."
        return Verdict(Outcome.FAILED, Reason.INTERNAL, detail, "", report.retry, worker_id)
    detail = report.detail or _FAILURES.get(reason, ("", ""))[0]
    return Verdict(outcome, reason, detail, action_for(reason, spec), report.retry, worker_id)


def gave_up(verdict: Verdict, attempts: int, spec: AccountSpec) -> None:
    """Adds to a verdict that the fleet has stopped trying."""
    verdict.detail += f" The fleet gave up after {attempts} attempts in a row."
    verdict.action = f"{verdict.action} To try again, run `tgfleet start-all {handle(spec)}`.".strip()


def two_places(kept: str, stopped: str) -> str:
    return f"The session ran on {kept} and on {stopped}; the older grant, on {stopped}, is stopped."


def _set_home(spec: AccountSpec, worker_id: str) -> str:
    return f"`tgfleet accounts set {handle(spec)} --home-worker {worker_id}`"


def _and(words: Iterable[str]) -> str:
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def drain_stopping(worker_id: str) -> Verdict:
    detail = f"Worker {worker_id} has not finished stopping the account yet."
    return Verdict(Outcome.WAITING, Reason.STILL_STARTING, detail, "Look again in a moment.", 0.0, worker_id)


def drain_home(worker_id: str) -> Verdict:
    detail = f"The account may run on its home worker {worker_id} only, so it is stopped at the deadline."
    action = f"Give it another home worker, or restart worker {worker_id}."
    return Verdict(Outcome.WAITING, Reason.HOME_WORKER_OFFLINE, detail, action, 0.0, worker_id)


def drain_no_room(worker_id: str) -> Verdict:
    detail = "No other worker has room for the account, so it is stopped at the deadline."
    return Verdict(
        Outcome.WAITING, Reason.NO_WORKER_CAPACITY, detail, "Start another worker.", 0.0, worker_id
    )


def warming() -> Verdict:
    detail = "A new scheduler leads and waits for the workers before it places anything."
    return Verdict(Outcome.WAITING, Reason.STILL_STARTING, detail, "Look again in a moment.")
