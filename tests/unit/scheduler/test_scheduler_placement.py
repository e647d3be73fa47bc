"""Which worker runs an account, and what people are told when none can."""

from __future__ import annotations

from services.scheduler.domain import commands as c
from services.scheduler.domain import events as e
from services.scheduler.domain.model import (
    AccountSpec,
    AnnouncedFile,
    CallKind,
    Flood,
    Location,
    Outcome,
    Reason,
    Rules,
)
from tests.unit.scheduler.stage import WALL, Stage, accounts, only, outcomes, started


def file_account(**fields: object) -> AccountSpec:
    return AccountSpec(
        "a",
        "a",
        auth_key_id="key-a",
        location=Location.WORKER_FILE,
        home_worker="home",
        session_file="a.session",
        **fields,  # type: ignore[arg-type]
    )


def test_home_worker_first_then_the_last_one_then_the_least_loaded() -> None:
    homely, faithful, other = accounts("homely", "faithful", "other")
    homely.home_worker = "w1"
    faithful.last_worker = "w2"
    stage = Stage([homely, faithful, other])
    for worker_id in ("w1", "w2", "w3"):
        stage.attach(worker_id)
    stage.start_all()
    assert started(stage.commands) == {"w1": ["homely"], "w2": ["faithful"], "w3": ["other"]}


def test_load_is_spread_by_capacity() -> None:
    stage = Stage(accounts(*(f"a{i}" for i in range(30))))
    stage.attach("big", capacity=20)
    stage.attach("small", capacity=10)
    stage.start_all()
    assert {worker: len(ids) for worker, ids in started(stage.commands).items()} == {"big": 20, "small": 10}


def test_nobody_is_placed_on_a_full_worker_and_room_goes_to_who_waits() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1", capacity=1)
    call = stage.start_all()
    assert outcomes(call) == {"b": "WAITING/NO_WORKER_CAPACITY"}
    assert "1 full" in call.results[0].verdict.detail
    stage.runs("w1", "a")
    stage.call(CallKind.STOP_ALL, "a")
    assert started(stage.stops("w1", "a")) == {"w1": ["b"]}


def test_without_any_worker_it_says_so() -> None:
    call = Stage(accounts("a")).start_all()
    assert call.results[0].verdict.detail == "No worker is connected."


def test_home_worker_offline_names_it_and_its_coming_starts_the_account() -> None:
    spec = accounts("a")[0]
    spec.home_worker = "home"
    stage = Stage([spec])
    stage.attach("w1")
    call = stage.start_all()
    assert outcomes(call) == {"a": "WAITING/HOME_WORKER_OFFLINE"}
    assert "home" in call.results[0].verdict.detail
    assert started(stage.attach("home")) == {"home": ["a"]}


def test_a_full_home_worker_is_told_apart_from_an_offline_one() -> None:
    specs = accounts("a", "b", home_worker="home")
    stage = Stage(specs)
    stage.attach("home", capacity=1)
    call = stage.start_all()
    assert outcomes(call) == {"b": "WAITING/NO_WORKER_CAPACITY"}
    stage.runs("home", "a")
    stage.call(CallKind.STOP_ALL, "a")
    assert started(stage.stops("home", "a")) == {"home": ["b"]}


def test_a_missing_file_names_who_has_the_key_and_the_command() -> None:
    stage = Stage([file_account()])
    stage.attach("home")
    stage.attach("w2", files=[AnnouncedFile("other.session", "key-a")])
    verdict = stage.start_all().results[0].verdict
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, Reason.SESSION_MISSING)
    assert "w2" in verdict.detail
    assert "tgfleet accounts set a --home-worker w2" in verdict.action


def test_a_phone_number_for_a_name_is_not_repeated_in_sentences() -> None:
    spec = file_account()
    spec.name = "+4915112345678"
    stage = Stage([spec])
    stage.attach("home")
    stage.attach("w2", files=[AnnouncedFile("other.session", "key-a")])
    verdict = stage.start_all().results[0].verdict
    assert "4915112345678" not in verdict.detail + verdict.action
    assert "tgfleet accounts set a --home-worker w2" in verdict.action


def test_a_missing_file_that_turns_up_is_started() -> None:
    stage = Stage([file_account()])
    stage.attach("home")
    assert outcomes(stage.start_all()) == {"a": "FAILED/SESSION_MISSING"}
    assert started(stage.pass_time(3600)) == {}
    files = e.WorkerFiles("home", stage.beating["home"], [AnnouncedFile("a.session", "key-a")])
    new = stage.feed(files)
    assert only(c.StartSessions, new)[0].sessions[0].session_file == "a.session"


def test_a_renamed_file_is_found_by_its_key() -> None:
    stage = Stage([file_account()])
    stage.attach("home", files=[AnnouncedFile("renamed.session", "key-a")])
    stage.start_all()
    assert only(c.StartSessions, stage.commands)[0].sessions[0].session_file == "renamed.session"


def test_a_broken_file_is_no_session() -> None:
    stage = Stage([file_account()])
    stage.attach("home", files=[AnnouncedFile("a.session", "", 0, "it is cut short.")])
    call = stage.start_all()
    assert outcomes(call) == {"a": "FAILED/SESSION_INVALID"}
    assert "cut short" in call.results[0].verdict.detail


