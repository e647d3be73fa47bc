"""Takes in what workers say of sessions. Only the newest grant counts: word under an older token is a stale
holder's and changes nothing (DESIGN section 3); STARTED comes only from a RUNNING with a token, for the
start that was commanded.
"""

from services.scheduler.domain import commands as c
from services.scheduler.domain import pursuit, results, sentences
from services.scheduler.domain.accounts import Entry, Phase
from services.scheduler.domain.fleet import Fleet
from services.scheduler.domain.model import UP_STATES, Outcome, Reason, Report, SessionState, Verdict
from services.scheduler.domain.workers import Worker

_PHASE_OF: dict[SessionState, Phase] = {
    SessionState.STARTING: Phase.STARTING,
    SessionState.RUNNING: Phase.UP,
    SessionState.RECONNECTING: Phase.UP,
    SessionState.STOPPING: Phase.STOPPING,
}


def take(fleet: Fleet, worker: Worker, report: Report, *, hello: bool = False) -> None:
    """One report. `hello`: it is part of the full picture on a new stream rather than a change."""
    entry = fleet.accounts.get(report.account_id)
    up = report.state in UP_STATES
    if entry is None:
        if up and report.state is not SessionState.STOPPING:
            fleet.outbox.stop(worker, report.account_id)
        return
    if entry.outranks(report.token):
        if up and entry.worker_id != worker.worker_id and report.state is not SessionState.STOPPING:
            _stop_stale(fleet, entry, worker)
        return
    if entry.worker_id == worker.worker_id:
        _from_its_worker(fleet, entry, worker, report, hello=hello)
    elif up:
        _found_elsewhere(fleet, entry, worker, report)


def gone_from(fleet: Fleet, entry: Entry, worker: Worker) -> None:
    """A worker's full picture lacks an account that was thought to be there."""
    if entry.phase is Phase.STOPPING:
        _stopped(fleet, entry, worker)
    elif entry.phase is not Phase.QUEUED:
        # The command was lost with the old stream, or the end was: either way nothing runs, and nothing
        # failed.
        pursuit.release(fleet, entry)
        pursuit.pursue(fleet, entry)


def _from_its_worker(fleet: Fleet, entry: Entry, worker: Worker, report: Report, *, hello: bool) -> None:
    if report.state not in UP_STATES:
        _ended(fleet, entry, worker, report)
    elif report.state is SessionState.RUNNING and report.token is not None:
        _running(fleet, entry, report, hello=hello)
    else:
        _in_between(fleet, entry, worker, report, hello=hello)


def _running(fleet: Fleet, entry: Entry, report: Report, *, hello: bool) -> None:
    ours = report.command_id == entry.command_id
    if entry.phase is Phase.QUEUED:
        entry.move(Phase.STARTING)  # it runs there already, before the command was sent
        entry.active_since = fleet.now
        ours = False
    was_starting = entry.phase is Phase.STARTING
    if entry.phase is Phase.STOPPING and not hello:
        _observe(fleet, entry, report)  # crossed the stop command on its way
        return
    _observe(fleet, entry, report)
    if was_starting:
        entry.command_id = report.command_id  # a running session also answers SetChat under that one's id
    entry.move(Phase.UP)
    entry.verdict = None
    entry.forget_attempts()
    if was_starting and ours:
        entry.came_up = fleet.now
    seen_start = (was_starting and ours) or (not was_starting and not hello)
    results.running(fleet, entry, seen_start=seen_start)
    results.chat_seen(fleet, entry)
    pursuit.pursue(fleet, entry)


def _in_between(fleet: Fleet, entry: Entry, worker: Worker, report: Report, *, hello: bool) -> None:
    _observe(fleet, entry, report)
    if report.state is SessionState.STOPPING:
        if entry.active:
            _note_leaving(fleet, worker, report)
            entry.move(Phase.STOPPING)
    elif hello and entry.phase is Phase.STARTING:
        # What was sent down older streams has arrived by now or never will, so it is this start whose end
        # counts.
        entry.command_id = report.command_id
    elif entry.phase is Phase.STOPPING:
        if hello:
            fleet.outbox.stop(worker, entry.account_id)  # the command may have been lost with the old stream
    elif report.state is SessionState.RECONNECTING and entry.phase is Phase.UP:
        entry.verdict = Verdict(Outcome.FAILED, report.reason, report.detail) if report.detail else None
        results.chat_seen(fleet, entry)


