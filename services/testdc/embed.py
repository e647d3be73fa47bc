"""The test data centre inside one's own process, for tests and tools.

::

    async with TestDataCentre() as dc:                      # listens on loopback, ports chosen by the system
        dc.host, dc.port, dc.media_port, dc.rsa_key_path    # TGFLEET_TELEGRAM_DC, TGFLEET_TELEGRAM_RSA_KEY
        alice = dc.control.create_account(NewAccount(first_name="Alice", username="alice"))
        alice.pyrogram_session, alice.telethon_session, alice.auth_key_id, alice.user_id
        dc.control.send_message(bob.user_id, user_peer(alice.user_id), "hello")   # live update to her clients
        dc.control.set_fault(Fault(FaultKind.SESSION_REVOKED, user_id=alice.user_id))
        await dc.until(lambda record: record.method == "messages.sendMessage")    # wait for the journal
        assert not dc.control.judge().overlaps

`dc.control` is services.testdc.handlers.Control: the same functions that the gRPC control API offers.
Clients must be pointed here by hand (TELEGRAM.md section 1); nothing here touches a client library's state.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from services.runtime.clock import Clock, SystemClock
from services.testdc.api.registry import Endpoint
from services.testdc.centre import DataCentre
from services.testdc.domain.faults import Fault, FaultKind
from services.testdc.domain.journal import Journal, Record
from services.testdc.domain.peer import Peer, PeerKind
from services.testdc.handlers import Account, Control, NewAccount
from services.testdc.mtproto.rsakey import RsaKey, make_key
from services.testdc.scribe import Scribe
from services.testdc.state import State

__all__ = [
    "Account",
    "Control",
    "Fault",
    "FaultKind",
    "NewAccount",
    "Peer",
    "PeerKind",
    "Record",
    "TestDataCentre",
    "channel_peer",
    "group_peer",
    "user_peer",
]

_JOURNAL_LIMIT = 1_000_000


class TestDataCentre:
    """A data centre for the length of an `async with`."""

    __test__ = False  # pytest would take the name for a test class

    def __init__(
        self, *, dc_id: int = 2, port: int = 0, media_port: int = 0, clock: Clock | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._wanted = Endpoint(dc_id, "127.0.0.1", port, media_port)
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self.rsa_key_path = Path()
        """PEM of the public key, while the data centre runs."""
        self.endpoint = self._wanted

    async def __aenter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="testdc-")
        self.rsa_key_path = Path(self._directory.name) / "rsa_key.pem"
        self.rsa_key_path.write_bytes(_key().public_pem)
        self.scribe = Scribe(Journal(_JOURNAL_LIMIT), self._clock)
        self.centre = DataCentre(State(self._clock, self._wanted), _key(), self.scribe)
        self.control = Control(self.centre)
        self.endpoint = await self.centre.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.centre.close()
        if self._directory is not None:
            self._directory.cleanup()

    @property
    def host(self) -> str:
        """Loopback."""
        return self.endpoint.host

    @property
    def port(self) -> int:
        """Port of main connections."""
        return self.endpoint.port

    @property
    def media_port(self) -> int:
        """Port of media connections."""
        return self.endpoint.media_port

    @property
    def rsa_key(self) -> RsaKey:
        """Modulus, exponent and fingerprint, for client libraries that take numbers."""
        return _key()

    async def until(
        self, wanted: Callable[[Record], bool], *, after: int = 0, within: float = 10.0
    ) -> Record:
        """The first wanted record above number `after`; raises TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            async for batch in self.scribe.watch(after):
                for record in batch:
                    if wanted(record):
                        return record
        raise AssertionError("a watch does not end by itself")


def user_peer(user_id: int) -> Peer:
    """A private chat, from the other side."""
    return Peer(PeerKind.USER, user_id)


def group_peer(chat_id: int) -> Peer:
    """A basic group."""
    return Peer(PeerKind.CHAT, chat_id)


def channel_peer(channel_id: int) -> Peer:
    """A channel or supergroup."""
    return Peer(PeerKind.CHANNEL, channel_id)


@cache
def _key() -> RsaKey:
    """One RSA key per process: making one takes CPU time, and clients keep it in a global table."""
    return make_key()
