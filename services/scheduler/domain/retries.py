"""Whether and when a start that did not work is tried again. Pure tables and arithmetic.

Three kinds of ending:

* TIMED: the answer names the moment (a settle time, a flood wait); tried again then, as often as it takes.
* BACKOFF: it may work by itself; tried again after 1 s .. 5 min, at most 20 times in a row.
* REST: only a person or a change of the account helps.
"""

import math
import random
from enum import Enum

from services.scheduler.domain.model import Outcome, Reason, Rules, Verdict

MIN_DELAY = 0.1
"""Never sooner than this (seconds), whatever the answer said: a wrong clock must not make a busy loop."""

GRID = 0.05
"""Seconds between the moments at which retries happen."""


class Retry(Enum):
    """How an ending is treated; see the module."""

    TIMED = "timed"
    BACKOFF = "backoff"
    REST = "rest"


_TABLE: dict[Reason, Retry] = {
    Reason.FLOOD_WAIT: Retry.TIMED,
    Reason.LEASE_HELD: Retry.TIMED,
    Reason.SETTLING: Retry.TIMED,
    Reason.UNSPECIFIED: Retry.BACKOFF,
    Reason.STILL_STARTING: Retry.BACKOFF,
    Reason.HOME_WORKER_OFFLINE: Retry.BACKOFF,
    Reason.NO_WORKER_CAPACITY: Retry.BACKOFF,
    Reason.CONNECT_TIMEOUT: Retry.BACKOFF,
    Reason.PROXY_ERROR: Retry.BACKOFF,
    Reason.WORKER_LOST: Retry.BACKOFF,
    Reason.INTERNAL: Retry.BACKOFF,
    Reason.DISABLED: Retry.REST,
    Reason.NEEDS_LOGIN: Retry.REST,
    Reason.QUARANTINED: Retry.REST,
    Reason.SESSION_CONFLICT: Retry.REST,
    Reason.SESSION_MISSING: Retry.REST,
    Reason.SESSION_INVALID: Retry.REST,
    Reason.SECRET_UNREADABLE: Retry.REST,
    Reason.AUTH_KEY_UNREGISTERED: Retry.REST,
    Reason.AUTH_KEY_DUPLICATED: Retry.REST,
    Reason.SESSION_REVOKED: Retry.REST,
    Reason.ACCOUNT_BANNED: Retry.REST,
    Reason.ACCOUNT_FROZEN: Retry.REST,
}


def classify(reason: Reason) -> Retry:
    """How an ending with this reason is treated."""
    return _TABLE[reason]


def is_waited_for(verdict: Verdict) -> bool:
    """Whether `wait_for` outlasts this ending: a WAITING, and the loss of the worker that was starting the
    account, which says nothing of the account and is followed by a start elsewhere at once. What Telegram, a
    proxy or the session brought about is a result, although the fleet tries some of it again later:
    whoever asked may have to act on it."""
    return verdict.outcome is Outcome.WAITING or verdict.reason is Reason.WORKER_LOST


def backoff(attempt: int, rules: Rules, rng: random.Random) -> float:
    """Seconds before repetition number `attempt` (from 1): between half and all of base * 2**(attempt-1),
    capped."""
    full = min(rules.backoff_cap, rules.backoff_base * 2.0 ** min(attempt - 1, 30))
    return float(full * (0.5 + rng.random() / 2))


def timed_delay(until: float, wall: float, rules: Rules, rng: random.Random) -> float:
    """Seconds until a named moment. Not jittered: what settles together must be back soon after (DESIGN:
    grantable within T + S + 1.5 s, then running), and the fleet-wide start rate spreads the connecting.
    Without a moment (another worker holds the lease and lives on): a part of T or S, so that the end of a
    short settle time is not slept through."""
    if until > 0.0:
        return max(MIN_DELAY, until - wall)
    cap = max(MIN_DELAY, min(rules.lease_ttl / 3, rules.lease_settle / 2))
    return cap * (0.5 + rng.random() / 2)


def aligned(due: float) -> float:
    """A moment up to 50 ms later that many accounts share, so that one command and one acquisition serve all
    that wait for the same thing."""
    return math.ceil(due / GRID) * GRID
