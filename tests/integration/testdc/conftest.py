"""A data centre with two people who know each other."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.testdc.embed import Account, NewAccount, TestDataCentre


@pytest.fixture
async def dc() -> AsyncIterator[TestDataCentre]:
    """A data centre of its own for each test."""
    async with TestDataCentre() as centre:
        yield centre


@pytest.fixture
def alice(dc: TestDataCentre) -> Account:
    """An account with a login."""
    return dc.control.create_account(NewAccount(first_name="Alice", username="alice"))


@pytest.fixture
def bob(dc: TestDataCentre) -> Account:
    """Another one."""
    return dc.control.create_account(NewAccount(first_name="Bob", username="bob"))
