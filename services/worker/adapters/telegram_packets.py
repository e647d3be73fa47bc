"""Takes packets of Telegram apart, in place and no further than anybody needs.

The library unpacks in a thread and builds an object for everything in a packet. The answer to a forward of
100 messages repeats them all, while only the new ids matter: such answers stay `Unread` until somebody asks,
and the ids can be read off without the rest (DESIGN section 6, 4; BASELINES.md, CPU a batch). A thread costs
more than the decryption of a packet: both would wait for the same interpreter lock.
"""

import struct
from collections.abc import Callable
from concurrent.futures import Future
from gzip import decompress
from hashlib import sha256
from io import BytesIO
from typing import Any

from pyrogram import raw
from pyrogram.crypto import aes, mtproto
from pyrogram.errors import SecurityCheckMismatch
from pyrogram.raw.core import Bytes, GzipPacked, Message, MsgContainer, TLObject

_HEAD = struct.Struct("<8s8sqii")
"""Salt, session id, message id, sequence number, length (core.telegram.org/mtproto/description)."""
_WORD = struct.Struct("<I")
_VECTOR_OF = struct.Struct("<III")
_NAMED = struct.Struct("<Iiq")
"""updateMessageID: constructor, id, random_id."""
_VECTOR = 0x1CB5C415
_PADDING = range(12, 1025)
_LAZY = frozenset({raw.types.Updates.ID, raw.types.messages.ChannelMessages.ID})
"""Answers to forwards, and pages of channels (`telegram_pages`)."""
_MESSAGE_HEAD = 16


class Unread:
    """The answer to a call, not taken apart yet."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self) -> Any:
        """The whole answer as the library's objects. Raises KeyError for a constructor that it lacks."""
        return TLObject.read(BytesIO(self.data))

    def named(self, random_ids: tuple[int, ...]) -> dict[int, int] | None:
        """The message's id for each random_id; None when they do not all stand at the head of the answer,
        where Telegram puts them."""
        end = _VECTOR_OF.size + len(random_ids) * _NAMED.size
        if len(self.data) < end:
            return None
        kind, vector, count = _VECTOR_OF.unpack_from(self.data)
        if kind != raw.types.Updates.ID or vector != _VECTOR or count < len(random_ids):
            return None
        rows = list(_NAMED.iter_unpack(self.data[_VECTOR_OF.size : end]))
        if any(constructor != raw.types.UpdateMessageID.ID for constructor, _, _ in rows):
            return None
        named = {random_id: message_id for _, message_id, random_id in rows}
        return named if named.keys() == set(random_ids) else None


def read_whole(answer: Any) -> Any:
    """The answer as the library's objects."""
    return answer.read() if isinstance(answer, Unread) else answer


class InPlace:
    """Stands where the library expects a pool of threads: works at once, with our `unpack`."""

    def submit(self, work: Callable[..., Any], *given: Any) -> "Future[Any]":
        """As concurrent.futures.Executor's."""
        done: Future[Any] = Future()
        try:
            done.set_result((unpack if work is mtproto.unpack else work)(*given))
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            done.set_exception(error)
        return done


def unpack(packet: BytesIO, session_id: bytes, auth_key: bytes, auth_key_id: bytes) -> Message:
    """As the library's, which checks the same things after it has parsed all
    (core.telegram.org/mtproto/security_guidelines). Raises SecurityCheckMismatch, and ValueError for what
    cannot be parsed."""
    _check(packet.read(8) == auth_key_id, "the auth key's id")
    msg_key = packet.read(16)
    aes_key, aes_iv = mtproto.kdf(auth_key, msg_key, outgoing=False)
    data = aes.ige256_decrypt(packet.read(), aes_key, aes_iv)
    _check(msg_key == sha256(auth_key[96:128] + data).digest()[8:24], "the message key")
    _, session, msg_id, seq_no, length = _HEAD.unpack_from(data)
    _check(session == session_id, "the session's id")
    _check(length >= 0 and len(data) - _HEAD.size - length in _PADDING, "the padding")
    _check(msg_id % 2 == 1, "the message's id")
    try:
        return Message(_body(data[_HEAD.size : _HEAD.size + length]), msg_id, seq_no, length)
    except (KeyError, struct.error) as error:
        raise ValueError("the packet has a constructor that this layer does not know") from error


def _check(holds: bool, what: str) -> None:  # noqa: FBT001
    if not holds:
        raise SecurityCheckMismatch(f"a packet fails the check of {what}")


def _body(data: bytes) -> Any:
    (constructor,) = _WORD.unpack_from(data)
    if constructor == MsgContainer.ID:
        return MsgContainer(_messages(data))
    if constructor == raw.types.RpcResult.ID:
        (req_msg_id,) = struct.unpack_from("<q", data, 4)
        return raw.types.RpcResult(req_msg_id=req_msg_id, result=_result(data[12:]))
    return TLObject.read(BytesIO(data))


def _messages(data: bytes) -> list[Message]:
    (count,) = _WORD.unpack_from(data, 4)
    found, at = [], 8
    for _ in range(count):
        msg_id, seq_no, length = struct.unpack_from("<qii", data, at)
        at += _MESSAGE_HEAD
        found.append(Message(_body(data[at : at + length]), msg_id, seq_no, length))
        at += length
    return found


def _result(data: bytes) -> Any:
    (constructor,) = _WORD.unpack_from(data)
    if constructor == GzipPacked.ID:
        return _result(decompress(Bytes.read(BytesIO(data[4:]))))
    return Unread(data) if constructor in _LAZY else TLObject.read(BytesIO(data))
