"""Where a session tells what happened to it: reports and events to the scheduler, facts to the registry."""

from collections.abc import Callable

from services.worker.domain.facts import FactKind
from services.worker.domain.picture import Happening, Kind, SessionChanged
from services.worker.domain.telegram import Refused
from services.worker.session import Session
from services.worker.tools import Tools


class SessionTeller:
    """The voice of one session; see `refusals.Teller`."""

    def __init__(self, session: Session, tools: Tools, on_refused: Callable[[Refused], None]) -> None:
        self._session = session
        self._tools = tools
        self._on_refused = on_refused

    def tell(self) -> None:
        """A report on how the session stands now."""
        self._tools.outbox.report(self._session.report())

    def happen(self, detail: str, kind: Kind) -> None:
        """An event for people."""
        now = self._tools.clock.wall()
        session = self._session
        self._tools.outbox.happen(Happening(now, session.account_id, session.name, detail, kind))

    def warn(self, detail: str) -> None:
        """Something that an operator must know about a session that goes on."""
        self._session.detail = detail
        self.tell()
        self.happen(detail, SessionChanged(self._session.machine.state, self._session.reason))

    def remember(self, kind: FactKind) -> None:
        """A fact for the registry."""
        granted = self._session.granted
        self._tools.facts.put(self._session.account_id, granted.grant.token if granted else None, kind)

    def refused(self, error: Refused) -> None:
        """A call was refused in a way that may end the session."""
        self._on_refused(error)
