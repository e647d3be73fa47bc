"""Which random_id an account has used already: Telegram sends a message once for each.

How long it remembers, and whether it answers a repeat with an error or with the first result, is unknown to
everybody (TELEGRAM.md section 2), so both can be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from services.testdc.domain.errors import TelegramError
from services.testdc.domain.peer import Peer

DUPLICATE = TelegramError(500, "RANDOM_ID_DUPLICATE")


class OnRepeat(Enum):
    """What a repeated random_id gets."""

    RESULT = "result"
    """The first result again; RANDOM_ID_DUPLICATE when that message is gone."""
    ERROR = "error"
    """500 RANDOM_ID_DUPLICATE."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One random_id that was used."""

    peer: Peer
    message_id: int
    time: int


@dataclass
class Ledger:
    """The random_ids of every account."""

    on_repeat: OnRepeat = OnRepeat.RESULT
    life: int = 0
    """Seconds after which a random_id is forgotten; 0: never."""
    _used: dict[int, dict[int, Entry]] = field(default_factory=dict)

    def find(self, user_id: int, random_id: int, now: int) -> Entry | None:
        """What an account sent with a random_id; raises TelegramError when repeats are answered so."""
        entry = self._used.get(user_id, {}).get(random_id) if random_id else None
        if entry is None or (self.life and now - entry.time >= self.life):
            return None
        if self.on_repeat is OnRepeat.ERROR:
            raise DUPLICATE
        return entry

    def keep(self, user_id: int, random_id: int, entry: Entry) -> None:
        """Remember what was sent; 0 is no random_id."""
        if random_id:
            self._used.setdefault(user_id, {})[random_id] = entry
