"""The streams of attached workers, as queues of messages that go down. Knows nothing of what they mean."""

import asyncio
from collections.abc import Iterator

from services.runtime.errors import TgfleetError, Unavailable
from services.scheduler.metrics import WORKERS
from tgfleet.scheduler.v1 import scheduler_pb2

_LIMIT = 10_000
"""Messages that may wait for one worker; one that takes none has its stream ended and comes back with a full
picture."""


class WorkerStream:
    """What goes down one stream."""

    def __init__(self, worker_id: str, attachment: int) -> None:
        self.worker_id = worker_id
        self.attachment = attachment
        self._queue: asyncio.Queue[scheduler_pb2.AttachWorkerResponse | None] = asyncio.Queue()
        self._error: TgfleetError | None = None

    def send(self, message: scheduler_pb2.AttachWorkerResponse) -> None:
        """Queues a message. Never waits."""
        if self._queue.qsize() >= _LIMIT:
            self.end(Unavailable("The worker takes no commands.", reason="WORKER_TOO_SLOW"))
        elif self._error is None:
            self._queue.put_nowait(message)

    def end(self, error: TgfleetError) -> None:
        """Ends the stream at once; what is queued is not sent any more. The first error counts."""
        if self._error is None:
            self._error = error
            self._queue.put_nowait(None)

    async def next(self) -> scheduler_pb2.AttachWorkerResponse:
        """The next message. Raises the error that ended the stream."""
        if self._error is None:
            message = await self._queue.get()
            if message is not None and self._error is None:
                return message
        raise self._error or Unavailable("The stream has ended.")


class Streams:
    """All attached workers' streams."""

    def __init__(self) -> None:
        self._streams: dict[int, WorkerStream] = {}
        self._next = 1

    def __iter__(self) -> Iterator[WorkerStream]:
        return iter(list(self._streams.values()))

    def open(self, worker_id: str) -> WorkerStream:
        """A new stream with a number of its own."""
        stream = WorkerStream(worker_id, self._next)
        self._streams[self._next] = stream
        self._next += 1
        WORKERS.inc()
        return stream

    def get(self, attachment: int) -> WorkerStream | None:
        """By its number; None when it has ended."""
        return self._streams.get(attachment)

    def close(self, stream: WorkerStream) -> None:
        """Forgets a stream that has ended. Idempotent."""
        if self._streams.pop(stream.attachment, None) is not None:
            WORKERS.dec()

    def end_all(self, error: TgfleetError) -> None:
        """Ends every stream."""
        for stream in self:
            stream.end(error)