def test_the_same_key_on_two_workers_is_a_conflict_that_names_both() -> None:
    stage = Stage([file_account()])
    stage.attach("home", files=[AnnouncedFile("a.session", "key-a")])
    stage.attach("w2", files=[AnnouncedFile("copy.session", "key-a")])
    call = stage.start_all()
    assert outcomes(call) == {"a": "SKIPPED/SESSION_CONFLICT"}
    detail = call.results[0].verdict.detail
    assert "a.session on worker home" in detail
    assert "copy.session on worker w2" in detail
    assert only(c.SetWanted, stage.commands) == []


def test_a_copy_of_a_file_that_never_ran_is_a_conflict_as_well() -> None:
    spec = file_account()
    spec.auth_key_id = ""  # the registry learns it at the first grant
    stage = Stage([spec])
    stage.attach("home", files=[AnnouncedFile("a.session", "key-a")])
    stage.attach("w2", files=[AnnouncedFile("copy.session", "key-a")])
    assert outcomes(stage.start_all()) == {"a": "SKIPPED/SESSION_CONFLICT"}


def test_a_session_in_the_vault_and_in_a_file_is_a_conflict() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1", files=[AnnouncedFile("x.session", "key-a")])
    call = stage.start_all()
    assert outcomes(call) == {"a": "SKIPPED/SESSION_CONFLICT"}
    assert "vault" in call.results[0].verdict.detail
    stage.feed(e.WorkerFiles("w1", stage.beating["w1"], []))
    stage.start_all()
    assert started(stage.commands) == {"w1": ["a"]}


def test_a_copy_that_turns_up_does_not_concern_a_running_session() -> None:
    stage = Stage(accounts("a"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.attach("w2", files=[AnnouncedFile("x.session", "key-a")])
    assert outcomes(stage.start_all()) == {"a": "ALREADY_RUNNING"}


def test_skipped_accounts_and_their_reasons() -> None:
    off, without, dead, aside = accounts("off", "without", "dead", "aside")
    off.enabled = False
    without.location = Location.NONE
    dead.block_reason, dead.block_detail = Reason.NEEDS_LOGIN, "The key was revoked."
    aside.block_reason, aside.block_retry = Reason.QUARANTINED, WALL + 600
    stage = Stage([off, without, dead, aside])
    stage.attach("w1")
    call = stage.start_all()
    assert outcomes(call) == {
        "off": "SKIPPED/DISABLED",
        "without": "SKIPPED/NEEDS_LOGIN",
        "dead": "SKIPPED/NEEDS_LOGIN",
        "aside": "SKIPPED/QUARANTINED",
    }
    verdicts = {result.account_id: result.verdict for result in call.results}
    assert verdicts["dead"].detail == "The key was revoked."
    assert verdicts["aside"].retry == WALL + 600
    assert only(c.SetWanted, stage.commands) == []


def test_only_a_wait_of_a_connecting_method_keeps_an_account_from_starting() -> None:
    connecting, forwarding, here = accounts("connecting", "forwarding", "here")
    connecting.floods = (Flood("users.getFullUser", 0, WALL + 50),)
    forwarding.floods = (Flood("messages.forwardMessages", 0, WALL + 50),)
    here.floods = (Flood("*", -100, WALL + 50),)
    stage = Stage([connecting, forwarding, here])
    stage.attach("w1")
    call = stage.start_all()
    assert outcomes(call) == {"connecting": "WAITING/FLOOD_WAIT"}
    assert call.results[0].verdict.retry == WALL + 50
    assert started(stage.pass_time(49)) == {}
    assert started(stage.pass_time(2)) == {"w1": ["connecting"]}


def test_nothing_starts_while_all_starts_are_stopped() -> None:
    stage = Stage(accounts("a", "b"))
    stage.attach("w1")
    stage.up("w1", "a")
    stage.feed(e.AccountsChanged(revision=5, starts_stopped="two sessions died."))
    call = stage.start_all()
    assert outcomes(call) == {"a": "ALREADY_RUNNING", "b": "SKIPPED/QUARANTINED"}
    assert "two sessions died." in call.results[1].verdict.detail
    stage.change("b", wanted_running=True)
    assert started(stage.feed(e.AccountsChanged(revision=7, starts_stopped=""))) == {"w1": ["b"]}


def test_the_fleet_wide_start_rate_is_kept() -> None:
    stage = Stage(accounts(*(f"a{i}" for i in range(40))), rules=Rules(start_rate=10.0, start_burst=5))
    stage.attach("w1")
    stage.start_all()
    assert sum(map(len, started(stage.commands).values())) == 5
    after = {}
    for second in (1, 2, 3):
        stage.pass_time(1)
        after[second] = sum(map(len, started(stage.commands).values()))
    assert 13 <= after[1] <= 15
    assert 33 <= after[3] <= 35


def test_many_accounts_go_out_in_few_commands() -> None:
    stage = Stage(accounts(*(f"a{i}" for i in range(1200))))
    stage.attach("w1", capacity=2000)
    call = stage.start_all()
    assert len(call.selected) == 1200
    assert call.finished is None
    assert [len(s.sessions) for s in only(c.StartSessions, stage.commands)] == [128]
    stage.pass_time(0.03)
    # A first slice for an early first result, with a moment to itself; the rest in commands of up to 500.
    assert [len(s.sessions) for s in only(c.StartSessions, stage.commands)] == [128, 500, 500, 72]


def test_a_large_call_that_runs_out_of_time_answers_everybody_all_the_same() -> None:
    stage = Stage(accounts(*(f"a{i}" for i in range(1200))))
    call = stage.start_all(within=0.0)
    stage.pass_time(0.001)
    assert len(outcomes(call)) == 1200
    assert call.finished is not None
