"""Tells whether a channel reaches anybody, by its own connectivity, and waits for it. No polling."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from services.runtime.calls import translated_errors
from services.runtime.errors import TgfleetError
from services.runtime.logs import get_logger

GRACE = 10.0
"""Seconds a peer may be away before that is reported: a registry that restarts does not empty the load
balancer."""

_log = get_logger("gateway.reachability")


async def watch_reachability(
    channel: grpc.aio.Channel, report: Callable[[bool], Awaitable[None]], grace: float = GRACE
) -> None:
    """Reports True as soon as the channel is ready and False when it has not been for `grace` seconds. Runs
    until cancelled."""
    reachable = False
    while True:
        state = channel.get_state(try_to_connect=True)
        ready = state is grpc.ChannelConnectivity.READY
        if ready and not reachable:
            reachable = True
            _log.info("registry reached")
            await report(reachable)
        if ready or not reachable:
            await channel.wait_for_state_change(state)
        elif not await _ready_within(channel, grace):
            reachable = False
            _log.warning("registry cannot be reached", seconds=grace)
            await report(reachable)


async def reached(channel: grpc.aio.Channel, within: float, most: float, otherwise: TgfleetError) -> float:
    """What is left of `within` seconds once the channel is ready; raises `otherwise` after `most` of them."""
    if channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
        return within
    loop = asyncio.get_running_loop()
    started = loop.time()
    with translated_errors():
        if not await _ready_within(channel, most):
            raise otherwise
    return within - (loop.time() - started)


async def _ready_within(channel: grpc.aio.Channel, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await channel.channel_ready()
    except TimeoutError:
        return False
    return True
