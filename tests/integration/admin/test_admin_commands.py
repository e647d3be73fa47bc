"""The other commands, and every way of not reaching a fleet."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests.integration.admin.conftest import TGFLEET, Cli
from tests.integration.admin.fake_common import TOKEN

SECRET = "1BQANOTEuMTA4LjU2LjE5MAG7" + "Xy7zQ9" * 40


def test_status_shows_and_says_what_needs_attention(cli: Cli) -> None:
    ended = cli("status")
    assert ended.code == 0
    assert ended.out.startswith("10 accounts: 7 not running, 3 running.")
    assert "Needs attention" in ended.out
    assert "→ Run: tgfleet accounts set erin --home-worker w1" in ended.out
    answer = json.loads(cli("status", "--json").out)
    assert answer["accounts"][0]["received_today"] == 12345
    assert answer["by_state"] == {"NOT_RUNNING": 7, "RUNNING": 3}


def test_status_fits_a_narrow_terminal(cli: Cli) -> None:
    code, shown = cli.on_terminal("status", width=60)
    assert code == 0
    assert "alice" in shown


def test_status_watch_ends_with_ctrl_c(cli: Cli) -> None:
    code, shown = cli.on_terminal("status", "--watch", until="alice", then=b"\x03")
    assert code == 130
    assert "You stopped watching" in shown


def test_events_as_lines_and_as_json(cli: Cli) -> None:
    ended = cli("events")
    assert "12:03:22  alice  A message arrived in chat -1001. “hello �[2Jthere”" in ended.out.splitlines()
    events = [json.loads(line) for line in cli("events", "--json").out.splitlines()]
    assert events[1]["message_received"]["chat_id"] == -1001
    assert events[4]["events_lost"]["count"] == 3
    assert "session_changed" not in events[1]


def test_all_pages_of_accounts_are_listed(cli: Cli) -> None:
    assert [a["name"] for a in json.loads(cli("accounts", "list", "--json").out)] == [
        "alice",
        "bob-two-step",
        "+4915112345678",
    ]
    assert "+4915112345678" in cli("accounts", "list").out


def test_import_from_a_text_of_session_strings(cli: Cli, tmp_path: Path) -> None:
    text = tmp_path / "sessions.txt"
    text.write_text(f"# mine\n\nnew one {SECRET}\nbad: {SECRET}\n")
    ended = cli("accounts", "import", str(text), "-l", "team=eu")
    assert ended.code == 1
    assert "This is no session string." in ended.out
    assert "1 account imported, 1 refused." in ended.out
    assert SECRET not in ended.out + ended.err
    asked = json.loads(cli.asked())
    assert (asked["items"], asked["sizes"]) == (["new one", "bad"], [len(SECRET)] * 2)
    assert asked["labels"] == [{"team": "eu"}] * 2


def test_import_from_stdin_files_and_folders(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.session").write_bytes(b"SQLite format 3\0")
    assert cli("accounts", "import", "-", "--name", "solo", stdin=SECRET + "\n").code == 0
    assert cli("accounts", "import", str(folder / "a.session"), "--name", "other").code == 0
    assert cli("accounts", "import", str(folder)).code == 0
    assert cli("accounts", "import", "--worker", "w1", "--file", "x.session").code == 0
    assert cli("accounts", "import", "--without-session", "--name", "fresh").code == 0
    assert [(call["items"], call["kinds"]) for call in map(json.loads, cli.asked().splitlines())] == [
        (["solo"], ["session_string"]),
        (["other"], ["session_file"]),
        (["a", "b"], ["session_file"] * 2),
        (["x"], ["worker_file"]),
        (["fresh"], ["without_session"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ((SECRET,), "", "looks like a session string"),
        (("/no/such/file.session",), "", "cannot be read"),
        (("-",), SECRET, "line 1: write the account's name"),
        (("-",), b"\xff\xfe", "is no text"),
        (("-", "--name", "two"), f"{SECRET}\n{SECRET}\n", "several session strings"),
        (("--worker", "w1"), "", "both --worker and --file"),
        (("--without-session",), "", "--name NAME"),
        ((), "", "what to import"),
    ],
)
def test_import_that_cannot_be(cli: Cli, arguments: tuple[str, ...], stdin: str | bytes, said: str) -> None:
    ended = cli("accounts", "import", *arguments, stdin=stdin)
    assert ended.code == 2
    assert said in " ".join(ended.err.split())
    assert SECRET not in ended.err
    assert cli.asked() == ""


def test_a_proxy_comes_by_stdin_only(cli: Cli) -> None:
    ended = cli("accounts", "set", "alice", "--proxy-stdin", stdin="socks5://u:hunter2@10.0.0.1:1080\n")
    assert ended.code == 0
    assert "hunter2" not in ended.out + ended.err
    asked = json.loads(cli.asked())
    assert (asked["mask"], asked["proxy"]) == (["proxy"], "socks5://u:hunter2@10.0.0.1:1080")


def test_set_changes_labels_and_lists_from_what_they_are(cli: Cli) -> None:
    ended = cli("accounts", "set", "alice", "-l", "new=1", "--remove-label", "team", "--allow-chat", "-1005")
    assert ended.code == 0
    asked = json.loads(cli.asked())
    assert asked["labels"] == {"new": "1", "tier": "0"}
    assert (asked["mask"], asked["chats"]) == (["labels", "chat_policy"], [-1005])


def test_a_refused_field_is_named_and_is_wrong_usage(cli: Cli) -> None:
    ended = cli("accounts", "set", "alice", "--priority", "5000")
    assert (ended.code, ended.err) == (
        2,
        "tgfleet: account.priority: Use a number from -1,000 to 1,000.\n",
    )


def test_delete_asks(cli: Cli) -> None:
    ended = cli("accounts", "delete", "bob-two-step")
    assert ended.code == 2
    assert "Add --yes if you are sure." in ended.err
    code, _ = cli.on_terminal("accounts", "delete", "bob-two-step", until="[y/N]", then=b"n\n")
    assert code == 2
    assert cli.asked() == ""
    code, shown = cli.on_terminal("accounts", "delete", "bob-two-step", until="[y/N]", then=b"y\n")
    assert code == 0
    assert "bob-two-step is deleted." in shown
    assert cli("accounts", "delete", "--yes", "alice").err.splitlines() == [
        "tgfleet: The account is running.",
        "→ Stop it first: `tgfleet stop-all NAME`.",
    ]


def test_small_commands(cli: Cli) -> None:
    assert cli("accounts", "enable", "alice", "bob-two-step").out.count("may be started") == 2
    assert cli("accounts", "disable", "alice").out == "alice is disabled.\n"
    assert cli("accounts", "reset-waits", "alice").out == "alice: 2 waits forgotten.\n"
    assert cli("resume-starts").out == "Accounts may start again.\n"
    assert json.loads(cli("resume-starts", "--json").out) == {"were_stopped": True}
    assert cli("version").out.startswith("tgfleet ")
    assert (
        cli("accounts", "show", "nobody").err.splitlines()[1] == "→ `tgfleet accounts list` shows all names."
    )


def test_workers(cli: Cli) -> None:
    assert "2 files, 2 unused" in cli("workers", "list").out
    assert "The file is no session." in cli("workers", "list", "--files").out
    assert [w["state"] for w in json.loads(cli("workers", "list", "--json").out)] == ["CONNECTED", "OFFLINE"]
    assert cli("workers", "drain", "w1").code == 0
    left = cli("workers", "drain", "w2")
    assert left.code == 3
    assert "grace" in left.out
    assert cli("workers", "undrain", "w1").out == "w1 takes accounts again.\n"
    assert cli("workers", "drain", "w9").code == 1


def test_tokens(cli: Cli, tmp_path: Path) -> None:
    made = cli("tokens", "create", "ci")
    assert made.out == "tgf_brand_new_secret_1\n"
    private = tmp_path / "token"
    quiet = cli("tokens", "create", "ci", "--role", "operator", "--to", str(private), "--json")
    assert "tgf_" not in quiet.out + quiet.err
    assert private.read_text() == "tgf_brand_new_secret_1\n"
    assert private.stat().st_mode & 0o777 == 0o600
    assert cli("tokens", "create", "ci", "--to", str(private)).code == 2
    refused = cli("tokens", "create", "boss", "--role", "admin")
    assert refused.code == 1
    assert "Use the token of somebody who may." in refused.err
    assert "grafana" in cli("tokens", "list").out
    assert cli("tokens", "revoke", "grafana").code == 0


def test_no_fleet_and_no_token(cli: Cli, tmp_path: Path) -> None:
    nowhere = cli("status", env={"TGFLEET_GATEWAY": "", "TGFLEET_TOKEN": ""})
    assert nowhere.code == 2
    assert "Start one with `tgfleet up`" in nowhere.err
    assert "TGFLEET_TOKEN_FILE" in cli("status", env={"TGFLEET_TOKEN": ""}).err
    wrong = cli("status", env={"TGFLEET_TOKEN": "tgf_some_other_token"})
    assert wrong.code == 1
    assert "may have been revoked" in wrong.err
    assert "some_other" not in wrong.err
    missing = cli("status", env={"TGFLEET_TOKEN": "", "TGFLEET_TOKEN_FILE": str(tmp_path / "none")})
    assert (missing.code, "cannot be read" in missing.err) == (2, True)
    typo = cli("status", env={"TGFLEET_GATEWY": "x"})
    assert (typo.code, "did you mean TGFLEET_GATEWAY?" in typo.err) == (2, True)


def test_nothing_answers(cli: Cli) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        ended = cli("status", env={"TGFLEET_GATEWAY": address})
    assert ended.code == 1
    assert ended.err.splitlines()[0] == f"tgfleet: Nothing answers at {address}."


def test_a_local_fleet_is_found_by_its_ready_file(cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "xdg" / "tgfleet"
    data.mkdir(parents=True)
    (data / "ready.json").write_text(json.dumps({"gateway": cli.address, "token": TOKEN}))
    bare = {"TGFLEET_GATEWAY": "", "TGFLEET_TOKEN": ""}
    assert cli("status", env={**bare, "XDG_DATA_HOME": str(tmp_path / "xdg")}).code == 0
    assert cli("--data", str(data), "status", env=bare).code == 0
    assert cli("status", env={**bare, "TGFLEET_DATA": str(data)}).code == 0
    # its token goes to its own gateway and to no other
    other = cli("--data", str(data), "status", env={**bare, "TGFLEET_GATEWAY": "127.0.0.1:1"})
    assert "There is no token for the gateway at 127.0.0.1:1." in other.err


def test_up_becomes_the_fleet(cli: Cli) -> None:
    ended = cli("up", "--help")
    assert ended.code == 0
    assert "--workers" in ended.out
    assert cli("up", "--no-such-thing").code == 2


def test_output_into_a_closed_pipe_is_no_error(cli: Cli) -> None:
    command = " ".join(TGFLEET) + " events | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        env=cli.env(),
        timeout=30,
        check=False,
    )
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
