"""The SQL that docs/operations-keys.md gives for a restored PostgreSQL: the next generation is opened, beyond
all that went before."""

import re
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from services.registry.domain.leasing import Owner
from services.registry.handlers.candidates import AcquireItem
from services.registry.handlers.sessions import Grant
from tests.integration.registry.conftest import SETTLE, Parts

DOCS = Path(__file__).resolve().parents[3] / "docs" / "operations-keys.md"


def marking() -> str:
    """The statement for the registry's database, as it stands in the document."""
    found = re.search(r"(UPDATE lease_generation .*?);", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


async def acquired(parts: Parts, worker: str, account_id: str) -> object:
    owner = Owner(worker, f"i-{worker}")
    [result], _ = await parts.sessions.acquire(owner, worker, [AcquireItem(account_id, "")], [])
    return result


async def test_a_marked_database_opens_a_generation_beyond_all_before(parts: Parts) -> None:
    async with parts.store.write() as tx:
        if tx._transaction.dialect_name != "postgresql":
            pytest.skip("SQLite is marked by `tgfleet restore`: tests/e2e/test_e2e_backup.py")
    [account_id] = await parts.add("a")
    old = await acquired(parts, "w1", account_id)
    assert isinstance(old, Grant)
    async with parts.store.write() as tx:
        await tx._transaction.execute(text(marking()))
    refused = await acquired(parts.again(), "w2", account_id)
    assert not isinstance(refused, Grant)
    restored = parts.again()
    generation = await restored.generations.current()
    assert generation.number > time.time() - 60
    assert restored.generations.remaining_wait(generation, SETTLE).total_seconds() > 0
