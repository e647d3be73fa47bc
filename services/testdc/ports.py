"""What the data centre needs from outside, beside a clock: a place for journal lines."""

from __future__ import annotations

from typing import Protocol

from services.testdc.domain.journal import Record


class JournalSink(Protocol):
    """Somewhere a copy of the journal goes."""

    def write(self, record: Record) -> None:
        """Keep one record."""

    def close(self) -> None:
        """No more records come."""
