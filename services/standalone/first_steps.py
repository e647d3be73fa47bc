"""What is done through the public gateway before a fleet counts as serving: waits until all workers are
attached, then brings in the sample accounts of the demo, or the one account of USERBOT_SESSION.
"""

import asyncio
from typing import Any

from services.runtime.errors import Unavailable
from services.standalone.adapters.gateway import GatewayClient
from services.standalone.console import Console
from services.standalone.demo.control import Control
from services.standalone.demo.setup import set_up_demo
from services.standalone.domain.fleet import rsa_key, shared_session, testdc_address, testdc_control
from services.standalone.domain.mode import Mode
from services.standalone.prepare import Prepared
from services.standalone.userbot import serve_userbot

_WORKERS_LIMIT = 60.0
_POLL = 0.1


async def first_steps(fleet: Prepared, console: Console) -> dict[str, Any]:
    """What the ready files say beyond the usual. Raises TgfleetError."""
    async with GatewayClient(fleet.plan.gateway_listen, fleet.token) as gateway:
        await _workers_attached(gateway, fleet.plan.workers)
        if fleet.mode is Mode.DEMO:
            return await _demo(fleet, gateway)
        if fleet.userbot is not None:
            fingerprint = fleet.plan.home.root / "session.fingerprint"
            console.note(await serve_userbot(gateway, fleet.userbot, fingerprint))
    return {}


async def _demo(fleet: Prepared, gateway: GatewayClient) -> dict[str, Any]:
    async with Control(testdc_control(fleet.plan)) as control:
        await set_up_demo(control, gateway, shared_session(fleet.plan))
    return {
        "testdc": testdc_address(fleet.plan),
        "testdc_control": testdc_control(fleet.plan),
        "rsa_key": str(rsa_key(fleet.plan)),
    }


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
