"""`tgfleet transfer`: what reaches the gateway, what is printed, and the exit codes."""

import json
import re
from collections.abc import Callable

import pytest

from tests.integration.admin.conftest import Cli
from tests.integration.admin.fake_transfers import DONE, OPEN, PAUSED, RUNNING, WAITING

Start = Callable[[str], Cli]
HERE = ("--from", "@news", "--to", "@archive")


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


def asked(cli: Cli) -> dict[str, object]:
    [line] = cli.asked().splitlines()
    return json.loads(line)  # type: ignore[no-any-return]


def test_every_option_of_create_reaches_the_gateway(cli: Cli) -> None:
    options = "--ids 5-90 --mode copy --media photo,video --match ^a.*b$ --accounts alice,bob --parallel 3"
    more = "--topic 7 --silent --drop-captions --max-per-hour 900 --strict --follow --only-running"
    ended = cli("transfer", "create", *HERE, *options.split(), *more.split(), "--request-id", "night-1")
    assert ended.code == 0
    assert "moves up to 1,000 messages: Daily News → Archive of" in ended.out
    assert "– bob may not post in Archive." in ended.out
    assert f"→ Watch it: tgfleet transfer watch {RUNNING}" in ended.err
    request = asked(cli)
    assert request["id"] == "night-1"
    assert request["spec"] == {
        "source": "@news",
        "target": "@archive",
        "ids": {"first": 5, "last": 90},
        "mode": "TRANSFER_MODE_COPY",
        "media": ["MEDIA_KIND_PHOTO", "MEDIA_KIND_VIDEO"],
        "match": "^a.*b$",
        "account_ids": ["alice", "bob"],
        "parallel": 3,
        "topic_id": 7,
        "silent": True,
        "drop_captions": True,
        "max_per_hour": 900,
        "strict": True,
        "follow": True,
        "only_running": True,
    }


def test_dates_with_their_zone_and_labels_reach_the_gateway(cli: Cli) -> None:
    dates = ("--since", "2026-11-20T08:00:00+01:00", "--until", "2026-11-20T12:00Z")
    assert cli("transfer", "create", *HERE, *dates, "-l", "team=eu,tier=1", "--json").code == 0
    request = asked(cli)
    assert request["spec"] == {
        "source": "@news",
        "target": "@archive",
        "dates": {"since": "2026-11-20T07:00:00Z", "until": "2026-11-20T12:00:00Z"},
        "mode": "TRANSFER_MODE_FORWARD",
        "match_labels": {"team": "eu", "tier": "1"},
        "parallel": 1,
    }
    assert request["id"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "choose the accounts"),
        ("--accounts a -l k=v", "not by both"),
        ("--accounts a --ids 9-5", "reversed"),
        ("--accounts a --ids x", "write ids as"),
        ("--accounts a --ids 0-5", "ids go from 1"),
        ("--accounts a --last -5", "from 1 on"),
        ("--accounts a --ids 1-5 --last 5", "one way only"),
        ("--accounts a --last 5 --until 2026-11-20T12:00Z", "one way only"),
        ("--accounts a --since 2026-11-20T08:00", "2026-11-20T08:00Z for UTC"),
        ("--accounts a --since 2026-11-20", "2026-11-20T00:00Z for UTC"),
        ("--accounts a --since yesterday", "write a time as in"),
        ("--accounts a --media photo,smell", "the kinds are text, photo"),
        ("--accounts a --mode steal", "forward"),
        ("--accounts a --parallel many", "valid integer"),
    ],
)
def test_a_wrong_create_is_2_and_asks_nobody(cli: Cli, options: str, said: str) -> None:
    ended = cli("transfer", "create", *HERE, *options.split())
    assert ended.code == 2
    assert said in " ".join(ended.err.split())
    assert cli.asked() == ""


def test_a_refused_create_says_why_and_what_to_do(cli: Cli) -> None:
    ended = cli("transfer", "create", "--from", "@a", "--to", "@closed", "--accounts", "a")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[0] == "tgfleet: None of the accounts can post there."
    assert "→ Let one of the accounts join the target" in ended.err


def test_list_goes_through_the_pages_and_takes_states(cli: Cli) -> None:
    found = json.loads(cli("transfer", "list", "--json").out)
    assert [row["transfer_id"] for row in found] == [RUNNING, WAITING, OPEN, PAUSED, DONE]
    lines = cli("transfer", "list", "--state", "waiting,paused").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [WAITING, PAUSED]
    assert json.loads(cli.asked().splitlines()[-1])["states"] == [2, 5]
    assert len(json.loads(cli("transfer", "list", "--limit", "4", "--json").out)) == 4
    assert cli("transfer", "list", "--state", "asleep").code == 2


def test_show_has_everything_and_names_the_command_that_decides(cli: Cli) -> None:
    shown = cli("transfer", "show", OPEN).out
    assert "Nobody can tell whether batch 5 was sent" in shown
    assert "8 deleted, 3 service messages, 1 refused (MEDIA_EMPTY)" in shown
    assert f"tgfleet transfer settle {OPEN} --shard 1 --batch 5 --sent (or --not-sent)" in shown
    done = cli("transfer", "show", DONE).out
    assert "77  MEDIA_EMPTY" in " ".join(done.split("\n")).replace("     ", " ")
    assert "It is not in the source." in done
    assert json.loads(cli("transfer", "show", DONE, "--json").out)["state"] == "COMPLETED"
    missing = cli("transfer", "show", "tr_nothing")
    assert (missing.code, "`tgfleet transfer list` shows all transfers." in missing.err) == (1, True)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("command", [("list",), ("show", OPEN), ("explain", RUNNING), ("watch", RUNNING)])
