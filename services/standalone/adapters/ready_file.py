"""The files that say that everything serves, and where. There from the moment it is true until the stop
begins."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.standalone.adapters.atomic_file import write_json


class ReadyFiles:
    """The same facts in each of several files, kept up to date while children are restarted."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Removes what an earlier fleet, killed with -9, left there. Raises OSError."""
        self._paths = tuple(paths)
        self._facts: dict[str, Any] | None = None
        self.remove()

    def publish(self, facts: Mapping[str, Any]) -> None:
        """Writes the files. Raises OSError."""
        self._facts = dict(facts)
        self._write()

    def update(self, **facts: Any) -> None:
        """Changes some facts, if the files are there. Raises OSError."""
        if self._facts is not None and any(self._facts.get(key) != value for key, value in facts.items()):
            self._facts |= facts
            self._write()

    def remove(self) -> None:
        """Takes the files away. Idempotent."""
        self._facts = None
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _write(self) -> None:
        if self._facts is not None:
            for path in self._paths:
                write_json(path, self._facts)
