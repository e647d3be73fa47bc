"""The session files as this worker last saw them, scanned again every few seconds."""

import asyncio
import hashlib
from collections.abc import Callable

from services.runtime.logs import get_logger
from services.worker.domain.picture import SessionFile
from services.worker.domain.telegram import Credentials
from services.worker.ports import SessionFileError, SessionFiles

_log = get_logger("worker.catalog")


class Catalog:
    """`run` until cancelled; `on_change` is called with every new list."""

    def __init__(self, files: SessionFiles, period: float) -> None:
        self._files = files
        self._period = period
        self._current: tuple[SessionFile, ...] = ()
        self._on_change: list[Callable[[tuple[SessionFile, ...]], None]] = []

    @property
    def current(self) -> tuple[SessionFile, ...]:
        """The last list."""
        return self._current

    def on_change(self, callback: Callable[[tuple[SessionFile, ...]], None]) -> None:
        """Calls back with each new list."""
        self._on_change.append(callback)

    async def refresh(self) -> None:
        """Scans now."""
        try:
            found = tuple(await self._files.scan())
        except OSError as error:
            _log.error("the folder of session files cannot be read", error=type(error).__name__)
            return
        if found != self._current:
            self._current = found
            for callback in self._on_change:
                callback(found)

    async def run(self) -> None:
        """Scans every period."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._period)

    async def key_of(self, file_name: str) -> str:
        """The auth key id in a file. Raises SessionFileError."""
        known = self._find(file_name)
        if known is None:
            await self.refresh()
            known = self._find(file_name)
        if known is None:
            raise SessionFileError(f"There is no session file {file_name} on this worker.", missing=True)
        if known.problem:
            raise SessionFileError(known.problem)
        return known.auth_key_id

    async def open(self, file_name: str) -> Credentials:
        """The session in a file; only after the grant. Raises SessionFileError."""
        return await self._files.read(file_name)

    def key_id(self, credentials: Credentials) -> str:
        """The id of the key in it, 16 hex digits: the lower 64 bits of its SHA-1
        (core.telegram.org/mtproto)."""
        return hashlib.sha1(credentials.auth_key, usedforsecurity=False).digest()[-8:].hex()

    def _find(self, file_name: str) -> SessionFile | None:
        return next((file for file in self._current if file.file_name == file_name), None)
