"""The data of one running session: what it was told, what it was granted, what became of it. No I/O, no
tasks.

`supervisor.py` drives it; everything that is reported about a session is made here, from one place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from services.runtime.clock import Clock
from services.worker.acquirer import Granted
from services.worker.chat.desk import ChatAccount
from services.worker.domain.facts import FloodWaited
from services.worker.domain.orders import SessionConfig
from services.worker.domain.outcomes import Ending, Reason
from services.worker.domain.picture import SessionReport
from services.worker.domain.states import Machine, SessionState
from services.worker.domain.verdict import LONGEST_WAIT


@dataclass(slots=True)
class Session:
    """One account on this worker."""

    account_id: str
    command_id: str
    session_file: str
    wants_chat: bool
    machine: Machine
    name: str = ""
    granted: Granted | None = None
    chat: ChatAccount = field(default_factory=ChatAccount)
    expected_user: int = 0
    user_id: int = 0
    """Once Telegram has said it in this start."""
    reason: Reason = Reason.UNSPECIFIED
    detail: str = ""
    ending: Ending | None = None
    released: bool = False

    def adopt(self, granted: Granted, clock: Clock, untold: Iterable[FloodWaited] = ()) -> None:
        """The registry granted the session, and told the waits that still run; `untold` are those that it did
        not know then."""
        grant = granted.grant
        self.granted = granted
        self.name = grant.name
        self.expected_user = grant.user_id
        self.chat.policy = grant.chat_policy
        self.chat.time_zone = grant.time_zone
        known = [(wait.method, wait.chat_id, wait.until) for wait in grant.waits]
        known += [(wait.method, wait.chat_id, wait.until) for wait in untold]
        for method, chat_id, until in known:
            remaining = min((until - clock.wall()).total_seconds(), LONGEST_WAIT)
            self.chat.waits.add(method, chat_id, clock.monotonic() + remaining)

    def follow(self, config: SessionConfig) -> None:
        """The account was changed while the session runs."""
        self.name = config.name
        self.chat.policy = config.chat_policy
        self.chat.time_zone = config.time_zone

    def move(self, to: SessionState, now: datetime, reason: Reason, detail: str) -> None:
        """To another state, with why."""
        self.machine.move(to, now)
        self.reason, self.detail = reason, detail

    @property
    def chatting(self) -> bool:
        """Whether it handles chats now."""
        return self.wants_chat and self.machine.state in {SessionState.RUNNING, SessionState.RECONNECTING}

    def report(self) -> SessionReport:
        """How it stands."""
        ending = self.ending if self.machine.state is SessionState.FAILED else None
        return SessionReport(
            account_id=self.account_id,
            state=self.machine.state,
            state_time=self.machine.since,
            command_id=self.command_id,
            token=self.granted.grant.token if self.granted else None,
            outcome=ending.outcome if ending else None,
            reason=self.reason,
            detail=self.detail,
            retry_time=ending.retry_time if ending else None,
            chatting=self.chatting,
            user_id=self.user_id,
            released=self.released,
        )
