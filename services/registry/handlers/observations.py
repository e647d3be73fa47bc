"""Takes in what workers and the scheduler saw of accounts. Accepted from anyone, also after a lease was lost;
counted once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.registry.domain import facts, floods
from services.registry.domain.account import Account, FloodWait, Reason
from services.registry.domain.days import DAY
from services.registry.domain.facts import ChatCounts, Fact, LinkLost, SessionDied
from services.registry.handlers.candidates import check_key_id
from services.registry.handlers.changes import ChangeSignal
from services.registry.ports import Store, Write
from services.runtime.clock import Clock
from services.runtime.errors import InvalidArgument

MAX_FACTS = 1000
_MAX_TEXT = 100
_MAX_COUNT = 10**9

_STOPPED = (
    "Sessions of several accounts died of double use (AUTH_KEY_DUPLICATED) within 10 min; another program "
    "seems to use the same sessions. Find it, then resume starts."
)


@dataclass(slots=True)
class _Beside:
    """What facts say that does not stand in the accounts' rows."""

    waits: dict[str, list[FloodWait]] = field(default_factory=lambda: defaultdict(list))
    counts: list[tuple[str, ChatCounts]] = field(default_factory=list)
    links: list[tuple[Fact, LinkLost]] = field(default_factory=list)
    deaths: list[tuple[Fact, str, str]] = field(default_factory=list)

    def add(self, fact: Fact, account: Account, now: datetime) -> None:
        """Sorts one fact in; `account` is as it was before it."""
        match fact.kind:
            case FloodWait():
                wait = floods.clamp(fact.kind, fact.time, now)
                if wait:
                    self.waits[fact.account_id].append(wait)
            case ChatCounts():
                self.counts.append((fact.account_id, fact.kind))
            case LinkLost():
                self.links.append((fact, fact.kind))
            case SessionDied(reason, auth_key_id):
                self.deaths.append((fact, auth_key_id or account.auth_key_id, reason.value))
            case _:
                return

    def touched(self) -> set[str]:
        """Accounts whose watchers need to know."""
        return {*self.waits, *(account_id for account_id, _ in self.counts)}


class Observations:
    """The use cases ReportFacts and ResumeStarts."""

    def __init__(self, store: Store, clock: Clock, signal: ChangeSignal) -> None:
        self._store = store
        self._clock = clock
        self._signal = signal

    async def report(self, reported: Sequence[Fact]) -> None:
        """Keeps the facts; when this returns they are on disk. Facts of unknown accounts are dropped: they
        were deleted."""
        if len(reported) > MAX_FACTS:
            raise InvalidArgument(f"At most {MAX_FACTS} facts in one call.", field="facts")
        for index, fact in enumerate(reported):
            _check(fact, f"facts[{index}]")
        now = self._clock.wall()
        async with self._store.write() as tx:
            fresh = await tx.unseen([_not_ahead(fact, now) for fact in reported], now)
            if fresh:
                await self._keep(tx, fresh, now)
        self._signal.notify()

    async def resume_starts(self) -> bool:
        """Lets accounts start again; whether they were stopped."""
        async with self._store.write() as tx:
            stopped = bool((await tx.flags()).starts_stopped)
            if stopped:
                await tx.next_revision()
                await tx.set_starts_stopped("", self._clock.wall())
        self._signal.notify()
        return stopped

    async def _keep(self, tx: Write, fresh: Sequence[Fact], now: datetime) -> None:
        before = await tx.accounts({fact.account_id for fact in fresh})
        known = sorted((f for f in fresh if f.account_id in before), key=lambda f: f.time)
        if not known:
            return
        revision = await tx.next_revision()
        after = dict(before)
        beside = _Beside()
        for fact in known:
            beside.add(fact, after[fact.account_id], now)
            after[fact.account_id] = facts.observe(after[fact.account_id], fact, now)
        await tx.save_flood_waits({i: floods.longest(found) for i, found in beside.waits.items()})
        await tx.save_counts(beside.counts)
        await tx.add_links(beside.links)
        await tx.add_deaths(beside.deaths)
        changed = [a for i, a in after.items() if a != before[i]]
        await tx.save_accounts([replace(account, revision=revision) for account in changed])
        await tx.touch(beside.touched() - {a.account_id for a in changed}, revision)
        if beside.deaths:
            await self._stop_starts_if_due(tx, now)

    async def _stop_starts_if_due(self, tx: Write, now: datetime) -> None:
        flags = await tx.flags()
        if flags.starts_stopped:
            return
        since = now - 2 * facts.STOP_WINDOW
        deaths = await tx.deaths(Reason.AUTH_KEY_DUPLICATED.value, since)
        if facts.must_stop_starts(deaths, flags.resumed_time):
            await tx.set_starts_stopped(_STOPPED, None)


def _not_ahead(fact: Fact, now: datetime) -> Fact:
    """A reporter's clock may be wrong; nothing was seen later than now."""
    return replace(fact, time=now) if fact.time > now else fact


def _check(fact: Fact, field: str) -> None:
    """Raises InvalidArgument. Lengths are bounded so that a broken worker cannot fill the database."""
    if not fact.fact_id or len(fact.fact_id) > _MAX_TEXT:
        raise InvalidArgument("A fact needs an id of at most 100 characters.", field=f"{field}.fact_id")
    if not fact.account_id or len(fact.worker_id) > _MAX_TEXT:
        raise InvalidArgument("A fact names an account and a worker.", field=f"{field}.account_id")
    match fact.kind:
        case SessionDied(reason) if reason not in facts.DEATHS:
            raise InvalidArgument(
                "This reason is no death of a session.", field=f"{field}.session_died.reason"
            )
        case SessionDied(_, auth_key_id) if auth_key_id:
            check_key_id(auth_key_id, f"{field}.session_died.auth_key_id")
        case ChatCounts() as counts:
            if not DAY.fullmatch(counts.day) or len(counts.incarnation) > _MAX_TEXT:
                raise InvalidArgument("A day is written 2026-11-20.", field=f"{field}.chat_counts.day")
            if not (0 <= counts.received <= _MAX_COUNT and 0 <= counts.answered <= _MAX_COUNT):
                raise InvalidArgument("Counts are 0 to a milliard.", field=f"{field}.chat_counts")
        case LinkLost() as link if len(link.cause) > _MAX_TEXT:
            raise InvalidArgument("A cause has at most 100 characters.", field=f"{field}.link_lost.cause")
        case _:
            return
