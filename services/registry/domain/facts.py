"""What workers and the scheduler saw of accounts, and what that means for an account. Pure: account + fact ->
account.

The rules for set-aside accounts are those of TELEGRAM.md section 2 and DESIGN.md sections 3 and 4:

* AUTH_KEY_DUPLICATED: set aside for 30 min, its settle time raised to 30 min; when the try after that dies of
  it again, it needs a login. Two different keys that died so within 10 min stop all starts.
* AUTH_KEY_UNREGISTERED and SESSION_REVOKED: needs a login. A ban or freeze is only remembered, so that a
  start tries again.
* Three worker crashes in a row with the account there: set aside until an operator enables it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.registry.domain.account import NOT_BLOCKED, Account, Block, FloodWait, Reason

DUPLICATE_COOLDOWN = timedelta(minutes=30)
"""Older systems saw Telegram hold on to a dead connection for 10 to 30 min."""

RAISED_SETTLE = timedelta(minutes=30)
STOP_WINDOW = timedelta(minutes=10)
STOP_KEYS = 2
CRASH_LIMIT = 3

_LOGIN_GONE = frozenset({Reason.AUTH_KEY_UNREGISTERED, Reason.SESSION_REVOKED})
_REMEMBERED = frozenset({Reason.ACCOUNT_BANNED, Reason.ACCOUNT_FROZEN})
DEATHS = _LOGIN_GONE | _REMEMBERED | {Reason.AUTH_KEY_DUPLICATED}

_SENTENCES = {
    Reason.AUTH_KEY_UNREGISTERED: "Telegram does not know the session's key any more; log in again.",
    Reason.SESSION_REVOKED: "The login was revoked or has expired; log in again.",
    Reason.ACCOUNT_BANNED: "Telegram banned or deleted the account.",
    Reason.ACCOUNT_FROZEN: "Telegram froze the account; it can only read.",
}
_DUPLICATED = (
    "Another program used this session at the same time and Telegram killed its key ({where}); "
    "one try follows by itself."
)
_DUPLICATED_AGAIN = (
    "The session died of double use and the try after that died as well ({where}); log in again."
)
_CRASHED = "The account was there at {count} worker crashes in a row; enable it to try again."


@dataclass(frozen=True, slots=True)
class SessionDied:
    """Telegram refused the session. `auth_key_id` is the key that died; empty when the reporter did not
    say."""

    reason: Reason
    auth_key_id: str = ""

    def is_of(self, account: Account) -> bool:
        """Whether it says anything about the session that the account has now: a report may come late, after
        a new login. A frozen or banned account is so whatever its key."""
        if self.reason in _REMEMBERED or not (self.auth_key_id and account.auth_key_id):
            return True
        return self.auth_key_id == account.auth_key_id


@dataclass(frozen=True, slots=True)
class LinkLost:
    """A link ended after `uptime`; `downtime` is None when it did not come back."""

    cause: str
    uptime: timedelta
    downtime: timedelta | None
    reconnected: bool


@dataclass(frozen=True, slots=True)
class SessionRan:
    """Telegram answered for the user; `stable` after long enough to forget crashes."""

    user_id: int
    stable: bool


@dataclass(frozen=True, slots=True)
class ChatCounts:
    """What one process counted on one of the account's days; replaces what it said before."""

    day: str
    incarnation: str
    received: int
    answered: int


@dataclass(frozen=True, slots=True)
class WorkerCrashed:
    """The account was on a worker that crashed."""

    incarnation: str


Kind = FloodWait | SessionDied | LinkLost | SessionRan | ChatCounts | WorkerCrashed


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing seen, once. `fact_id` is the reporter's UUID."""

    fact_id: str
    account_id: str
    time: datetime
    worker_id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Death:
    """A session that died of double use; kept to judge whether all starts must stop."""

    auth_key_id: str
    time: datetime


