"""What `tgfleet up` refuses, it refuses before anything runs, with one sentence and the right exit code."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.standalone.conftest import Up

Starts = Callable[..., Up]


@pytest.mark.parametrize(
    ("argv", "env", "word"),
    [
        ([], {"TGFLEET_LEASE_TLL": "5s"}, "did you mean TGFLEET_LEASE_TTL"),
        ([], {"TGFLEET_NONSENSE": "1"}, "TGFLEET_NONSENSE is not a setting"),
        ([], {"TGFLEET_LEASE_TTL": "soon"}, "TGFLEET_LEASE_TTL has a bad value"),
        ([], {"TGFLEET_GATEWAY_LISTEN": "7443"}, "TGFLEET_GATEWAY_LISTEN has a bad value"),
        ([], {"TGFLEET_METRICS_LISTEN": "127.0.0.1:9100"}, "TGFLEET_METRICS_LISTEN"),
        (["--live"], {}, "needs TGFLEET_TELEGRAM_API_ID and TGFLEET_TELEGRAM_API_HASH"),
        ([], {"TGFLEET_TELEGRAM_LIVE": "1"}, "needs TGFLEET_TELEGRAM_API_ID"),
        (["--live", "--demo"], {}, "exclude each other"),
        (
            ["--live", "--lease-settle", "1s"],
            {"TGFLEET_TELEGRAM_API_ID": "7", "TGFLEET_TELEGRAM_API_HASH": "canary-hash"},
            "at least 30s",
        ),
        (
            [],
            {"USERBOT_API_ID": "x", "USERBOT_API_HASH": "canary-hash", "USERBOT_SESSION": "canary-session"},
            "USERBOT_API_ID has a bad value",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    up: Starts, tmp_path: Path, argv: list[str], env: dict[str, str], word: str
) -> None:
    fleet = up(argv=argv, **env)
    assert fleet.ended() == 2
    assert word in fleet.said()
    assert fleet.said().count("\n") == 1
    assert "canary" not in fleet.said()
    assert not (tmp_path / "data").exists()


def test_a_gateway_port_that_is_taken_is_one_clear_sentence(up: Starts) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        fleet = up(argv=["--gateway-listen", f"127.0.0.1:{port}"])
        assert fleet.ended() == 1
    assert fleet.said().count("\n") == 1
    assert f"127.0.0.1:{port}: the port is taken" in fleet.said()


def test_a_directory_that_cannot_be_used_is_one_clear_sentence(up: Starts, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    fleet = up(argv=[], data=tmp_path / "file")
    assert fleet.ended() == 1
    assert fleet.said().count("\n") == 1
    assert "cannot be used" in fleet.said()
