"""Files that are there whole or not at all, readable by their owner only."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Writes or replaces a file, mode 0600, in one step. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """The same with a JSON object. Raises OSError."""
    write_private(path, json.dumps(value, indent=2) + "\n")


def create_private(path: Path, text: str) -> None:
    """The same, but leaves a file alone that exists already. Raises OSError."""
    if not path.exists():
        write_private(path, text)
