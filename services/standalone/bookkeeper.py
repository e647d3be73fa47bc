"""Remembers who lives, and passes it on: to the person, to the record in the data directory, to the ready
files."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from services.runtime.logs import get_logger
from services.standalone.adapters.data_dir import DataDirLock
from services.standalone.adapters.ready_file import ReadyFiles
from services.standalone.ports import Observer
from services.standalone.prepare import Prepared

_log = get_logger("standalone.bookkeeper")


class Bookkeeper:
    """Fulfils `ports.Observer`; tells another observer all that it hears."""

    def __init__(self, console: Observer, lock: DataDirLock, ready_files: ReadyFiles) -> None:
        self.ready_files = ready_files
        self._console = console
        self._lock = lock
        self._launched: dict[str, int] = {}
        self._announced: dict[str, Mapping[str, Any]] = {}

    def publish(self, facts: Mapping[str, Any]) -> None:
        """Everything serves: writes the ready files. Raises OSError."""
        self.ready_files.publish(facts)

    def facts(self, fleet: Prepared) -> dict[str, Any]:
        """What the ready files say of every fleet."""
        return {
            "gateway": fleet.plan.gateway_listen,
            "token": fleet.token,
            "token_file": str(fleet.plan.home.token),
            "supervisor": os.getpid(),
            **self._changing(),
        }

    def launched(self, name: str, pid: int) -> None:
        self._launched[name] = pid
        self._announced.pop(name, None)
        self._write()
        self._console.launched(name, pid)

    def ready(self, name: str, info: Mapping[str, Any]) -> None:
        self._announced[name] = info
        self._write()
        self._console.ready(name, info)

    def died(self, name: str, how: str, delay: float, last_lines: Sequence[str]) -> None:
        self._forget(name)
        self._console.died(name, how, delay, last_lines)

    def stopping(self, name: str) -> None:
        self._console.stopping(name)

    def stopped(self, name: str, *, killed: bool) -> None:
        self._forget(name)
        self._console.stopped(name, killed=killed)

    def _changing(self) -> dict[str, Any]:
        pids = {name: int(info.get("pid", self._launched[name])) for name, info in self._announced.items()}
        metrics = {name: info["metrics"] for name, info in self._announced.items() if info.get("metrics")}
        return {"pids": pids, "metrics": metrics}

    def _forget(self, name: str) -> None:
        self._launched.pop(name, None)
        self._announced.pop(name, None)
        self._write()

    def _write(self) -> None:
        """A full disk is no reason to stop what runs."""
        try:
            self._record()
            self.ready_files.update(**self._changing())
        except OSError as error:
            _log.warning("the record of processes cannot be written", error=error.strerror)

    def _record(self) -> None:
        """etcd is somebody else's child, so there are two processes for it."""
        guarded = {
            f"{name} itself": int(info["pid"])
            for name, info in self._announced.items()
            if info.get("pid", self._launched.get(name)) != self._launched.get(name)
        }
        self._lock.record({**self._launched, **guarded})
