"""`python -m tests.integration.standalone.stub_fleet DIR [name:behaviour[:stop stage] | etcd] ...`

A supervisor process with the real plumbing (lock, lifeline, logs, ready files, etcd under its guard) over
stub children, each needing the one before it, so that tests can kill it.
"""

import asyncio
import os
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.runtime.errors import TgfleetError
from services.standalone.arguments import parse_arguments
from services.standalone.console import Console
from services.standalone.domain.children import ChildSpec
from services.standalone.domain.fleet import fleet_specs
from services.standalone.prepare import Prepared, prepare
from services.standalone.run import run_fleet


def _spec(fleet: Prepared, text: str, needs: tuple[str, ...]) -> ChildSpec:
    if text == "etcd":
        return replace(next(spec for spec in fleet_specs(fleet.plan) if spec.name == "etcd"), needs=needs)
    name, behaviour, stage = f"{text}:0".split(":")[:3]
    diary = str(fleet.data.root / "diary")
    return ChildSpec(
        name=name,
        argv=(sys.executable, "-m", "tests.integration.standalone.stub_child", name, behaviour, diary),
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        needs=needs,
        stop_stage=int(stage),
        stop_limit=10.0 if behaviour == "slow" else 1.0,
        ready_limit=3.0,
    )


def main(directory: Path, wanted: Sequence[str]) -> int:
    """The composition root in small."""
    console = Console()
    arguments = parse_arguments(["--data", str(directory), "--gateway-listen", "127.0.0.1:0"])
    try:
        fleet = prepare(arguments, dict(os.environ), random.Random())
    except TgfleetError as error:
        console.complain(error.message)
        return 1
    specs: list[ChildSpec] = []
    for text in wanted:
        specs.append(_spec(fleet, text, tuple(spec.name for spec in specs[-1:])))

    async def nothing() -> Mapping[str, Any]:
        return {}

    try:
        return asyncio.run(run_fleet(fleet, specs, console, nothing))
    finally:
        fleet.lock.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
