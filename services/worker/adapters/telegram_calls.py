"""The calls of one link and their answers: the library's `Session`, with sending done our way.

An ordinary call is sent again when the server says that it did not take the packet in. A transmission
(`transmit`) is sent once, whatever happens: that is what a transfer's exactly-once rests on (DESIGN section
6). Whoever waits for an answer is woken when the link ends, and what may still lie in a buffer then is
dropped.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from pyrogram import raw
from pyrogram.crypto import mtproto
from pyrogram.errors import RPCError
from pyrogram.session import Session
from pyrogram.session.session import Result

from services.runtime.clock import Clock
from services.worker.adapters.telegram_packets import read_whole
from services.worker.domain.telegram import LinkCause, LinkDown
from services.worker.domain.transfer_answers import NotApplied, NotDoneCause
from services.worker.domain.transfer_orders import Attempt

_CLOCK_CODES = {16, 17}
"""Message id too low, too high: the client's clock is wrong."""
_PACKETS_REFUSED = 3
"""Packets of one call that the server may refuse unread."""


class CallingSession(Session):  # type: ignore[misc]  # the library has no types
    """See the module; its life is `telegram_session`'s business."""

    def __init__(self, client: Any, key: bytes, dc_id: int, clock: Clock) -> None:
        super().__init__(client, dc_id, "0.0.0.0", 0, key, test_mode=False)  # noqa: S104 - see MemoryStorage
        self._clock = clock
        self._first_error: Exception | None = None
        self._answered_at: float | None = None
        self._lost: asyncio.Future[LinkDown] = asyncio.get_running_loop().create_future()
        self.was_cut = False
        """Whether `cut` ended it."""
        self.in_flight = 0
        """Calls that wait for an answer now."""

    @property
    def answered_ago(self) -> float | None:
        """Seconds since the last answer to a call or ping."""
        return None if self._answered_at is None else self._clock.monotonic() - self._answered_at

    async def send(self, data: Any, wait_response: bool = True, timeout: float = Session.WAIT_TIMEOUT) -> Any:  # noqa: FBT001, FBT002, ASYNC109 - the library's signature
        """As the library's, and `ask` where an answer is wanted."""
        return self.read(await self._ask(data, wait_response, timeout), read_whole)

    async def ask(self, query: Any, limit: float) -> Any:
        """A call and its answer, which may be `Unread`; see `read`. Notes when answers come and what went
        wrong first. What the server did not take in, because of an old salt or our wrong clock, is sent again
        (core.telegram.org/mtproto/service_messages_about_messages). Raises RPCError, OSError or Fenced."""
        return await self._ask(query, True, limit)  # noqa: FBT003

    async def _ask(self, data: Any, wait_response: bool, timeout: float) -> Any:  # noqa: FBT001, ASYNC109
        for _ in range(_PACKETS_REFUSED):
            answer = await self._send_noting(data, wait_response, timeout)
            if not self._put_right(answer):
                break
        if isinstance(answer, raw.types.RpcError):
            self._raise(answer, data)
        return answer

    def read(self, answer: Any, reader: Callable[[Any], Any]) -> Any:
        """What the reader makes of an answer. Raises OSError, and ends the link, when it cannot be parsed."""
        try:
            return reader(answer)
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

    def _end(self, down: LinkDown) -> None:
        """Marks the end, once, and wakes whoever waits for an answer: none will come. With a call under way
        the connection is reset at once: a socket that is closed in good order goes on sending what the kernel
        still holds, and on a half-open link that may arrive much later."""
        if not self._lost.done():
            self._lost.set_result(down)
        if self.in_flight and self.connection is not None:
            self.connection.abort()
        for result in self.results.values():
            result.event.set()
