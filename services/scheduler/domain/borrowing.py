"""Accounts that a transfer keeps running although nobody wants them to run. People outrank transfers: one
that a person stops is stopped, and is not lent again until a person starts it, or creates or resumes a
transfer with it. Of the accounts of its transfers the next leader knows that too.
"""

from services.scheduler.domain import events as e
from services.scheduler.domain import pursuit
from services.scheduler.domain.accounts import Entry
from services.scheduler.domain.fleet import Fleet


def borrowed(fleet: Fleet, event: e.Borrowed) -> None:
    """A transfer needs the account."""
    entry = fleet.accounts.get(event.account_id)
    if entry is None or not entry.lendable:
        return
    entry.borrowers.add(event.borrower)
    pursuit.pursue(fleet, entry)


def given_back(fleet: Fleet, event: e.GivenBack) -> None:
    """It runs on only if people want it to."""
    entry = fleet.accounts.get(event.account_id)
    if entry is not None and event.borrower in entry.borrowers:
        entry.borrowers.remove(event.borrower)
        pursuit.pursue(fleet, entry)


def lending_allowed(fleet: Fleet, event: e.LendingAllowed) -> None:
    """A person has asked for a transfer with these accounts."""
    for account_id in event.account_ids:
        entry = fleet.accounts.get(account_id)
        if entry is not None and not entry.lendable:
            _set_lendable(entry, lendable=True)


def stopped_by_person(fleet: Fleet, entry: Entry) -> None:
    """Stops it if only a transfer wanted it to run, and lends it no more."""
    _set_lendable(entry, lendable=False)
    if entry.borrowed:
        entry.borrowers.clear()
        pursuit.pursue(fleet, entry)


def started_by_person(entry: Entry) -> None:
    """From now on a transfer may keep it running."""
    if not entry.lendable:
        _set_lendable(entry, lendable=True)


def _set_lendable(entry: Entry, *, lendable: bool) -> None:
    entry.lendable = lendable
    entry.touched.add(entry)
