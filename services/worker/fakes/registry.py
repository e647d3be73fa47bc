"""A registry in memory that keeps the rules of the contract: one holder per key, leases that run out,
idempotent acquire."""

import asyncio
import itertools
from collections.abc import Sequence

from services.runtime.errors import Unavailable
from services.worker.domain.facts import Fact
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.picture import Token
from services.worker.ports import Acquired, Grant, Held, NewLease, Release, Wanted


class FakeRegistry:
    """See `ports.Registry`. Time is the loop's."""

    def __init__(self, ttl: float = 30.0, settle: float = 30.0) -> None:
        self.ttl, self.settle = ttl, settle
        self.grants: dict[str, Grant | Ending] = {}
        """What an account's acquisition is answered with, token and lease filled in."""
        self.holders: dict[str, Token] = {}
        self.leases: dict[int, float] = {}
        self.acquired: list[tuple[str, tuple[Wanted, ...]]] = []
        self.releases: list[Release] = []
        self.facts: dict[str, Fact] = {}
        self.renewals: list[float] = []
        self.down = False
        self.answers_lost = 0
        self.delay = 0.0
        """Seconds before any answer."""
        self._answers: dict[str, Acquired] = {}
        self._revisions = itertools.count(1)
        self._lease_ids = itertools.count(1000)

    async def acquire(
        self, request_id: str, wanted: Sequence[Wanted], held: Sequence[Held], limit: float
    ) -> Acquired:
        """See the port."""
        await self._answering(limit)
        self.acquired.append((request_id, tuple(wanted)))
        answer = self._answers.get(request_id) or self._grant_all(wanted, held)
        self._answers[request_id] = answer
        if self.answers_lost:
            self.answers_lost -= 1
            raise Unavailable("The answer was lost on purpose.")
        return answer

    async def renew(self, lease_ids: Sequence[int], limit: float) -> dict[int, bool]:
        """See the port."""
        await self._answering(limit)
        now = self._now()
        self.renewals.append(now)
        held = {lease_id: self.leases.get(lease_id, 0.0) > now for lease_id in lease_ids}
        self.leases |= {
            lease_id: now + self.ttl + self.settle for lease_id, is_held in held.items() if is_held
        }
        return held

    async def release(self, releases: Sequence[Release], limit: float) -> list[bool]:
        """See the port."""
        await self._answering(limit)
        self.releases.extend(releases)
        return [self._free(one) for one in releases]

    async def report_facts(self, facts: Sequence[Fact], limit: float) -> None:
        """See the port."""
        await self._answering(limit)
        self.facts |= {fact.fact_id: fact for fact in facts}

    def _grant_all(self, wanted: Sequence[Wanted], held: Sequence[Held]) -> Acquired:
        made: tuple[NewLease, ...] = ()
        if held:
            lease_id = held[0].lease_id
        else:
            lease_id = next(self._lease_ids)
            self.leases[lease_id] = self._now() + self.ttl + self.settle
            made = (NewLease(lease_id, self.ttl, self.settle),)
        return Acquired(tuple(self._grant(one, lease_id) for one in wanted), made)

    def _grant(self, wanted: Wanted, lease_id: int) -> Grant | Ending:
        given = self.grants[wanted.account_id]
        if isinstance(given, Ending):
            return given
        if given.auth_key_id in self.holders:
            return Ending(Outcome.WAITING, Reason.LEASE_HELD, "Another worker holds the session.")
        token = self.holders[given.auth_key_id] = Token(1, next(self._revisions))
        return Grant(
            token=token,
            lease_id=lease_id,
            auth_key_id=given.auth_key_id,
            credentials=given.credentials,
            user_id=given.user_id,
            name=given.name,
            time_zone=given.time_zone,
            chat_policy=given.chat_policy,
            waits=given.waits,
        )

    def _free(self, release: Release) -> bool:
        if self.holders.get(release.auth_key_id) != release.token:
            return False
        del self.holders[release.auth_key_id]
        return True

    async def _answering(self, limit: float) -> None:
        if self.delay:
            await asyncio.sleep(min(self.delay, limit))
        if self.down or self.delay > limit:
            raise Unavailable("The registry is down on purpose.")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
