"""For people who come from a single-account set-up: the account of USERBOT_SESSION, imported and started.

Its session goes to the gateway and nowhere else; only a fingerprint is kept here, to notice another one.
"""

import asyncio
from hashlib import sha256
from pathlib import Path

from services.runtime.errors import FailedPrecondition
from services.standalone.adapters.atomic_file import write_private
from services.standalone.adapters.gateway import GatewayClient
from services.standalone.settings import Userbot
from tgfleet.gateway.v1 import account_pb2, fleet_pb2, result_pb2

NAME = "userbot"
_PRESENT = frozenset({"NAME_TAKEN", "SESSION_ALREADY_IMPORTED"})
_START_LIMIT = 60.0
_DELETE_LIMIT = 90.0
"""Seconds; a lease of T + S = 60 s may have to run out first."""
_POLL = 0.5


async def serve_userbot(gateway: GatewayClient, userbot: Userbot, fingerprint_file: Path) -> str:
    """Imports the account, in place of an earlier one with another session, and starts it; says what came of
    it. Raises TgfleetError, also for a session that is none.
    """
    fingerprint = sha256(userbot.session.reveal().encode()).hexdigest()
    result = await _import(gateway, userbot)
    if result.reason in _PRESENT and _read(fingerprint_file) != fingerprint:
        await _drain(gateway, gateway.fleet.StopAll, fleet_pb2.StopAllRequest(account_ids=[NAME]))
        await _delete(gateway)
        result = await _import(gateway, userbot)
    if result.reason and result.reason not in _PRESENT:
        raise FailedPrecondition(f"USERBOT_SESSION was refused: {result.detail}", reason=result.reason)
    write_private(fingerprint_file, fingerprint)
    return await _drain(gateway, gateway.fleet.StartAll, fleet_pb2.StartAllRequest(account_ids=[NAME]))


async def _import(gateway: GatewayClient, userbot: Userbot) -> account_pb2.ImportResult:
    session = userbot.session.reveal()
    item = account_pb2.ImportItem(name=NAME, session_string=session, api_id=userbot.api_id)
    return (await gateway.import_accounts([item]))[0]


async def _delete(gateway: GatewayClient) -> None:
    """Deletes the account, once its last holder's lease has ended."""
    request = account_pb2.DeleteAccountRequest(account_id=NAME)
    deadline = asyncio.get_running_loop().time() + _DELETE_LIMIT
    while True:
        try:
            await gateway.call(gateway.accounts.DeleteAccount, request)
        except FailedPrecondition:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_POLL)
        else:
            return


async def _drain(gateway: GatewayClient, method: object, request: object) -> str:
    said = ""
    async for result in gateway.results(method, request, _START_LIMIT):
        outcome = result_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_")
        said = " ".join(filter(None, (f"{NAME}: {outcome}.", result.detail, result.action)))
    return said


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
