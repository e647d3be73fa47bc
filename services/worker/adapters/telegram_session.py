"""The library's `Session` under watch: it never restarts itself, and the end of its link is known at once.

The stock session restarts in a background task, without backoff, and loses what happens there (TELEGRAM.md
section 3, hazards 1, 2, 4, 11, 14). Here every way in which a link can end leads to `_end`, once, with its
cause; whoever owns the session makes another one when it sees fit.
"""

import asyncio
from typing import Any

from pyrogram import raw
from pyrogram.crypto import mtproto
from pyrogram.errors import RPCError
from pyrogram.session import Session
from pyrogram.session.session import AuthKeyNotFound, Result, SessionState

from services.runtime.clock import Clock
from services.runtime.logs import get_logger
from services.runtime.tasks import cancel_and_wait
from services.worker.adapters.telegram_packets import read_whole
from services.worker.domain.telegram import Fenced, LinkCause, LinkDown
from services.worker.domain.transfer_answers import NotApplied, NotDoneCause
from services.worker.domain.transfer_orders import Attempt

_log = get_logger("worker.telegram")

_DISCONNECT_DELAY = 25
"""Seconds after the last ping at which Telegram closes the link, as the stock library asks (TELEGRAM.md
section 4)."""
_CLOSE_LIMIT = 3.0
_UNPACKING = 32
"""Packets that may be decrypted and parsed at the same time. The stock session takes in whatever arrives, a
task and a copy for each packet: a burst of updates for many clients cost 5 MiB a client that way."""
_CLOCK_CODES = {16, 17}
"""Message id too low, too high: the client's clock is wrong."""
_PACKETS_REFUSED = 3
"""Packets of one call that the server may refuse unread."""
_TRANSPORT_CAUSES = {404: LinkCause.TRANSPORT_404, 429: LinkCause.TRANSPORT_429}


