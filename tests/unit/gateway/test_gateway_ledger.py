"""Exactly one result per selected account, as pure bookkeeping."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.fleet_call import FleetLedger, seconds_for_call

ACCOUNTS = st.lists(st.sampled_from("abcdefgh"), max_size=12)


def test_nothing_is_owed_before_the_selection_is_known() -> None:
    ledger = FleetLedger()
    assert not ledger.is_complete
    assert not ledger.admit("a", "STARTED")
    ledger.select([])
    assert ledger.is_complete


def test_an_answer_counts_once_and_a_strangers_never() -> None:
    ledger = FleetLedger()
    ledger.select(["a", "b", "a"])
    assert ledger.total == 2
    assert ledger.admit("a", "STARTED")
    assert not ledger.admit("a", "FAILED")
    assert not ledger.admit("z", "STARTED")
    assert ledger.owed == ("b",)
    assert ledger.by_outcome == {"STARTED": 1}


def test_a_later_selection_adds_nobody_and_tells_who_is_gone() -> None:
    ledger = FleetLedger()
    ledger.select(["a", "b", "c"])
    ledger.admit("a", "STARTED")
    assert ledger.select(["c", "x"]) == ("b",)
    assert ledger.owed == ("b", "c")
    assert ledger.total == 3


@given(ACCOUNTS, st.lists(ACCOUNTS))
def test_whatever_schedulers_say_each_selected_account_is_answered_at_most_once(
    selected: list[str], answers: list[list[str]]
) -> None:
    ledger = FleetLedger()
    ledger.select(selected)
    sent = [account for batch in answers for account in batch if ledger.admit(account, "STARTED")]
    assert len(sent) == len(set(sent))
    assert set(sent) | set(ledger.owed) == set(selected)
    assert sum(ledger.by_outcome.values()) + len(ledger.owed) == ledger.total


def test_the_call_ends_shortly_before_the_callers_deadline() -> None:
    assert seconds_for_call(None, 60) == 60
    assert seconds_for_call(60, 5) == 59
    assert seconds_for_call(1, 5) == 0.9
    assert seconds_for_call(-0.1, 5) == 0
