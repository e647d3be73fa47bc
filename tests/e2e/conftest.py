"""Whole fleets of real processes, shared by the tests of a module where they leave it as they found it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.fleet import Fleet


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two workers, two schedulers, two gateways, T = 2 s, S = 1 s; for one test."""
    async with Fleet(tmp_path, workers=2, schedulers=2, gateways=2) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """One worker, one of each service; for all tests of a module (mark them with loop_scope="module")."""
    async with Fleet(tmp_path_factory.mktemp("fleet"), workers=1, gateways=1) as running:
        yield running
