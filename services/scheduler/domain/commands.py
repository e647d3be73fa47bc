"""What the scheduler's core wants done. Plain data; carried out by the driver, in order.

Commands to a worker name the attachment (its stream) they are meant for: if that stream is gone, they are
dropped, since the worker's next Hello tells the whole truth anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.scheduler.domain.model import Config, KnownWorker, Reason, SessionState


@dataclass(frozen=True, slots=True)
class StartItem:
    """One account to start; `session_file` is empty when the session is in the vault."""

    account_id: str
    chat: bool
    session_file: str = ""


@dataclass(frozen=True, slots=True)
class StartSessions:
    """Start accounts. `command_id` ends in the request id of the call that asked, if one did."""

    worker_id: str
    attachment: int
    command_id: str
    sessions: Sequence[StartItem]


@dataclass(frozen=True, slots=True)
class StopSessions:
    """Stop accounts cleanly."""

    worker_id: str
    attachment: int
    command_id: str
    account_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class SetChat:
    """Switch chat handling."""

    worker_id: str
    attachment: int
    command_id: str
    account_ids: Sequence[str]
    chat: bool


@dataclass(frozen=True, slots=True)
class ConfigureSessions:
    """New values for sessions that run."""

    worker_id: str
    attachment: int
    sessions: Sequence[tuple[str, Config]]


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new sessions, or take them again."""

    worker_id: str
    attachment: int
    drain: bool


@dataclass(frozen=True, slots=True)
class FleetUsers:
    """The users of the fleet, whom no account answers."""

    worker_id: str
    attachment: int
    user_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class CloseStream:
    """End a worker's stream: it was silent for too long, or another one took its place. `name_taken`: the
    stream is new, and a live process bears its worker's name already."""

    worker_id: str
    attachment: int
    detail: str
    name_taken: bool = False


@dataclass(frozen=True, slots=True)
class SetWanted:
    """Ask the registry to record a wish; answered by WantedSaved or WantedFailed with the same batch
    number."""

    batch: int
    account_ids: Sequence[str]
    running: bool | None = None
    chatting: bool | None = None


@dataclass(frozen=True, slots=True)
class ReportCrashes:
    """Tell the registry which accounts were on a worker that crashed."""

    worker_id: str
    incarnation: str
    account_ids: Sequence[str]
    wall: float


@dataclass(frozen=True, slots=True)
class RememberWorker:
    """Keep what the next leader has to know of a worker."""

    worker: KnownWorker


@dataclass(frozen=True, slots=True)
class PublishSession:
    """Show people that a session changed its state."""

    account_id: str
    name: str
    worker_id: str
    state: SessionState
    reason: Reason
    detail: str
    wall: float


@dataclass(frozen=True, slots=True)
class PublishWorker:
    """Show people that a worker came, went or is drained."""

    worker_id: str
    state: str
    detail: str
    wall: float


@dataclass(frozen=True, slots=True)
class CallProgressed:
    """A fleet call has new results, or is finished. `key` as in calls.call_key."""

    key: str


@dataclass(frozen=True, slots=True)
class DrainProgressed:
    """Sessions left a worker that is being drained, or its deadline passed."""

    worker_id: str


WorkerCommand = StartSessions | StopSessions | SetChat | ConfigureSessions | Drain | FleetUsers
Command = (
    WorkerCommand
    | CloseStream
    | SetWanted
    | ReportCrashes
    | RememberWorker
    | PublishSession
    | PublishWorker
    | CallProgressed
    | DrainProgressed
)
