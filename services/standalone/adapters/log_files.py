"""One log file per child in the data directory, rotated when the fleet starts, so that each run begins with
an empty one."""

import contextlib
import json
from collections import deque
from pathlib import Path
from typing import IO

KEEP = 3
"""Earlier runs whose files are kept as name.log.1 (the newest) and so on."""
_TAIL = 12
_MAX_LINE = 300
_UNTOLD = frozenset({"timestamp", "level", "service", "logger", "event", "exception"})


class LogFiles:
    """The log files of one run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._begun: dict[str, int] = {}
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where a child's log is."""
        return self._directory / f"{name}.log"

    def open(self, name: str) -> IO[bytes]:
        """A child's log, to append to. The first time in a run the earlier run's file is put aside."""
        path = self.path(name)
        if name not in self._begun:
            _rotate(path)
        log = path.open("ab")
        self._begun[name] = log.tell()
        return log

    def last_lines(self, name: str) -> list[str]:
        """The end of what the child's last process wrote, JSON lines turned into readable ones."""
        with contextlib.suppress(OSError), self.path(name).open("rb") as log:
            log.seek(self._begun.get(name, 0))
            lines = deque((line for line in log if line.strip()), maxlen=_TAIL)
            return [_readable(line.decode(errors="replace").rstrip()) for line in lines]
        return []


def _rotate(path: Path) -> None:
    for number in range(KEEP, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if newer.exists():
            newer.replace(older)


def _readable(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line[:_MAX_LINE]
    if not isinstance(record, dict):
        return line[:_MAX_LINE]
    facts = " ".join(f"{key}={value}" for key, value in record.items() if key not in _UNTOLD)
    trace = str(record.get("exception", "")).strip().splitlines()
    text = f"{record.get('level', '')}: {record.get('event', record.get('msg', ''))} {facts}".strip()
    return (text + (f" | {trace[-1]}" if trace else ""))[:_MAX_LINE]
