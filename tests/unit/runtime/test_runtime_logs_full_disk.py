"""A log that cannot be written costs a line, never the process (chaos: a full disk ended a registry)."""

from __future__ import annotations

import io

import pytest
import structlog

from services.runtime.logs import _NamedLogger


class FullDisk(io.StringIO):
    """A stream on a disk without room."""

    def write(self, text: str, /) -> int:
        raise OSError(27, f"no room for {len(text)} characters")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "exception"])
def test_a_line_that_cannot_be_written_raises_nothing(level: str) -> None:
    logger = structlog.wrap_logger(
        _NamedLogger(FullDisk(), "x"), processors=[structlog.processors.JSONRenderer()]
    )
    getattr(logger, level)("the database failed")
