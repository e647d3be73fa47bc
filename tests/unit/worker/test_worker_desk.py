"""The chat desk in virtual time: one message of a chat at a time, each answered at most once, and never on a
guess."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.worker.chat.desk import ChatAccount, ChatDesk, FleetIds
from services.worker.chat.responder import ChatMessage
from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.counts import Counter
from services.worker.domain.facts import ChatCounts, FloodWaited
from services.worker.domain.picture import Kind, MessageAnswered, MessageReceived
from services.worker.domain.rates import AnswerRates
from services.worker.domain.telegram import ChatKind, IncomingMessage, LinkCause, LinkDown, Refused
from services.worker.fakes.clock import LoopClock

pytestmark = [pytest.mark.looptime(start=1000), pytest.mark.asyncio]

FRIEND, OTHER = 7, 8


class Teller:
    def __init__(self) -> None:
        self.events: list[Kind] = []
        self.facts: list[object] = []
        self.warnings: list[str] = []
        self.refusals: list[Refused] = []

    def happen(self, detail: str, kind: Kind) -> None:
        assert detail
        self.events.append(kind)

    def remember(self, kind: ChatCounts | FloodWaited) -> None:
        self.facts.append(kind)

    def warn(self, detail: str) -> None:
        self.warnings.append(detail)

    def refused(self, error: Refused) -> None:
        self.refusals.append(error)


class Telegram:
    """Sends slowly, or not."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, int, str]] = []
        self.seconds = 0.0
        self.error: Exception | None = None

    async def reply(self, message: IncomingMessage, text: str, limit: float) -> int:
        assert limit > 0
        self.sent.append((asyncio.get_running_loop().time(), message.chat_id, text))
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return message.message_id + 1000


class Thinker:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.error: Exception | None = None
        self.thinking: dict[int, int] = {}
        self.most_at_once = 0
        self.last: ChatMessage | None = None

    async def respond(self, message: ChatMessage) -> str | None:
        self.last = message
        self.thinking[message.chat_id] = self.thinking.get(message.chat_id, 0) + 1
        self.most_at_once = max(self.most_at_once, *self.thinking.values())
        await asyncio.sleep(self.seconds)
        self.thinking[message.chat_id] -= 1
        if self.error is not None:
            raise self.error
        return f"re: {message.text}"


class Bench:
    def __init__(self, per_chat: int = 100, per_account: int = 100) -> None:
        self.teller, self.telegram, self.thinker = Teller(), Telegram(), Thinker()
        self.failures: list[BaseException] = []
        self.fleet = FleetIds(frozenset())
        self.account = ChatAccount(own_id=1, policy=ChatPolicy(user_ids=frozenset({FRIEND, OTHER})))
        self.desk = ChatDesk(
            self.account,
            self.telegram,
            self.thinker,
            self.fleet,
            rates=AnswerRates(per_chat, per_account),
            counter=Counter(),
            teller=self.teller,
            clock=LoopClock(),
            on_failure=self.failures.append,
        )
        self.desk.enabled = True

    def say(self, number: int, sender: int = FRIEND, ago: float = 0.0) -> None:
        sent_at = LoopClock().wall() - timedelta(seconds=ago)
        self.desk.take(
            IncomingMessage(
                chat_id=sender,
                chat_kind=ChatKind.PRIVATE,
                message_id=number,
                sender_id=sender,
                sender_is_bot=False,
                sender_is_contact=False,
                sent_at=sent_at,
                text=f"m{number}",
            )
        )

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.telegram.sent]

    def counts(self) -> tuple[int, int]:
        last = [f for f in self.teller.facts if isinstance(f, ChatCounts)][-1]
        return last.received, last.answered


async def test_the_same_message_twice_is_answered_once() -> None:
    b = Bench()
    b.say(1)
    b.say(1)
    await asyncio.sleep(1)
    b.say(1)
    await asyncio.sleep(1)
    assert b.texts == ["re: m1"]
    assert b.counts() == (1, 1)
    assert [type(e) for e in b.teller.events] == [MessageReceived, MessageAnswered]


async def test_a_responder_learns_whose_day_it_is() -> None:
    b = Bench()
    b.account.time_zone = "Pacific/Kiritimati"  # 14 h ahead
    b.say(1)
    await asyncio.sleep(1)
    asked = b.thinker.last
    assert asked is not None
    assert (asked.account, asked.day) == (1, (LoopClock().wall() + timedelta(hours=14)).date().isoformat())


