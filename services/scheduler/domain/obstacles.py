"""Why an account may not start now, whatever worker there is: a list of small filters, each able to say why
it refused."""

from collections.abc import Callable

from services.scheduler.domain import sentences
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import Location, Reason, Verdict
from services.scheduler.domain.workers import Presence

CONNECTING_METHODS = frozenset(
    {
        "*",
        "invokewithlayer",
        "initconnection",
        "help.getconfig",
        "updates.getstate",
        "users.getfulluser",
        "users.getusers",
    }
)
"""Methods that a client calls while it connects (TELEGRAM.md section 4), in lower case; `*` is a wait for an
unknown one. Other waits do not keep an account from starting (DESIGN section 4)."""

Filter = Callable[[Fleet, Entry], Verdict | None]


def _deleted(_fleet: Fleet, entry: Entry) -> Verdict | None:
    return sentences.deleted() if entry.deleted else None


def _disabled(_fleet: Fleet, entry: Entry) -> Verdict | None:
    return None if entry.spec.enabled else sentences.disabled(entry.spec)


def _needs_login(_fleet: Fleet, entry: Entry) -> Verdict | None:
    spec = entry.spec
    without = spec.location is Location.NONE or spec.block_reason is Reason.NEEDS_LOGIN
    return sentences.needs_login(spec) if without else None


def _quarantined(fleet: Fleet, entry: Entry) -> Verdict | None:
    spec = entry.spec
    if spec.block_reason is not Reason.QUARANTINED:
        return None
    due = 0.0 < spec.block_retry <= fleet.wall
    if due and entry.probed != spec.block_retry:
        return None
    verdict = sentences.quarantined(spec)
    if due:
        verdict.retry = 0.0
    return verdict


def _starts_stopped(fleet: Fleet, _entry: Entry) -> Verdict | None:
    return sentences.starts_stopped(fleet.starts_stopped) if fleet.starts_stopped else None


def _conflict(fleet: Fleet, entry: Entry) -> Verdict | None:
    spec = entry.spec
    holders = fleet.holders(spec)
    if not holders:
        return None
    places = [
        sentences.file_place(file_name, worker_id)
        for worker_id, file_name in sorted(holders.items())
        if _is_here(fleet, worker_id)
    ]
    if spec.location is Location.VAULT and places:
        return sentences.conflict(["the registry's vault", *places])
    return sentences.conflict(places) if len(places) > 1 else None


def _flooded(fleet: Fleet, entry: Entry) -> Verdict | None:
    for flood in entry.spec.floods:
        if flood.until > fleet.wall and not flood.chat_id and flood.method.lower() in CONNECTING_METHODS:
            return sentences.flood_wait(flood)
    return None


def _is_here(fleet: Fleet, worker_id: str) -> bool:
    worker = fleet.workers.get(worker_id)
    return worker is not None and worker.presence in {Presence.ATTACHED, Presence.AWAY}


SKIPPING: tuple[Filter, ...] = (_deleted, _disabled, _needs_login, _quarantined, _starts_stopped, _conflict)
"""Those whose refusal is SKIPPED: they are asked before a wish is recorded."""

ALL: tuple[Filter, ...] = (*SKIPPING, _flooded)


def first_obstacle(fleet: Fleet, entry: Entry, filters: tuple[Filter, ...] = ALL) -> Verdict | None:
    """The first filter's refusal, or None when the account may start."""
    for refuses in filters:
        verdict = refuses(fleet, entry)
        if verdict is not None:
            return verdict
    return None


def skipped(fleet: Fleet, entry: Entry) -> Verdict | None:
    """Why a person's wish to start the account is refused before it is even recorded."""
    return first_obstacle(fleet, entry, SKIPPING)
