"""Records every disconnect of one session: cause, how long the link was up and down, whether it came back."""

from services.runtime.clock import Clock
from services.worker.domain.facts import LinkLost
from services.worker.domain.picture import Disconnected
from services.worker.domain.telegram import LinkCause
from services.worker.domain.verdict import link_sentence
from services.worker.metrics import LINKS_LOST
from services.worker.session import Session
from services.worker.teller import SessionTeller


class LinkLog:
    """Told of each turn of the link, in order; tells the registry (facts) and people (events)."""

    def __init__(self, session: Session, teller: SessionTeller, clock: Clock) -> None:
        self._session = session
        self._teller = teller
        self._clock = clock
        self._up_since: float | None = None
        self._down_since = 0.0
        self._cause = LinkCause.STOPPED
        self._uptime = 0.0
        self._missing = False

    def up(self) -> None:
        """A link answers."""
        self._up_since = self._clock.monotonic()

    def lost(self, cause: LinkCause) -> None:
        """It ended by itself."""
        self._end(cause)
        self._missing = True
        self._teller.happen(link_sentence(cause), Disconnected(cause, self._uptime, None, reconnected=False))

    def back(self) -> None:
        """A new one answers."""
        self._missing = False
        downtime = self._clock.monotonic() - self._down_since
        self._teller.remember(LinkLost(self._cause, self._uptime, downtime, reconnected=True))
        kind = Disconnected(self._cause, self._uptime, downtime, reconnected=True)
        self._teller.happen("The link is back.", kind)

    def given_up(self) -> None:
        """None will come."""
        self._missing = False
        self._teller.remember(LinkLost(self._cause, self._uptime, None, reconnected=False))

    def closed(self, cause: LinkCause) -> None:
        """The session ends; if its link had not ended before, this is why it does."""
        if self._missing:
            self.given_up()
        if self._up_since is None:
            return
        granted = self._session.granted
        self._end(LinkCause.FENCED if granted is not None and granted.lease.lost else cause)
        self._teller.remember(LinkLost(self._cause, self._uptime, None, reconnected=False))
        kind = Disconnected(self._cause, self._uptime, None, reconnected=False)
        self._teller.happen(link_sentence(self._cause), kind)

    def _end(self, cause: LinkCause) -> None:
        now = self._clock.monotonic()
        self._uptime = 0.0 if self._up_since is None else now - self._up_since
        self._up_since, self._down_since, self._cause = None, now, cause
        LINKS_LOST.labels(cause).inc()
