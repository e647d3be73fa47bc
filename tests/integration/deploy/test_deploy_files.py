"""A secret is read from a file that a setting names; a server that does not serve says that it lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from services.runtime.errors import SettingsError
from services.runtime.health import LIVE, HealthServicer
from services.runtime.settings import load, setting

NAME = "TGFLEET_START_BURST"


@dataclass(frozen=True, kw_only=True)
class Settings:
    burst: int = setting(7, env=NAME)
    """A number."""


def test_a_value_is_read_from_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "burst").write_text(" 42\n")
    assert load(Settings, {NAME: f"file://{tmp_path}/burst"}).burst == 42


def test_an_empty_file_is_as_good_as_no_value(tmp_path: Path) -> None:
    (tmp_path / "burst").write_text("\n")
    assert load(Settings, {NAME: f"file://{tmp_path}/burst"}).burst == 7


def test_what_a_file_holds_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "burst").write_text("canary")
    with pytest.raises(SettingsError, match=NAME) as caught:
        load(Settings, {NAME: f"file://{tmp_path}/burst"})
    assert "canary" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(Settings, {NAME: f"file://{tmp_path}/none"})


async def test_a_standby_lives_and_does_not_serve_until_it_is_stopped() -> None:
    health = HealthServicer()
    health.set_all(["x"], serving=False)
    answers = [await _status(health, LIVE), await _status(health, "")]
    assert answers == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    health.stop()
    assert await _status(health, LIVE) == health_pb2.HealthCheckResponse.NOT_SERVING


async def _status(health: HealthServicer, service: str) -> int:
    return int((await health.Check(health_pb2.HealthCheckRequest(service=service), None)).status)
