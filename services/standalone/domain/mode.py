"""What kind of fleet is started, and the rules that arguments and environment must keep together. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


class Mode(Enum):
    """Which accounts the fleet serves; each kind has databases of its own."""

    POOL = "pool"
    """The operator's accounts."""
    USERBOT = "userbot"
    """The one account that USERBOT_SESSION holds."""
    DEMO = "demo"
    """Sample accounts in a test data centre."""


@dataclass(frozen=True, slots=True)
class Times:
    """T and S."""

    ttl: timedelta
    settle: timedelta


NORMAL = Times(timedelta(seconds=30), timedelta(seconds=30))
"""DESIGN section 3."""
QUICK = Times(timedelta(seconds=2), timedelta(seconds=1))
"""For the demo: allowed against a test data centre only (DESIGN section 3)."""
LEAST_LIVE_SETTLE = timedelta(seconds=30)
"""Telegram may keep a connection for the library's disconnect delay of 25 s; S exceeds that by 5 s (DESIGN
section 3)."""


def choose_mode(*, demo: bool, live: bool, userbot: bool, dc: bool, has_api: bool) -> Mode:
    """Raises ValueError with one sentence for wishes that exclude each other or lack something."""
    if demo and live:
        raise ValueError("--demo and --live (or TGFLEET_TELEGRAM_LIVE=1) exclude each other; choose one")
    if live and dc:
        raise ValueError(
            "TGFLEET_TELEGRAM_DC names a data centre of your own, so --live makes no sense; unset one"
        )
    if live and not (has_api or userbot):
        raise ValueError(
            "--live needs TGFLEET_TELEGRAM_API_ID and TGFLEET_TELEGRAM_API_HASH; get both at https://my.telegram.org"
        )
    if demo:
        return Mode.DEMO
    return Mode.USERBOT if userbot else Mode.POOL


def choose_times(mode: Mode, *, live: bool, ttl: timedelta | None, settle: timedelta | None) -> Times:
    """T and S as told, else the mode's. Raises ValueError when S is too short for Telegram itself."""
    usual = QUICK if mode is Mode.DEMO else NORMAL
    times = Times(usual.ttl if ttl is None else ttl, usual.settle if settle is None else settle)
    if live and times.settle < LEAST_LIVE_SETTLE:
        raise ValueError(
            f"S (TGFLEET_LEASE_SETTLE, --lease-settle) must be at least {LEAST_LIVE_SETTLE.seconds}s "
            "with --live: Telegram notices a lost connection after 25 s"
        )
    return times
