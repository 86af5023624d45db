"""Books of a test's own, and the way to damage them that no role of the service has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from psycopg import AsyncConnection

from store.connection import Pool, open_pool, single
from tests.support.postgres import fresh_database

Damage = Callable[..., Awaitable[None]]


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


async def damage(conn: AsyncConnection[Any], statement: str, *parameters: object) -> None:
    """Change the ledger's tables by hand, as only a superuser can who takes every guard down first."""
    async with conn.transaction():
        tables = await (
            await conn.execute("SELECT tablename FROM pg_tables WHERE schemaname IN ('ledger', 'store')")
        ).fetchall()
        schemas = {"ledger": ("transfers", "accounts", "holds", "grants"), "store": ("generations",)}
        assert tables
        for schema, names in schemas.items():
            for name in names:
                await conn.execute(f"ALTER TABLE {schema}.{name} DISABLE TRIGGER ALL")  # type: ignore[arg-type]
        changed = await conn.execute(statement, parameters)  # type: ignore[arg-type]
        assert changed.rowcount >= 1, "this damage hits nothing"
        for schema, names in schemas.items():
            for name in names:
                await conn.execute(f"ALTER TABLE {schema}.{name} ENABLE TRIGGER ALL")  # type: ignore[arg-type]
