"""Closes the difference between what is wanted of one account and what is observed of it. `pursue` may be
called at any time and does what the account's phase allows; everything that changes an account ends by
calling it.
"""

from services.scheduler.domain import commands as c
from services.scheduler.domain import obstacles, placement, results, retries, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import Outcome, Reason, SessionState, Verdict
from services.scheduler.domain.retries import Retry
from services.scheduler.domain.workers import Worker

_CHAT_REPEAT = 5.0  # seconds until a switch of chat handling that was not confirmed is sent again


def pursue(fleet: Fleet, entry: Entry) -> None:
    """Does the next thing for the account."""
    if entry.phase is Phase.IDLE:
        if entry.wants_to_run() and entry.next_try is None and not entry.resting:
            _try_start(fleet, entry)
    elif entry.phase is Phase.QUEUED:
        if not entry.wants_to_run():
            release(fleet, entry)
            results.nothing_ran(fleet, entry)
    elif entry.active:
        if not entry.wants_to_run():
            stop(fleet, entry)
        elif entry.phase is Phase.UP:
            sync_chat(fleet, entry)


def afresh(fleet: Fleet, entry: Entry) -> None:
    """As `pursue`, without regard to earlier failures: a person asked, or something changed that may help."""
    entry.forget_attempts()
    pursue(fleet, entry)


def stop(fleet: Fleet, entry: Entry) -> None:
    """Has the account's worker stop it, now or as soon as its stream is back."""
    worker = fleet.workers.get(entry.worker_id)
    entry.move(Phase.STOPPING)
    if worker is not None and worker.attached:
        fleet.outbox.stop(worker, entry.account_id)


def release(fleet: Fleet, entry: Entry) -> None:
    """Takes the account off its worker: nothing of it runs there. Its room goes to whoever waits for it."""
    if entry.worker_id:
        worker = fleet.workers.unassign(entry)
        if worker is not None:
            worker.room_freed = fleet.room_freed = True
            if worker.draining:
                worker.drain_moved += 1
                fleet.outbox.drain_progressed(worker)
    entry.move(Phase.IDLE)
    entry.state = SessionState.UNSPECIFIED
    entry.state_time = 0.0
    entry.chatting = False
    entry.chat_asked = None
    entry.adopted = False
    entry.came_up = 0.0
    entry.chat_switched = 0.0


def ended(fleet: Fleet, entry: Entry, verdict: Verdict) -> None:
    """A start did not come to RUNNING, or a session ended by itself. Plans the next attempt and answers the
    calls."""
    release(fleet, entry)
    entry.verdict = verdict
    if entry.wants_to_run():
        _plan_retry(fleet, entry, verdict)
    results.not_started(fleet, entry, verdict)


def sync_chat(fleet: Fleet, entry: Entry) -> None:
    """Switches chat handling of a running account to what is wanted."""
    wanted = entry.spec.wanted_chatting
    if entry.chatting == wanted:
        entry.chat_asked = None
        return
    worker = fleet.workers.get(entry.worker_id)
    if entry.chat_asked == wanted or worker is None or not worker.attached:
        return
    entry.chat_asked = wanted
    fleet.outbox.set_chat(worker, entry.account_id, chat=wanted)
    fleet.timers.set(fleet.now + _CHAT_REPEAT, "chat_repeat", entry.account_id)


def repeat_chat(fleet: Fleet, entry: Entry) -> None:
    """A switch was not confirmed in time: sent again."""
    if entry.phase is Phase.UP and entry.chat_asked is not None:
        entry.chat_asked = None
        pursue(fleet, entry)


def retry_due(fleet: Fleet, entry: Entry, stamp: int) -> None:
    """The planned moment came."""
    if entry.retry_stamp == stamp and entry.next_try is not None:
        entry.next_try = None
        pursue(fleet, entry)


def pump(fleet: Fleet) -> None:
    """Sends the starts that the fleet-wide rate allows now."""
    while (account_id := fleet.pacer.take(fleet.now)) is not None:
        entry = fleet.accounts.get(account_id)
        if entry is None or entry.phase is not Phase.QUEUED or not _send_start(fleet, entry):
            fleet.pacer.refund()
    pause = fleet.pacer.pause(fleet.rng)
    if pause is not None and (fleet.pace_due is None or fleet.pace_due <= fleet.now):
        fleet.pace_due = fleet.now + pause
        fleet.timers.set(fleet.pace_due, "pace", "")


