"""Sealed periods: what was closed stays as it was, or is named (R5, R6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from domain.errors import DatabaseUnavailable, StateConflict
from domain.periods import period_named
from store import ledger_border, ledger_seals, statement
from store.connection import Pool, open_pool, single
from store.ledger_seals import NO_HASH, Seal, close, close_months, verify_seals
from tests.ledger_proof.conftest import damage, take_the_guards_down
from tests.ledger_proof.test_verify import an_account_with_everything
from tests.store.builders import a_work_id, hold
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]
SEPTEMBER, OCTOBER = period_named("2025-09"), period_named("2025-10")
OLD = ("2025-09-30T23:59:59.999999Z", "2025-10-01T00:00:00Z")  # a microsecond before and after the border of two months


async def happened(conn: Conn, account: str, at: str) -> None:
    """As if the clock had said so when the account's transfers of today were made."""
    today = (
        "UPDATE ledger.transfers SET created_at = %s WHERE account_id = %s AND created_at > now() - interval '1 hour'"
    )
    await conn.execute("ALTER TABLE ledger.transfers DISABLE TRIGGER append_only")
    await conn.execute(today, [at, account])
    await conn.execute("ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER append_only")


async def two_months(conn: Conn) -> str:
    """An account whose transfers lie in two months; another one moved in the first of them only."""
    account, other = [await an_account_with_everything(conn) for _ in range(2)]
    for one in (account, other):
        await happened(conn, one, OLD[0])
    await hold(conn, account, a_work_id(), 7)
    await happened(conn, account, OLD[1])
    await hold(conn, account, a_work_id(), 5)  # today
    return account


async def all_seals(conn: Conn) -> list[Seal]:
    return (await ledger_seals.page(conn, limit=1000, offset=0))[0][::-1]


async def transfers_before(conn: Conn, at: datetime) -> int:
    (count,) = await (
        await conn.execute("SELECT count(*) FROM ledger.transfers WHERE created_at < %s", [at])
    ).fetchone() or (0,)
    return int(count)


async def test_r5_each_month_that_ended_is_sealed_once_and_goes_on_from_the_one_before(conn: Conn) -> None:
    """R5, R6."""
    await two_months(conn)

    made = await close_months(conn)
    again = await close_months(conn)

    this_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert again == []
    assert made == await all_seals(conn)
    assert [seal.name for seal in made[:2]] == ["2025-09", "2025-10"]
    assert made[-1].period_end == this_month
    assert [seal.previous_hash for seal in made] == [NO_HASH, *(seal.hash for seal in made[:-1])]
    assert [seal.period_start for seal in made[1:]] == [seal.period_end for seal in made[:-1]]
    assert made[0].transfers == await transfers_before(conn, SEPTEMBER.end)
    assert (made[1].transfers, made[1].moved_micros) == (1, "7")
    assert {seal.transfers for seal in made[2:]} == {0}


async def test_r5_what_is_sealed_is_what_a_statement_of_the_period_says(conn: Conn) -> None:
    account = await two_months(conn)
    await close(conn, OCTOBER.end)

    (_, october) = await all_seals(conn)
    told = [
        await statement.of_account(conn, one, OCTOBER)
        for (one,) in await (await conn.execute("SELECT account_id::text FROM store.accounts")).fetchall()
    ]
    cursor = await conn.execute(
        "SELECT number, balance_micros FROM ledger.sealed_balances"
        " WHERE seal_number = 2 AND account_id = %s AND kind = 'available'",
        [account],
    )
    closing = next(one.closing for one in told if one.account_id == account)

    assert october.balances["available"] == sum(one.closing.available for one in told)
    assert sum(october.balances.values()) == 0
    assert await cursor.fetchall() == [(closing.entry_number, closing.available)]


async def test_r6_a_sealed_period_is_reported_the_same_whatever_happens_later(conn: Conn) -> None:
    await two_months(conn)
    sealed = await close(conn, OCTOBER.end)
    first = await verify_seals(conn)
    await an_account_with_everything(conn)
    await close_months(conn)

    again = await verify_seals(conn)

    assert first.violation is again.violation is None
    assert (await all_seals(conn))[:2] == sealed
    assert again.transfers == first.transfers == sum(seal.transfers for seal in sealed)


