"""Busy accounts: their holds are spread over many books, and nothing else is different."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from store import ledger
from store.connection import Pool, open_pool, single
from store.ledger import AccountKind, Released, Reserved, Settled
from store.migrate import files, migrate
from tests.store.builders import CREDIT, a_work_id, an_account, hold, let_go, settle, standing
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = await open_pool(await fresh_database(), size_max=10)
    yield pool
    async with single(pool) as conn:
        assert await ledger.check(conn) == []
    await pool.close()


async def shards_of(conn: Conn, account_id: str) -> set[int]:
    cursor = await conn.execute("SELECT DISTINCT shard FROM ledger.holds WHERE account_id = %s", [account_id])
    return {row[0] for row in await cursor.fetchall()}


async def test_a_busy_account_is_spread_and_a_calm_one_is_not(pool: Pool) -> None:
    async with single(pool) as conn:
        busy, calm = await an_account(conn, credits=100), await an_account(conn, credits=1)
        for _ in range(40):
            await hold(conn, busy, a_work_id())
        for _ in range(30):  # transactions of others
            await settle(conn, busy, a_work_id())
            await an_account(conn)
        for _ in range(40):
            await conn.execute("SELECT pg_current_xact_id()")
        await hold(conn, calm, a_work_id())

        assert len(await shards_of(conn, busy) - {0}) > 4
        assert await shards_of(conn, calm) == {0}


async def test_every_end_of_a_hold_moves_the_book_of_its_shard(pool: Pool) -> None:
    """INV-2, INV-5 by shard; recomputed from the entries after the module."""
    async with single(pool) as conn:
        account = await an_account(conn, credits=100)
        for number in range(60):
            work = a_work_id()
            assert await hold(conn, account, work, CREDIT) is Reserved.HELD
            match number % 5:
                case 0:
                    assert await settle(conn, account, work, CREDIT) is Settled.SETTLED
                case 1:
                    assert await settle(conn, account, work, CREDIT // 4) is Settled.SETTLED
                case 2:
                    assert await let_go(conn, account, work) is Released.RELEASED
                case 3:
                    await let_go(conn, account, work)
                    assert await settle(conn, account, work, CREDIT) is Settled.RECOLLECTED
                case 4:
                    assert await settle(conn, account, work, 0) is Settled.SETTLED

        assert await standing(conn, account) == (100 * CREDIT - 27 * CREDIT, 0, 0)
        assert await ledger.check(conn) == []


async def test_c13_the_last_credit_is_found_whatever_the_shards_hold(pool: Pool) -> None:
    """No false refusal while ten hold, release and settle nothing of one account whose credits suffice for ten."""
    async with single(pool) as conn:
        account = await an_account(conn, credits=10)

    async def churn() -> list[Reserved]:
        words = []
        for _ in range(30):
            work = a_work_id()
            async with single(pool) as conn:
                words.append(await hold(conn, account, work, CREDIT))
                await (let_go(conn, account, work) if random.random() < 0.5 else settle(conn, account, work, 0))
        return words

    words = await asyncio.gather(*(churn() for _ in range(10)))

    assert {word for lane in words for word in lane} == {Reserved.HELD}
    async with single(pool) as conn:
        assert await standing(conn, account) == (10 * CREDIT, 0, 0)
        assert len(await shards_of(conn, account)) > 4


async def test_inv_20_numbers_are_gapless_in_each_shard(pool: Pool) -> None:
    async with single(pool) as conn:
        account = await an_account(conn, credits=50)
        for _ in range(40):
            work = a_work_id()
            await hold(conn, account, work)
            await settle(conn, account, work)

        held = await conn.execute(
            "SELECT shard, array_agg(number ORDER BY transfer_id) FROM ledger.entries"
            " WHERE account_id = %s AND kind = 'held' GROUP BY shard",
            [account],
        )
        numbers = dict(await held.fetchall())
        available = await ledger.entries(conn, account, limit=100)

    assert len(numbers) > 4
    assert all(of_shard == list(range(1, len(of_shard) + 1)) for of_shard in numbers.values())
    assert [one.number for one in available] == list(range(41, 0, -1))


async def test_a_settlement_does_not_wait_for_a_reservation_of_a_busy_account(pool: Pool) -> None:
    """What makes a busy account fast: a settlement in full leaves alone what reservations lock."""
    async with single(pool) as conn, single(pool) as second:
        account, works = await an_account(conn, credits=50), [a_work_id() for _ in range(20)]
        for work in works:
            await hold(conn, account, work)
        cursor = await conn.execute(
            "SELECT work_id::text FROM ledger.holds WHERE account_id = %s AND shard > 0 LIMIT 1", [account]
        )
        row = await cursor.fetchone()
        assert row is not None
        async with conn.transaction():
            await conn.execute(
                "SELECT FROM ledger.books WHERE account_id = %s AND shard = 0 FOR NO KEY UPDATE", [account]
            )

            assert await settle(second, account, row[0]) is Settled.SETTLED


async def test_statistics_of_a_quiet_hour_do_not_make_settlements_walk_all_open_holds(pool: Pool) -> None:
    """A plan that takes the index of open holds reads every one of them for each settlement."""
    async with single(pool) as conn:
        account = await an_account(conn, credits=1)
        work = a_work_id()
        await hold(conn, account, work)
        await settle(conn, account, work)
        await conn.execute("ANALYZE ledger.holds")
        cursor = await conn.execute(
            "SELECT prosrc FROM pg_proc WHERE oid IN ('ledger.settle'::regproc, 'ledger.release'::regproc)"
        )

        for (body,) in await cursor.fetchall():
            assert "AND state <= 'held'" in body
            assert "AND state = 'held'" not in body


OLD_LIFE = """
INSERT INTO store.accounts (account_id, name) VALUES
    ('00000000-0000-4000-8000-000000000001', 'one'), ('00000000-0000-4000-8000-000000000002', 'two');