def serve_room(fleet: Fleet) -> None:
    """Gives room that became free to accounts that wait for it."""
    fleet.room_freed = False
    for worker in fleet.workers:
        if worker.room_freed:
            worker.room_freed = False
            while worker.room_waiters and worker.takes_new and worker.room > 0:
                _wake(fleet, worker.room_waiters.popitem(last=False)[0])
    while fleet.room_waiters and fleet.workers.least_loaded() is not None:
        _wake(fleet, fleet.room_waiters.popitem(last=False)[0])


def serve_parked(fleet: Fleet, worker: Worker) -> None:
    """The worker came, or its files changed: accounts that waited for that are looked at again."""
    for account_id in sorted(fleet.parked.pop(worker.worker_id, ())):
        _wake(fleet, account_id)


def _wake(fleet: Fleet, account_id: str) -> None:
    entry = fleet.accounts.get(account_id)
    if entry is not None and entry.phase is Phase.IDLE:
        entry.resting = False
        pursue(fleet, entry)


def _try_start(fleet: Fleet, entry: Entry) -> None:
    if fleet.warming or not fleet.accounts.complete:
        return
    refusal = obstacles.first_obstacle(fleet, entry)
    if refusal is None:
        chosen = placement.choose(fleet, entry)
        if isinstance(chosen, Worker):
            _queue(fleet, entry, chosen)
            return
        refusal = chosen
        _park(fleet, entry, refusal)
    entry.verdict = refusal
    entry.touched.add(entry)
    if refusal.retry > fleet.wall:
        _plan_at(fleet, entry, retries.timed_delay(refusal.retry, fleet.wall, fleet.rules, fleet.rng))
    results.not_started(fleet, entry, refusal)


def _queue(fleet: Fleet, entry: Entry, worker: Worker) -> None:
    fleet.workers.assign(worker, entry)
    entry.move(Phase.QUEUED)
    entry.request_id = results.asking_call(entry)
    fleet.pacer.add(entry.account_id)


def _send_start(fleet: Fleet, entry: Entry) -> bool:
    worker = fleet.workers.get(entry.worker_id)
    if worker is None or not worker.takes_new:
        release(fleet, entry)
        pursue(fleet, entry)
        return False
    if entry.spec.block_reason is Reason.QUARANTINED:
        entry.probed = entry.spec.block_retry
    item = c.StartItem(entry.account_id, entry.spec.wanted_chatting, placement.session_file(fleet, entry))
    entry.move(Phase.STARTING)
    entry.active_since = fleet.now
    entry.command_id = fleet.outbox.start(worker, entry.request_id, item)
    entry.last_worker = worker.worker_id
    results.starting(entry)
    return True


def _park(fleet: Fleet, entry: Entry, refusal: Verdict) -> None:
    """Notes what the account waits for, so that it is looked at again when that happens."""
    home = entry.spec.home_worker
    if refusal.reason is Reason.NO_WORKER_CAPACITY:
        worker = fleet.workers.get(home)
        waiters = worker.room_waiters if worker is not None else fleet.room_waiters
        waiters[entry.account_id] = None
    else:
        fleet.parked.setdefault(home, set()).add(entry.account_id)
        entry.resting = refusal.outcome is Outcome.FAILED


def _plan_retry(fleet: Fleet, entry: Entry, verdict: Verdict) -> None:
    kind = retries.classify(verdict.reason)
    if kind is Retry.REST:
        entry.resting = True
        return
    if kind is Retry.TIMED:
        delay = retries.timed_delay(verdict.retry, fleet.wall, fleet.rules, fleet.rng)
    else:
        entry.attempts += 1
        if entry.attempts > fleet.rules.retry_limit:
            entry.resting = True
            sentences.gave_up(verdict, entry.attempts, entry.spec)
            return
        asked = verdict.retry - fleet.wall if verdict.retry else 0.0
        delay = max(asked, retries.backoff(entry.attempts, fleet.rules, fleet.rng))
    if not verdict.retry:
        verdict.retry = fleet.wall + delay
    _plan_at(fleet, entry, delay)


def _plan_at(fleet: Fleet, entry: Entry, delay: float) -> None:
    entry.next_try = retries.aligned(fleet.now + delay)
    entry.retry_stamp += 1
    fleet.timers.set(entry.next_try, "retry", entry.account_id, entry.retry_stamp)