async def test_a_day_is_sealed_after_the_months_before_it(conn: Conn) -> None:
    await two_months(conn)

    made = await close(conn, period_named("2025-11-05").end)
    rest = await close(conn, period_named("2025-11").end)

    assert [seal.name for seal in made] == ["2025-09", "2025-10", "2025-11-01/2025-11-06"]
    assert [seal.name for seal in rest] == ["2025-11-06/2025-12-01"]


async def test_a_period_that_has_not_ended_is_not_sealed(conn: Conn) -> None:
    await two_months(conn)

    with pytest.raises(StateConflict):
        await close(conn, datetime.now(UTC) - ledger_seals.GRACE + timedelta(minutes=1))
    with pytest.raises(errors.RestrictViolation):  # nor by the function alone
        await conn.execute(
            "SELECT ledger.write_seal(1, now() - interval '1 day', now(), 0, 0, 0, '{}', %s, %s)", [NO_HASH] * 2
        )

    assert await all_seals(conn) == []


async def test_an_empty_ledger_has_nothing_to_seal(conn: Conn) -> None:
    assert await close_months(conn) == []


async def test_two_who_seal_at_once_make_each_seal_once(own_pool: Pool, conn: Conn) -> None:
    await two_months(conn)

    async def one() -> list[Seal]:
        async with single(own_pool) as mine:
            return await close_months(mine)

    made = await asyncio.gather(*(one() for _ in range(4)))

    assert sorted(seal.seal_number for each in made for seal in each) == [
        seal.seal_number for seal in await all_seals(conn)
    ]
    assert (await verify_seals(conn)).violation is None


