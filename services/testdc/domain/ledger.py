"""Which random_id an account has used already: Telegram sends a message once for each.

How long it remembers, and whether it answers a repeat with an error or with the first result, is unknown to
everybody (TELEGRAM.md section 2), so both can be chosen.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from services.testdc.domain.errors import TelegramError
from services.testdc.domain.frozenlog import FrozenLog
from services.testdc.domain.peer import Peer

DUPLICATE = TelegramError(500, "RANDOM_ID_DUPLICATE")


class OnRepeat(Enum):
    """What a repeated random_id gets."""

    RESULT = "result"
    """The first result again; RANDOM_ID_DUPLICATE when that message is gone."""
    ERROR = "error"
    """500 RANDOM_ID_DUPLICATE."""


class Entry(NamedTuple):
    """One random_id that was used."""

    user_id: int
    random_id: int
    peer: Peer
    message_id: int
    time: int


class Ledger:
    """The random_ids of every account."""

    def __init__(self) -> None:
        self.on_repeat = OnRepeat.RESULT
        self.life = 0
        """Seconds after which a random_id is forgotten; 0: never."""
        self._entries: FrozenLog[Entry] = FrozenLog()
        self._used: dict[tuple[int, int], Entry] = {}

    def find(self, user_id: int, random_id: int, now: int) -> Entry | None:
        """What an account sent with a random_id; raises TelegramError when repeats are answered so."""
        entry = self._used.get((user_id, random_id)) if random_id else None
        if entry is None or (self.life and now - entry.time >= self.life):
            return None
        if self.on_repeat is OnRepeat.ERROR:
            raise DUPLICATE
        return entry

    def keep(self, entry: Entry) -> None:
        """Remember what was sent; 0 is no random_id."""
        if entry.random_id:
            self._entries.append(entry)
            self._used[entry.user_id, entry.random_id] = entry

    def __getstate__(self) -> tuple[OnRepeat, int, FrozenLog[Entry]]:
        return self.on_repeat, self.life, self._entries

    def __setstate__(self, state: tuple[OnRepeat, int, FrozenLog[Entry]]) -> None:
        self.on_repeat, self.life, self._entries = state
        self._used = {(entry.user_id, entry.random_id): entry for entry in self._entries}
