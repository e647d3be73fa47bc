"""A pool with a few accounts, and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.scheduler.domain.transfers.choosing.pool import Pool
from services.scheduler.domain.transfers.choosing.words import Ask, Chosen, Explained, Nobody, PoolAccount
from services.scheduler.domain.transfers.records import TransferPicture

FORWARD = "messages.forwardMessages"
CHAT = -100777
NOTHING = TransferPicture((), (), (), (), (), ())


def at(text: str) -> float:
    """Seconds since 1970 of an ISO time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@dataclass
class PoolStage:
    """Time and a pool."""

    picture: TransferPicture = NOTHING
    prediction: bool = False
    now: float = 1000.0
    wall: float = field(default_factory=lambda: at("2026-11-20T12:00:00"))
    ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.pool = Pool(self.picture, prediction=self.prediction, now=self.now, wall=self.wall)

    def add(self, *accounts: PoolAccount | str) -> PoolStage:
        for given in accounts:
            account = PoolAccount(given, given) if isinstance(given, str) else given
            self.pool.update(account, self.now, self.wall)
            self.ids |= {account.account_id}
        return self

    def restarted(
        self, picture: TransferPicture, accounts: Iterable[PoolAccount | str], down: float
    ) -> PoolStage:
        """A new process, `down` seconds of wall time later; its monotonic clock starts elsewhere."""
        stage = PoolStage(picture, self.prediction, now=7.0, wall=self.wall + down)
        return stage.add(*accounts)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def ask(self, transfer_id: str = "tr_1", **fields: object) -> Ask:
        return Ask(transfer_id, FORWARD, CHAT, self.ids, **fields)  # type: ignore[arg-type]

    def choose(self, **fields: object) -> Chosen | Nobody:
        return self.pool.choose(self.ask(**fields), self.now, self.wall)  # type: ignore[arg-type]

    def chosen(self, **fields: object) -> str:
        """The account's id; the reason in brackets when there is none."""
        found = self.choose(**fields)
        return found.account_id if isinstance(found, Chosen) else f"({found.reason})"

    def nobody(self, **fields: object) -> Nobody:
        found = self.choose(**fields)
        assert isinstance(found, Nobody), found
        return found

    def wait(self, account_id: str, seconds: float, chat_id: int = 0, method: str = FORWARD) -> None:
        self.pool.wait(account_id, method, chat_id, seconds, now=self.now, wall=self.wall)

    def sent(self, account_id: str, count: int = 100) -> None:
        self.pool.note_sent(account_id, FORWARD, count, self.now, self.wall)

    def explained(self, **fields: object) -> dict[str, Explained]:
        found = self.pool.explain(self.ask(**fields), self.now, self.wall)  # type: ignore[arg-type]
        return {one.account_id: one for one in found}

    def reasons(self, account_id: str, **fields: object) -> list[str]:
        return [one.reason for one in self.explained(**fields)[account_id].obstacles]
