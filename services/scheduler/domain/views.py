"""What people see of the fleet: pages of accounts and workers. Reads the core, changes nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.scheduler.domain import obstacles, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import Outcome, SessionState, Verdict
from services.scheduler.domain.workers import Worker

NOT_RUNNING = "NOT_RUNNING"


@dataclass(slots=True)
class StatusPage:
    """One page of accounts, ordered by name; `next_name` is where the next page begins, empty on the last."""

    entries: Sequence[Entry]
    next_name: str
    by_state: Mapping[str, int]


class UnknownAccountError(Exception):
    """Nobody bears this id or name."""


def select(fleet: Fleet, account_ids: Sequence[str], match_labels: Mapping[str, str]) -> list[Entry]:
    """The chosen accounts by name; all when nothing is chosen. Raises UnknownAccountError."""
    if account_ids:
        found = {}
        for id_or_name in account_ids:
            entry = fleet.accounts.find(id_or_name)
            if entry is None:
                raise UnknownAccountError(id_or_name)
            found[entry.account_id] = entry
        return sorted(found.values(), key=lambda entry: entry.spec.name)
    if match_labels:
        return [entry for entry in fleet.accounts.by_name() if matches(entry, match_labels)]
    return fleet.accounts.by_name()


def matches(entry: Entry, match_labels: Mapping[str, str]) -> bool:
    """Whether the account has all these labels."""
    labels = entry.spec.labels
    return all(labels.get(key) == value for key, value in match_labels.items())


def status_page(chosen: Sequence[Entry], after: str, size: int) -> StatusPage:
    """The part of `chosen` (ordered by name) that begins after the name `after`."""
    counts = Counter(state_name(entry) for entry in chosen)
    rest = [entry for entry in chosen if entry.spec.name > after] if after else chosen
    page = rest[:size]
    return StatusPage(page, page[-1].spec.name if len(rest) > size else "", counts)


def state_name(entry: Entry) -> str:
    """The state as people count it."""
    return NOT_RUNNING if shown_state(entry) is SessionState.UNSPECIFIED else shown_state(entry).name


def shown_state(entry: Entry) -> SessionState:
    """What its worker last reported; FAILED when it should run and its last attempt failed."""
    if entry.state is not SessionState.UNSPECIFIED:
        return entry.state
    if entry.phase is Phase.STARTING:
        return SessionState.STARTING
    failed = entry.verdict is not None and entry.verdict.outcome is Outcome.FAILED
    return SessionState.FAILED if failed and entry.wants_to_run() else SessionState.UNSPECIFIED


def why_not_running(fleet: Fleet, entry: Entry) -> Verdict | None:
    """Why an account does not run although it is wanted, or cannot be started at all."""
    if entry.phase is not Phase.IDLE:
        return entry.verdict
    blocked = obstacles.skipped(fleet, entry)
    if blocked is not None:
        return blocked
    if not entry.wants_to_run():
        return None
    if fleet.warming:
        return sentences.warming()
    verdict = entry.verdict
    if verdict is not None and verdict.retry and verdict.retry <= fleet.wall:
        verdict = Verdict(verdict.outcome, verdict.reason, verdict.detail, verdict.action)
    return verdict


def why_running(entry: Entry) -> str:
    """Why an account runs although nobody wants it to; empty for all others."""
    return sentences.lent() if entry.borrowed and not entry.spec.wanted_running else ""


def workers_page(fleet: Fleet, after: str, size: int) -> tuple[Sequence[Worker], str]:
    """Workers by name, and where the next page begins."""
    ordered = sorted((w for w in fleet.workers if w.worker_id > after), key=lambda worker: worker.worker_id)
    page = ordered[:size]
    return page, page[-1].worker_id if len(ordered) > size else ""


def users_of_files(entries: Iterable[Entry]) -> dict[str | tuple[str, str], str]:
    """Account by auth key, and by (worker, file name) for files whose key nobody knows yet: to say whose a
    worker's session file is."""
    users: dict[str | tuple[str, str], str] = {}
    for entry in entries:
        spec = entry.spec
        if spec.auth_key_id:
            users[spec.auth_key_id] = entry.account_id
        if spec.session_file:
            users[spec.home_worker, spec.session_file] = entry.account_id
    return users
