"""A simulated registry process: the shipped `Sessions` and `Generations` over etcd and the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.registry.domain.leasing import HeldLease, Owner, Token
from services.registry.handlers.candidates import AcquireItem
from services.registry.handlers.generations import Generations
from services.registry.handlers.sessions import Grant as RegistryGrant
from services.registry.handlers.sessions import ReleaseItem, Sessions
from services.worker.domain.chat_policy import ChatPolicy
from services.worker.domain.outcomes import Ending, Outcome, Reason
from services.worker.domain.picture import Token as WorkerToken
from services.worker.ports import Acquired, Grant, NewLease
from tests.simulation.network import Network, Process
from tests.simulation.outside import AllMayRun, DatabaseLink, EtcdLink

_NOBODY = ChatPolicy(user_ids=frozenset())


class RegistryService:
    """What workers call."""

    def __init__(
        self,
        net: Network,
        process: Process,
        generations: type[Generations],
        ttl: timedelta,
        settle: timedelta,
    ) -> None:
        store, leases = DatabaseLink(net, process), EtcdLink(net, process)
        self.generations = generations(store, leases, process.loop, lease_ttl=ttl, settle=settle)  # type: ignore[arg-type]
        self.sessions = Sessions(
            store,  # type: ignore[arg-type]
            leases,
            AllMayRun(),  # type: ignore[arg-type]
            self.generations,
            clock=process.loop,
            settle=settle,
        )

    async def acquire(self, owner: Owner, request_id: str, wanted: Any, held: Any) -> Acquired:
        results, leases = await self.sessions.acquire(
            owner,
            request_id,
            [AcquireItem(one.account_id, "") for one in wanted],
            [HeldLease(one.lease_id, one.sessions, timedelta(seconds=one.settle)) for one in held],
        )
        new = [NewLease(one.lease_id, one.ttl.total_seconds(), one.settle.total_seconds()) for one in leases]
        return Acquired(tuple(_result(one) for one in results), tuple(new))

    async def renew(self, owner: Owner, lease_ids: Any) -> dict[int, bool]:
        return dict(zip(lease_ids, await self.sessions.renew(owner, lease_ids), strict=True))

    async def release(self, owner: Owner, releases: Any) -> list[bool]:
        items = [
            ReleaseItem(
                one.account_id, one.auth_key_id, Token(one.token.generation, one.token.revision), one.clean
            )
            for one in releases
        ]
        return await self.sessions.release(owner, items)


def _result(result: Any) -> Grant | Ending:
    if not isinstance(result, RegistryGrant):
        return Ending(
            Outcome(result.outcome.name), Reason(result.reason.name), result.detail, result.retry_time
        )
    return Grant(
        token=WorkerToken(result.token.generation, result.token.revision),
        lease_id=result.lease_id,
        auth_key_id=result.candidate.auth_key_id,
        credentials=None,
        user_id=0,
        name=result.candidate.account.account_id,
        time_zone="UTC",
        chat_policy=_NOBODY,
    )
