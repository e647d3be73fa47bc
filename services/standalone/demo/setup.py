"""Brings the sample accounts into being: in the test data centre, then through the gateway into the fleet.

Everything may be there already from an earlier run in the same directory; then nothing is made twice.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from services.runtime.errors import FailedPrecondition, Unavailable
from services.standalone.adapters.atomic_file import write_private
from services.standalone.adapters.gateway import GatewayClient
from services.standalone.demo.control import Control
from services.standalone.demo.samples import ANSWER, GUEST, HOME, QUESTION, SAMPLES, Sample, Source
from services.standalone.domain.home import Home
from tgfleet.gateway.v1 import account_pb2
from tgfleet.testdc.v1 import control_pb2

_PRESENT = frozenset({"NAME_TAKEN", "SESSION_ALREADY_IMPORTED"})
_OTHER_PROGRAM_LIMIT = 30.0
_ANNOUNCE_LIMIT = 15.0
_POLL = 0.1


def write_demo_files(home: Home) -> None:
    """What must lie there before workers start: chat rules, a file that is no session. Raises OSError."""
    rules = f"rules:\n  - pattern: '(?i)^{QUESTION}$'\n    reply: {ANSWER}\n"
    write_private(home.chat_rules, rules)
    for sample in SAMPLES:
        if sample.source is Source.GARBAGE_FILE:
            write_private(home.sessions(HOME) / f"{sample.name}.session", "this is no session\n")


async def set_up_demo(control: Control, gateway: GatewayClient, shared_session: Path) -> None:
    """Raises TgfleetError. `shared_session` is where the other program looks for the session that it uses."""
    people = await _make_people(control)
    for sample in SAMPLES:
        if sample.shared:
            person = people[sample.name]
            if not person.dead:
                write_private(shared_session, person.pyrogram_session)
                await _until_in_use(control, person.auth_key_id)
    await _until_announced(gateway)
    await _import(gateway, people)


async def _until_announced(gateway: GatewayClient) -> None:
    """Waits until the home worker has told of its session files."""
    try:
        async with asyncio.timeout(_ANNOUNCE_LIMIT):
            while not any(worker.files for worker in await gateway.workers()):  # noqa: ASYNC110
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Unavailable(f"{HOME} does not announce the session files that it holds") from None


async def _make_people(control: Control) -> dict[str, control_pb2.Account]:
    people = await control.accounts()
    if GUEST not in people:
        people[GUEST] = await control.create(
            control_pb2.CreateAccountRequest(first_name=GUEST, phone="9996600000", virtual=True)
        )
    for number, sample in enumerate(SAMPLES, start=1):
        if sample.name not in people and sample.source in {Source.PYROGRAM, Source.TELETHON}:
            phone = f"99966{number:05d}"
            request = control_pb2.CreateAccountRequest(
                first_name=sample.name, phone=phone, password=sample.password
            )
            people[sample.name] = await control.create(request)
        if sample.faults:
            await control.set_faults(people[sample.name].user_id, sample.faults)
    return people


async def _until_in_use(control: Control, auth_key_id: str) -> None:
    """Waits until the other program has made a call."""
    try:
        async with asyncio.timeout(_OTHER_PROGRAM_LIMIT):
            while not any(_is_call(one, auth_key_id) for one in await control.journal()):  # noqa: ASYNC110
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Unavailable("the other program that shares a sample's session does not come up") from None


def _is_call(record: control_pb2.Record, auth_key_id: str) -> bool:
    return record.kind == control_pb2.RECORD_KIND_CALL and record.auth_key_id == auth_key_id


async def _import(gateway: GatewayClient, people: Mapping[str, control_pb2.Account]) -> None:
    results = await gateway.import_accounts(_item(sample, people) for sample in SAMPLES)
    for result in results:
        if result.reason and result.reason not in _PRESENT:
            raise FailedPrecondition(
                f"the sample account {result.name} was refused: {result.reason}, {result.detail}"
            )


def _item(sample: Sample, people: Mapping[str, control_pb2.Account]) -> account_pb2.ImportItem:
    item = account_pb2.ImportItem(
        name=sample.name,
        labels={"demo": "fine" if sample.runs else "troubled"},
        home_worker=sample.home_worker,
        disabled=sample.disabled,
        chat_policy=account_pb2.ChatPolicy(user_ids=[people[GUEST].user_id]),
    )
    match sample.source:
        case Source.PYROGRAM:
            item.session_string = people[sample.name].pyrogram_session
        case Source.TELETHON:
            item.session_string = people[sample.name].telethon_session
        case Source.NONE:
            item.without_session.SetInParent()
        case Source.GARBAGE_FILE | Source.MISSING_FILE:
            item.worker_file.worker_id = HOME
            item.worker_file.file_name = f"{sample.name}.session"
    return item
