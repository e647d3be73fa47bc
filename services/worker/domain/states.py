"""A session's states and the only moves between them. Only its supervisor moves it; states go forward.

============  ============  ================================
from          to            when
============  ============  ================================
STARTING      RUNNING       Telegram answered for the user
RUNNING       RECONNECTING  the link ended by itself
RECONNECTING  RUNNING       a new link answers
any live      STOPPING      a stop command, or the shutdown
any live      FAILED        a verdict, or the fence
STOPPING      STOPPED       closed
============  ============  ================================
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SessionState(StrEnum):
    """As in `tgfleet.gateway.v1.SessionState`, without the prefix."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    RECONNECTING = "RECONNECTING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


_S = SessionState
MOVES: dict[SessionState, frozenset[SessionState]] = {
    _S.STARTING: frozenset({_S.RUNNING, _S.STOPPING, _S.FAILED}),
    _S.RUNNING: frozenset({_S.RECONNECTING, _S.STOPPING, _S.FAILED}),
    _S.RECONNECTING: frozenset({_S.RUNNING, _S.STOPPING, _S.FAILED}),
    _S.STOPPING: frozenset({_S.STOPPED}),
    _S.STOPPED: frozenset(),
    _S.FAILED: frozenset(),
}

ENDED = frozenset({_S.STOPPED, _S.FAILED})


class IllegalMoveError(Exception):
    """A move that the table does not have: a mistake of ours."""


@dataclass(slots=True)
class Machine:
    """One session's state."""

    state: SessionState
    since: datetime

    def move(self, to: SessionState, now: datetime) -> None:
        """The one mutator. Raises IllegalMoveError."""
        if to not in MOVES[self.state]:
            raise IllegalMoveError(f"a session does not go from {self.state} to {to}")
        self.state, self.since = to, now

    @property
    def ended(self) -> bool:
        """Whether nothing can follow."""
        return self.state in ENDED
