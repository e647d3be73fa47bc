"""What is done through the public gateway before a fleet counts as serving: waits until all workers are
attached, then brings in the sample accounts of the demo, or the one account of USERBOT_SESSION.
"""

import asyncio
from typing import Any

from services.runtime.errors import Unavailable
from services.standalone.adapters.gateway import GatewayClient
from services.standalone.console import Console
from services.standalone.prepare import Prepared

_WORKERS_LIMIT = 60.0
_POLL = 0.1


async def first_steps(fleet: Prepared, console: Console) -> dict[str, Any]:
    """What the ready files say beyond the usual. Raises TgfleetError."""
    async with GatewayClient(fleet.plan.gateway_listen, fleet.token) as gateway:
        await _workers_attached(gateway, fleet.plan.workers)
    return {}


async def _workers_attached(gateway: GatewayClient, count: int) -> None:
    try:
        async with asyncio.timeout(_WORKERS_LIMIT):
            while await gateway.connected_workers() < count:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Unavailable(
            f"not all {count} workers reached the scheduler within {_WORKERS_LIMIT:.0f} s; see the log files",
            reason="WORKERS_MISSING",
        ) from None
