"""Writes the journal: stamps records, keeps them, copies them to a file, wakes those who watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from services.runtime.clock import Clock
from services.testdc.domain.journal import Journal, Record, RecordKind
from services.testdc.ports import JournalSink


class Scribe:
    """The only writer of the journal."""

    def __init__(self, journal: Journal, clock: Clock, sink: JournalSink | None = None) -> None:
        self.journal = journal
        self._clock = clock
        self._sink = sink
        self._news: set[asyncio.Event] = set()
        self._closed = False

    def note(self, kind: RecordKind, **fields: Any) -> Record:
        """Append a record; `fields` are those of Record."""
        record = Record(
            seq=self.journal.next_seq,
            time=self._clock.monotonic(),
            wall_time=self._clock.wall().timestamp(),
            kind=kind,
            **fields,
        )
        self.journal.append(record)
        if self._sink is not None:
            self._sink.write(record)
        for event in self._news:
            event.set()
        return record

    async def watch(self, after: int = 0) -> AsyncIterator[list[Record]]:
        """Records above number `after`, in batches as they come, until the scribe is closed."""
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                news.clear()
                batch = self.journal.since(after)
                if batch:
                    after = batch[-1].seq
                    yield batch
                elif self._closed:
                    return
                else:
                    await news.wait()
        finally:
            self._news.discard(news)

    def end_watches(self) -> None:
        """Let those who watch have what there is, and no more."""
        self._closed = True
        for event in self._news:
            event.set()

    def close(self) -> None:
        """End the watches and close the file, if there is one."""
        self.end_watches()
        if self._sink is not None:
            self._sink.close()
