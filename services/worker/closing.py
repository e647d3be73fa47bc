"""The end of a session: close its link so that Telegram surely noticed, and give the session back.

Whether the stop was clean decides if the session is free at once or after the settle time (DESIGN section 3),
so it is judged by what the link showed, never assumed.
"""

import asyncio

from services.runtime.logs import get_logger
from services.worker.acquirer import Granted
from services.worker.domain.linkwatch import stopped_cleanly
from services.worker.domain.telegram import Fenced, LinkDown, LinkFacts, Refused
from services.worker.ports import Release, TelegramClient
from services.worker.session import Session
from services.worker.tools import Tools

_log = get_logger("worker.closing")

_LAST_PING_LIMIT = 2.0
_FLUSH_LIMIT = 1.0
_RELEASE_LIMIT = 2.0
"""Seconds."""


async def close_link(client: TelegramClient | None, granted: Granted | None, *, last_ping: bool) -> bool:
    """Closes the client and shuts its gate for good; whether the stop was clean. `last_ping` asks the link
    for a last sign of life first."""
    if granted is None:
        return True
    before: LinkFacts | None = None
    after: LinkFacts | None = None
    if client is not None:
        answers = await _ask_once_more(client) if last_ping else True
        before = client.facts() if answers else None
        await client.close()
        after = client.facts()
    fenced = granted.gate.shut
    granted.gate.close()
    return not fenced and stopped_cleanly(before, after, used=granted.gate.used)


async def _ask_once_more(client: TelegramClient) -> bool:
    """Whether there is no link to ask, or it answered."""
    if client.facts().open_sockets == 0:
        return True
    try:
        await client.ping(_LAST_PING_LIMIT)
    except (LinkDown, Refused, Fenced) as error:
        _log.info("the link did not answer a last ping", error=str(error))
        return False
    return True


async def give_back(tools: Tools, session: Session, *, clean: bool) -> bool:
    """Releases the session; whether it is free now. What was seen of the account goes to the registry before,
    so that the next holder is told of a flood wait; a registry that does not answer is not waited for."""
    granted = session.granted
    if granted is None:
        return False
    granted.lease.gates.discard(granted.gate)
    if not granted.lease.lost:
        await tools.facts.flush(_FLUSH_LIMIT)
    release = Release(session.account_id, granted.grant.auth_key_id, granted.grant.token, clean)
    done = tools.releaser.give_back(release, granted.lease)
    if granted.lease.lost:
        return (
            False  # the registry cannot be reached, or knows nothing of the lease: the releaser goes on alone
        )
    await asyncio.wait({done}, timeout=_RELEASE_LIMIT)
    return clean and done.done() and done.result()