def observe(account: Account, fact: Fact, now: datetime) -> Account:
    """The account after the fact; the same object when the fact changes nothing about the account itself."""
    match fact.kind:
        case SessionDied(reason) as died:
            return _died(account, reason, fact, now) if died.is_of(account) else account
        case SessionRan(user_id, stable):
            return _ran(account, fact, user_id, stable=stable)
        case WorkerCrashed():
            return _crashed(account, fact)
        case _:
            return account


def _died(account: Account, reason: Reason, fact: Fact, now: datetime) -> Account:
    seen = min(fact.time, now)
    if reason in _LOGIN_GONE:
        return replace(account, block=Block(Reason.NEEDS_LOGIN, reason, _SENTENCES[reason], since=seen))
    if reason in _REMEMBERED:
        if account.block.reason is not Reason.UNSPECIFIED:
            return account
        return replace(account, block=Block(Reason.UNSPECIFIED, reason, _SENTENCES[reason], since=seen))
    return replace(account, block=_duplicated(account.block, fact, now), settle=RAISED_SETTLE)


def _duplicated(block: Block, fact: Fact, now: datetime) -> Block:
    """A second death counts as that of the probe only if it was seen after the cooldown; before, it is the
    same one."""
    where = f"seen by worker {fact.worker_id or 'unknown'} at {fact.time:%Y-%m-%d %H:%M:%S} UTC"
    if block.reason is Reason.NEEDS_LOGIN:
        return block
    if block.cause is Reason.AUTH_KEY_DUPLICATED and block.retry_time is not None:
        if min(fact.time, now) < block.retry_time:
            return block
        again = _DUPLICATED_AGAIN.format(where=where)
        return Block(Reason.NEEDS_LOGIN, Reason.AUTH_KEY_DUPLICATED, again, since=min(fact.time, now))
    return Block(
        Reason.QUARANTINED,
        Reason.AUTH_KEY_DUPLICATED,
        _DUPLICATED.format(where=where),
        now + DUPLICATE_COOLDOWN,
        min(fact.time, now),
    )


def _ran(account: Account, fact: Fact, user_id: int, *, stable: bool) -> Account:
    """Telegram's own answer ends whatever was held against the session before it, except a quarantine for
    crashes."""
    block = account.block
    crashed = block.reason is Reason.QUARANTINED and block.cause is Reason.UNSPECIFIED
    late = block.since is not None and fact.time <= block.since
    return replace(
        account,
        user_id=account.user_id or max(user_id, 0),
        last_worker_id=fact.worker_id or account.last_worker_id,
        block=block if crashed or late else NOT_BLOCKED,
        crash_streak=0 if stable else account.crash_streak,
    )


def _crashed(account: Account, fact: Fact) -> Account:
    streak = account.crash_streak + 1
    if streak < CRASH_LIMIT or account.block.reason is not Reason.UNSPECIFIED:
        return replace(account, crash_streak=streak)
    block = Block(Reason.QUARANTINED, Reason.UNSPECIFIED, _CRASHED.format(count=streak), since=fact.time)
    return replace(account, crash_streak=streak, block=block)


def must_stop_starts(deaths: Iterable[Death], resumed: datetime | None) -> bool:
    """Whether sessions of different keys died of double use within 10 min of each other, after the last
    resumption."""
    counted = sorted((d for d in deaths if resumed is None or d.time > resumed), key=lambda d: d.time)
    for index, death in enumerate(counted):
        near = {d.auth_key_id for d in counted[index:] if d.time - death.time <= STOP_WINDOW}
        if len(near) >= STOP_KEYS:
            return True
    return False


def enable(account: Account, *, enabled: bool) -> Account:
    """After an operator's switch. Enabling ends a quarantine and the crash count; a lost login stays lost.
    Disabling also ends the wish to run."""
    if not enabled:
        return replace(account, enabled=False, wanted_running=False)
    block = account.block if account.block.reason is Reason.NEEDS_LOGIN else NOT_BLOCKED
    return replace(account, enabled=True, block=block, crash_streak=0)
