"""Puts a backup in the place of a data directory's databases, while nothing uses them.

What was there is moved aside, never deleted. The restored databases are marked, so that nothing that was
granted after the backup was taken can win against what is granted from now on:

* leases: the generation's number becomes at least the present time in seconds since 1970, which is beyond all
  that were ever counted up to, and its etcd cluster one that cannot exist. So the registry finds the lease
  store to be another one at its next start, opens the generation after that, and grants nothing for T + S.
* the scheduler's term likewise becomes at least the present time.
* transfers that ran are paused: what they sent since the backup they would send again.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.admin.archive import DATABASES, MASTER_KEY, REGISTRY, SCHEDULER, Member
from services.admin.failures import WrongUsageError

_LOCKS = ("lock", *(f"{name}.lock" for name in DATABASES))
_BESIDE = ("", "-wal", "-shm", "-journal")
_NO_CLUSTER = "0"
_HOLD = (
    "This fleet was restored from a backup. Make sure that the one which the backup was taken of runs "
    "nowhere, then resume starts."
)


_PAUSE, _PAUSED, _ENDED = 2, 5, (7, 8, 9)
"""Wish and states of a transfer as the scheduler's database has them (records.py there)."""
_TRANSFER_DETAIL = "The fleet was restored from a backup: what was sent since then would be sent again."
_TRANSFER_ACTION = (
    "Look into the target. If it holds more than the transfer says, cancel it and create one for the rest; "
    "else resume it."
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. `missing_keys` are master keys that secrets need and the key file has not."""

    aside: Path | None
    missing_keys: tuple[str, ...]


@contextmanager
def unused(folder: Path) -> Iterator[None]:
    """Holds the locks that a fleet and its services take. Raises WrongUsageError when one is taken."""
    with ExitStack() as held:
        for name in _LOCKS:
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise WrongUsageError(
                    f"{folder} is in use: a fleet or one of its services runs there. Stop it first; nothing "
                    "was changed."
                ) from error
        yield


def mark(folder: Path, now: datetime, *, hold_starts: bool) -> None:
    """Marks unpacked databases as restored. Raises WrongUsageError when they are not of this version."""
    seconds = int(now.timestamp())
    try:
        with closing(sqlite3.connect(folder / REGISTRY)) as registry, registry:
            _mark_generation(registry, seconds, now)
            if hold_starts:
                registry.execute("UPDATE fleet SET starts_stopped = ?, revision = revision + 1", (_HOLD,))
        if (folder / SCHEDULER).exists():
            with closing(sqlite3.connect(folder / SCHEDULER)) as scheduler, scheduler:
                scheduler.execute("UPDATE leadership SET term = max(term, ?)", (seconds,))
                _pause_transfers(scheduler)
    except sqlite3.Error as error:
        raise WrongUsageError(f"The backup's databases are not those of this version: {error}.") from error


def _mark_generation(registry: sqlite3.Connection, seconds: int, now: datetime) -> None:
    changed = registry.execute(
        "UPDATE lease_generation SET number = max(number, ?), cluster_id = ?, mirrored = 1, waits = 1",
        (seconds, _NO_CLUSTER),
    )
    if changed.rowcount == 0:
        registry.execute(
            "INSERT INTO lease_generation (id, number, opened_at, cluster_id, high_water, mirrored, waits)"
            " VALUES (1, ?, ?, ?, 0, 1, 1)",
            (seconds, now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"), _NO_CLUSTER),
        )


def _pause_transfers(scheduler: sqlite3.Connection) -> None:
    """Until a person has looked. A backup from before there were transfers has no such table."""
    known = scheduler.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'transfers'")
    if known.fetchone() is None:
        return
    scheduler.execute(
        "UPDATE transfers SET wish = ?, state = ?, reason = 'RESTORED', detail = ?, action = ?, wake = 0"
        " WHERE wish != 3 AND state NOT IN (?, ?, ?)",  # 3: its end was wished for already
        (_PAUSE, _PAUSED, _TRANSFER_DETAIL, _TRANSFER_ACTION, *_ENDED),
    )


def put_in_place(unpacked: Path, folder: Path, members: list[Member], now: datetime) -> Restored:
    """Moves the present files aside and the unpacked ones in. Call it inside of `unused`."""
    aside = folder / f"before-restore-{now:%Y%m%dT%H%M%SZ}"
    names = [*DATABASES, *(member.name for member in members if member.name == MASTER_KEY)]
    present = [folder / f"{name}{end}" for name in names for end in _BESIDE]
    present = [path for path in present if path.exists()]
    if present:
        aside.mkdir(mode=0o700)
    for path in present:
        path.rename(aside / path.name)
    for member in members:
        (unpacked / member.name).rename(folder / member.name)
    _sync(folder)
    return Restored(aside if present else None, _missing_keys(folder))


def _missing_keys(folder: Path) -> tuple[str, ...]:
    with closing(sqlite3.connect(folder / REGISTRY)) as registry:
        needed = {row[0] for row in registry.execute("SELECT DISTINCT key_id FROM account_secrets")}
    try:
        lines = (folder / MASTER_KEY).read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    return tuple(sorted(needed - {line.partition(":")[0].strip() for line in lines}))


def _sync(folder: Path) -> None:
    """So that a power cut does not bring the old names back."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
