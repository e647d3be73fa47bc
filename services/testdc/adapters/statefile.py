"""Keeps the data centre over a restart: a snapshot of what it holds in memory.

The file is ours alone (mode 0600) and replaced whole, so a reader finds the old one or the new one. A data
centre that is killed loses what happened since its last snapshot, a fraction of a second.
"""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from services.runtime.errors import SettingsError
from services.testdc.domain.costs import CostBook
from services.testdc.domain.faults import FaultBook
from services.testdc.domain.floods import FloodBook
from services.testdc.domain.keys import KeyRing
from services.testdc.domain.waits import WaitBook
from services.testdc.domain.world import World

_INTERVAL = 0.2
"""Seconds between two snapshots at least."""
_SHARE = 20
"""And this many times what the last one took: at most a twentieth of the CPU goes into snapshots."""
_VERSION = 2
"""Grows with every change of what is kept; the file of another version is refused."""
_UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)
"""What reading a file raises that is none of ours, or of another version."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that outlives the process."""

    world: World
    keys: KeyRing
    faults: FaultBook
    floods: FloodBook
    waits: WaitBook
    costs: CostBook
    secret: bytes
    rsa_private_pem: bytes


class StateFile:
    """Writes snapshots of what `take` returns, as often as `changed` says."""

    def __init__(self, path: Path, take: Callable[[], Snapshot], changes: Callable[[], int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._take = take
        self._changes = changes
        """A number that grows with every change."""
        self._saved = -1

    def save(self) -> None:
        """Write a snapshot if anything changed since the last one."""
        changes = self._changes()
        if changes == self._saved:
            return
        part = self._path.with_name(self._path.name + ".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, for the file's mode
            pickle.dump((_VERSION, self._take()), file, protocol=pickle.HIGHEST_PROTOCOL)
        part.replace(self._path)
        self._saved = changes

    async def keep_saving(self) -> None:
        """Save again and again, until cancelled."""
        pause = _INTERVAL
        while True:
            await asyncio.sleep(pause)
            began = perf_counter()
            self.save()
            pause = max(_INTERVAL, (perf_counter() - began) * _SHARE)

    async def close(self) -> None:
        """The last snapshot."""
        self.save()


def load(path: Path) -> Snapshot | None:
    """The snapshot kept in a file, or None when there is no file; raises SettingsError for another file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        version, snapshot = pickle.loads(content)  # noqa: S301 - written by ourselves, readable by us only
    except _UNREADABLE as e:
        raise SettingsError(f"{path} is no state of this test data centre; remove it to start anew") from e
    if version != _VERSION or not isinstance(snapshot, Snapshot):
        raise SettingsError(f"{path} is no state of this test data centre; remove it to start anew")
    for key in snapshot.keys.all():
        key.reopen()
    return snapshot
