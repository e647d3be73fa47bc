"""The state of the whole core in one place, and the outbox that collects what it wants done.

The other modules of this package are functions over a `Fleet`; nothing else holds state. `now` and `wall`
are set at the beginning of every event and do not change during it.
"""

import random
from collections import OrderedDict
from dataclasses import dataclass, field

from services.scheduler.domain import commands as c
from services.scheduler.domain.accounts import Accounts, Entry
from services.scheduler.domain.calls import FleetCall
from services.scheduler.domain.model import AccountSpec, Config, Reason, Rules, SessionState, Verdict
from services.scheduler.domain.pacing import Pacer
from services.scheduler.domain.timers import Timers
from services.scheduler.domain.workers import Files, Worker, Workers


@dataclass(slots=True)
class SavingBatch:
    """A wish on its way to the registry."""

    call: FleetCall
    account_ids: list[str]
    running: bool | None
    chatting: bool | None


@dataclass(slots=True)
class _Open:
    """A command that still takes in accounts until the outbox is emptied."""

    command_id: str
    starts: list[c.StartItem] = field(default_factory=list)


class Outbox:
    """Collects commands, many accounts into one where that is possible."""

    def __init__(self, term: int, limit: int) -> None:
        self._term = term
        self._limit = limit
        self._sequence = 0
        self._starts: dict[tuple[str, int, str], list[_Open]] = {}
        self._stops: dict[tuple[str, int], list[str]] = {}
        self._chats: dict[tuple[str, int, bool], list[str]] = {}
        self._configs: dict[tuple[str, int], list[tuple[str, Config]]] = {}
        self._first: list[c.Command] = []
        self._last: list[c.Command] = []
        self._calls: dict[str, None] = {}
        self._drains: dict[str, None] = {}

    def start(self, worker: Worker, request_id: str, item: c.StartItem) -> str:
        """Adds a start; gives the id of the command it goes out in."""
        opened = self._starts.setdefault((worker.worker_id, worker.attachment, request_id), [])
        if not opened or len(opened[-1].starts) >= self._limit:
            opened.append(_Open(self._command_id(request_id)))
        opened[-1].starts.append(item)
        return opened[-1].command_id

    def stop(self, worker: Worker, account_id: str) -> None:
        """Adds a stop."""
        self._stops.setdefault((worker.worker_id, worker.attachment), []).append(account_id)

    def set_chat(self, worker: Worker, account_id: str, *, chat: bool) -> None:
        """Adds a switch of chat handling."""
        self._chats.setdefault((worker.worker_id, worker.attachment, chat), []).append(account_id)

    def configure(self, worker: Worker, account_id: str, config: Config) -> None:
        """Adds new values for a running session."""
        self._configs.setdefault((worker.worker_id, worker.attachment), []).append((account_id, config))

    def first(self, command: c.Command) -> None:
        """Adds a command that goes out before all others."""
        self._first.append(command)

    def add(self, command: c.Command) -> None:
        """Adds any other command."""
        self._last.append(command)

    def progressed(self, call: FleetCall) -> None:
        """Notes that a call has news."""
        self._calls[call.key] = None

    def drain_progressed(self, worker: Worker) -> None:
        """Notes that a drain has news."""
        self._drains[worker.worker_id] = None

    def take(self) -> list[c.Command]:
        """Everything collected, in the order in which it must go out; empties the outbox."""
        out = self._first
        out.extend(
            c.StartSessions(worker_id, attachment, opened.command_id, opened.starts)
            for (worker_id, attachment, _), all_opened in self._starts.items()
            for opened in all_opened
        )
        for (worker_id, attachment), ids in self._stops.items():
            out.append(c.StopSessions(worker_id, attachment, self._command_id(""), ids))
        for (worker_id, attachment, chat), ids in self._chats.items():
            out.append(c.SetChat(worker_id, attachment, self._command_id(""), ids, chat))
        for (worker_id, attachment), configs in self._configs.items():
            out.append(c.ConfigureSessions(worker_id, attachment, configs))
        out.extend(self._last)
        out.extend(c.CallProgressed(key) for key in self._calls)
        out.extend(c.DrainProgressed(worker_id) for worker_id in self._drains)
        self._first, self._last = [], []
        for collected in (self._starts, self._stops, self._chats, self._configs, self._calls, self._drains):
            collected.clear()
        return out

    def _command_id(self, request_id: str) -> str:
        self._sequence += 1
        return f"{self._term}.{self._sequence}:{request_id}"


class Fleet:
    """Everything the core knows."""

    def __init__(self, rules: Rules, term: int, rng: random.Random) -> None:
        self.rules = rules
        self.term = term
        self.rng = rng
        self.now = 0.0
        self.wall = 0.0
        self.accounts = Accounts()
        self.workers = Workers()
        self.files = Files()
        self.calls: dict[str, FleetCall] = {}
        self.saving: dict[int, SavingBatch] = {}
        self.next_batch = 1
        self.timers = Timers()
        self.pacer = Pacer(rules.start_rate, rules.start_burst)
        self.pace_due: float | None = None
        self.outbox = Outbox(term, rules.max_per_command)
        self.starts_stopped = ""
        self.warm_until: float | None = None  # by `now`; None once the leader may place
        self.led_since = 0.0
        self.room_waiters: OrderedDict[str, None] = OrderedDict()  # wanted accounts that any worker may run
        self.parked: dict[str, set[str]] = {}  # by worker: accounts that wait for it to come or to change
        self.room_freed = False
        self.user_ids_dirty = False
        self.watched = True  # whether anybody looks at what is published of sessions

    @property
    def warming(self) -> bool:
        """Whether this leader may not place anything yet."""
        return self.warm_until is not None

    def key_of(self, spec: AccountSpec) -> str:
        """The account's auth key id. The registry learns that of a session file at the first grant; until
        then it is what the home worker announced."""
        if spec.auth_key_id or not spec.session_file:
            return spec.auth_key_id
        home = self.workers.get(spec.home_worker)
        file = home.files.get(spec.session_file) if home is not None else None
        return file.auth_key_id if file is not None else ""

    def holders(self, spec: AccountSpec) -> dict[str, str]:
        """The workers that announced the account's key, with the file's name there. Do not change it."""
        return self.files.holders(self.key_of(spec))

    def publish(self, entry: Entry, state: SessionState, verdict: Verdict | None, worker_id: str) -> None:
        """Shows a session's new state to people, if any look."""
        if not self.watched:
            return
        reason, detail = (verdict.reason, verdict.detail) if verdict else (_NO_REASON, "")
        self.outbox.add(
            c.PublishSession(entry.account_id, entry.spec.name, worker_id, state, reason, detail, self.wall)
        )


_NO_REASON = Reason.UNSPECIFIED
