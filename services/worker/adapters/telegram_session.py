"""The library's `Session` under watch: it never restarts itself, and the end of its link is known at once.

The stock session restarts in a background task, without backoff, and loses what happens there (TELEGRAM.md
section 3, hazards 1, 2, 4, 11, 14). Here every way in which a link can end leads to `_end`, once, with its
cause; whoever owns the session makes another one when it sees fit.
"""

import asyncio
from typing import Any

from pyrogram import raw
from pyrogram.errors import RPCError
from pyrogram.session.session import AuthKeyNotFound, SessionState

from services.runtime.clock import Clock
from services.runtime.logs import get_logger
from services.runtime.tasks import cancel_and_wait
from services.worker.adapters.telegram_calls import CallingSession
from services.worker.domain.telegram import Fenced, LinkCause, LinkDown

_log = get_logger("worker.telegram")

_DISCONNECT_DELAY = 25
"""Seconds after the last ping at which Telegram closes the link, as the stock library asks (TELEGRAM.md
section 4)."""
_CLOSE_LIMIT = 3.0
_UNPACKING = 32
"""Packets that may be decrypted and parsed at the same time. The stock session takes in whatever arrives, a
task and a copy for each packet: a burst of updates for many clients cost 5 MiB a client that way."""
_TRANSPORT_CAUSES = {404: LinkCause.TRANSPORT_404, 429: LinkCause.TRANSPORT_429}


class WatchedSession(CallingSession):
    """One link of one account. `start` raises; `ended` says why the link is gone; `shut` leaves nothing
    behind."""

    START_TIMEOUT = 10
    """Seconds for the first ping and for initConnection; the stock 2 s are too few through a proxy. The
    caller's own limit is shorter anyway where it matters."""

    def __init__(self, client: Any, key: bytes, dc_id: int, *, keepalive: float, clock: Clock) -> None:
        super().__init__(client, key, dc_id, clock)
        self._keepalive = keepalive
        self._transport_code: int | None = None
        self._heard_at = clock.monotonic()
        self._unpacking = 0
        self._unpacked = asyncio.Event()

    @property
    def receiving(self) -> bool:
        """Whether the receive loop is alive."""
        return self.recv_task is not None and not self.recv_task.done()

    @property
    def up(self) -> bool:
        """Whether it started and has not ended."""
        return bool(self.is_started.is_set()) and not self._lost.done()

    async def ended(self) -> LinkDown:
        """Waits for the end of the link."""
        return await asyncio.shield(self._lost)

    def note_transport_error(self, code: int) -> None:
        """The connection saw a transport error packet."""
        self._transport_code = code

    async def start(self) -> None:
        """Dials and initialises the connection. Raises LinkDown, Fenced or the library's RPCError."""
        await super().start()
        if not self.is_started.is_set():
            raise self._start_error()

    def _start_error(self) -> Exception:
        if self._transport_code is not None and self._lost.done():
            return self._lost.result()
        if isinstance(self._first_error, RPCError):
            refusal: Exception = self._first_error
            return refusal
        if self._lost.done():
            return self._lost.result()
        if isinstance(self._first_error, TimeoutError):
            return LinkDown(LinkCause.NO_ANSWER)
        return LinkDown(LinkCause.LINK_CLOSED)

    async def restart(self) -> None:
        """The library's way back, which is not taken: the owner of the session decides."""
        if self.is_started.is_set():
            self._end(LinkDown(LinkCause.BAD_PACKET))

    async def stop(self) -> None:
        """The library calls this when a start fails for good."""
        await self.shut()

    async def shut(self) -> None:
        """Closes the socket, ends every task and call of this session. Bounded and idempotent; never
        sends."""
        self._must_stay_stopped = True
        self._end(LinkDown(LinkCause.STOPPED))
        self.is_started.clear()
        self.ping_task_event.set()
        if self.connection is not None:
            await self.connection.close()
        tasks = [task for task in (self.ping_task, self.recv_task, *self.pending_tasks) if task is not None]
        await cancel_and_wait(*tasks, limit=_CLOSE_LIMIT)
        await self._set_state(SessionState.STOPPED)

    async def ping_worker(self) -> None:
        """Asks for a sign of life and *waits* for it, unlike the stock one: a half-open link ends here."""
        while not self._lost.done():
            try:
                async with asyncio.timeout(self._keepalive):
                    await self.ping_task_event.wait()
            except TimeoutError:
                await self._ping_or_end()
            else:
                return

    async def _ping_or_end(self) -> None:
        try:
            await self.ping(self._keepalive)
        except (OSError, RPCError):
            # The answer may stand in line behind a burst of updates, and what talks is not gone.
            if self._lost.done() or self._clock.monotonic() - self._heard_at > self._keepalive:
                self._end(LinkDown(LinkCause.PING_TIMEOUT))
        except Fenced:
            self._end(LinkDown(LinkCause.FENCED))

    async def ping(self, limit: float) -> None:
        """One ping with its answer. Raises OSError (TimeoutError included), RPCError or Fenced."""
        ping_id = await self.msg_factory.allocate_message_identity()
        query = raw.functions.PingDelayDisconnect(ping_id=ping_id, disconnect_delay=_DISCONNECT_DELAY)
        await self.send(query, timeout=limit)

    async def recv_worker(self) -> None:
        """The receive loop; its end is the end of the link, whatever the reason."""
        cause = LinkCause.LINK_CLOSED
        try:
            await super().recv_worker()
        except AuthKeyNotFound:
            cause = LinkCause.TRANSPORT_404
        finally:
            if self._transport_code is not None:
                cause = _TRANSPORT_CAUSES.get(self._transport_code, LinkCause.TRANSPORT_ERROR)
            self._end(LinkDown(cause))

    async def room(self) -> None:
        """Waits until another packet may be taken in; the rest waits in the kernel, which slows the sender
        down. Unpacking waits for no answer of the data centre, so this cannot lock up."""
        while self._unpacking >= _UNPACKING:
            self._unpacked.clear()
            await self._unpacked.wait()

    def _create_tracked_task(self, coroutine: Any) -> Any:
        """The library starts one for each packet, and one for the updates that were in it."""
        task = super()._create_tracked_task(coroutine)
        if coroutine.__name__ == self.handle_packet.__name__:
            self._unpacking += 1
            task.add_done_callback(self._on_unpacked)
        return task

    def _on_unpacked(self, _: "asyncio.Task[None]") -> None:
        self._unpacking -= 1
        self._unpacked.set()

    async def handle_packet(self, packet: bytes) -> None:
        """As the library's; a packet that it cannot parse is dropped instead of failing an unwatched task."""
        self._heard_at = self._clock.monotonic()
        try:
            await super().handle_packet(packet)
        except Fenced:
            self._end(LinkDown(LinkCause.FENCED))
        except Exception as error:  # noqa: BLE001 - whatever a parser raises; its text may hold the message
            _log.warning("dropped a packet that cannot be parsed", error=type(error).__name__)
