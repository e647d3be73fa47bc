"""The MTProto conversation on one link: sessions, salts, message ids, pings, acknowledgements.

Everything of the protocol that is not an API call is answered here; the calls go on to a `Desk`.
https://core.telegram.org/mtproto/service_messages
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pyrogram.raw.core import FutureSalt, FutureSalts

from services.testdc.domain.keys import AuthKey
from services.testdc.mtproto.envelope import Message, seal_packet
from services.testdc.mtproto.link import Link
from services.testdc.mtproto.reading import ClientMessage, read_messages
from services.testdc.tl import raw

_CODE_TOO_LOW, _CODE_TOO_HIGH, _CODE_SALT = 16, 17, 48
_MAX_AHEAD, _MAX_BEHIND = 30, 300
"""How far a client's clock may be off, in seconds (mtproto/description#message-identifier-msg-id)."""
_RPC_RESULT = 0xF35C6D01
_SILENT_TYPES = (raw.types.MsgsAck, raw.types.MsgsAllInfo, raw.types.MsgsStateInfo, raw.types.HttpWait)
_SALT_LIFE = 24 * 3600


class Desk(Protocol):
    """Who handles what is said on a dialogue."""

    def ping(self, dialogue: Dialogue, method: str) -> None:
        """The client has pinged."""

    def rejected(self, dialogue: Dialogue, code: int) -> None:
        """A packet was refused for its salt or message id; the client will say it again."""

    def call(self, dialogue: Dialogue, message: ClientMessage) -> None:
        """The client calls an API method."""


class Dialogue:
    """What the server remembers of one link that speaks with an auth key."""

    def __init__(self, link: Link, key: AuthKey, desk: Desk, clock: Callable[[], float]) -> None:
        self.link = link
        self.key = key
        self.updates = True
        """False once the client asked for no updates on this link."""
        self.mute = False
        """Nothing is answered or pushed; the desk still sees what comes."""
        self._desk = desk
        self._clock = clock
        """The server's wall clock, wrong on purpose where a fault says so."""
        self._session_id = bytes(8)
        self._last_id = 0
        self._content_sent = 0

    def receive(self, packet: Message) -> None:
        """Handle one decrypted packet; raises UnreadableError."""
        self._session_id = packet.session_id
        if code := self._check(packet):
            self._reject(packet, code)
            return
        if packet.session_id not in self.key.sessions:
            self.key.sessions.add(packet.session_id)
            created = raw.types.NewSessionCreated(
                first_msg_id=packet.msg_id, unique_id=packet.msg_id, server_salt=self.key.salt
            )
            self._send(created.write(), content=True)
        for message in read_messages(packet.msg_id, packet.seq_no, packet.body):
            self._handle(message)

    def push(self, updates: bytes) -> None:
        """Send updates that nobody asked for."""
        self._send(updates, content=True, pushed=True)

    def answer(self, msg_id: int, result: bytes) -> None:
        """Send the result of a call."""
        head = _RPC_RESULT.to_bytes(4, "little") + msg_id.to_bytes(8, "little")
        self._send(head + result, content=True)

    def notify_bad(self, msg_id: int, code: int) -> None:
        """Say that a message was not understood, whether that is true or not."""
        answer = raw.types.BadMsgNotification(bad_msg_id=msg_id, bad_msg_seqno=0, error_code=code)
        self._send(answer.write(), content=False)

    def _check(self, packet: Message) -> int:
        ahead = (packet.msg_id >> 32) - self._clock()
        if ahead > _MAX_AHEAD:
            return _CODE_TOO_HIGH
        if ahead < -_MAX_BEHIND:
            return _CODE_TOO_LOW
        return 0 if packet.salt == self.key.salt else _CODE_SALT

    def _reject(self, packet: Message, code: int) -> None:
        self._desk.rejected(self, code)
        answer: Any
        if code == _CODE_SALT:
            answer = raw.types.BadServerSalt(
                bad_msg_id=packet.msg_id,
                bad_msg_seqno=packet.seq_no,
                error_code=code,
                new_server_salt=self.key.salt,
            )
        else:
            answer = raw.types.BadMsgNotification(
                bad_msg_id=packet.msg_id, bad_msg_seqno=packet.seq_no, error_code=code
            )
        self._send(answer.write(), content=False)

    def _handle(self, message: ClientMessage) -> None:
        query = message.query
        if isinstance(query, _SILENT_TYPES):
            return
        if isinstance(query, raw.functions.Ping | raw.functions.PingDelayDisconnect):
            self._pong(message.msg_id, query)
        elif isinstance(query, raw.functions.GetFutureSalts):
            self._future_salts(message.msg_id)
        elif isinstance(query, raw.functions.DestroySession):
            gone = raw.types.DestroySessionNone(session_id=query.session_id)
            self._send(gone.write(), content=False)
        elif isinstance(query, raw.functions.RpcDropAnswer):
            self.answer(message.msg_id, raw.types.RpcAnswerUnknown().write())
        elif isinstance(query, raw.types.MsgsStateReq):
            info = raw.types.MsgsStateInfo(req_msg_id=message.msg_id, info=b"\x04" * len(query.msg_ids))
            self._send(info.write(), content=False)
        else:
            self._desk.call(self, message)

    def _pong(self, msg_id: int, query: Any) -> None:
        delay = getattr(query, "disconnect_delay", None)
        self._desk.ping(self, "ping" if delay is None else "pingDelayDisconnect")
        if delay is not None:
            self.link.expire_in(delay)
        self._send(raw.types.Pong(msg_id=msg_id, ping_id=query.ping_id).write(), content=False)

    def _future_salts(self, msg_id: int) -> None:
        now = int(self._clock())
        salt = FutureSalt(now, now + _SALT_LIFE, self.key.salt)
        self._send(FutureSalts(msg_id, now, [salt]).write(), content=False)

    def _send(self, body: bytes, *, content: bool, pushed: bool = False) -> None:
        if self.mute:
            return
        seq_no = self._content_sent * 2 + content
        self._content_sent += content
        msg_id = self._next_id(pushed=pushed)
        message = Message(self.key.salt, self._session_id, msg_id, seq_no, body)
        self.link.send(seal_packet(self.key.secret, message))

    def _next_id(self, *, pushed: bool) -> int:
        """Odd, unique and growing: 1 modulo 4 answers the client, 3 modulo 4 does not."""
        base = max(int(self._clock() * 2**32) & ~3, (self._last_id & ~3) + 4)
        self._last_id = base | (3 if pushed else 1)
        return self._last_id
