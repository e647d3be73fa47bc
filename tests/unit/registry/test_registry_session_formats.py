"""Session strings and files: what the libraries write is read, everything else is refused with a sentence."""

import base64
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telethon.crypto import AuthKey

from services.registry.domain.errors import NotASessionError
from services.registry.domain.session import auth_key_id
from services.registry.domain.session_files import MAX_FILE, decode_session_file
from services.registry.domain.session_strings import MAX_STRING, decode_session_string
from tests.unit.registry import session_samples as samples

KEY = samples.new_key()


def test_the_key_id_is_the_one_that_mtproto_uses() -> None:
    number = AuthKey(KEY).key_id  # Telethon's own: an unsigned little-endian number
    assert bytes.fromhex(auth_key_id(KEY)) == number.to_bytes(8, "little")


@pytest.mark.parametrize("dc_id", [1, 2, 3, 4, 5])
def test_kurigram_strings(dc_id: int) -> None:
    text = samples.pyrogram_string(KEY, dc_id)
    assert len(text) == 362
    session = decode_session_string(text)
    assert (session.kind, session.dc_id, session.auth_key) == ("pyrogram", dc_id, KEY)
    assert (session.user_id, session.api_id, session.test_mode) == (
        samples.BIG_USER_ID,
        samples.API_ID,
        False,
    )
    assert session.auth_key_id == auth_key_id(KEY)


@pytest.mark.parametrize(
    ("wide", "length", "user_id"), [(False, 351, samples.USER_ID), (True, 356, samples.BIG_USER_ID)]
)
def test_old_pyrogram_strings(wide: bool, length: int, user_id: int) -> None:
    text = samples.old_pyrogram_string(KEY, 5, wide=wide, test_mode=True)
    assert len(text) == length
    session = decode_session_string(text)
    assert (session.kind, session.dc_id, session.auth_key) == ("pyrogram", 5, KEY)
    assert (session.user_id, session.api_id, session.test_mode) == (user_id, 0, True)


@pytest.mark.parametrize("address", ["149.154.167.51", "2001:67c:4e8:f002::a"])
def test_telethon_strings(address: str) -> None:
    session = decode_session_string(samples.telethon_string(KEY, 3, address))
    assert (session.kind, session.dc_id, session.auth_key, session.user_id) == ("telethon", 3, KEY, 0)


@pytest.mark.parametrize(
    "address",
    [
        "149.154.167.51",
        "91.108.56.130",
        "1.1.1.1",
        "149.154.175.100",
        "2001:67c:4e8:f002::a",
        "vesta.web.telegram.org",
    ],
)
def test_gramjs_strings(address: str) -> None:
    session = decode_session_string(samples.gramjs_string(KEY, 4, address))
    assert (session.kind, session.dc_id, session.auth_key) == ("gramjs", 4, KEY)


def test_blanks_and_padding_do_not_matter() -> None:
    text = samples.pyrogram_string(KEY)
    assert decode_session_string(f"\n  {text}== \n").auth_key == KEY


def test_many_random_keys_survive_every_string_format() -> None:
    """Lengths and first characters must never make one format look like another."""
    for _ in range(50):
        key = samples.new_key()
        for text, kind in (
            (samples.old_pyrogram_string(key, wide=False), "pyrogram"),
            (samples.old_pyrogram_string(key, wide=True), "pyrogram"),
            (samples.telethon_string(key), "telethon"),
            (samples.telethon_string(key, address="2001:67c:4e8:f002::a"), "telethon"),
            (samples.gramjs_string(key), "gramjs"),
        ):
            session = decode_session_string(text)
            assert (session.kind, session.auth_key) == (kind, key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "hello",
        "1",
        "1AAAA",
        "A" * 351,  # all zero
        "A" * 5000,
        "ü" * 351,
        samples.pyrogram_string(KEY)[:-1],
        samples.pyrogram_string(KEY) + "A",
        samples.telethon_string(KEY)[:-4],
        samples.gramjs_string(KEY) + "AAAA",
        samples.telethon_string(KEY, dc_id=6),
        samples.old_pyrogram_string(KEY, 0, wide=True),
        samples.old_pyrogram_string(bytes(256), wide=True),
        samples.pyrogram_string(KEY, is_bot=True),
        base64.b64encode(b"\x02" * 267).decode() + "\x00",
    ],
)
def test_what_is_no_session_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(NotASessionError) as caught:
        decode_session_string(text)
    sentence = str(caught.value)
    assert sentence.endswith((".", "?"))
    assert len(text.strip()) < 8 or text.strip()[:8] not in sentence


