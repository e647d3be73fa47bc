"""What the scheduler tells a worker. Every order carries the term of the leader that gave it."""

from dataclasses import dataclass

from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.transfer_orders import TransferOrders


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to hello; `heartbeat_period` in seconds."""

    heartbeat_period: float


@dataclass(frozen=True, slots=True)
class StartOne:
    """One account to start; `session_file` is "" for sessions in the vault."""

    account_id: str
    chat: bool
    session_file: str = ""
    assignment: bytes = b""
    """The scheduler's signed word for the registry, handed on as it is."""


@dataclass(frozen=True, slots=True)
class Start:
    """Accounts to start."""

    command_id: str
    sessions: tuple[StartOne, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Accounts to stop cleanly."""

    command_id: str
    account_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetChat:
    """Accounts whose chat handling to switch."""

    command_id: str
    account_ids: tuple[str, ...]
    chat: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no new sessions, or take them again."""

    drain: bool


@dataclass(frozen=True, slots=True)
class FleetUsers:
    """The fleet's own users, whom nobody answers."""

    user_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """The part of an account that a running session follows."""

    account_id: str
    name: str
    chat_policy: ChatPolicy
    time_zone: str


@dataclass(frozen=True, slots=True)
class Configure:
    """Changed accounts."""

    sessions: tuple[SessionConfig, ...]


Command = Welcome | Start | Stop | SetChat | Drain | FleetUsers | Configure | TransferOrders


@dataclass(frozen=True, slots=True)
class Order:
    """A command of a leader."""

    term: int
    command: Command
