"""Lets callers in. Asks the registry at most once per token and few seconds, and never more than a few things
at once."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass

from services.gateway.domain.credentials import (
    EXPIRED,
    TOKEN_MISSING,
    Caller,
    Refusal,
    fingerprint,
    is_expired,
    read_bearer,
)
from services.gateway.domain.roles import REQUIRED_ROLES, Role
from services.gateway.domain.token_cache import TokenCache
from services.gateway.ports import TokenAuthority
from services.runtime.clock import Clock
from services.runtime.errors import PermissionDenied, Unauthenticated, Unavailable

_QUESTIONS_AT_ONCE = 32
"""Unknown tokens that are asked about at the same time; others wait, so that a flood of them is the gateway's
problem and not the registry's."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who makes the call that is being served."""

    caller: Caller

    @property
    def sees_texts(self) -> bool:
        """Whether the caller may read messages."""
        return self.caller.role >= Role.OPERATOR


current_session: ContextVar[Session] = ContextVar("tgfleet_gateway_session")


def authorization_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[str]:
    """All values of a call's `authorization` key."""
    return [str(value) for key, value in metadata or () if key == "authorization"]


class Authenticator:
    """Knows who calls and what they may do."""

    def __init__(self, authority: TokenAuthority, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock
        self._cache: TokenCache[Session] = TokenCache()
        self._turns = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    def recall(self, method: str, authorization: str) -> bool:
        """Whether the caller with this `authorization` value is known and is let in at once: what most calls
        come to. If not, `admit` must decide. Raises PermissionDenied as `admit` does."""
        session = self._cache.get(fingerprint(authorization), self._clock.monotonic())
        if not isinstance(session, Session) or self._has_expired(session):
            return False
        current_session.set(session)
        _check_role(session.caller, method)
        return True

    async def admit(self, method: str, authorization: Sequence[str]) -> Session:
        """The session for a call of a full method name. Raises Unauthenticated (TOKEN_MISSING, TOKEN_INVALID,
        TOKEN_EXPIRED), PermissionDenied (ROLE_TOO_LOW, METHOD_CLOSED), Unavailable (REGISTRY_UNAVAILABLE)."""
        session = await self._session(authorization)
        current_session.set(session)  # also when the role is too low: the audit trail names the caller
        _check_role(session.caller, method)
        return session

    async def recheck(self, authorization: Sequence[str]) -> None:
        """Raises Unauthenticated when the token of a call that goes on has stopped working since. While
        nobody can say, it works."""
        with suppress(Unavailable):
            await self._session(authorization)

    async def _session(self, authorization: Sequence[str]) -> Session:
        secret = read_bearer(authorization)
        if isinstance(secret, Refusal):
            raise _unauthenticated(secret)
        key = fingerprint(authorization[0])
        verdict = self._cache.get(key, self._clock.monotonic())
        if verdict is None:
            verdict = await self._ask(key, secret)
        if isinstance(verdict, Session) and self._has_expired(verdict):
            verdict = EXPIRED
        if isinstance(verdict, Refusal):
            raise _unauthenticated(verdict)
        return verdict

    async def _ask(self, key: bytes, secret: str) -> Session | Refusal:
        async with self._turns:
            verdict = self._cache.get(key, self._clock.monotonic())  # another call may have asked meanwhile
            if verdict is None:
                said = await self._authority.verify(secret)
                verdict = said if isinstance(said, Refusal) else Session(said)
                self._cache.put(key, verdict, self._clock.monotonic())
        return verdict

    def _has_expired(self, session: Session) -> bool:
        caller = session.caller
        return caller.expire_time is not None and is_expired(caller, self._clock.wall())


def _check_role(caller: Caller, method: str) -> None:
    needed = REQUIRED_ROLES.get(method)
    if needed is None:
        raise PermissionDenied("This method is open to nobody.", reason="METHOD_CLOSED")
    if caller.role < needed:
        raise PermissionDenied(
            f"This call needs the role {needed.name.lower()}; the token has {caller.role.name.lower()}.",
            reason="ROLE_TOO_LOW",
            metadata={"needed_role": needed.name, "role": caller.role.name},
        )


def _unauthenticated(refusal: Refusal) -> Unauthenticated:
    metadata = {"metadata_key": "authorization"} if refusal.reason == TOKEN_MISSING else {}
    return Unauthenticated(refusal.sentence, reason=refusal.reason, metadata=metadata)
