"""What transfers are told of an account of the fleet. Reads the core, changes nothing."""

from services.scheduler.domain import obstacles
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import Outcome, Reason, SessionState
from services.scheduler.domain.transfers.events import AccountView
from services.scheduler.domain.workers import Worker


def account_view(fleet: Fleet, entry: Entry) -> AccountView:
    """All that transfers know of it."""
    spec = entry.spec
    worker = fleet.workers.get(entry.worker_id)
    attached = worker is not None and worker.attached
    running = _runs(entry, worker)
    blocked = _blocked(entry)
    return AccountView(
        account_id=spec.account_id,
        name=spec.name,
        priority=spec.priority,
        enabled=spec.enabled,
        wanted=spec.wanted_running,
        running=running,
        worker_id=entry.worker_id if attached else "",
        attachment=worker.attachment if worker is not None and attached else 0,
        token=entry.token,
        startable=not running and not blocked and _startable(fleet, entry),
        blocked=blocked,
        time_zone=spec.config.time_zone,
        daily_cap=spec.daily_cap,
        allowed_hours=spec.allowed_hours,
        waits=spec.floods,
        user_id=spec.user_id,
    )


def _runs(entry: Entry, worker: Worker | None) -> bool:
    up = entry.phase is Phase.UP and entry.state is SessionState.RUNNING and entry.token is not None
    return up and worker is not None and worker.takes_new


def _blocked(entry: Entry) -> str:
    if entry.spec.block_reason is not Reason.UNSPECIFIED:
        return entry.spec.block_reason.name
    verdict = entry.verdict
    failed = entry.resting and verdict is not None and verdict.outcome is Outcome.FAILED
    return verdict.reason.name if failed and verdict is not None else ""


def _startable(fleet: Fleet, entry: Entry) -> bool:
    """A borrowed one that is on its way up counts as well; one whose start fails, or has nowhere to go, does
    not: others are chosen meanwhile."""
    if entry.spec.wanted_running or not entry.lendable or entry.attempts:
        return False
    nowhere = entry.borrowed and entry.phase is Phase.IDLE and entry.next_try is None and not fleet.warming
    return not nowhere and obstacles.first_obstacle(fleet, entry) is None