def test_on_a_terminal_no_line_is_wider_than_it(cli: Cli, command: tuple[str, ...], width: int) -> None:
    code, shown = cli.on_terminal("transfer", *command, width=width)
    assert code == 0
    assert max(map(len, re.split(r"[\r\n]+", plain(shown)))) <= width
    assert "\u202e" not in shown
    assert "\x1b[31m\N{REPLACEMENT CHARACTER}" not in shown


def test_explain_has_reason_until_and_prediction(cli: Cli) -> None:
    lines = cli("transfer", "explain", RUNNING).out.splitlines()
    assert lines[0] == "alice sends; 2 of 4 accounts cannot go on now."
    text = "\n".join(lines)
    assert re.search(r"alice +chosen +It sends\. +812 of 2,000 +320 of 400 left", text)
    assert "+60/h, 5 waits" in text
    assert re.search(r"not now +Telegram told it to wait before forwardMessages\. +\d\d:\d\d:\d\d", text)
    assert "(in 1 min 3" in text
    assert re.search(r"dave +no +It is disabled\.", text)
    answer = json.loads(cli("transfer", "explain", RUNNING, "--json").out)
    assert answer["accounts"][0]["predictions"][0]["budget_left"] == 320
    assert answer["accounts"][2]["obstacles"][0]["reason"] == "FLOOD_WAIT"


def test_watch_into_a_pipe_has_a_line_at_each_change_and_one_at_the_end(cli: Cli) -> None:
    ended = cli("transfer", "watch", RUNNING)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert [line.split("\t")[1] for line in lines[:3]] == ["sending", "waiting", "sending"]
    assert "alice is the first that may go on. Goes on at" in lines[1]
    assert lines[-1].startswith("Completed: 988 messages moved, 12 skipped: 8 deleted")
    assert len(lines) == 4
    states = [json.loads(line) for line in cli("transfer", "watch", RUNNING, "--json").out.splitlines()]
    assert states[-1]["done"] == 988
    assert len(states) == 14


def test_watch_on_a_terminal_has_a_bar_and_leaves_the_end(cli: Cli) -> None:
    code, shown = cli.on_terminal("transfer", "watch", RUNNING, width=100)
    text = plain(shown)
    assert code == 0
    assert "━" in text
    assert "Sending with alice. 1,234 messages a minute." in text
    assert "100 %  1,000 of 1,000" in text.split("\x1b")[-1]
    assert text.rstrip().endswith("lists the messages that were refused.")


def test_ctrl_c_stops_watching_and_says_that_the_transfer_goes_on(gateway: Start) -> None:
    code, shown = gateway("hang").on_terminal("transfer", "watch", RUNNING, until="372 of", then=b"\x03")
    assert code == 130
    assert f"You stopped watching; the transfer goes on. `tgfleet transfer watch {RUNNING}`" in " ".join(
        shown.split()
    )


def test_a_watch_outlives_a_gateway_that_goes_away(gateway: Start) -> None:
    ended = gateway("cut")("transfer", "watch", RUNNING)
    assert ended.code == 0
    assert "Completed: 988 messages moved" in ended.out


def test_a_watch_with_a_time_limit_ends_with_3(gateway: Start) -> None:
    ended = gateway("hang")("transfer", "watch", RUNNING, "--timeout", "1500ms")
    assert ended.code == 3
    assert "The time is over; the transfer goes on." in ended.err


def test_wishes_say_how_the_transfer_stands(gateway: Start) -> None:
    cli = gateway("all")
    assert cli("transfer", "pause", RUNNING).out.startswith(f"{RUNNING} is paused: 430 messages moved")
    resumed = cli("transfer", "resume", WAITING)
    assert (resumed.code, "alice is the first" in resumed.err) == (3, True)
    assert cli("transfer", "cancel", RUNNING, "--json").code == 0
    ended = cli("transfer", "resume", DONE)
    assert (ended.code, "Create another one for what is left." in ended.err) == (1, True)
    assert gateway("hang")("transfer", "pause", RUNNING).code == 3


def test_settle_finds_the_one_batch_or_asks_which(gateway: Start) -> None:
    cli = gateway("all")
    assert cli("transfer", "settle", OPEN).code == 2
    assert cli("transfer", "settle", OPEN, "--not-sent").code == 0
    assert asked(cli) == {"call": "SettleBatch", "shard": 1, "batch": 5, "sent": False}
    assert cli("transfer", "settle", RUNNING, "--sent").code == 2
    two = gateway("open2")
    ended = two("transfer", "settle", OPEN, "--sent")
    assert (ended.code, "2 batches need a decision" in ended.err) == (2, True)
    assert two("transfer", "settle", OPEN, "--sent", "--shard", "1", "--batch", "6").code == 0
    assert asked(two) == {"call": "SettleBatch", "shard": 1, "batch": 6, "sent": True}


def test_caps_and_hours_of_an_account(cli: Cli) -> None:
    assert (
        cli("account", "set", "alice", "--daily-cap", "2000", "--hours", "08:00-12:00,14:00-22:00").code == 0
    )
    assert cli("accounts", "set", "alice", "--daily-cap", "0").code == 0
    assert cli("accounts", "set", "alice", "--hours", "").code == 0
    calls = [json.loads(line) for line in cli.asked().splitlines()]
    assert [(call["mask"], call["cap"], call["hours"]) for call in calls] == [
        (["transfer_policy"], 2000, ["08:00-12:00", "14:00-22:00"]),
        (["transfer_policy"], 0, ["08:00-22:00"]),
        (["transfer_policy"], 500, []),
    ]
    assert re.search(r"Daily cap +500", cli("accounts", "show", "alice").out)