def _note_leaving(fleet: Fleet, worker: Worker, report: Report) -> None:
    """A worker that stops a session without a command and without a reason is shutting down: nothing is
    placed there until it says hello again, or T has passed."""
    if report.reason is Reason.UNSPECIFIED and not report.outcome and not worker.leaving:
        worker.leaving = True
        fleet.workers.changed(worker)
        fleet.timers.set(
            fleet.now + fleet.rules.lease_ttl, "leaving_over", worker.worker_id, worker.attachment
        )


def _ended(fleet: Fleet, entry: Entry, worker: Worker, report: Report) -> None:
    if entry.phase is Phase.QUEUED:
        return  # an end before the start that is about to be sent
    if entry.phase is Phase.STARTING and not entry.adopted and report.command_id != entry.command_id:
        return  # an earlier start's end; of a start found there, every end that follows is its own
    ours = report.command_id == entry.command_id or report.token == entry.token
    if entry.active and not ours and 0.0 < report.state_time < entry.state_time:
        # Told again on a new stream, of an earlier life of the session (both times by the worker's clock).
        # The end of the present start or grant counts whatever that clock says: it may have been set back.
        return
    entry.token = report.token or entry.token
    if entry.phase is Phase.STOPPING:
        fleet.publish(entry, SessionState.STOPPED, None, worker.worker_id)
        _stopped(fleet, entry, worker)
        return
    if entry.phase is Phase.UP and report.state is SessionState.STOPPED:
        _note_leaving(fleet, worker, report)
    if entry.phase is Phase.STARTING and report.token is None:
        fleet.pacer.refund()  # refused its lease: Telegram has seen nothing of this start
    verdict = sentences.from_report(report, entry.spec, worker.worker_id)
    pursuit.ended(fleet, entry, verdict)
    fleet.publish(entry, report.state, verdict, worker.worker_id)


def _stopped(fleet: Fleet, entry: Entry, worker: Worker) -> None:
    entry.went_down = fleet.now
    pursuit.release(fleet, entry)
    results.stopped(fleet, entry, worker.worker_id)
    pursuit.pursue(fleet, entry)


def _found_elsewhere(fleet: Fleet, entry: Entry, worker: Worker, report: Report) -> None:
    """A worker has a session that was not known to be there: it is adopted, and another holder with an older
    grant is stopped."""
    other = fleet.workers.get(entry.worker_id)
    if other is not None and entry.phase is Phase.STARTING and report.token is None:
        return  # only one of two that want the session; the lease decides between them
    if other is not None and entry.phase is not Phase.IDLE:
        if entry.phase is not Phase.QUEUED and other.attached:
            fleet.outbox.stop(other, entry.account_id)
            if entry.phase is Phase.UP:
                _tell_two_places(fleet, entry, kept=worker.worker_id, stopped=other.worker_id)
        pursuit.release(fleet, entry)
    fleet.workers.assign(worker, entry)
    entry.next_try = None
    entry.retry_stamp += 1
    entry.adopted = True
    entry.active_since = fleet.now - max(0.0, fleet.wall - (report.state_time or fleet.wall))
    entry.command_id = report.command_id
    entry.last_worker = worker.worker_id
    entry.move(_PHASE_OF[report.state])
    _observe(fleet, entry, report)
    if report.state is SessionState.RUNNING:
        entry.verdict = None
        results.running(fleet, entry, seen_start=False)
        results.chat_seen(fleet, entry)
    pursuit.pursue(fleet, entry)


def _stop_stale(fleet: Fleet, entry: Entry, worker: Worker) -> None:
    fleet.outbox.stop(worker, entry.account_id)
    _tell_two_places(fleet, entry, kept=entry.worker_id or "no worker", stopped=worker.worker_id)


def _tell_two_places(fleet: Fleet, entry: Entry, *, kept: str, stopped: str) -> None:
    detail = sentences.two_places(kept, stopped)
    fleet.outbox.add(
        c.PublishSession(
            entry.account_id,
            entry.spec.name,
            stopped,
            SessionState.STOPPING,
            Reason.SESSION_CONFLICT,
            detail,
            fleet.wall,
        )
    )


def _observe(fleet: Fleet, entry: Entry, report: Report) -> None:
    changed = entry.state is not report.state
    entry.state = report.state
    entry.state_time = report.state_time
    if entry.chatting != report.chatting and not changed:
        entry.chat_switched = fleet.now
    entry.chatting = report.chatting
    entry.token = report.token or entry.token
    entry.touched.add(entry)
    if changed:
        reason = Verdict(Outcome.FAILED, report.reason, report.detail) if report.detail else None
        fleet.publish(entry, report.state, reason, entry.worker_id)
