"""Two databases to choose from: one that all tests share, each with accounts of its own, and one for a test alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from store import ledger
from store.connection import Pool, open_pool, single
from tests.store.builders import an_account
from tests.support.postgres import fresh_database


@pytest.fixture(scope="session")
async def shared_pool() -> AsyncIterator[Pool]:
    pool = await open_pool(await fresh_database(), size_max=12)
    yield pool
    await pool.close()


@pytest.fixture
async def conn(shared_pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """Each statement is a transaction of its own."""
    async with single(shared_pool) as conn:
        yield conn


@pytest.fixture
async def account_id(conn: AsyncConnection[Any]) -> str:
    """An account with ten credits."""
    return await an_account(conn, credits=10)


@pytest.fixture
async def books_that_balance(conn: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Checked when the test has ended."""
    yield
    assert await ledger.check(conn) == []


@pytest.fixture
async def own_url() -> str:
    return await fresh_database()


@pytest.fixture
async def own_pool(own_url: str) -> AsyncIterator[Pool]:
    """For tests that look at the whole database, or break it."""
    pool = await open_pool(own_url, size_max=16)
    yield pool
    await pool.close()
