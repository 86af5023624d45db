"""Busy accounts, which do not wait for the disk with their row locked; and the holds that are still kept in shards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, errors

from store import accounts, generations, ledger
from store.connection import Pool, open_pool, single
from store.ledger import AccountKind, Refunded, Released, Reserved, Settled
from store.migrate import files, migrate
from tests.store.builders import (
    CREDIT,
    SOON,
    a_work_id,
    an_account,
    freeze,
    give,
    hold,
    let_go,
    settle,
    standing,
    success,
)
from tests.support.postgres import fresh_database
from tests.support.requests import a_request
from tests.support.waiting import until_async

Conn = AsyncConnection[Any]
HOT = 4  # movements, each soon after the one before


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = await open_pool(await fresh_database(), size_max=10)
    yield pool
    async with single(pool) as conn:
        assert await ledger.check(conn) == []
    await pool.close()


async def a_busy_account(conn: Conn, credits: int = 50) -> str:
    account = await an_account(conn, credits=credits)
    for _ in range(HOT):
        await hold(conn, account, a_work_id())
    return account


async def value(conn: Conn, query: str, *parameters: object) -> Any:
    row = await (await conn.execute(query.encode(), parameters)).fetchone()
    assert row is not None
    return row[0]


async def waits_for_the_disk(conn: Conn, account_id: str, *, asked: bool) -> bool:
    """Of a reservation, and of the settlement after it: they agree."""
    work = a_work_id()
    async with conn.transaction():
        if asked:
            await conn.execute("SELECT set_config('ledger.flushes_after', 'on', true)")
        assert await hold(conn, account_id, work) is Reserved.HELD
        reserved = await value(conn, "SHOW synchronous_commit")
    async with conn.transaction():
        if asked:
            await conn.execute("SELECT set_config('ledger.flushes_after', 'on', true)")
        assert await settle(conn, account_id, work) is Settled.SETTLED
        settled = await value(conn, "SHOW synchronous_commit")
    assert reserved == settled
    return bool(reserved == "on")


async def test_only_a_busy_account_of_a_caller_that_flushes_does_not_wait_for_the_disk(pool: Pool) -> None:
    async with single(pool) as conn:
        busy, calm = await a_busy_account(conn), await an_account(conn, credits=10)

        assert not await waits_for_the_disk(conn, busy, asked=True)
        assert await waits_for_the_disk(conn, busy, asked=False)
        assert await waits_for_the_disk(conn, calm, asked=True)
        assert await value(conn, "SHOW synchronous_commit") == "on"


async def test_the_word_of_a_busy_account_says_that_it_is_not_on_disk_yet(pool: Pool) -> None:
    """To whoever promised to flush, by a parameter of the call; a repeat waits for the disk itself."""
    reserve = "SELECT ledger.reserve(%s, %s, 1, 1000000, 'p', %s, NULL, %s)"
    settle_it = "SELECT ledger.settle(%s, %s, 1, 1000000, %s)"
    async with single(pool) as conn:
        busy, calm = await a_busy_account(conn), await an_account(conn, credits=10)
        for account, promised, end in ((busy, True, "_unflushed"), (busy, False, ""), (calm, True, "")):
            work = a_work_id()
            assert await value(conn, reserve, account, work, SOON, promised) == "held" + end
            assert await value(conn, settle_it, account, work, promised) == "settled" + end
            assert await value(conn, settle_it, account, work, promised) == "already_settled"
        assert await value(conn, "SHOW synchronous_commit") == "on"


async def test_an_account_that_paused_is_calm_again(pool: Pool) -> None:
    async with single(pool) as conn:
        account = await a_busy_account(conn)
        for _ in range(64):  # transactions of others
            await conn.execute("SELECT pg_current_xact_id()")

        assert await waits_for_the_disk(conn, account, asked=True)


async def test_nothing_is_promised_within_a_transaction(pool: Pool) -> None:
    """Else what came before and after it would be answered unflushed: its own commit flushes."""
    async with single(pool) as conn:
        account = await a_busy_account(conn)
        work = a_work_id()

        async with conn.transaction():
            assert await hold(conn, account, work) is Reserved.HELD
            assert await value(conn, "SHOW synchronous_commit") == "on"
            assert await settle(conn, account, work) is Settled.SETTLED
            assert await value(conn, "SHOW synchronous_commit") == "on"


async def test_whole_generations_of_a_busy_account_are_answered_as_those_of_a_calm_one(pool: Pool) -> None:
    """The end is recorded once, and a repeat of either step has the same answer."""
    async with single(pool) as conn:
        account = await a_busy_account(conn)
        for _ in range(3):
            request = a_request(account_id=account)
            assert await generations.admit(conn, request) == request.admission
            assert await generations.admit(conn, request) == request.admission
            ended = await generations.finish(conn, success(request))
            assert await generations.finish(conn, success(request)) == ended

        assert await standing(conn, account) == (
            (50 - HOT) * CREDIT - 3 * request.quote_microcredits, HOT * CREDIT, 0
        )  # fmt: skip


async def test_c13_the_last_credit_is_found_whatever_is_released_meanwhile(pool: Pool) -> None:
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


async def test_inv_20_numbers_are_gapless_however_many_move_the_account_at_once(pool: Pool) -> None:
    """Also C1: what fifty at once take is what they were answered."""
    async with single(pool) as conn:
        account = await an_account(conn, credits=40)

    async def spend(lane: int) -> Reserved:
        work = a_work_id()
        async with single(pool) as conn:
            word = await hold(conn, account, work)
            if word is Reserved.HELD and lane % 2:
                assert await settle(conn, account, work) is Settled.SETTLED
            return word

    words = await asyncio.gather(*(spend(lane) for lane in range(50)))

    assert words.count(Reserved.HELD) == 40
    async with single(pool) as conn:
        for kind, count in ((AccountKind.AVAILABLE, 41), (AccountKind.HELD, None)):
            numbers = [one.number for one in await ledger.entries(conn, account, kind=kind, limit=200)]
            assert numbers == list(range(count or len(numbers), 0, -1))
        assert (await standing(conn, account))[0] == 0


async def test_an_account_has_one_book_and_its_holds_are_in_it(pool: Pool) -> None:
    async with single(pool) as conn:
        account = await a_busy_account(conn)

        assert await value(conn, "SELECT array_agg(shard) FROM ledger.books WHERE account_id = %s", account) == [0]
        shards = "SELECT array_agg(DISTINCT shard) FROM ledger.holds WHERE account_id = %s"
        assert await value(conn, shards, account) == [0]


async def test_a_frozen_account_holds_nothing_new_however_it_was_frozen(pool: Pool) -> None:
    """Frozen, thawed and closed: the book follows the account, and says so while it is locked."""
    async with single(pool) as conn:
        account = await an_account(conn, credits=5)
        await freeze(conn, account)
        assert await hold(conn, account, a_work_id()) is Reserved.FROZEN
        await freeze(conn, account, frozen=False)
        assert await hold(conn, account, a_work_id()) is Reserved.HELD
        await conn.execute(
            "UPDATE store.accounts SET closed_at = now(), frozen_at = now() WHERE account_id = %s", [account]
        )
        assert await hold(conn, account, a_work_id()) is Reserved.FROZEN
        born = await value(
            conn,
            "INSERT INTO store.accounts (name, frozen_at) VALUES ('born frozen', now()) RETURNING account_id::text",
        )
        await give(conn, born, CREDIT)

        assert await hold(conn, born, a_work_id()) is Reserved.FROZEN
        assert (await accounts.get(conn, born)) is not None
        assert await standing(conn, born) == (CREDIT, 0, 0)


async def test_a_reservation_that_waits_while_its_account_is_frozen_is_refused(pool: Pool) -> None:
    """Also one that crosses a threshold, and so goes the long way."""
    waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid = %s"
    async with single(pool) as one, single(pool) as other, single(pool) as third:
        for amount in (CREDIT, 10 * CREDIT - 1):
            account, work = await an_account(one, credits=10), a_work_id()
            async with one.transaction():
                await freeze(one, account)
                waiting = asyncio.create_task(hold(other, account, work, amount))
                await until_async(lambda: value(third, waits, other.info.backend_pid))

            assert await waiting is Reserved.FROZEN
            assert await ledger.hold(one, account_id=account, work_id=work) is None
            assert await standing(one, account) == (10 * CREDIT, 0, 0)


async def test_a_threshold_that_was_crossed_where_triggers_are_off_stops_no_reservation(pool: Pool) -> None:
    async with single(pool) as conn:
        account = await an_account(conn, credits=10)
        async with conn.transaction():
            await conn.execute("SET LOCAL session_replication_role = 'replica'")
            assert await hold(conn, account, a_work_id(), 10 * CREDIT - 2) is Reserved.HELD

        assert await hold(conn, account, a_work_id(), 1) is Reserved.HELD
        assert await hold(conn, account, a_work_id(), 1) is Reserved.HELD


async def test_a_settlement_that_its_book_cannot_follow_is_an_error_and_changes_nothing(pool: Pool) -> None:
    """INV-2: an ended hold without its transfer would be told as already settled."""
    async with single(pool) as conn:
        account, work = await an_account(conn, credits=5), a_work_id()
        await hold(conn, account, work)
        async with conn.transaction():
            await conn.execute("ALTER TABLE ledger.books DISABLE TRIGGER moved_by_transfers")
            await conn.execute("UPDATE ledger.books SET held_micros = 0 WHERE account_id = %s", [account])
            with pytest.raises(errors.NotNullViolation):
                await settle(conn, account, work)
            raise psycopg.Rollback

        assert await settle(conn, account, work) is Settled.SETTLED


async def test_statistics_of_a_quiet_hour_do_not_make_settlements_walk_all_open_holds(pool: Pool) -> None:
    """A plan that takes the index of open holds reads every one of them for each settlement."""
    async with single(pool) as conn:
        ends = ("ledger.settle", "ledger.settle_the_long_way", "ledger.release")
        cursor = await conn.execute("SELECT prosrc FROM pg_proc WHERE oid = ANY (%s::text[]::regproc[])", [list(ends)])
        bodies = [row[0] for row in await cursor.fetchall()]

        assert len(bodies) == len(ends)
        for body in bodies:
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
    """Accounts with every kind of balance, open holds and debt come through the migrations, and go on from there."""
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
        once = await conn.execute("SELECT DISTINCT operation::text FROM ledger.transfers WHERE once ORDER BY 1")
        assert await once.fetchall() == [("release",), ("reserve",), ("settle",), ("shortfall",)]
        assert await ledger.check(conn) == []
        assert await settle(conn, one, "00000000-0000-4000-8000-000000000003", 1_000_000) is Settled.SETTLED
        assert await let_go(conn, one, "00000000-0000-4000-8000-000000000004") is Released.RELEASED
        assert await hold(conn, one, a_work_id(), 3_000_000) is Reserved.HELD
        (newest, *_) = await ledger.entries(conn, one, kind=AccountKind.AVAILABLE)
        assert (newest.number, newest.balance_micros) == (13, 0)
        assert await ledger.check(conn) == []


SHARDED_LIFE = """
INSERT INTO store.accounts (account_id, name, frozen_at) VALUES
    ('00000000-0000-4000-8000-000000000001', 'busy', NULL), ('00000000-0000-4000-8000-000000000002', 'frozen', now());