async def test_nobody_is_answered_before_the_fleet_is_known() -> None:
    b = Bench()
    b.fleet.user_ids = None
    b.say(1)
    b.fleet.user_ids = frozenset({OTHER})
    b.say(2)
    b.say(3, sender=OTHER)
    await asyncio.sleep(1)
    assert b.texts == ["re: m2"]


async def test_one_message_of_a_chat_at_a_time_and_chats_beside_each_other() -> None:
    b = Bench()
    b.thinker.seconds = 10
    for number in (1, 2, 3):
        b.say(number)
        b.say(number + 100, sender=OTHER)
    await asyncio.sleep(31)
    assert b.thinker.most_at_once == 1
    assert len(b.texts) == 6
    times = [time for time, _, _ in b.telegram.sent]
    assert max(times) == 1030


async def test_what_grew_too_old_while_it_waited_is_not_answered() -> None:
    b = Bench()
    b.thinker.seconds = 50
    for number in (1, 2, 3, 4):
        b.say(number)
    await asyncio.sleep(400)
    assert b.texts == ["re: m1", "re: m2"], "the third would be answered after 150 s"


async def test_an_answer_of_unknown_outcome_is_not_repeated_or_counted() -> None:
    b = Bench()
    b.telegram.error = LinkDown(LinkCause.NO_ANSWER)
    b.say(1)
    await asyncio.sleep(60)
    assert b.texts == ["re: m1"]
    assert b.counts() == (1, 0)


async def test_a_flood_wait_silences_for_its_time() -> None:
    b = Bench()
    b.telegram.error = Refused(420, "FLOOD_WAIT_X", "messages.sendMessage", 90)
    b.say(1)
    await asyncio.sleep(1)
    b.telegram.error = None
    b.say(2)
    b.say(3, sender=OTHER)
    await asyncio.sleep(88)
    assert b.texts == ["re: m1"]
    await asyncio.sleep(2)
    b.say(4)
    await asyncio.sleep(1)
    assert b.texts == ["re: m1", "re: m4"]
    assert [f.method for f in b.teller.facts if isinstance(f, FloodWaited)] == ["messages.sendMessage"]


async def test_slow_mode_silences_one_chat_only() -> None:
    b = Bench()
    b.telegram.error = Refused(420, "SLOWMODE_WAIT_X", "messages.sendMessage", 90)
    b.say(1)
    await asyncio.sleep(1)
    b.telegram.error = None
    b.say(2)
    b.say(3, sender=OTHER)
    await asyncio.sleep(1)
    assert b.texts == ["re: m1", "re: m3"]


async def test_a_spam_report_silences_the_account_and_tells() -> None:
    b = Bench()
    b.telegram.error = Refused(400, "PEER_FLOOD", "messages.sendMessage")
    b.say(1)
    await asyncio.sleep(1)
    b.telegram.error = None
    b.say(2, sender=OTHER)
    await asyncio.sleep(3600)
    assert b.texts == ["re: m1"]
    assert len(b.teller.warnings) == 1


async def test_a_dead_session_is_told_to_its_owner() -> None:
    b = Bench()
    b.telegram.error = Refused(401, "SESSION_REVOKED", "messages.sendMessage")
    b.say(1)
    await asyncio.sleep(1)
    assert [e.name for e in b.teller.refusals] == ["SESSION_REVOKED"]


async def test_a_responder_that_breaks_or_hangs_harms_nobody() -> None:
    b = Bench()
    b.thinker.error = RuntimeError("a bug of somebody's")
    b.say(1)
    await asyncio.sleep(1)
    b.thinker.error, b.thinker.seconds = None, 1e6
    b.say(2)
    await asyncio.sleep(61)
    b.thinker.seconds = 0
    b.say(3)
    await asyncio.sleep(1)
    assert b.texts == ["re: m3"]
    assert not b.failures


async def test_closing_lets_an_answer_on_its_way_arrive() -> None:
    b = Bench()
    b.telegram.seconds = 1.0
    b.say(1)
    await asyncio.sleep(0.1)
    await b.desk.close()
    assert b.counts() == (1, 1)
    b.say(2)
    await asyncio.sleep(5)
    assert b.texts == ["re: m1"]


async def test_closing_does_not_wait_for_thoughts_or_for_ever() -> None:
    b = Bench()
    b.thinker.seconds = 50
    b.say(1)
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    await b.desk.close()
    assert asyncio.get_running_loop().time() - began < 0.5
    slow = Bench()
    slow.telegram.seconds = 14.0
    slow.say(1)
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    await slow.desk.close()
    assert asyncio.get_running_loop().time() - began < 3
