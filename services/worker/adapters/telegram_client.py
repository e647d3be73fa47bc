"""The library's client, made harmless: it never asks a person, never waits out a flood and never tries twice.

It is used for peers and updates; the link is `telegram_session`'s business.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from pyrogram import Client, raw
from pyrogram.errors import RPCError

from services.worker.adapters.telegram_errors import method_name, translate
from services.worker.adapters.telegram_updates import to_message
from services.worker.domain.telegram import LinkCause, LinkDown
from services.worker.ports import MessageHandler

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

    async def authorize(self) -> Any:
        """Prompts on stdin in the stock client."""
        raise LinkDown(LinkCause.NOT_ALLOWED, "This session is not logged in.")

    async def invoke(self, query: Any, *_given: Any, **_more: Any) -> Any:
        """Every call of the library itself: once, without sleeping, whatever it asked for."""
        return await within(CALL_LIMIT, method_name(query), self._send(query))

    async def handle_updates(self, updates: Any) -> None:
        """The stock client only logs that there are too many missed updates to send."""
        if isinstance(updates, raw.types.UpdatesTooLong):
            await self.recover_gaps()
        else:
            await super().handle_updates(updates)

    async def _send(self, query: Any) -> Any:
        result = await self.session.send(query, timeout=CALL_LIMIT)
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
