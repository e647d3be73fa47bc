"""An entry of the audit trail: one call that changed something, or was refused to. Pure; made by gateways,
kept as it is."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from services.registry.domain.errors import BadValueError

MAX_ENTRIES = 1000
"""Entries in one call."""

_SHORT, _LONG = 200, 4000
_MAX_TARGETS = 64


class Outcome(StrEnum):
    """How the call ended, as in protos/tgfleet/gateway/v1/audit.proto."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call. `role` is empty for a caller without a valid token."""

    entry_id: str
    time: datetime
    token_name: str
    role: str
    peer: str
    method: str
    targets: tuple[str, ...]
    outcome: Outcome
    reason: str
    detail: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the trail: the entries after it are older. Entries of the same moment are told apart by
    their ids."""

    time: datetime
    entry_id: str


def check(entry: Entry, field: str) -> None:
    """Raises BadValueError. Lengths are bounded so that a broken gateway cannot fill the database."""
    if not entry.entry_id:
        raise BadValueError(f"{field}.entry_id", "An entry needs an id.")
    for name in ("entry_id", "token_name", "peer", "method", "reason", "request_id"):
        if len(getattr(entry, name)) > _SHORT:
            raise BadValueError(f"{field}.{name}", f"It has at most {_SHORT} characters.")
    if len(entry.detail) > _LONG:
        raise BadValueError(f"{field}.detail", f"It has at most {_LONG} characters.")
    if len(entry.targets) > _MAX_TARGETS or sum(map(len, entry.targets)) > _LONG:
        raise BadValueError(
            f"{field}.targets", f"At most {_MAX_TARGETS} targets of {_LONG} characters in all."
        )


def encode_place(place: Place) -> str:
    """A page token for what comes after that place."""
    text = f"{place.time.astimezone(UTC).isoformat()}|{place.entry_id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_place(token: str) -> Place | None:
    """None for the beginning. Raises BadValueError for what is no page token of ours."""
    if not token:
        return None
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        moment, _, entry_id = text.partition("|")
        return Place(datetime.fromisoformat(moment).astimezone(UTC), entry_id)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise BadValueError("page_token", "page_token is not one of ours.") from error