SELECT ledger.grant_credits('00000000-0000-4000-8000-000000000001', 99000000, 'payment', 'stripe:invoice:1', NULL);
SELECT ledger.grant_credits('00000000-0000-4000-8000-000000000002', 9000000, 'payment', 'stripe:invoice:2', NULL);
"""


async def test_holds_in_shards_end_in_their_shards() -> None:
    """INV-2, INV-5, INV-20 by shard: every end of a hold from the time when a busy account had seventeen books."""
    url = await fresh_database(migrated=False)
    migrate(url, [one for one in files() if one.name < "0022"])
    one, two = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
    works = [a_work_id() for _ in range(30)]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(SHARDED_LIFE.encode())
        for work in works:
            conn.execute("SELECT ledger.reserve(%s, %s, 1, 1000000, 'p', %s)", [one, work, SOON])
        for work in works[:6]:
            conn.execute("SELECT ledger.settle(%s, %s, 1, 1000000)", [one, work])
        shards = conn.execute("SELECT count(DISTINCT shard) FROM ledger.holds").fetchone()
        assert shards is not None
        assert shards[0] > 4

    migrate(url)

    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        assert await hold(conn, two, a_work_id()) is Reserved.FROZEN
        for number, work in enumerate(works[6:]):
            match number % 4:
                case 0:
                    assert await settle(conn, one, work) is Settled.SETTLED
                case 1:
                    assert await settle(conn, one, work, CREDIT // 4) is Settled.SETTLED
                case 2:
                    assert await let_go(conn, one, work) is Released.RELEASED
                case 3:
                    await let_go(conn, one, work)
                    assert await settle(conn, one, work) is Settled.RECOLLECTED
        back: dict[str, Any] = {"actor": "ada", "reason": "useless", "key": "refund:1"}
        refunded = await ledger.refund_settled(conn, account_id=one, work_id=works[0], amount=CREDIT, **back)
        assert refunded is Refunded.REFUNDED
        assert await hold(conn, one, works[0]) is Reserved.CLOSED
        assert await hold(conn, one, a_work_id(), expires_at=SOON + timedelta(hours=1)) is Reserved.HELD

        assert await standing(conn, one) == ((99 - 5 - 6 - 6) * CREDIT - 6 * CREDIT // 4 - CREDIT, CREDIT, 0)
        assert await ledger.check(conn) == []


async def test_whoever_may_reserve_and_settle_may_do_so_after_the_functions_are_made_anew() -> None:
    url = await fresh_database(migrated=False)
    migrate(url, [one for one in files() if one.name < "0028"])
    role = f"caller_{url.partition('?')[0].rpartition('/')[2]}"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA ledger TO {role}".encode())
        conn.execute(f"GRANT EXECUTE ON FUNCTION ledger.reserve, ledger.settle TO {role}".encode())
        try:
            migrate(url)

            may = "SELECT has_function_privilege(%s, %s::regproc, 'EXECUTE')"
            assert conn.execute(may, [role, "ledger.reserve"]).fetchone() == (True,)
            assert conn.execute(may, [role, "ledger.settle"]).fetchone() == (True,)
            assert conn.execute(may, [role, "ledger.flushed_later"]).fetchone() == (False,)
        finally:
            conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
