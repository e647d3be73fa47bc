"""Everything that the data centre holds in memory, in one place for those who work on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from secrets import token_bytes

from services.runtime.clock import Clock
from services.testdc.api.registry import Endpoint
from services.testdc.domain.costs import CostBook
from services.testdc.domain.faults import FaultBook, FaultKind, Subject
from services.testdc.domain.floods import FloodBook
from services.testdc.domain.keys import AuthKey, KeyRing
from services.testdc.domain.waits import WaitBook
from services.testdc.domain.world import World
from services.testdc.mtproto.dialogue import Dialogue
from services.testdc.mtproto.link import Link


@dataclass
class State:
    """World, keys, faults and the links that are open now."""

    clock: Clock
    endpoint: Endpoint
    secret: bytes = field(default_factory=partial(token_bytes, 16))
    """Access hashes are made with it."""
    world: World = field(default_factory=World)
    keys: KeyRing = field(default_factory=KeyRing)
    faults: FaultBook = field(default_factory=FaultBook)
    floods: FloodBook = field(default_factory=FloodBook)
    waits: WaitBook = field(default_factory=WaitBook)
    costs: CostBook = field(default_factory=CostBook)
    links: dict[int, Link] = field(default_factory=dict)
    """Open links by connection id."""
    dialogues: dict[int, Dialogue] = field(default_factory=dict)
    """Links that have shown their key, by connection id."""

    changes: int = 0
    """Grows with every change that a restart must not lose."""

    def touch(self) -> None:
        """Something changed that a restart must not lose."""
        self.changes += 1

    def subject(self, link: Link, key: AuthKey | None = None) -> Subject:
        """Who speaks on a link, as faults tell senders apart."""
        if key is None and (dialogue := self.dialogues.get(link.connection_id)):
            key = dialogue.key
        if key is None:
            return Subject(0, "", link.connection_id)
        return Subject(key.user_id, key.key_id, link.connection_id)

    def suffers(self, link: Link, kind: FaultKind, key: AuthKey | None = None) -> bool:
        """Whether a fault of the link itself applies."""
        return self.faults.on_link(self.subject(link, key), kind) is not None

    def server_time(self, link: Link, key: AuthKey | None = None) -> float:
        """The wall clock as this client is shown it."""
        fault = self.faults.on_link(self.subject(link, key), FaultKind.WRONG_CLOCK)
        return self.clock.wall().timestamp() + (fault.delay if fault else 0.0)