@given(st.text(max_size=MAX_STRING + 10))
def test_any_text_is_a_session_or_refused(text: str) -> None:
    try:
        session = decode_session_string(text)
    except NotASessionError:
        return
    assert len(session.auth_key) == 256


@settings(max_examples=300)
@given(st.binary(min_size=255, max_size=300), st.sampled_from(["", "1"]))
def test_any_bytes_of_about_the_right_length_are_a_session_or_refused(data: bytes, prefix: str) -> None:
    try:
        session = decode_session_string(prefix + base64.urlsafe_b64encode(data).decode())
    except NotASessionError:
        return
    assert 1 <= session.dc_id <= 5


@pytest.mark.parametrize("use_wal", [False, True])
def test_kurigram_files(tmp_path: Path, use_wal: bool) -> None:
    session = decode_session_file(samples.pyrogram_file(tmp_path, KEY, 5, use_wal=use_wal))
    assert (session.kind, session.dc_id, session.auth_key) == ("pyrogram-file", 5, KEY)
    assert (session.user_id, session.api_id) == (samples.BIG_USER_ID, samples.API_ID)


@pytest.mark.parametrize("version", [2, 3, 6])
def test_old_pyrogram_files(tmp_path: Path, version: int) -> None:
    session = decode_session_file(samples.old_pyrogram_file(tmp_path, KEY, version))
    assert (session.kind, session.dc_id, session.auth_key) == ("pyrogram-file", 4, KEY)
    assert (session.user_id, session.api_id) == (samples.USER_ID, 0)


def test_telethon_files(tmp_path: Path) -> None:
    session = decode_session_file(samples.telethon_file(tmp_path, KEY, 1))
    assert (session.kind, session.dc_id, session.auth_key) == ("telethon-file", 1, KEY)


def test_a_file_before_its_login_holds_no_key(tmp_path: Path) -> None:
    for data in (samples.pyrogram_file(tmp_path, b""), samples.telethon_file(tmp_path, b"")):
        with pytest.raises(NotASessionError, match="no auth key"):
            decode_session_file(data)


def other_database(tmp_path: Path, statements: str) -> bytes:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE cookies (host TEXT, value TEXT); INSERT INTO cookies VALUES ('a', 'b');",
        "CREATE TABLE sessions (id INTEGER, token TEXT); INSERT INTO sessions VALUES (1, 'x');",
        "CREATE TABLE sessions (dc_id INTEGER, auth_key BLOB); INSERT INTO sessions VALUES (2, x'00');",
        "CREATE TABLE a (dc_id, auth_key, test_mode); CREATE VIEW sessions AS SELECT * FROM a;",
        "CREATE VIEW sessions AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c",
        "CREATE TABLE sessions (dc_id, auth_key, test_mode);",
        "CREATE TABLE sessions (dc_id, auth_key, test_mode); INSERT INTO sessions VALUES ('2', 'text', 0);",
    ],
)
def test_another_sqlite_file_is_refused(tmp_path: Path, statements: str) -> None:
    with pytest.raises(NotASessionError):
        decode_session_file(other_database(tmp_path, statements))


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    data = samples.pyrogram_file(tmp_path, KEY)
    for length in [*range(0, 200, 7), *range(200, len(data), 997), len(data) - 1]:
        with pytest.raises(NotASessionError):
            decode_session_file(data[:length])


def test_garbage_and_oversize_are_refused() -> None:
    for data in (
        b"",
        b"hello",
        b"SQLite format 3\x00",
        b"SQLite format 3\x00" + bytes(5000),
        bytes(MAX_FILE + 1),
    ):
        with pytest.raises(NotASessionError):
            decode_session_file(data)


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return samples.pyrogram_file(tmp_path_factory.mktemp("whole"), KEY)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_a_session_or_refused(whole_file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole_file)
    for _ in range(data.draw(st.integers(1, 20))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        session = decode_session_file(bytes(damaged))
    except NotASessionError:
        return
    assert len(session.auth_key) == 256