SELECT ledger.grant_credits('00000000-0000-4000-8000-000000000001', 9000000, 'payment', 'stripe:invoice:1', NULL);
SELECT ledger.grant_credits('00000000-0000-4000-8000-000000000001', 1000000, 'promotion', 'promo:1', NULL);
SELECT ledger.reserve('00000000-0000-4000-8000-000000000001',
                      ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 1, 2000000, 'p',
                      now() + interval '1 hour') FROM generate_series(1, 5) AS n;
SELECT ledger.settle('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000001', 1, 1500000);
SELECT ledger.release('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', 1, 'failed');
SELECT ledger.reserve('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000009', 1, 2500000, 'p',
                      now() + interval '1 hour');
SELECT ledger.settle('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', 1, 2000000);
"""


async def test_the_books_of_a_running_deployment_are_carried_over() -> None:
    """Accounts with every kind of balance, open holds and debt come through the migration, and go on from there."""
    url = await fresh_database(migrated=False)
    before = [one for one in files() if one.name < "0018"]
    migrate(url, before)
    read = (
        "SELECT account_id::text, kind::text, balance_micros, entry_count FROM ledger.accounts"
        " WHERE kind::text NOT IN ('disputed', 'clearing') ORDER BY 1, 2"
    )
    one = "00000000-0000-4000-8000-000000000001"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(OLD_LIFE.encode())
        old = conn.execute(read.encode()).fetchall()

    migrate(url)

    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        assert await (await conn.execute(read.encode())).fetchall() == old
        assert await standing(conn, one) == (0, 8_500_000, 2_000_000)
        assert await ledger.check(conn) == []
        assert await settle(conn, one, "00000000-0000-4000-8000-000000000003", 1_000_000) is Settled.SETTLED
        assert await let_go(conn, one, "00000000-0000-4000-8000-000000000004") is Released.RELEASED
        assert await hold(conn, one, a_work_id(), 3_000_000) is Reserved.HELD
        (newest, *_) = await ledger.entries(conn, one, kind=AccountKind.AVAILABLE)
        assert (newest.number, newest.balance_micros) == (13, 0)
        assert await ledger.check(conn) == []