async def test_a_seal_that_is_broken_off_leaves_nothing_and_is_made_by_the_next_one(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_months(conn)

    async def dies(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(ledger_seals, "_content", dies)
        with pytest.raises(ConnectionError):
            await close_months(conn)
    left = await (await conn.execute("SELECT count(*) FROM ledger.sealed_balances")).fetchone()
    made = await close_months(conn)

    assert left == (0,)
    assert made == await all_seals(conn)
    assert (await verify_seals(conn)).violation is None


async def test_a_transaction_that_was_open_at_the_end_is_waited_for(
    own_url: str, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an id for its transfer, and has not committed: without it nothing is sealed, nor verified as final."""
    monkeypatch.setattr(ledger_border, "PATIENCE", timedelta(milliseconds=100))
    account = await two_months(conn)
    async with await AsyncConnection.connect(own_url) as slow:
        await hold(slow, account, a_work_id(), 1)

        with pytest.raises(DatabaseUnavailable):
            await close_months(conn)
        assert await all_seals(conn) == []
        await slow.commit()

    assert (await close_months(conn))[0].name == "2025-09"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.seals SET hash = repeat('0', 64)",
        "DELETE FROM ledger.seals",
        "TRUNCATE ledger.seals CASCADE",
        "UPDATE ledger.sealed_balances SET balance_micros = 0",
        "DELETE FROM ledger.sealed_balances",
        "TRUNCATE ledger.sealed_balances",
        "SELECT ledger.write_seal(seal_number + 2, period_end, period_end + interval '1 day', 0, 0, 0, '{}', hash,"
        " hash) FROM ledger.seals ORDER BY seal_number DESC LIMIT 1",
        "SELECT ledger.write_seal(seal_number + 1, period_start, period_end, 0, 0, 0, '{}', hash, hash)"
        " FROM ledger.seals ORDER BY seal_number DESC LIMIT 1",
        "SELECT ledger.seal_balances(99, 'infinity', 1000000)",
    ],
)
async def test_no_seal_is_changed_removed_or_forged(sealed: tuple[Conn, str], statement: str) -> None:
    conn, _ = sealed
    with pytest.raises(errors.IntegrityError):
        await conn.execute(statement.encode())


@pytest.fixture(scope="module")
async def sealed() -> AsyncIterator[tuple[Conn, str]]:
    """Two sealed months, and what came later."""
    pool = await open_pool(await fresh_database(), size_max=1)
    async with single(pool) as conn:
        account = await two_months(conn)
        await close(conn, OCTOBER.end)
        await hold(conn, account, a_work_id(), 3)
        yield conn, account
    await pool.close()


@pytest.fixture(scope="module")
async def unguarded(sealed: tuple[Conn, str]) -> tuple[Conn, str]:
    conn, _ = sealed
    await take_the_guards_down(conn)
    for table in TABLES:
        await conn.execute(f"CREATE TABLE public.{table} AS SELECT * FROM ledger.{table}".encode())
    return sealed


TABLES = ("transfers", "seals", "sealed_balances")
DAMAGES = {
    "a word of a cause": (
        "UPDATE ledger.transfers SET cause = 'fallen' WHERE mine AND cause = 'failed'",
        r"period 2025-09 is not what it was: its hash is",
    ),
    "the time of a transfer, by a microsecond": (
        "UPDATE ledger.transfers SET created_at = created_at + interval '1 microsecond' WHERE mine"
        " AND operation = 'grant'",
        r"period 2025-09 is not what it was: its hash is",
    ),
    "an amount": (
        "UPDATE ledger.transfers SET amount_micros = 8 WHERE mine AND amount_micros = 7",
        r"period 2025-10 is not what it was: it has 1 transfers of 8 micro-credits in all; sealed were 1 of 7",
    ),
    "a transfer that is gone": (
        "DELETE FROM ledger.transfers WHERE mine AND amount_micros = 7",
        r"period 2025-10 is not what it was: it has 0 transfers",
    ),
    "all of an account": (
        "DELETE FROM ledger.transfers WHERE mine",
        r"period 2025-09 is not what it was: it has \d+ transfers",
    ),
    "a transfer put between": (
        "INSERT INTO ledger.transfers SELECT -1 AS transfer_id, amount_micros, debit_number, debit_balance_micros,"
        " credit_number, credit_balance_micros, created_at, debit, credit, operation, try_number, account_id, work_id,"
        " 'again', cause, shard, once FROM ledger.transfers WHERE mine AND operation = 'grant' LIMIT 1",
        r"period 2025-09 is not what it was: it has \d+ transfers",
    ),
    "a backdated transfer": (
        "UPDATE ledger.transfers SET created_at = '2025-10-31T12:00:00Z' WHERE mine AND amount_micros = 3",
        r"Transfer \d+ of account {account} says that it happened before the end of 2025-10, which was sealed without",
    ),
    "a sealed balance": (
        "UPDATE ledger.sealed_balances SET balance_micros = 1 WHERE mine AND seal_number = 1 AND kind = 'revenue'",
        r"period 2025-09 is not what it was: the sealed revenue balance of account {account}",
    ),
    "what all accounts had": (
        "UPDATE ledger.seals SET balances = '{}' WHERE seal_number = 2 AND %(account)s <> ''",
        r"period 2025-10 is not what it was: its last transfer, or what all accounts had",
    ),
    "a hash": (
        "UPDATE ledger.seals SET hash = repeat('a', 64) WHERE seal_number = 1 AND %(account)s <> ''",
        r"period 2025-09 is not what it was: its hash is",
    ),
    "a seal that is gone": (
        "DELETE FROM ledger.seals WHERE seal_number = 1 AND %(account)s <> ''",
        r"period 2025-10 is not what it was: it does not go on from the seal before it",
    ),
}


@pytest.mark.parametrize("changed", DAMAGES)
async def test_r5_a_change_in_a_sealed_period_is_found_and_the_first_seal_named(
    unguarded: tuple[Conn, str], changed: str
) -> None:
    conn, account = unguarded
    statement, words = DAMAGES[changed]
    before = await verify_seals(conn)
    await damage(conn, statement, account)

    found = (await verify_seals(conn)).violation

    await conn.execute("TRUNCATE ledger.transfers, ledger.seals, ledger.sealed_balances")
    for table in TABLES:
        await conn.execute(f"INSERT INTO ledger.{table} SELECT * FROM public.{table}".encode())
    assert before.violation is None
    assert found is not None
    assert found.invariant == "R5"
    assert re.search(words.format(account=account), found.words), found
