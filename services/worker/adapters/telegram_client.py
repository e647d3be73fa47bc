"""The library's client, made harmless: it never asks a person, never waits out a flood and never tries twice.

It is used for peers and updates; the link is `telegram_session`'s business.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from pyrogram import Client, raw
from pyrogram.errors import (
    ChannelPrivate,
    PersistentTimestampInvalid,
    PersistentTimestampOutdated,
    RPCError,
)

from services.runtime.clock import Clock, SystemClock
from services.runtime.logs import get_logger
from services.worker.adapters.telegram_errors import method_name, translate
from services.worker.adapters.telegram_updates import to_message
from services.worker.domain.telegram import Fenced, LinkCause, LinkDown
from services.worker.domain.transfer_answers import StillWaiting
from services.worker.ports import MessageHandler, Restraint, Unrestrained

_log = get_logger("worker.telegram")

Answer = TypeVar("Answer")

CALL_LIMIT = 15.0
"""Seconds for a call of the library's own."""
_PATIENCE = 1.0
"""Seconds beyond a call's own limit before it is cancelled from outside."""


class UpdateSink:
    """Stands where the library expects its dispatcher: no tasks, no parsing into high-level objects, no
    cache."""

    def __init__(self, on_message: MessageHandler) -> None:
        self.updates_queue = self
        self._on_message = on_message

    def put_nowait(self, packet: tuple[Any, dict[int, Any], dict[int, Any]]) -> None:
        """The library hands over an update with the users and chats that came with it."""
        message = to_message(*packet)
        if message is not None:
            self._on_message(message)


class FleetClient(Client):  # type: ignore[misc]  # the library has no types
    """The library's client, which must never ask a person or wait out a flood."""

    restraint: Restraint = Unrestrained()
    """What the account is kept from; set by its maker."""
    clock: Clock = SystemClock()
    """Set by its maker."""
    _ahead: float | None = None
    """Seconds from our monotonic clock to Telegram's time of day."""

    @property
    def server_time(self) -> float:
        """Telegram's time of day. The library adds a difference to this machine's, so that every link dies
        when somebody sets the clock; this one goes on from when a packet told it."""
        if self._ahead is None:
            self._ahead = self.clock.wall().timestamp() - self.clock.monotonic()
        return self.clock.monotonic() + self._ahead

    def _set_server_time(self, msg_id: int) -> None:
        self._ahead = msg_id / 2**32 - self.clock.monotonic()

    async def authorize(self) -> Any:
        """Prompts on stdin in the stock client."""
        raise LinkDown(LinkCause.NOT_ALLOWED, "This session is not logged in.")

    async def invoke(self, query: Any, *_given: Any, **_more: Any) -> Any:
        """Every call of the library itself: once, without sleeping, whatever it asked for. A difference that
        Telegram cannot make is told as a private channel's: the library repeats such calls without end."""
        try:
            async with asyncio.timeout(CALL_LIMIT):
                return await self._send(query)
        except (PersistentTimestampInvalid, PersistentTimestampOutdated) as error:
            raise ChannelPrivate from error

    async def handle_updates(self, updates: Any) -> None:
        """As the library's, in a task that nobody watches: what fails here is dropped, and its text goes
        nowhere. The stock client only logs that there are too many missed updates to send."""
        try:
            if isinstance(updates, raw.types.UpdatesTooLong):
                await self.recover_gaps([0])  # channels count for themselves (core.telegram.org/api/updates)
            else:
                await super().handle_updates(updates)
        except (Fenced, StillWaiting):
            return  # the session ends by its gate; or the next update comes anyway
        except Exception as error:  # noqa: BLE001 - whatever a parser or a call raises
            _log.warning("dropped updates that cannot be handled", error=type(error).__name__)

    async def _send(self, query: Any) -> Any:
        name = method_name(query)
        self.restraint.check(name, 0)
        try:
            result = await self.session.send(query, timeout=CALL_LIMIT)
        except RPCError as error:
            self.restraint.note(translate(error, name))
            raise
        await self.fetch_peers(getattr(result, "users", []))
        await self.fetch_peers(getattr(result, "chats", []))
        return result


async def within(limit: float | None, method: str, call: Awaitable[Answer]) -> Answer:
    """The call, with its errors translated and its time bounded. Raises Refused, LinkDown or Fenced."""
    try:
        async with asyncio.timeout(None if limit is None else limit + _PATIENCE):
            return await call
    except RPCError as error:
        raise translate(error, method) from error
    except TimeoutError as error:
        raise LinkDown(LinkCause.NO_ANSWER, method) from error
    except OSError as error:
        raise LinkDown(LinkCause.LINK_CLOSED, type(error).__name__) from error
