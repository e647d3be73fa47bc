"""Settings: typed, strict, and clear when they are wrong."""

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.addresses import Endpoints, HostPort
from services.runtime.errors import SettingsError
from services.runtime.lifecycle import RuntimeSettings
from services.runtime.secret import Secret
from services.runtime.setting_names import ALL_NAMES
from services.runtime.settings import describe, env_names, format_duration, load, parse_duration, setting


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """For the tests."""

    needed: str = setting()
    """Has to be there."""
    count: int = setting(3, minimum=1, maximum=10)
    """How many,
    on two lines."""
    ratio: float = setting(0.5)
    live: bool = setting(default=False)
    key_file: Path | None = setting(None, env="TGFLEET_KEY")
    """Where the key is."""
    ttl: timedelta = setting(timedelta(seconds=30), minimum=timedelta(seconds=2))
    listen: HostPort = setting("127.0.0.1:0")
    etcd: Endpoints = setting("127.0.0.1:2379,127.0.0.1:2380")
    colour: Colour = setting(Colour.RED)
    mode: Literal["json", "text"] = setting("text")
    password: Secret[str] | None = setting(None)
    names: tuple[str, ...] = setting(())
    metrics: HostPort | Literal["off"] = setting("off")


KNOWN = env_names(Settings)
BASE = {"TGFLEET_NEEDED": "x", "PATH": "/bin", "HOME": "/"}


def read(**more: str) -> Settings:
    return load(Settings, BASE | {f"TGFLEET_{k}": v for k, v in more.items()}, known=KNOWN)


def test_defaults() -> None:
    settings = read()
    assert settings.needed == "x"
    assert settings.listen == HostPort("127.0.0.1", 0)
    assert settings.etcd.addresses == (HostPort("127.0.0.1", 2379), HostPort("127.0.0.1", 2380))
    assert settings.key_file is None
    assert settings.metrics == "off"


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("COUNT", " 7 ", "count", 7),
        ("RATIO", "0.25", "ratio", 0.25),
        ("LIVE", "1", "live", True),
        ("LIVE", "No", "live", False),
        ("KEY", "/a/b", "key_file", Path("/a/b")),
        ("TTL", "1500ms", "ttl", timedelta(seconds=1.5)),
        ("TTL", "1h30m", "ttl", timedelta(minutes=90)),
        ("LISTEN", "[::1]:5", "listen", HostPort("::1", 5)),
        ("ETCD", "dns:///etcd:2379", "etcd", Endpoints((), "dns:///etcd:2379")),
        ("COLOUR", "Blue", "colour", Colour.BLUE),
        ("MODE", "json", "mode", "json"),
        ("PASSWORD", "hunter2", "password", Secret("hunter2")),
        ("NAMES", "a, b,", "names", ("a", "b")),
        ("METRICS", "0.0.0.0:9", "metrics", HostPort("0.0.0.0", 9)),
        ("NEEDED", "", "needed", None),
    ],
)
def test_values(name: str, text: str, field: str, value: Any) -> None:
    if name == "TTL" and text == "1500ms":
        with pytest.raises(SettingsError, match="at least 2s"):
            read(TTL=text)
    elif value is None:
        with pytest.raises(SettingsError, match="TGFLEET_NEEDED is not set"):
            read(**{name: text})
    else:
        assert getattr(read(**{name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("COUNT", "seven", "whole number"),
        ("COUNT", "0", "at least 1"),
        ("COUNT", "11", "at most 10"),
        ("RATIO", "nan", "finite"),
        ("LIVE", "perhaps", "1 or 0"),
        ("TTL", "30", "duration"),
        ("TTL", "-5s", "duration"),
        ("TTL", "5 s", "duration"),
        ("TTL", "9" * 400 + "d", "longest"),
        ("LISTEN", "5001", "host:port"),
        ("LISTEN", "a:b", "port"),
        ("LISTEN", "a:70000", "port"),
        ("LISTEN", "::1:50", "brackets"),
        ("ETCD", "a:1,,b:2", "host:port"),
        ("ETCD", "a:0", "port 0"),
        ("ETCD", "http://a:1", "host:port"),
        ("COLOUR", "green", "red, blue"),
        ("MODE", "xml", "json, text"),
        ("METRICS", "on", "host:port"),
    ],
)
def test_bad_values_are_one_sentence_that_names_the_variable(name: str, text: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: text})
    assert caught.value.message.startswith(f"TGFLEET_{name} has a bad value: ")
    assert why in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("TGFLEET_COUTN", "did you mean TGFLEET_COUNT?"), ("TGFLEET_QQQQQ", "README")],
)
def test_an_unknown_name_stops_the_start(wrong: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=wrong) as caught:
        load(Settings, BASE | {wrong: "canary"}, known=KNOWN)
    assert hint in caught.value.message
    assert "canary" not in caught.value.message


def test_a_secret_is_never_echoed() -> None:
    @dataclass(frozen=True)
    class Pin:
        pin: Secret[int] = setting()

    with pytest.raises(SettingsError) as caught:
        load(Pin, {"TGFLEET_PIN": "canary"}, known=["TGFLEET_PIN"])
    assert "canary" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert "hunter2" not in repr(read(PASSWORD="hunter2"))


def test_the_rows_of_the_table() -> None:
    rows = {row.env: row for row in describe(Settings)}
    assert list(rows) == KNOWN
    assert rows["TGFLEET_NEEDED"].default == "required"
    assert rows["TGFLEET_NEEDED"].meaning == "Has to be there."
    assert rows["TGFLEET_COUNT"].meaning == "How many, on two lines."
    assert rows["TGFLEET_TTL"].default == "30s"
    assert rows["TGFLEET_LIVE"].default == "0"
    assert rows["TGFLEET_KEY"].default == ""
    assert rows["TGFLEET_COLOUR"].default == "red"


def test_every_runtime_setting_has_a_docstring_and_is_registered() -> None:
    for row in describe(RuntimeSettings):
        assert row.meaning.endswith(".")
        assert row.env in ALL_NAMES


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1000)))
def test_durations_are_read_back(duration: timedelta) -> None:
    rounded = timedelta(milliseconds=round(duration.total_seconds() * 1000))
    assert abs(parse_duration(format_duration(rounded)) - rounded) < timedelta(milliseconds=1)


@given(st.text(max_size=20))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_duration, HostPort.parse, Endpoints.parse):
        with contextlib.suppress(ValueError):
            parse(text)
