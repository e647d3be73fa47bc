"""The worker's pure decisions: verdicts, chat policy, states, fence arithmetic, waits, rates, counts,
facts."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.domain import backoff, fence, verdict
from services.worker.domain.chat_policy import ChatPolicy, Refusal, may_answer, may_see
from services.worker.domain.counts import Counter, day_of
from services.worker.domain.facts import ChatCounts, Fact, FactQueue, LinkLost, SessionDied
from services.worker.domain.linkwatch import diagnose, stopped_cleanly
from services.worker.domain.outcomes import Outcome, Reason
from services.worker.domain.pace import Pace
from services.worker.domain.rates import AnswerRates
from services.worker.domain.states import MOVES, IllegalMoveError, Machine, SessionState
from services.worker.domain.telegram import (
    ChatKind,
    IncomingMessage,
    LinkCause,
    LinkDown,
    LinkFacts,
    Refused,
)
from services.worker.domain.terms import Terms
from services.worker.domain.waits import CONNECTING_METHODS, Waits

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ME, FRIEND, STRANGER, MATE, GROUP = 1, 2, 3, 4, -100


@pytest.mark.parametrize(
    ("code", "name", "seconds", "outcome", "reason"),
    [
        (406, "AUTH_KEY_DUPLICATED", None, Outcome.FAILED, Reason.AUTH_KEY_DUPLICATED),
        (401, "AUTH_KEY_UNREGISTERED", None, Outcome.FAILED, Reason.AUTH_KEY_UNREGISTERED),
        (401, "SESSION_REVOKED", None, Outcome.FAILED, Reason.SESSION_REVOKED),
        (401, "SESSION_EXPIRED", None, Outcome.FAILED, Reason.SESSION_REVOKED),
        (401, "SESSION_PASSWORD_NEEDED", None, Outcome.SKIPPED, Reason.NEEDS_LOGIN),
        (401, "USER_DEACTIVATED", None, Outcome.FAILED, Reason.ACCOUNT_BANNED),
        (401, "USER_DEACTIVATED_BAN", None, Outcome.FAILED, Reason.ACCOUNT_BANNED),
        (420, "FROZEN_METHOD_INVALID", None, Outcome.FAILED, Reason.ACCOUNT_FROZEN),
        (420, "FLOOD_WAIT_X", 42, Outcome.WAITING, Reason.FLOOD_WAIT),
        (420, "FLOOD_PREMIUM_WAIT_X", 7, Outcome.WAITING, Reason.FLOOD_WAIT),
        (420, "SOMETHING_NEW_WAIT_X", 7, Outcome.WAITING, Reason.FLOOD_WAIT),
        (500, "INTERNAL", None, Outcome.FAILED, Reason.CONNECT_TIMEOUT),
        (303, "USER_MIGRATE_X", 4, Outcome.FAILED, Reason.SESSION_INVALID),
        (400, "API_ID_INVALID", None, Outcome.FAILED, Reason.INTERNAL),
    ],
)
def test_what_telegrams_errors_mean(
    code: int, name: str, seconds: int | None, outcome: Outcome, reason: Reason
) -> None:
    judged = verdict.of_refusal(Refused(code, name, "help.getConfig", seconds))
    assert (judged.outcome, judged.reason) == (outcome, reason)
    assert judged.transient == (code >= 500)
    assert judged.died == (
        reason
        in {
            Reason.AUTH_KEY_DUPLICATED,
            Reason.AUTH_KEY_UNREGISTERED,
            Reason.SESSION_REVOKED,
            Reason.ACCOUNT_BANNED,
            Reason.ACCOUNT_FROZEN,
        }
    )
    assert judged.detail.endswith(".")


def test_a_password_that_is_needed_is_no_dead_session() -> None:
    assert not verdict.of_refusal(Refused(401, "SESSION_PASSWORD_NEEDED", "x")).died


def test_slow_mode_counts_for_its_chat_only() -> None:
    assert verdict.of_refusal(Refused(420, "SLOWMODE_WAIT_X", "messages.sendMessage", 9)).chat_only


@given(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_wait_is_clamped(seconds: float | None) -> None:
    assert 1 <= verdict.clamp_wait(seconds) <= 14 * 86400
    assert verdict.clamp_wait(None) == 60


@given(st.integers(), st.text(), st.text(), st.one_of(st.none(), st.integers()))
def test_every_error_gets_a_verdict(code: int, name: str, method: str, seconds: int | None) -> None:
    judged = verdict.of_refusal(Refused(code, name, method, seconds))
    assert judged.detail
    assert (judged.wait is not None) == (judged.outcome is Outcome.WAITING)


@pytest.mark.parametrize("cause", list(LinkCause))
def test_every_cause_gets_a_sentence(cause: LinkCause) -> None:
    judged = verdict.of_link(LinkDown(cause, "A sentence."))
    assert judged.detail.endswith(".")
    expected = {LinkCause.PROXY_FAILED: Reason.PROXY_ERROR, LinkCause.NOT_ALLOWED: Reason.INTERNAL}
    assert judged.reason is expected.get(cause, Reason.CONNECT_TIMEOUT)


@given(st.floats(0.1, 3600), st.floats(0, 7200))
def test_use_ends_a_margin_before_the_lease_does(ttl: float, elapsed: float) -> None:
    assert fence.is_open(elapsed, ttl) == (elapsed < ttl - min(2.0, ttl / 5))
    assert not fence.is_open(ttl, ttl)


@given(st.floats(0.5, 3600))
def test_several_renewals_fit_before_the_deadline(ttl: float) -> None:
    one_failure = fence.renew_timeout(ttl) + fence.renew_retry(ttl)
    assert fence.renew_period(ttl) + 2 * one_failure <= fence.allowed(ttl)


def test_states_only_go_forward() -> None:
    for start in SessionState:
        for to in SessionState:
            machine = Machine(start, NOW)
            if to in MOVES[start]:
                machine.move(to, NOW + timedelta(seconds=1))
                assert (machine.state, machine.since) == (to, NOW + timedelta(seconds=1))
            else:
                with pytest.raises(IllegalMoveError):
                    machine.move(to, NOW)


@given(st.lists(st.integers(0, 20)))
def test_terms_never_go_back(terms: list[int]) -> None:
    seen = Terms()
    accepted = [term for term in terms if seen.accept(term)]
    assert accepted == sorted(accepted)
    assert seen.highest == max(terms, default=0)


def message(**given: object) -> IncomingMessage:
    values: dict[str, object] = {
        "chat_id": FRIEND,
        "chat_kind": ChatKind.PRIVATE,
        "message_id": 5,
        "sender_id": FRIEND,
        "sender_is_bot": False,
        "sender_is_contact": False,
        "sent_at": NOW,
        "text": "hi",
    }
    return IncomingMessage(**(values | given))  # type: ignore[arg-type]


POLICY = ChatPolicy(chat_ids=frozenset({GROUP}), user_ids=frozenset({FRIEND, ME, MATE, 777000}))
FLEET = frozenset({ME, MATE})


@pytest.mark.parametrize(
    ("given_message", "refusal"),
    [
        (message(), None),
        (message(sender_id=STRANGER, chat_id=STRANGER), Refusal.NOT_LISTED),
        (message(sender_id=STRANGER, chat_id=STRANGER, sender_is_contact=True), Refusal.NOT_LISTED),
        (message(sender_id=ME, chat_id=ME), Refusal.SELF),
        (message(sender_id=MATE, chat_id=MATE), Refusal.FLEET),
        (message(sender_is_bot=True), Refusal.BOT),
        (message(sender_id=777000, chat_id=777000), Refusal.SERVICE),
        (message(sender_id=777000, chat_id=GROUP, chat_kind=ChatKind.GROUP), Refusal.SERVICE),
        (message(chat_id=GROUP, chat_kind=ChatKind.GROUP, sender_id=STRANGER), None),
        (message(chat_id=GROUP, chat_kind=ChatKind.CHANNEL, sender_id=GROUP), Refusal.CHANNEL),
        (message(chat_id=GROUP, chat_kind=ChatKind.GROUP, sender_id=GROUP), Refusal.CHANNEL),
        (message(chat_id=-200, chat_kind=ChatKind.GROUP, sender_id=FRIEND), Refusal.NOT_LISTED),
    ],
)
def test_who_may_be_heard(given_message: IncomingMessage, refusal: Refusal | None) -> None:
    assert may_see(given_message, POLICY, ME, FLEET) is refusal


def test_contacts_only_when_asked_for() -> None:
    contact = message(sender_id=STRANGER, chat_id=STRANGER, sender_is_contact=True)
    assert may_see(contact, ChatPolicy(contacts=True), ME, FLEET) is None
    assert may_see(message(sender_id=STRANGER), ChatPolicy(contacts=True), ME, FLEET) is Refusal.NOT_LISTED


@given(
    st.builds(
        message,
        chat_id=st.integers(-1000, 1000),
        sender_id=st.integers(-1000, 1000),
        chat_kind=st.sampled_from(ChatKind),
        sender_is_bot=st.booleans(),
        sender_is_contact=st.booleans(),
    )
)
def test_nobody_is_heard_by_default(given_message: IncomingMessage) -> None:
    assert may_see(given_message, ChatPolicy(), ME, FLEET) is not None


def test_when_a_heard_message_is_answered() -> None:
    fresh, old = NOW + timedelta(minutes=2), NOW + timedelta(minutes=2, seconds=1)
    assert may_answer(message(), fresh, waiting=False, within_rate=True) is None
    assert may_answer(message(), old, waiting=False, within_rate=True) is Refusal.TOO_OLD
    assert may_answer(message(text=""), fresh, waiting=False, within_rate=True) is Refusal.NO_TEXT
    assert may_answer(message(), fresh, waiting=True, within_rate=True) is Refusal.WAITING
    assert may_answer(message(), fresh, waiting=False, within_rate=False) is Refusal.RATE


@given(st.lists(st.tuples(st.floats(0, 300), st.integers(1, 3)), max_size=60))
def test_rates_hold_in_every_minute(asks: list[tuple[float, int]]) -> None:
    rates, taken = AnswerRates(per_chat=2, per_account=4), []
    for time, chat in sorted(asks):
        if rates.free(chat, time):
            rates.take(chat, time)
            taken.append((time, chat))
    for begin, _ in taken:
        window = [(t, c) for t, c in taken if begin <= t < begin + 60]
        assert len(window) <= 4
        assert all(sum(1 for _, c in window if c == chat) <= 2 for chat in (1, 2, 3))


def test_waits_block_their_method_and_chat_until_they_end() -> None:
    waits = Waits()
    waits.add("messages.sendMessage", GROUP, 110.0)
    waits.add("messages.sendMessage", GROUP, 105.0)
    assert waits.blocking({"messages.sendMessage"}, 100.0, GROUP) == 110.0
    assert waits.blocking({"messages.sendMessage"}, 100.0, FRIEND) is None
    assert waits.blocking({"messages.sendMessage"}, 110.0, GROUP) is None
    assert waits.blocking(CONNECTING_METHODS, 100.0) is None
    waits.add("InitConnection", 0, 101.0)
    assert waits.blocking(CONNECTING_METHODS, 100.0) is not None


def test_counts_follow_the_accounts_own_day() -> None:
    evening = datetime(2026, 11, 20, 22, tzinfo=UTC)
    assert day_of(evening, "UTC") == "2026-11-20"
    assert day_of(evening, "Asia/Tokyo") == "2026-11-21"
    assert day_of(evening, "No/Where") == "2026-11-20"
    counter = Counter()
    counter.received("2026-11-20")
    assert counter.answered("2026-11-20").received == 1
    assert counter.received("2026-11-21").answered == 0


def fact(kind: object, account: str = "a") -> Fact:
    return Fact(str(uuid.uuid4()), account, NOW, None, kind)  # type: ignore[arg-type]


def test_facts_wait_until_they_are_acknowledged() -> None:
    queue = FactQueue(10)
    first, second = fact(SessionDied(Reason.SESSION_REVOKED)), fact(SessionDied(Reason.ACCOUNT_BANNED))
    queue.put(first)
    assert queue.batch(5) == [first] == queue.batch(5)
    queue.put(second)
    queue.acknowledge([first])
    assert queue.batch(5) == [second]


def test_counts_replace_older_ones_that_were_never_sent() -> None:
    queue = FactQueue(10)
    for n in (1, 2):
        queue.put(fact(ChatCounts("2026-11-20", n, 0)))
    (sent,) = queue.batch(5)
    assert sent.kind == ChatCounts("2026-11-20", 2, 0)
    queue.put(fact(ChatCounts("2026-11-20", 3, 0)))
    assert len(queue) == 2, "what may have been sent keeps its id and its content"


def test_a_full_queue_gives_up_disconnects_first() -> None:
    queue = FactQueue(3)
    died = fact(SessionDied(Reason.SESSION_REVOKED))
    queue.put(died)
    for _ in range(5):
        queue.put(fact(LinkLost("LINK_CLOSED", 1.0, None, reconnected=False)))
    assert died in queue.batch(9)
    assert (len(queue), queue.dropped) == (3, 3)


def link(**given: object) -> LinkFacts:
    values: dict[str, object] = {
        "started": True,
        "receiving": True,
        "answered_ago": 1.0,
        "calls_in_flight": 0,
        "open_sockets": 1,
    }
    return LinkFacts(**(values | given))  # type: ignore[arg-type]


def test_what_a_link_shows_of_itself() -> None:
    assert diagnose(link(), 60) is None
    assert diagnose(link(receiving=False), 60) is LinkCause.DEAF
    assert diagnose(link(started=False), 60) is LinkCause.LINK_CLOSED
    assert diagnose(link(open_sockets=0), 60) is LinkCause.LINK_CLOSED
    assert diagnose(link(answered_ago=61.0), 60) is LinkCause.PING_TIMEOUT
    assert diagnose(link(answered_ago=None), 60) is LinkCause.PING_TIMEOUT


def test_what_a_clean_stop_is() -> None:
    closed = link(open_sockets=0, started=False, receiving=False)
    assert stopped_cleanly(link(), closed, used=True)
    assert stopped_cleanly(None, None, used=False), "nothing was ever sent"
    assert not stopped_cleanly(None, closed, used=True)
    assert not stopped_cleanly(link(answered_ago=5.1), closed, used=True)
    assert not stopped_cleanly(link(answered_ago=None), closed, used=True)
    assert not stopped_cleanly(link(calls_in_flight=1), closed, used=True)
    assert not stopped_cleanly(link(), link(), used=True)


@given(st.integers(1, 1000), st.sampled_from(LinkCause), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_are_bounded(attempt: int, cause: LinkCause, luck: float) -> None:
    pause = backoff.pause(attempt, cause, luck)
    assert 0.1 <= pause <= 30
    assert backoff.pause(1, cause, luck) <= 5


@given(
    rate=st.floats(0.5, 200),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=200),
)
def test_no_second_has_more_turns_than_the_burst_and_the_rate_allow(
    rate: float, burst: int, gaps: list[float]
) -> None:
    pace, now, turns = Pace(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        turns.append(now + pace.turn(now))
    for start in turns:
        assert sum(start <= turn < start + 1 for turn in turns) <= burst + rate + 1


def test_a_lonely_turn_waits_for_nothing_and_no_rate_is_no_limit() -> None:
    pace = Pace(1.0, 2)
    assert [pace.turn(5.0), pace.turn(5.0), pace.turn(5.0), pace.turn(5.0)] == [0, 0, 1, 2]
    assert pace.turn(100.0) == 0
    assert not any(Pace(0, 1).turn(5.0) for _ in range(100))
