"""The chat desk of one running account: asks the policy, asks the responder, answers, counts, and tells.

Whatever the policy does not let through leaves no trace here. One message of a chat is handled at a time. An
answer is sent once: when its outcome is unknown it is not repeated.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from services.runtime.clock import Clock
from services.runtime.logs import get_logger
from services.runtime.tasks import TaskOwner
from services.worker.chat.responder import ChatMessage, Responder
from services.worker.domain.chat_policy import ChatPolicy, may_answer, may_see
from services.worker.domain.counts import Counter, day_of
from services.worker.domain.facts import ChatCounts
from services.worker.domain.picture import MessageAnswered, MessageReceived
from services.worker.domain.rates import AnswerRates
from services.worker.domain.telegram import Fenced, IncomingMessage, LinkDown, Refused
from services.worker.domain.transfer_answers import StillWaiting
from services.worker.domain.waits import SENDING_METHODS, Waits
from services.worker.metrics import MESSAGES
from services.worker.refusals import Teller, note

_log = get_logger("worker.chat")

RESPOND_LIMIT = 60.0
REPLY_LIMIT = 15.0
"""Seconds."""
_LINE_LENGTH = 20
"""Messages of one chat that may wait; the oldest are too old to be answered anyway."""
_LAST_WORD_LIMIT = 2.0
"""Seconds that an answer on its way gets when the session stops."""
_REMEMBERED = 1_000
"""Messages by which a repeated one is recognised."""


class Sender(Protocol):
    """The part of a Telegram client that the desk uses."""

    async def reply(self, message: IncomingMessage, text: str, limit: float) -> int:
        """See `ports.TelegramClient`."""
        ...


@dataclass(slots=True)
class FleetIds:
    """Telegram's ids of all accounts of the fleet, as the scheduler last said."""

    user_ids: frozenset[int] | None = None
    """None until it has said so: then nobody is answered, because anybody could be one of them."""


@dataclass(slots=True)
class ChatAccount:
    """What the desk knows of its account."""

    own_id: int = 0
    policy: ChatPolicy = field(default_factory=ChatPolicy)
    time_zone: str = "UTC"
    waits: Waits = field(default_factory=Waits)
    muted: bool = False
    """After PEER_FLOOD, until somebody starts the account anew; Telegram names no time."""


class ChatDesk:
    """Handles the messages of one account while it runs and `enabled` is set."""

    def __init__(
        self,
        account: ChatAccount,
        sender: Sender,
        responder: Responder,
        fleet: FleetIds,
        *,
        rates: AnswerRates,
        counter: Counter,
        teller: Teller,
        clock: Clock,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.enabled = False
        self._account = account
        self._sender = sender
        self._responder = responder
        self._fleet = fleet
        self._rates = rates
        self._counter = counter
        self._teller = teller
        self._clock = clock
        self._sending: set[asyncio.Future[int]] = set()
        self._seen: dict[tuple[int, int], None] = {}
        self._lines: dict[int, deque[IncomingMessage]] = {}
        self._tasks = TaskOwner(on_failure)

    def take(self, message: IncomingMessage) -> None:
        """A message arrived."""
        account, fleet = self._account, self._fleet.user_ids
        if not self.enabled or fleet is None or may_see(message, account.policy, account.own_id, fleet):
            return
        if not self._is_new(message):
            return
        self._count_received(message)
        line = self._lines.get(message.chat_id)
        if line is not None:
            line.append(message)
            return
        self._lines[message.chat_id] = deque([message], maxlen=_LINE_LENGTH)
        self._tasks.spawn(self._serve(message.chat_id), name="chat")

    async def close(self) -> None:
        """Ends all handling. An answer that is being sent gets a moment to be confirmed; one that is still
        thought about is given up."""
        self.enabled = False
        if self._sending:
            await asyncio.wait(self._sending, timeout=_LAST_WORD_LIMIT)
        await self._tasks.close()

    def _is_new(self, message: IncomingMessage) -> bool:
        """A message may come twice: from the link, and again with the updates recovered after a gap."""
        key = (message.chat_id, message.message_id)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True

    async def _serve(self, chat_id: int) -> None:
        line = self._lines[chat_id]
        try:
            while line:
                await self._handle(line.popleft())
        finally:
            del self._lines[chat_id]

    async def _handle(self, message: IncomingMessage) -> None:
        if self._may_not_answer(message):
            return
        text = await self._ask(message)
        if not text or not self.enabled or self._may_not_answer(message):
            return
        self._rates.take(message.chat_id, self._clock.monotonic())
        sending = asyncio.ensure_future(self._sender.reply(message, text, REPLY_LIMIT))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        try:
            answer_id = await sending
        except Refused as error:
            self._on_refused(message, error)
        except StillWaiting:
            _log.info("an answer was not sent inside a wait")
        except (LinkDown, Fenced) as error:
            _log.warning("an answer may not have been sent", error=type(error).__name__)
        else:
            self._count_answered(message, answer_id, text)

    def _may_not_answer(self, message: IncomingMessage) -> bool:
        now = self._clock.monotonic()
        waiting = self._account.waits.blocking(SENDING_METHODS, now, message.chat_id) is not None
        within = self._rates.free(message.chat_id, now)
        return (
            may_answer(
                message, self._clock.wall(), waiting=waiting or self._account.muted, within_rate=within
            )
            is not None
        )

    async def _ask(self, message: IncomingMessage) -> str | None:
        account = self._account
        day = day_of(self._clock.wall(), account.time_zone)
        question = ChatMessage(
            message.chat_id, message.sender_id, message.first_name, message.text, account.own_id, day
        )
        try:
            async with asyncio.timeout(RESPOND_LIMIT):
                return await self._responder.respond(question)
        except Exception as error:  # noqa: BLE001 - a responder of somebody's must not stop the worker
            _log.error("the responder failed", error=type(error).__name__)
            return None

    def _on_refused(self, message: IncomingMessage, error: Refused) -> None:
        verdict = note(error, message.chat_id, self._account, self._teller, self._clock)
        if verdict.wait is None and not verdict.died:
            _log.warning("an answer was refused", error=error.name)

    def _count_received(self, message: IncomingMessage) -> None:
        day = day_of(self._clock.wall(), self._account.time_zone)
        count = self._counter.received(day)
        self._teller.remember(ChatCounts(count.day, count.received, count.answered))
        MESSAGES.labels("received").inc()
        kind = MessageReceived(message.chat_id, message.message_id, message.sender_id, message.text)
        self._teller.happen("A message arrived.", kind)

    def _count_answered(self, message: IncomingMessage, answer_id: int, text: str) -> None:
        count = self._counter.answered(day_of(self._clock.wall(), self._account.time_zone))
        self._teller.remember(ChatCounts(count.day, count.received, count.answered))
        MESSAGES.labels("answered").inc()
        kind = MessageAnswered(message.chat_id, answer_id, message.message_id, text)
        self._teller.happen("The message was answered.", kind)
