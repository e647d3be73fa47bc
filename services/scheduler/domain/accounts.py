"""One account as the scheduler sees it: what is wanted (spec), what is observed, and what is being done
about the difference. The transitions of `Phase` are a table and `Entry.move` is their only mutator.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from services.scheduler.domain.model import AccountSpec, SessionState, Token, Verdict

if TYPE_CHECKING:
    from services.scheduler.domain.calls import FleetCall


class Phase(Enum):
    """Where an account stands between a wish and a worker. All but IDLE have a worker."""

    IDLE = "idle"  # nothing runs as far as is known
    QUEUED = "queued"  # placed, waits for its turn in the fleet-wide start rate
    STARTING = "starting"  # StartSessions was sent, no RUNNING seen yet
    UP = "up"  # RUNNING was seen
    STOPPING = "stopping"  # StopSessions was sent, no end seen yet


# Who may make them: placement (IDLE -> QUEUED), the pacer (QUEUED -> STARTING), a wish taken back (QUEUED ->
# IDLE, -> STOPPING), a worker's report (all others). A session found elsewhere passes through IDLE.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.QUEUED, Phase.STARTING, Phase.UP, Phase.STOPPING}),
    Phase.QUEUED: frozenset({Phase.STARTING, Phase.IDLE}),
    Phase.STARTING: frozenset({Phase.UP, Phase.STOPPING, Phase.IDLE}),
    Phase.UP: frozenset({Phase.STARTING, Phase.STOPPING, Phase.IDLE}),
    Phase.STOPPING: frozenset({Phase.STARTING, Phase.UP, Phase.IDLE}),
}


@dataclass(slots=True, eq=False)
class Entry:
    """An account and everything the core remembers of it. `eq=False`: compared and hashed by identity."""

    spec: AccountSpec
    phase: Phase = Phase.IDLE
    worker_id: str = ""
    command_id: str = ""
    request_id: str = ""  # the call that asked for the start which is queued
    active_since: float = 0.0  # by `now`: when it came to STARTING or UP on this worker
    state: SessionState = SessionState.UNSPECIFIED
    state_time: float = 0.0  # time of day
    token: Token | None = None
    chatting: bool = False
    chat_asked: bool | None = None
    adopted: bool = False  # found in a Hello, not started by this leader
    came_up: float = 0.0  # by `now`: when this leader saw it begin to run
    went_down: float = 0.0  # by `now`: when this leader saw that it was stopped as told
    chat_switched: float = 0.0  # by `now`: when this leader saw its chat handling change
    stop_sent: bool = False
    last_worker: str = ""
    verdict: Verdict | None = None  # why it does not run, for people
    attempts: int = 0
    resting: bool = False
    next_try: float | None = None  # by `now`
    retry_stamp: int = 0
    probed: float = 0.0  # the block_retry that was used up
    wanted_revision: int = 0
    saves: int = 0  # wishes on their way to the registry
    deleted: bool = False
    borrowers: set[str] = field(default_factory=set)  # for whom it is kept running, wanted or not
    lendable: bool = True  # whether a transfer may borrow it: not after a person has stopped it
    calls: list["FleetCall"] = field(default_factory=list)
    touched: set["Entry"] = field(default_factory=set, repr=False)  # shared by all: see Accounts

    @property
    def active(self) -> bool:
        """Whether a worker was told to run it, and not told to stop."""
        return self.phase is Phase.UP or self.phase is Phase.STARTING

    @property
    def borrowed(self) -> bool:
        """Whether transfers keep it running."""
        return bool(self.borrowers)

    @property
    def account_id(self) -> str:
        """The registry's id."""
        return self.spec.account_id

    def move(self, phase: Phase) -> None:
        """The only way to another phase. Raises ValueError for a transition that is not in the table."""
        if phase is self.phase:
            return
        if phase not in TRANSITIONS[self.phase]:
            raise ValueError(f"no way from {self.phase.value} to {phase.value}")
        self.phase = phase
        self.touched.add(self)

    def wants_to_run(self) -> bool:
        """Whether a running session is what people, or a transfer, want."""
        wanted = self.spec.wanted_running or self.borrowed
        return wanted and self.spec.enabled and not self.deleted

    def outranks(self, token: Token | None) -> bool:
        """Whether a newer grant than `token` is known, so that word under that token is a stale holder's."""
        return self.token is not None and token is not None and token < self.token

    def forget_attempts(self) -> None:
        """Starts over: no backoff, no rest, no count. The old verdict stays for people until there is a new
        one."""
        self.attempts = 0
        self.resting = False
        self.next_try = None
        self.retry_stamp += 1


class Accounts:
    """All accounts, by id and by name."""

    def __init__(self) -> None:
        self._by_id: dict[str, Entry] = {}
        self._ids: dict[str, str] = {}
        self._sorted: list[Entry] | None = None
        self.touched: set[Entry] = set()
        """Accounts of which something changed since somebody last looked, and emptied this."""
        self.unlendable: frozenset[str] = frozenset()
        """Accounts that were stopped by a person under an earlier leader."""
        self.revision = 0
        self.complete = False

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_id.values())

    def get(self, account_id: str) -> Entry | None:
        """By id."""
        return self._by_id.get(account_id)

    def find(self, id_or_name: str) -> Entry | None:
        """By id or name."""
        return self._by_id.get(id_or_name) or self._by_id.get(self._ids.get(id_or_name, ""))

    def put(self, spec: AccountSpec) -> tuple[Entry, AccountSpec | None]:
        """Takes in a new or changed account; gives its entry and what was known before."""
        entry = self._by_id.get(spec.account_id)
        if entry is None:
            lendable = spec.account_id not in self.unlendable
            entry = self._by_id[spec.account_id] = Entry(spec, lendable=lendable, touched=self.touched)
            self._index(None, spec)
            self.touched.add(entry)
            return entry, None
        before = entry.spec
        entry.spec = spec
        self._index(before, spec)
        self.touched.add(entry)
        return entry, before

    def remove(self, account_id: str) -> Entry | None:
        """Forgets an account; gives the entry, marked as deleted."""
        entry = self._by_id.pop(account_id, None)
        if entry is not None:
            self._ids.pop(entry.spec.name, None)
            self._sorted = None
            entry.deleted = True
            self.touched.add(entry)
        return entry

    def by_name(self) -> list[Entry]:
        """All, ordered by name. Do not change the list."""
        if self._sorted is None:
            self._sorted = sorted(self._by_id.values(), key=lambda entry: entry.spec.name)
        return self._sorted

    def ids_by_priority(self) -> list[str]:
        """The ids of all, by priority (high first), then name: the order in which the registry selects."""
        return [e.account_id for e in sorted(self.by_name(), key=lambda entry: -entry.spec.priority)]

    def _index(self, before: AccountSpec | None, spec: AccountSpec) -> None:
        if before is not None and before.name == spec.name:
            return
        if before is not None and self._ids.get(before.name) == spec.account_id:
            del self._ids[before.name]
        self._ids[spec.name] = spec.account_id
        self._sorted = None
