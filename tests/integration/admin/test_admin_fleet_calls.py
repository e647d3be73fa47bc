"""start-all and its sisters: what is printed, and the exit codes of DESIGN section 10."""

import json
import re
from collections.abc import Callable

import pytest

from tests.integration.admin.conftest import Cli
from tests.integration.admin.fake_fleet import SAMPLES

Start = Callable[[str], Cli]


@pytest.mark.parametrize(("scenario", "code"), [("good", 0), ("waiting", 3), ("all", 1)])
def test_exit_codes(gateway: Start, scenario: str, code: int) -> None:
    assert gateway(scenario)("start-all").code == code


@pytest.mark.parametrize("command", ["start-all", "stop-all", "start-chat", "stop-chat"])
def test_each_account_has_a_line_and_the_end_is_a_summary(gateway: Start, command: str) -> None:
    lines = gateway("good")(command).out.splitlines()
    assert lines[0] == "alice\tstarted"
    assert lines[2] == "carol\tskipped\tThe account is disabled. → tgfleet accounts enable carol"
    assert lines[3] == "3 accounts in 3.4 s: 2 started, 1 skipped."


def test_selection_and_request_reach_the_gateway(gateway: Start) -> None:
    cli = gateway("good")
    assert cli("start-chat", "alice", "acc_000000000001").code == 0
    assert cli("start-all", "-l", "team=eu,tier=1").code == 0
    calls = [json.loads(line) for line in cli.asked().splitlines()]
    assert calls[0] == {"call": "StartChatRequest", "ids": ["alice", "acc_000000000001"], "labels": {}}
    assert calls[1]["labels"] == {"team": "eu", "tier": "1"}


def test_json_is_one_object_to_a_line_with_stable_names(cli: Cli) -> None:
    ended = cli("start-all", "--json")
    *results, last = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 1
    assert len(results) == len(SAMPLES)
    assert results[7]["result"].keys() >= {"account_id", "name", "outcome", "reason", "detail", "retry_time"}
    assert results[7]["result"]["reason"] == "FLOOD_WAIT"
    assert results[0]["result"]["reason"] is None
    assert last["summary"]["total"] == len(SAMPLES)
    assert "\x1b" not in ended.out


@pytest.mark.parametrize("width", [40, 80, 120])
def test_on_a_terminal_no_line_is_wider_than_it(cli: Cli, width: int) -> None:
    code, shown = cli.on_terminal("start-all", width=width)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    lines = re.split(r"[\r\n]+", plain)
    assert code == 1
    assert max(map(len, lines)) <= width
    assert "Worker w2 has no file" in " ".join(plain.split())
    assert "10 accounts in 3.4 s" in plain


def test_a_hostile_name_cannot_steer_the_terminal(cli: Cli) -> None:
    _, shown = cli.on_terminal("start-all")
    assert "mallory�[31m�[" in shown
    assert "\u202e" not in shown


def test_ctrl_c_stops_watching_and_says_so(gateway: Start) -> None:
    code, shown = gateway("hang").on_terminal("start-all", until="carol", then=b"\x03")
    assert code == 130
    assert "You stopped watching; what you asked for goes on." in " ".join(shown.split())
    assert "Traceback" not in shown


def test_a_lost_gateway_is_said_in_a_sentence_with_the_request_id(gateway: Start) -> None:
    ended = gateway("cut")("start-all", "--request-id", "night-42")
    assert ended.code == 1
    assert "The connection was lost after 3 results; what was started goes on." in ended.err
    assert "--request-id night-42" in ended.err


def test_nobody_selected(gateway: Start) -> None:
    ended = gateway("nobody")("start-all", "-l", "team=mars")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[0] == "tgfleet: No account has these labels."


@pytest.mark.parametrize(
    "arguments",
    [
        ("start-all", "alice", "-l", "a=b"),
        ("start-all", "-l", "nonsense"),
        ("start-all", "--wait-for", "soon"),
        ("start-all", "--no-such-option"),
        ("start-everything",),
        ("accounts", "delete"),
        ("accounts", "set", "alice"),
    ],
)
def test_wrong_usage_is_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert ended.err
    assert cli.asked() == ""
