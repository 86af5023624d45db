"""Transactions, single statements, and what a lost database looks like."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg import OperationalError, errors

from domain.errors import DatabaseUnavailable, InsufficientCredits
from store import connection, sql
from store.connection import Pool, open_pool, single, transaction

MOMENT = timedelta(seconds=0.3)


async def names(pool: Pool) -> list[str]:
    async with single(pool) as conn:
        cursor = await conn.execute("SELECT name FROM store.accounts ORDER BY name")
        return [row[0] for row in await cursor.fetchall()]


async def test_a_transaction_commits_at_its_end_and_not_before(own_pool: Pool) -> None:
    async with transaction(own_pool) as conn:
        await conn.execute("INSERT INTO store.accounts (name) VALUES ('a')")
        seen = await names(own_pool)

    assert (seen, await names(own_pool)) == ([], ["a"])


async def test_a_transaction_that_raises_leaves_nothing(own_pool: Pool) -> None:
    async def too_dear() -> None:
        async with transaction(own_pool) as conn:
            await conn.execute("INSERT INTO store.accounts (name) VALUES ('a')")
            raise InsufficientCredits("too little")

    with pytest.raises(InsufficientCredits):
        await too_dear()

    assert await names(own_pool) == []


async def test_a_single_statement_commits_by_itself(own_pool: Pool) -> None:
    async with single(own_pool) as conn:
        await conn.execute("INSERT INTO store.accounts (name) VALUES ('a')")
        assert await names(own_pool) == ["a"]


async def test_no_database_at_all_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await open_pool(f"postgresql://postgres@/nowhere?host={tmp_path}", size_max=1, patience=MOMENT)


async def test_a_connection_lost_in_the_middle_is_named(own_pool: Pool) -> None:
    with pytest.raises(DatabaseUnavailable):
        async with transaction(own_pool) as conn:
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_connections_closed_by_the_server_are_replaced_unnoticed(own_pool: Pool) -> None:
    """A restart of the database costs no request an error, once it is back."""
    async with single(own_pool) as one, single(own_pool) as other:
        killer = own_pool.connection()
        for conn in (one, other):
            await conn.execute("SELECT 1")
        async with killer as third:
            await third.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"  # waits until they are gone
                " WHERE datname = current_database() AND pid = ANY (%s)",
                [[one.info.backend_pid, other.info.backend_pid]],
            )

    assert await names(own_pool) == []
    assert await names(own_pool) == []


async def test_a_lock_that_is_not_released_ends_the_wait(own_pool: Pool) -> None:
    async def wait() -> None:
        async with transaction(own_pool) as conn:
            await conn.execute("SET LOCAL lock_timeout = '20ms'")
            await conn.execute("SELECT FROM store.accounts")

    async with transaction(own_pool) as holder:
        await holder.execute("LOCK TABLE store.accounts")
        with pytest.raises(DatabaseUnavailable):
            await wait()


async def test_an_exhausted_pool_is_named(own_url: str) -> None:
    pool = await open_pool(own_url, size_max=1, patience=MOMENT)
    async with single(pool):
        with pytest.raises(DatabaseUnavailable):
            async with single(pool):
                pass
    await pool.close()


async def test_a_mistake_of_ours_is_not_called_an_outage(own_pool: Pool) -> None:
    with pytest.raises(errors.UndefinedTable):
        async with transaction(own_pool) as conn:
            await conn.execute("SELECT FROM nowhere")


async def test_every_wait_has_an_end(own_pool: Pool) -> None:
    async with single(own_pool) as conn:
        limits = [
            (await (await conn.execute(f"SHOW {name}".encode())).fetchone() or ("",))[0]
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ]

    assert limits == ["10s", "5s", "30s"]


async def test_a_server_that_falls_silent_ends_the_wait(own_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server, or a network that drops everything: nobody there is left to notice how long it takes."""
    async with single(own_pool) as conn:
        monkeypatch.setattr(connection, "ANSWER_TIMEOUT", MOMENT)
        with pytest.raises(OperationalError):
            await conn.execute("SELECT pg_sleep(5)")  # the server would allow it
    monkeypatch.undo()

    assert await names(own_pool) == []


async def test_a_silent_server_is_named(own_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        async with transaction(own_pool) as conn:
            monkeypatch.setattr(connection, "ANSWER_TIMEOUT", MOMENT)
            await conn.execute("SELECT pg_sleep(5)")

    with pytest.raises(DatabaseUnavailable):
        await ask()


async def test_a_canceled_caller_gives_its_connection_back(own_pool: Pool) -> None:
    async def sleeper() -> None:
        async with transaction(own_pool) as conn:
            await conn.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(sleeper())
    async with single(own_pool) as conn, asyncio.timeout(10):
        asleep = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        while not (await conn.execute(asleep)).rowcount:
            pass
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(own_pool) == []


def test_named_statements_are_read_from_their_file() -> None:
    queries = sql.load("idempotency")

    assert set(queries) == {"claim", "complete", "free", "purge"}
    assert queries["complete"].startswith(b"UPDATE")
