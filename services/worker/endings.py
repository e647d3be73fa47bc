"""Turns the ways in which a session can end into what is reported of it, and remembers what the registry must
know."""

import asyncio
import uuid
from datetime import timedelta

from services.runtime.logs import get_logger
from services.worker.connecting import Refusal
from services.worker.domain.facts import FloodWaited, SessionDied
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.picture import Waiting
from services.worker.domain.telegram import Fenced
from services.worker.session import Session
from services.worker.teller import SessionTeller
from services.worker.tools import Tools

_log = get_logger("worker.endings")


class Endings:
    """Makes the endings of one session."""

    def __init__(self, session: Session, teller: SessionTeller, tools: Tools) -> None:
        self._session = session
        self._teller = teller
        self._tools = tools

    def of(self, refusal: Refusal) -> Ending:
        """After a verdict of Telegram's or the link's."""
        verdict = refusal.verdict
        if verdict.died:
            granted = self._session.granted
            key = granted.grant.auth_key_id if granted else ""
            self._teller.remember(SessionDied(verdict.reason, key))
        self.note_wait(refusal)
        retry = None
        if verdict.wait is not None:
            retry = self._tools.clock.wall() + timedelta(seconds=verdict.wait)
        return Ending(verdict.outcome, verdict.reason, verdict.detail, retry)

    def note_wait(self, refusal: Refusal) -> None:
        """If Telegram told a call to wait, that is remembered, so that nothing is tried inside."""
        wait = refusal.verdict.wait
        if wait is not None:
            clock = self._tools.clock
            until = clock.wall() + timedelta(seconds=wait)
            self._session.chat.waits.add(refusal.method, 0, clock.monotonic() + wait)
            self._teller.remember(FloodWaited(refusal.method, 0, until))
            self._teller.happen(refusal.verdict.detail, Waiting(refusal.method, 0, until))

    def fenced(self) -> Ending:
        """After the gate shut: it may start again, here or elsewhere, when its lease has settled."""
        granted = self._session.granted
        seconds = self._tools.keeper.settled_in(granted.lease) if granted else 0.0
        retry = self._tools.clock.wall() + timedelta(seconds=seconds)
        detail = "The lease could not be renewed, so the worker stopped using the session."
        return Ending(Outcome.WAITING, Reason.SETTLING, detail, retry)

    def of_life(self, life: "asyncio.Task[Ending]") -> Ending:
        """After the session's own task ended, as it should or not."""
        error = asyncio.CancelledError() if life.cancelled() else life.exception()
        if error is None:
            return life.result()
        if isinstance(error, Fenced):
            return self.fenced()
        incident = uuid.uuid4().hex[:12]
        _log.error("a session failed by our own fault", incident=incident, exc_info=error)
        detail = f"A fault of tgfleet itself; the worker's log knows more under incident {incident}."
        return Ending(Outcome.FAILED, Reason.INTERNAL, detail)
