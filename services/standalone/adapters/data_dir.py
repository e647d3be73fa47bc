"""The data directory: where things lie in it, and the lock that makes it one fleet's at a time.

The lock is a flock on an open file that every child inherits. It is free when the last of them is gone, so
a directory that an orphan still uses is not given away, whatever became of its supervisor. The record of
pids beside it only serves to say who that is.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.runtime.errors import FailedPrecondition
from services.standalone.adapters.atomic_file import write_json


class DataDirBusy(FailedPrecondition):
    """Another fleet, or what is left of one, uses the directory."""

    default_reason = "DATA_DIR_BUSY"


@dataclass(frozen=True, slots=True)
class DataDir:
    """Names of the files that belong to the directory, whichever fleet runs in it."""

    root: Path

    @property
    def ready_file(self) -> Path:
        """Says where the running fleet is reached; absent while none serves."""
        return self.root / "ready.json"

    @property
    def logs(self) -> Path:
        """One log file per child."""
        return self.root / "logs"

    @property
    def lock_file(self) -> Path:
        """Locked while anything of a fleet lives."""
        return self.root / "lock"

    @property
    def pids_file(self) -> Path:
        """Who lives, by name."""
        return self.root / "pids.json"


class DataDirLock:
    """Holds the lock from construction to `close`, and in every child that inherits `fd`."""

    def __init__(self, directory: DataDir) -> None:
        """Makes the directory if need be. Raises DataDirBusy, and OSError when it cannot be used."""
        self._directory = directory
        directory.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.fd = os.open(directory.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.fd)
            raise DataDirBusy(_who_holds(directory)) from None
        self.record({})

    def record(self, children: Mapping[str, int]) -> None:
        """Remembers who lives, for the sentence that a second fleet is refused with."""
        write_json(self._directory.pids_file, {"supervisor": os.getpid(), **children})

    def close(self) -> None:
        """Gives up this process's share of the lock."""
        self._directory.pids_file.unlink(missing_ok=True)
        os.close(self.fd)


def _who_holds(directory: DataDir) -> str:
    alive = {name: pid for name, pid in _recorded(directory).items() if _is_alive(pid)}
    where = f"{directory.root} is in use"
    if "supervisor" in alive:
        return f"{where}: a fleet runs there already (pid {alive['supervisor']}); stop that one first"
    if alive:
        who = ", ".join(f"{name} (pid {pid})" for name, pid in alive.items())
        return f"{where}: {who} of an earlier fleet still lives; wait until it is gone, or kill it"
    return f"{where} by a process that is not known; see who has {directory.lock_file} open"


def _recorded(directory: DataDir) -> dict[str, int]:
    try:
        record = json.loads(directory.pids_file.read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): int(pid) for name, pid in record.items()} if isinstance(record, dict) else {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