class WatchedSession(Session):  # type: ignore[misc]  # the library has no types
    """One link of one account. `start` raises; `ended` says why the link is gone; `shut` leaves nothing
    behind."""

    START_TIMEOUT = 10
    """Seconds for the first ping and for initConnection; the stock 2 s are too few through a proxy. The
    caller's own limit is shorter anyway where it matters."""

    def __init__(self, client: Any, key: bytes, dc_id: int, *, keepalive: float, clock: Clock) -> None:
        super().__init__(client, dc_id, "0.0.0.0", 0, key, test_mode=False)  # noqa: S104 - see MemoryStorage
        self._keepalive = keepalive
        self._clock = clock
        self._first_error: Exception | None = None
        self._transport_code: int | None = None
        self._answered_at: float | None = None
        self._lost: asyncio.Future[LinkDown] = asyncio.get_running_loop().create_future()
        self._heard_at = clock.monotonic()
        self._unpacking = 0
        self._unpacked = asyncio.Event()
        self.was_cut = False
        """Whether `cut` ended it."""
        self.in_flight = 0
        """Calls that wait for an answer now."""

    @property
    def answered_ago(self) -> float | None:
        """Seconds since the last answer to a call or ping."""
        return None if self._answered_at is None else self._clock.monotonic() - self._answered_at

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

    async def send(self, data: Any, wait_response: bool = True, timeout: float = Session.WAIT_TIMEOUT) -> Any:  # noqa: FBT001, FBT002, ASYNC109 - the library's signature
        """As the library's, noting when answers come and what went wrong first. What the server did not take
        in, because of an old salt or our wrong clock, is sent again
        (core.telegram.org/mtproto/service_messages_about_messages)."""
        for _ in range(_PACKETS_REFUSED):
            answer = await self._send_noting(data, wait_response, timeout)
            if not self._put_right(answer):
                break
        if isinstance(answer, raw.types.RpcError):
            self._raise(answer, data)
        return self._read_whole(answer)

    def _read_whole(self, answer: Any) -> Any:
        """Raises OSError, and ends the link, for an answer that cannot be parsed."""
        try:
            return read_whole(answer)
        except Exception as error:
            self._end(LinkDown(LinkCause.BAD_PACKET))
            raise ConnectionResetError("the answer cannot be parsed") from error

    def _put_right(self, answer: Any) -> bool:
        """Whether the server refused a packet unread for something that its answer corrects."""
        if isinstance(answer, raw.types.BadServerSalt):
            self.salt = answer.new_server_salt
            return True
        if isinstance(answer, raw.types.BadMsgNotification) and answer.error_code in _CLOCK_CODES:
            # The clock was set when the answer came in; the library never lets the counter go back by itself.
            self.msg_factory._last_msg_id = 0  # noqa: SLF001
            return True
        return False

    def _raise(self, answer: Any, query: Any) -> None:
        wrapped = raw.functions.InvokeWithoutUpdates | raw.functions.InvokeWithTakeout
        try:
            RPCError.raise_it(answer, type(query.query if isinstance(query, wrapped) else query))
        except RPCError as error:
            self._first_error = self._first_error or error
            raise

    async def _send_noting(self, data: Any, wait_response: bool, timeout: float) -> Any:  # noqa: FBT001, ASYNC109
        if self._lost.done():
            raise ConnectionResetError("the link has ended")
        self.in_flight += wait_response
        try:
            answer = await self._sent(data, wait_response, timeout)
        except OSError as error:
            self._first_error = self._first_error or error
            raise
        finally:
            self.in_flight -= wait_response
        if wait_response:
            self._answered_at = self._clock.monotonic()
        return answer

    async def _sent(self, data: Any, wait_response: bool, timeout: float) -> Any:  # noqa: FBT001, ASYNC109
        """One packet and its answer. Not the library's way: that waits with `wait_for`, which before Python
        3.12 loses a cancellation that comes with the answer, and makes a task for each call."""
        msg_id, packet = await self._packed(data)
        if not wait_response:
            await self.connection.send(packet)
            return None
        waiting = self.results[msg_id] = Result()
        try:
            await self.connection.send(packet)
            async with asyncio.timeout(timeout):
                await waiting.event.wait()
        finally:
            self.results.pop(msg_id, None)
        if waiting.value is None:
            raise TimeoutError("the link ended before the answer")
        return waiting.value

    async def _packed(self, data: Any) -> tuple[int, bytes]:
        """A packet and its id. What a worker sends is small: a thread would cost more than the packing."""
        message = await self.msg_factory.create(data)
        packet = mtproto.pack(message, self.salt, self.session_id, self.auth_key, self.auth_key_id)
        return message.msg_id, packet

    async def transmit(self, query: Any, limit: float, attempt: Attempt) -> Any:
        """Sends a call at most once, whatever happens: nothing of it is repeated, as `send` does after a bad
        salt and the library on a new link. Raises RPCError for Telegram's errors and NotApplied when Telegram
        said that it took nothing in. Whenever it ends in another way the connection is gone, so that nothing
        of the call leaves this machine any more (DESIGN section 6, 2 and 3); then `attempt.transmitted` says
        whether it may have taken effect. Raises LinkDown or Fenced. The answer may be `Unread`."""
        if self._lost.done():
            raise LinkDown(self._lost.result().cause)
        msg_id, packet = await self._packed(query)
        waiting = self.results[msg_id] = Result()
        self.in_flight += 1
        try:
            answer = await self._transmitted(packet, waiting, limit, attempt)
        finally:
            self.in_flight -= 1
            self.results.pop(msg_id, None)
        if isinstance(answer, raw.types.RpcError):
            self._raise(answer, query)
        return answer

    async def _transmitted(self, packet: bytes, waiting: Result, limit: float, attempt: Attempt) -> Any:
        try:
            try:
                async with asyncio.timeout(limit):
                    # Until its last byte is with the kernel nobody can read a packet, and the gate is asked
                    # before each byte (`gated_socket`): what ends in here was not transmitted.
                    await self.connection.send(packet)
                    attempt.transmitted = True
                    await waiting.event.wait()
            except OSError as error:  # TimeoutError as well
                if waiting.value is None:
                    late = isinstance(error, TimeoutError)
                    cause = LinkCause.NO_ANSWER if late else LinkCause.LINK_CLOSED
                    raise LinkDown(cause, type(error).__name__) from error
            return self._taken_in(waiting.value, attempt)
        except NotApplied:
            raise
        except BaseException:
            self.cut()
            raise

    def _taken_in(self, answer: Any, attempt: Attempt) -> Any:
        """The answer of a call that Telegram carried out or refused. Raises NotApplied when it says that it
        did not take the packet in, LinkDown when there is none or it proves nothing
        (core.telegram.org/mtproto/service_messages_about_messages)."""
        if answer is None:
            raise LinkDown(self._lost.result().cause)
        self._answered_at = self._clock.monotonic()
        if self._put_right(answer):
            attempt.transmitted = False
            if isinstance(answer, raw.types.BadServerSalt):
                raise NotApplied(NotDoneCause.BAD_SALT)
            self.cut()  # a new link learns the time for certain, this one only from a first packet
            raise NotApplied(NotDoneCause.WRONG_CLOCK)
        if isinstance(answer, raw.types.BadMsgNotification):
            raise LinkDown(LinkCause.BAD_MESSAGE, str(answer.error_code))
        return answer

    def cut(self) -> None:
        """Resets the connection at once; nothing that is still in a buffer leaves. Idempotent."""
        self.was_cut = True
        if self.connection is not None:
            self.connection.abort()
        self._end(LinkDown(LinkCause.ABORTED))

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

    def _end(self, down: LinkDown) -> None:
        """Marks the end, once, and wakes whoever waits for an answer: none will come."""
        if not self._lost.done():
            self._lost.set_result(down)
        for result in self.results.values():
            result.event.set()
