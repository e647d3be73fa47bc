"""Packets taken apart in place: the same as the library finds, the same refused, answers to forwards read no
further than needed."""

from __future__ import annotations

import os
from concurrent.futures import Future
from gzip import compress
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from pyrogram import raw
from pyrogram.crypto import aes, mtproto
from pyrogram.errors import SecurityCheckMismatch
from pyrogram.raw.core import Bytes, GzipPacked, Int, Long, Message, MsgContainer

from services.worker.adapters.telegram_packets import InPlace, Unread, unpack

KEY = os.urandom(256)
KEY_ID = os.urandom(8)
SESSION = os.urandom(8)
t = raw.types


def packed(body: bytes, *, msg_id: int = 5, session: bytes = SESSION, spoil: bool = False) -> BytesIO:
    """As a server packs (core.telegram.org/mtproto/description)."""
    data = Long(0) + session + Long(msg_id) + Int(1) + Int(len(body)) + body
    data += os.urandom(-(len(data) + 12) % 16 + 12)
    msg_key = sha256(KEY[96:128] + data).digest()[8:24]
    aes_key, aes_iv = mtproto.kdf(KEY, msg_key, outgoing=False)
    sent = aes.ige256_encrypt(data, aes_key, aes_iv)
    if spoil:
        sent = sent[:-1] + bytes([sent[-1] ^ 1])
    return BytesIO(KEY_ID + msg_key + sent)


def ours(packet: BytesIO) -> Any:
    return unpack(packet, SESSION, KEY, KEY_ID)


def result(answer: bytes, req: int = 9) -> bytes:
    return Int(t.RpcResult.ID, signed=False) + Long(req) + answer


def updates(*named: tuple[int, int], more: list[Any] | None = None, first: list[Any] | None = None) -> bytes:
    names = [t.UpdateMessageID(id=one, random_id=random_id) for one, random_id in named]
    all_ = [*(first or []), *names, *(more or [])]
    return bytes(t.Updates(updates=all_, users=[], chats=[], date=1, seq=0).write())


NEW = t.UpdateNewChannelMessage(
    message=t.Message(id=7, peer_id=t.PeerChannel(channel_id=3), date=1, message="text"), pts=1, pts_count=1
)
POSTED = updates((7, 70), (8, -80), more=[NEW, NEW])


def test_what_is_found_is_what_the_library_finds() -> None:
    pong = t.Pong(msg_id=3, ping_id=4).write()
    error = result(t.RpcError(error_code=420, error_message="FLOOD_WAIT_3").write())
    both = MsgContainer([Message(t.Pong(msg_id=3, ping_id=4), 11, 1, len(pong))]).write()
    for body in (pong, error, both, POSTED, result(t.BoolTrue().write() if hasattr(t, "BoolTrue") else pong)):
        mine = ours(packed(body))
        theirs = mtproto.unpack(packed(body), SESSION, KEY, KEY_ID)
        assert (mine.msg_id, mine.seq_no, mine.length) == (theirs.msg_id, theirs.seq_no, theirs.length)
        assert str(mine.body) == str(theirs.body)


@pytest.mark.parametrize(
    "packet",
    [
        packed(b"\0" * 8, session=b"12345678"),
        packed(b"\0" * 8, msg_id=4),
        packed(b"\0" * 8, spoil=True),
        BytesIO(b"12345678" + packed(b"\0" * 8).getvalue()[8:]),
    ],
)
def test_what_is_not_telegrams_is_refused(packet: BytesIO) -> None:
    with pytest.raises(SecurityCheckMismatch):
        ours(packet)


def test_a_constructor_of_another_layer_is_a_value_error_as_the_library_says_it() -> None:
    with pytest.raises(ValueError, match="layer"):
        ours(packed(b"\x01\x02\x03\x04" * 4))
    with pytest.raises(ValueError, match="layer"):
        ours(packed(result(b"\x01\x02\x03\x04" * 4)))


@pytest.mark.parametrize("zipped", [False, True])
def test_an_answer_to_a_forward_is_read_as_far_as_needed(zipped: bool) -> None:
    answer = POSTED
    if zipped:
        answer = Int(GzipPacked.ID, signed=False) + Bytes(compress(answer))
    unread = ours(packed(result(answer))).body.result
    assert isinstance(unread, Unread)
    assert unread.named((70, -80)) == {70: 7, -80: 8}
    assert unread.named((-80, 70)) == {70: 7, -80: 8}
    whole = unread.read()
    assert [type(one).__name__ for one in whole.updates[:3]] == [
        "UpdateMessageID",
        "UpdateMessageID",
        "UpdateNewChannelMessage",
    ]


def test_names_that_do_not_all_stand_at_the_head_are_looked_for_in_the_whole() -> None:
    assert Unread(POSTED).named((70, 71)) is None
    assert Unread(POSTED).named((70, -80, 90)) is None
    assert Unread(updates((7, 70), more=[NEW])).named((70, 71)) is None
    assert Unread(updates((7, 70), first=[NEW])).named((70,)) is None
    assert Unread(updates((7, 70))[:20]).named((70,)) is None
    assert Unread(updates((7, 70))).named((70,)) == {70: 7}


def test_work_in_place_hands_on_what_it_found_or_what_went_wrong() -> None:
    done: Future[Any] = InPlace().submit(len, "abc")
    assert done.result(0) == 3
    failed = InPlace().submit(mtproto.unpack, packed(b"\0" * 8, msg_id=4), SESSION, KEY, KEY_ID)
    with pytest.raises(SecurityCheckMismatch):
        failed.result(0)
