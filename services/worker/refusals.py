"""What follows from an error of Telegram's to a call of the chat desk or of a transfer: waits are remembered
and reported, a dead session ends, spam reports silence the account's chats. One place, so that no caller
forgets one."""

from datetime import timedelta
from typing import Protocol

from services.runtime.clock import Clock
from services.worker.domain.facts import ChatCounts, FloodWaited
from services.worker.domain.picture import Kind, Waiting
from services.worker.domain.telegram import Refused
from services.worker.domain.transfer_answers import StillWaiting
from services.worker.domain.verdict import Verdict, of_refusal
from services.worker.domain.waits import EVERYTHING, Waits

_PEER_FLOOD = "PEER_FLOOD"


class Teller(Protocol):
    """Where one account's session tells what happened."""

    def happen(self, detail: str, kind: Kind) -> None:
        """An event for people."""
        ...

    def remember(self, kind: ChatCounts | FloodWaited) -> None:
        """A fact for the registry."""
        ...

    def warn(self, detail: str) -> None:
        """Something that an operator must know about a session that goes on."""
        ...

    def refused(self, error: Refused) -> None:
        """Telegram answered with an error that may mean the end of the session."""
        ...


class Restrained(Protocol):
    """What an account is kept from."""

    waits: Waits
    muted: bool


def note(error: Refused, chat_id: int, account: Restrained, teller: Teller, clock: Clock) -> Verdict:
    """Draws the consequences and returns the verdict. `chat_id`: the chat that was written to."""
    verdict = of_refusal(error)
    if error.name == _PEER_FLOOD and not account.muted:
        account.muted = True
        teller.warn(
            "Telegram restricts this account after spam reports: its chats are silent until restarted."
        )
    if verdict.wait is not None:
        until = clock.wall() + timedelta(seconds=verdict.wait)
        only = chat_id if verdict.chat_only else 0
        account.waits.add(error.method, only, clock.monotonic() + verdict.wait)
        teller.remember(FloodWaited(error.method, only, until))
        teller.happen(verdict.detail, Waiting(error.method, only, until))
    elif verdict.died:
        teller.refused(error)
    return verdict


class AccountRestraint:
    """See `ports.Restraint`."""

    def __init__(self, account: Restrained, teller: Teller, clock: Clock) -> None:
        self._account = account
        self._teller = teller
        self._clock = clock

    def check(self, method: str, chat_id: int) -> None:
        """See the port."""
        now = self._clock.monotonic()
        until = self._account.waits.blocking((EVERYTHING, method), now, chat_id)
        if until is not None:
            raise StillWaiting(method, chat_id, until - now)

    def note(self, error: Refused) -> None:
        """See the port."""
        note(error, 0, self._account, self._teller, self._clock)
