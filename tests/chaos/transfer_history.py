"""One history of a transfer: a fleet of real processes, a seed, faults of every kind while messages move, a
verdict.

The judge is the test data centre: what lies in the target, and what its journal saw of each account's
calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.history import fleet_of, layout_of
from tests.chaos.telegram_faults import TELEGRAM_FAULTS
from tests.support.chats import busy_stranger, mixed, new_stranger
from tests.support.fleet import Fleet
from tests.support.telegram import Control, violations
from tests.support.transfer_judge import Wanted, judge
from tests.support.transfers import Scene, Transfers, new_scene, slow, unmovable
from tgfleet.gateway.v1 import transfer_pb2
from tgfleet.testdc.v1 import control_pb2 as pb

ACCOUNTS = 4
MESSAGES = 1_500
WITHIN = 150.0
"""Seconds in which a transfer must be over, faults included (T = 2 s, S = 1 s)."""

PROCESS_FAULTS = sorted(set(FAULTS) - {"freeze-starting-worker"})
"""A person's stop, which `freeze-starting-worker` needs, would end the transfer's accounts on purpose."""

SETTINGS = {
    "TGFLEET_CRASH_WINDOW": "1s",
    "TGFLEET_PING_INTERVAL": "500ms",
    "TGFLEET_PROBE_INTERVAL": "500ms",
    "TGFLEET_TRANSFER_TAKEOVER_DELAY": "4s",
    "TGFLEET_TRANSFER_RELOOK_DELAY": "1s",
}


@dataclass
class TransferReport:
    """What happened in a history."""

    seed: int
    how: str = ""
    faults: list[str] = field(default_factory=list)
    done: int = 0
    skipped: int = 0
    took: float = 0.0
    calls: int = 0


async def run_transfer_history(seed: int, directory: Path, faults: Sequence[str] = ()) -> TransferReport:
    """Live through the history of this seed; its faults may be named instead of drawn.

    Fails when a message was lost, repeated, out of order or torn from its album, when an account called
    inside a wait, when a key was used twice at once, or when the transfer is not over in time.
    """
    rng = random.Random(seed)
    report = TransferReport(seed)
    kind = rng.choice((pb.CHAT_KIND_BROADCAST, pb.CHAT_KIND_SUPERGROUP))
    mode = rng.choice((transfer_pb2.TRANSFER_MODE_FORWARD, transfer_pb2.TRANSFER_MODE_COPY))
    parallel = rng.choice((1, 1, 3))
    names = {transfer_pb2.TRANSFER_MODE_FORWARD: "forward", transfer_pb2.TRANSFER_MODE_COPY: "copy"}
    report.how = (
        f"{names[mode]}, {'channel' if kind == pb.CHAT_KIND_BROADCAST else 'supergroup'}, {parallel} shards"
    )
    etcds = rng.choice((1, 3))
    async with fleet_of(seed, directory, etcds, SETTINGS) as fleet:
        report.how += f", {layout_of(fleet)}"
        async with fleet.control() as control:
            history = mixed(MESSAGES, seed)
            scene = await new_scene(control, accounts=ACCOUNTS, history=history, kind=kind)
            await slow(control, rng.uniform(0.1, 0.4))
            # Nobody knows what Telegram answers to a repeated random_id: every other seed the other way.
            repeat = pb.ON_REPEAT_ERROR if seed % 2 else pb.ON_REPEAT_RESULT
            await control.SetRules(pb.SetRulesRequest(on_repeat=repeat), timeout=10)
        async with fleet.client() as client:
            await client.import_sessions({name: one.session for name, one in scene.accounts.items()})
            await client.start_all()
            transfers = Transfers(client)
            loop = asyncio.get_running_loop()
            began = loop.time()
            made = await transfers.create(scene, mode=mode, parallel=parallel, request_id=f"seed {seed}")
            async with _company(fleet, scene, rng, report) as strangers:
                await _live_through(fleet, scene, rng, report, faults)
                ended = await transfers.ended(made.transfer_id, WITHIN)
            report.took = loop.time() - began
        report.done, report.skipped = ended.done, sum(ended.skipped.values())
        async with fleet.control() as control:
            await _verdict(control, scene, report, ended, strangers)
    return report


@contextlib.asynccontextmanager
async def _company(
    fleet: Fleet, scene: Scene, rng: random.Random, report: TransferReport
) -> AsyncIterator[Sequence[int]]:
    """Now and then somebody forwards and copies the very same messages into the target meanwhile."""
    if rng.random() < 2 / 3:
        yield ()
        return
    report.faults.append("somebody else moves the same messages")
    ids = rng.choices(range(scene.source.first_id, scene.source.last_id + 1), k=2_000)
    async with fleet.control() as control:
        stranger = await new_stranger(control, scene.source.chat, scene.target.chat)
        async with busy_stranger(control, stranger, scene.source.chat, scene.target.chat, ids):
            yield (stranger,)


async def _live_through(
    fleet: Fleet, scene: Scene, rng: random.Random, report: TransferReport, faults: Sequence[str]
) -> None:
    drawn = faults or [
        *rng.choices(PROCESS_FAULTS, k=rng.randint(1, 3)),
        *rng.choices(sorted(TELEGRAM_FAULTS), k=rng.randint(1, 3)),
    ]
    mixed_up = list(drawn)
    if not faults:
        rng.shuffle(mixed_up)
    for name in mixed_up:
        await asyncio.sleep(rng.uniform(0, 1.5))
        own = random.Random(rng.random())
        if name in TELEGRAM_FAULTS:
            async with fleet.control() as control:
                report.faults.append(await TELEGRAM_FAULTS[name](control, scene, own))
        else:
            report.faults.append(await FAULTS[name](fleet, own))


async def _verdict(
    control: Control,
    scene: Scene,
    report: TransferReport,
    ended: transfer_pb2.Transfer,
    strangers: Sequence[int],
) -> None:
    where = f"seed {report.seed} ({report.how}), {report.faults}"
    keys = await violations(control)
    report.calls = keys.requests
    assert not keys.sentences, f"{where}: " + "; ".join(keys.sentences)
    spec, bad = ended.spec, await unmovable(control, scene)
    wanted = Wanted(
        copy=spec.mode == transfer_pb2.TRANSFER_MODE_COPY,
        in_order=spec.parallel == 1,
        may_miss=bad,
        strangers=strangers,
    )
    found = await judge(control, scene.source.chat, [scene.target.chat], wanted)
    assert not found.faults, f"{where}: " + "; ".join(found.faults)
    assert ended.state == transfer_pb2.TRANSFER_STATE_COMPLETED, f"{where}: {ended}"
    assert found.arrived == ended.done > 0, f"{where}: {found.arrived} lie there, {ended.done} are said to"
    told = {one.message_id for one in ended.refused}
    assert told <= bad, f"{where}: {sorted(told - bad)} are said to be refused"
    assert len(found.calls) >= found.arrived / 100, "the journal is empty: the judge has seen nothing"
