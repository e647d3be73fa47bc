"""Reads the bearer token out of a call's `authorization` values. Pure, and never repeats a token in a
sentence."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.gateway.domain.roles import Role

TOKEN_MISSING = "TOKEN_MISSING"  # noqa: S105 - a reason, not a password
TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105
TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105

_SECRET_FORM = re.compile(r"tgf_[A-Za-z0-9_-]{8,200}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it is."""

    name: str
    role: Role
    expire_time: datetime | None
    """When the token stops working; None for never."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a caller is not let in: a reason for programs and a sentence for people."""

    reason: str
    sentence: str


MISSING = Refusal(
    TOKEN_MISSING, "This call needs a token: send the metadata `authorization: Bearer tgf_...`."
)
INVALID = Refusal(TOKEN_INVALID, "The token is not known here; it may have been revoked.")
EXPIRED = Refusal(TOKEN_EXPIRED, "The token has expired; ask an administrator for a new one.")


def read_bearer(values: Sequence[str]) -> str | Refusal:
    """The token's secret from all values of the `authorization` key. What cannot be a token of ours is
    refused here, so that it costs the registry nothing."""
    if not values:
        return MISSING
    if len(values) > 1:
        return Refusal(TOKEN_INVALID, "The call has more than one `authorization` value; send one.")
    scheme, _, secret = values[0].strip().partition(" ")
    if scheme.lower() != "bearer":
        return Refusal(TOKEN_INVALID, "The `authorization` metadata must read `Bearer tgf_...`.")
    secret = secret.strip()
    return secret if _SECRET_FORM.fullmatch(secret) else INVALID


def fingerprint(authorization: str) -> bytes:
    """What a caller is remembered by in memory: the SHA-256 of what it sent, so that a memory dump of the
    cache holds no token."""
    return hashlib.sha256(authorization.encode()).digest()


def is_expired(caller: Caller, now: datetime) -> bool:
    """Whether the token stopped working by itself."""
    return caller.expire_time is not None and caller.expire_time <= now
