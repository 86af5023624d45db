"""Books of a test's own, and the way to damage them that no role of the service has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from store.connection import Pool, open_pool, single
from tests.support.postgres import fresh_database
from tests.workflows.conftest import skipping

__all__ = ["skipping"]  # the Temporal test server


@pytest.fixture
async def own_url() -> str:
    return await fresh_database()


@pytest.fixture
async def own_pool(own_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(own_url, size_max=8)
    yield pool
    await pool.close()


@pytest.fixture
async def conn(own_pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """Each statement is a transaction of its own."""
    async with single(own_pool) as conn:
        yield conn


async def take_the_guards_down(conn: AsyncConnection[Any]) -> None:
    """Triggers and checks, as only an owner can who is set on it."""
    ledger_tables = ("transfers", "books", "holds", "grants", "keyed_operations", "lots", "seals", "sealed_balances")
    for table in (*(f"ledger.{name}" for name in ledger_tables), "store.generations"):
        await conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")  # type: ignore[arg-type]
        cursor = await conn.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", [table]
        )
        for (name,) in await cursor.fetchall():
            await conn.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")  # type: ignore[arg-type]


async def damage(conn: AsyncConnection[Any], statement: str, account_id: str) -> None:
    """Change the books of an account by hand. `mine` are its rows, `%(account)s` is its id."""
    statement = statement.replace("mine", "account_id = %(account)s")
    changed = await conn.execute(statement, {"account": account_id})  # type: ignore[arg-type]
    assert changed.rowcount >= 1, "this damage hits nothing"
