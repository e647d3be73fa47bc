"""Nothing secret can be read in a redacted text, and what operators need still can."""

import base64
import string
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.redact import MASK, mask_name, mask_phone, redact_text, redact_value
from services.runtime.secret import Secret

SURROUNDINGS = [
    "{}",
    "session {} is bad",
    "'{}'",
    '{{"x": "{}"}}',
    "key={}",
    "({})",
    "a\n{}\nb",
    "{}: dead",
    "u={};v=1",
]
surroundings = st.sampled_from(SURROUNDINGS)
keys = st.binary(min_size=256, max_size=290)


def session_strings() -> st.SearchStrategy[str]:
    """Pyrogram (url-safe, no padding), Telethon ("1" and url-safe), GramJS ("1" and standard base64)."""
    return st.one_of(
        keys.map(lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")),
        keys.map(lambda data: "1" + base64.urlsafe_b64encode(data).decode()),
        keys.map(lambda data: "1" + base64.b64encode(data).decode()),
    )


def leaks(secret: str, shown: str, length: int = 12) -> bool:
    """Whether any run of that many characters of the secret is still there."""
    return any(secret[i : i + length] in shown for i in range(len(secret) - length + 1))


@given(session_strings(), surroundings)
def test_session_strings_of_all_kinds(secret: str, around: str) -> None:
    assert not leaks(secret, redact_text(around.format(secret)))


@given(st.text(string.hexdigits.lower(), min_size=32, max_size=32), surroundings)
def test_api_hashes(secret: str, around: str) -> None:
    assert secret not in redact_text(around.format(secret))


@given(st.text(string.ascii_letters + string.digits + "-_", min_size=8, max_size=60), surroundings)
def test_our_tokens(secret: str, around: str) -> None:
    assert secret not in redact_text(around.format(f"tgf_{secret}"))


@given(
    st.text(string.ascii_letters + string.digits + "!$%*-_.~@:", min_size=4, max_size=30).map(
        lambda t: f"Zq{t}qZ"
    )
)
def test_passwords_in_proxy_addresses(secret: str) -> None:
    shown = redact_text(f"cannot connect to socks5://user:{secret}@10.0.0.1:1080 now")
    assert secret not in shown
    assert shown.startswith("cannot connect to socks5://user:")
    assert shown.endswith("@10.0.0.1:1080 now")


@given(st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True), surroundings)
def test_phone_numbers_with_a_plus(digits: str, around: str) -> None:
    shown = redact_text(around.format(f"+{digits}"))
    assert digits not in shown
    assert f"+{digits[:2]}•••••{digits[-2:]}" in shown


@pytest.mark.parametrize("text", ["+999 66 123 4567", "+1 (202) 555-0123", "+49-30-1234567"])
def test_phone_numbers_as_people_write_them(text: str) -> None:
    assert sum(c.isdigit() for c in redact_text(f"call {text} now")) == 4


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "password: hunter2",
        "{'password': 'hunter2'}",
        '{"api_hash":"hunter2"}',
        "Settings(two_factor_password='hunter2')",
        "Authorization: Bearer hunter2",
        "TGFLEET_TELEGRAM_API_HASH=hunter2",
        "phone_code_hash='hunter2'",
        "bot_token=hunter2",
        "secret = 'hun hunter2'",
        r"{'password': 'it\'s hunter2'}",
        "postgresql+asyncpg://app:hunter2@db:5432/x",
        r"auth_key=b'\x00hunter2\x01'",
    ],
)
def test_values_with_a_telling_name(text: str) -> None:
    assert "hunter2" not in redact_text(text)


@given(st.binary(min_size=256, max_size=256))
def test_the_repr_of_a_key(key: bytes) -> None:
    shown = redact_text(f"auth key {key!r} is dead")
    assert not leaks(repr(key), shown, 24)


READABLE = [
    "auth_key_id=0123456789abcdef",
    str(uuid.UUID(int=0x12345678123456781234567812345678)),
    "acc_abcdefghij23",
    "worker w-1 incarnation 6f1c0f4e-0d5c-4c5d-9c55-0f5f3a2b1c0d",
    "listening on 127.0.0.1:50051, [::1]:50052",
    "user_id=5012345678 chat=-1001234567890",
    "took 12.5 ms, retry in 30s, at 2026-11-21T00:00:00+00:00",
    "/tgfleet.registry.v1.RegistryService/AcquireSessions",
    "/usr/lib/python3.11/site-packages/some/long/path/that/goes/on/and/on/and/on/until/the/end/file",
    "lease_token=3 page_token=abc",
    "the password is wrong",
    "https://example.org/a:b",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
]


@pytest.mark.parametrize("text", READABLE)
def test_what_operators_need_stays(text: str) -> None:
    assert redact_text(text) == text


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none())
def test_numbers_stay(value: Any) -> None:
    assert redact_value(value, "port") == value


@given(st.text(max_size=300))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


def test_structures() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd password=hunter2"

    shown = redact_value(
        {
            "session_string": "abc",
            "proxy": {"password": "hunter2", "host": "h"},
            "items": [Secret("hunter2"), b"hunter2", ("token=hunter2",), {1: "+99966123456"}],
            "error": ValueError("api_hash=hunter2"),
            "odd": Odd(),
            "password": None,
            "name": "79991234567",
            "account_name": "+99966123456",
            "user_id": 79991234567,
            "auth_key_id": "0123456789abcdef",
            "lease_token": "g1-r5",
        }
    )
    assert "hunter2" not in repr(shown)
    assert "66123456" not in repr(shown)
    assert shown["session_string"] == MASK
    assert shown["proxy"]["host"] == "h"
    assert shown["password"] is None
    assert shown["name"] == "79•••••67"
    assert shown["user_id"] == 79991234567
    assert shown["auth_key_id"] == "0123456789abcdef"
    assert shown["lease_token"] == "g1-r5"


def test_a_structure_without_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "too deep" in repr(redact_value(loop))


def test_masks() -> None:
    assert mask_phone("+9996612345") == "+99•••••45"
    assert mask_phone("79991234567") == "79•••••67"
    assert mask_name("79991234567") == "79•••••67"
    assert mask_name("+999 66 12345") == "+99•••••45"
    assert mask_name("anna-7") == "anna-7"
    assert mask_name("12345") == "12345"
    assert mask_name("") == ""
