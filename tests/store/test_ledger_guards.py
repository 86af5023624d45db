"""What the database refuses, whoever asks; and what `ledger.check` finds when the guards were taken down."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, errors

from store import generations, ledger, ledger_payments
from store.connection import Pool, single
from tests.store.builders import (
    CREDIT,
    a_processing,
    a_work_id,
    an_account,
    an_admitted,
    hold,
    let_go,
    settle,
    standing,
    success,
)
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]


@pytest.fixture
async def work(conn: Conn, account_id: str) -> str:
    """A settled hold and an open one, so that every table has rows."""
    settled = a_work_id()
    await hold(conn, account_id, settled)
    await settle(conn, account_id, settled)
    await hold(conn, account_id, a_work_id())
    people = {"actor_one": "ada", "actor_two": "grace", "reason": "a mistake of ours"}
    await ledger_payments.adjust(conn, account_id=account_id, amount=1, key=a_work_id(), **people)
    return settled


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.transfers SET amount_micros = 1",
        "UPDATE ledger.transfers SET cause = 'another story'",
        "DELETE FROM ledger.transfers",
        "TRUNCATE ledger.transfers",
        "TRUNCATE ledger.transfers CASCADE",
        "UPDATE ledger.grants SET amount_micros = 1",
        "DELETE FROM ledger.grants",
        "TRUNCATE ledger.grants",
        "UPDATE ledger.books SET available_micros = available_micros + 1",
        "UPDATE ledger.books SET available_entries = 0",
        "UPDATE ledger.books SET frozen = true",
        "DELETE FROM ledger.books",
        "TRUNCATE ledger.books",
        "INSERT INTO ledger.books (account_id, shard, available_micros) VALUES (gen_random_uuid(), 0, 5)",
        "INSERT INTO ledger.books (account_id, shard) VALUES (gen_random_uuid(), 17)",
        "UPDATE ledger.keyed_operations SET reason = 'another story'",
        "DELETE FROM ledger.keyed_operations",
        "TRUNCATE ledger.keyed_operations",
        "INSERT INTO ledger.holds (account_id, work_id, try_number, amount_micros, price_version, expires_at, state)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 1, 0, 'x', now(), 'released')",
        "INSERT INTO ledger.holds (account_id, work_id, try_number, amount_micros, price_version, expires_at)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 1, -1, 'x', now())",
        "UPDATE ledger.holds SET state = 'settled', settled_micros = 1, ended_at = now() WHERE state = 'held'",
        "UPDATE ledger.holds SET state = 'released', released_micros = amount_micros WHERE state = 'held'",
        "UPDATE ledger.holds SET state = 'expired', settled_micros = amount_micros, ended_at = now()"
        " WHERE state = 'held'",
        "UPDATE ledger.holds SET state = 'settled', settled_micros = amount_micros, shortfall_micros = 1,"
        " ended_at = now() WHERE state = 'held'",
        "UPDATE ledger.holds SET amount_micros = 1",
        "UPDATE ledger.holds SET shard = 16",
        "UPDATE ledger.holds SET price_version = 'dearer'",
        "UPDATE ledger.holds SET refunded_micros = settled_micros + 1 WHERE state = 'settled'",
        "UPDATE ledger.holds SET refunded_micros = 1 WHERE state = 'held'",
        "UPDATE ledger.holds SET expires_at = expires_at + interval '1 hour'",
        "UPDATE ledger.holds SET state = 'held', settled_micros = 0, ended_at = NULL WHERE state = 'settled'",
        "UPDATE ledger.holds SET state = 'released', released_micros = amount_micros, settled_micros = 0"
        " WHERE state = 'settled'",
        "DELETE FROM ledger.holds",
        "TRUNCATE ledger.holds",
    ],
)
@pytest.mark.parametrize("role", ["origin", "replica"])
async def test_history_and_balances_are_not_to_be_written_by_hand(
    conn: Conn, work: str, statement: str, role: str
) -> None:
    """INV-19, INV-8, INV-4: refused for the owner, too, and where ordinary triggers are switched off.

    E9, E14: so are other terms for a hold that is open, its price among them.
    """
    async with conn.transaction():
        await conn.execute(f"SET LOCAL session_replication_role = '{role}'".encode())
        with pytest.raises(psycopg.IntegrityError):
            await conn.execute(statement.encode())
        raise psycopg.Rollback


async def insert(conn: Conn, **changes: Any) -> int:
    facts: dict[str, Any] = {
        "debit": "available",
        "credit": "held",
        "amount_micros": CREDIT,
        "operation": "reserve",
        "work_id": a_work_id(),
        "try_number": 1,
    } | changes
    names = ", ".join(facts)
    values = ", ".join(f"%({name})s" for name in facts)
    cursor = await conn.execute(f"INSERT INTO ledger.transfers ({names}) VALUES ({values})".encode(), facts)
    return cursor.rowcount


async def test_numbers_balances_and_times_come_from_the_database_alone(conn: Conn, account_id: str) -> None:
    """INV-20: a forged transfer gets the true ones."""
    async with conn.transaction():
        forged = {"debit_number": 77, "debit_balance_micros": 10**17, "transfer_id": 1, "created_at": "2001-01-01"}
        await insert(conn, account_id=account_id, **forged)
        (entry, _) = await ledger.entries(conn, account_id)
        raise psycopg.Rollback

    assert (entry.number, entry.balance_micros) == (2, 9 * CREDIT)
    assert entry.transfer_id > 1
    assert entry.created_at.year > 2001


async def test_a_transfer_that_is_not_covered_is_not_inserted(conn: Conn, account_id: str) -> None:
    """INV-1."""
    assert await insert(conn, account_id=account_id, amount_micros=11 * CREDIT) == 0
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


NOBODY = "00000000-0000-4000-8000-000000000000"
GRANT = {"debit": "adjustment", "credit": "available", "operation": "grant", "work_id": None, "try_number": None}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"debit": "held", "credit": "available", "operation": "release"}, id="held below zero"),
        pytest.param({"amount_micros": 0}, id="nothing"),
        pytest.param({"amount_micros": -1}, id="less than nothing"),
        pytest.param(GRANT | {"amount_micros": 10**15 + 1}, id="beyond the largest amount"),
        pytest.param({"debit": "payment", "credit": "available"}, id="money from nowhere"),
        pytest.param({"debit": "held", "credit": "held"}, id="to itself"),
        pytest.param({"work_id": None}, id="without work"),
        pytest.param(GRANT | {"account_id": NOBODY}, id="without an account"),
    ],
)
async def test_an_impossible_transfer_is_refused(conn: Conn, account_id: str, changes: dict[str, Any]) -> None:
    """INV-2, INV-3, INV-7, U3."""
    with pytest.raises(psycopg.IntegrityError):
        await insert(conn, **({"account_id": account_id} | changes))


async def test_a_stamp_alone_does_not_double_a_movement(conn: Conn, account_id: str) -> None:
    """INV-8: what passes as a statement of the ledger's own meets the key all the same."""
    work = a_work_id()
    await hold(conn, account_id, work)
    facts: dict[str, Any] = {"transfer_id": 1, "debit_number": 9, "debit_balance_micros": 0, "credit_number": 9}
    facts |= {"credit_balance_micros": 0, "created_at": "2001-01-01"}

    with pytest.raises(errors.UniqueViolation):
        await insert(conn, account_id=account_id, work_id=work, once=True, **facts)


async def test_a_hold_moves_only_once_in_each_way(conn: Conn, account_id: str) -> None:
    """INV-8, INV-9: whatever the functions might do, the keys say no."""
    work = a_work_id()
    await hold(conn, account_id, work)

    with pytest.raises(errors.UniqueViolation):
        await insert(conn, account_id=account_id, work_id=work)


async def test_only_the_owner_may_touch_the_ledger(own_url: str) -> None:
    """INV-24."""
    statements = [
        "SELECT * FROM ledger.accounts",
        "INSERT INTO ledger.transfers DEFAULT VALUES",
        "SELECT ledger.release(gen_random_uuid(), gen_random_uuid(), 1, 'x')",
        "SELECT * FROM store.api_keys",
    ]
    async with await AsyncConnection.connect(own_url, autocommit=True) as conn:
        await conn.execute("DROP ROLE IF EXISTS somebody")
        await conn.execute("CREATE ROLE somebody")
        await conn.execute("SET ROLE somebody")
        for statement in statements:
            with pytest.raises(errors.InsufficientPrivilege):
                await conn.execute(statement.encode())
        await conn.execute("RESET ROLE")
        await conn.execute("DROP ROLE somebody")


SERVICE = (  # what docs/decisions/0022 grants to the role of the running system
    "GRANT USAGE ON SCHEMA ledger, store TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA store TO {role}",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA store TO {role}",
    "GRANT EXECUTE ON FUNCTION ledger.reserve, ledger.settle, ledger.release, ledger.grant_credits,"
    " ledger.refund_settled, ledger.claw_back, ledger.restore_clawback, ledger.dispute_hold, ledger.dispute_end,"
    " ledger.adjust, ledger.balance_at, ledger.last_transfer, ledger.seal_balances, ledger.write_seal,"
    " ledger.keep_checkpoint, ledger.drop_checkpoint, ledger.keep_verification, ledger.grant_until, ledger.expire_lots,"
    " ledger.left_of_lots TO {role}",
)


async def test_inv_24_the_service_moves_credits_by_operations_and_by_nothing_else(own_url: str) -> None:
    """INV-19, INV-25: a role that may call the operations, and neither write a table nor be led astray by its own."""
    role = f"service_{own_url.partition('?')[0].rpartition('/')[2]}"
    forbidden = [
        "INSERT INTO ledger.transfers DEFAULT VALUES",
        "UPDATE ledger.books SET available_micros = 1",
        "DELETE FROM ledger.transfers",
        "TRUNCATE ledger.keyed_operations",
        "SELECT ledger.apply_rarer_transfer(NULL)",
        "SELECT ledger.repay(gen_random_uuid(), 1, 'k')",
        "SELECT ledger.settle_the_long_way(gen_random_uuid(), gen_random_uuid(), 1, 1)",
        "ALTER TABLE ledger.transfers DISABLE TRIGGER append_only",
    ]
    async with await AsyncConnection.connect(own_url, autocommit=True) as conn:
        account, work = await an_account(conn, credits=3), a_work_id()
        await conn.execute(f"CREATE ROLE {role}".encode())
        try:
            for statement in SERVICE:
                await conn.execute(statement.format(role=role).encode())
            await conn.execute(f"SET ROLE {role}".encode())
            await conn.execute("CREATE TEMPORARY TABLE books (LIKE ledger.books)")
            await conn.execute("SET search_path = pg_temp, ledger")

            assert await hold(conn, account, work) is ledger.Reserved.HELD
            assert await settle(conn, account, work) is ledger.Settled.SETTLED
            assert await standing(conn, account) == (2 * CREDIT, 0, 0)
            for statement in forbidden:
                with pytest.raises(errors.InsufficientPrivilege):
                    await conn.execute(statement.encode())
        finally:
            await conn.execute("RESET ROLE; RESET search_path; DROP TABLE IF EXISTS pg_temp.books")
            await conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_every_function_pins_where_names_are_looked_up(conn: Conn) -> None:
    """INV-25: the catalogue first, a caller's temporary schema last."""
    cursor = await conn.execute(
        "SELECT oid::regprocedure::text FROM pg_proc"
        " WHERE pronamespace IN ('ledger'::regnamespace, 'store'::regnamespace)"
        " AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']"
    )
    assert await cursor.fetchall() == []


# --- what check() finds -------------------------------------------------------------------------------------------

BREAKAGES = {
    "INV-1": "UPDATE ledger.books SET available_micros = -1",
    "INV-3": "UPDATE ledger.transfers SET debit = 'held' WHERE operation = 'reserve'",
    "INV-4": "UPDATE ledger.books SET available_micros = available_micros + 1",
    "INV-5": "UPDATE ledger.books SET held_micros = held_micros + 1",
    "INV-6": "UPDATE ledger.books SET revenue_micros = revenue_micros + 1",
    "INV-7": "DELETE FROM ledger.grants",
    "INV-14": "UPDATE ledger.grants SET amount_micros = amount_micros + 1",
    "INV-8": "UPDATE ledger.holds SET state = 'released', released_micros = amount_micros, settled_micros = 0"
    " WHERE state = 'settled'",
    "INV-10": "UPDATE ledger.holds SET amount_micros = amount_micros + 1 WHERE state = 'held'",
    "INV-11": "UPDATE ledger.holds SET settled_micros = settled_micros - 1 WHERE state = 'settled'",
    "INV-15": "DELETE FROM ledger.holds WHERE state = 'settled'",
    "INV-16": "UPDATE ledger.transfers SET operation = 'expire' WHERE operation = 'settle'",
    "INV-17": "UPDATE ledger.holds SET settled_micros = amount_micros + 1, released_micros = -1"
    " WHERE state = 'settled'",
    "INV-12": "DELETE FROM ledger.keyed_operations WHERE operation = 'adjust'",
    "INV-18": "UPDATE ledger.keyed_operations SET amount_micros = 10 * amount_micros WHERE operation = 'claw_back'",
    "INV-20": "UPDATE ledger.transfers SET debit_number = debit_number + 1 WHERE operation = 'reserve'",
    "INV-28": "UPDATE store.generations SET status = 'succeeded', provider_used = 'x', settled_microcredits = 1,"
    " completed_at = now()",
    "INV-29": "UPDATE store.generations SET status = 'failed', error_code = 'x', completed_at = now()",
}


@pytest.fixture(scope="module")
async def unguarded_url() -> str:
    """A database whose guards were taken down by somebody with the power to do so."""
    url = await fresh_database()
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        account = await an_account(conn, credits=10)
        settled, released = a_work_id(), a_work_id()
        for one in (settled, released, a_work_id()):
            await hold(conn, account, one)
        await settle(conn, account, settled, CREDIT - 1)
        await let_go(conn, account, released)
        await an_admitted(conn, account)
        people = {"actor_one": "ada", "actor_two": "grace", "reason": "a mistake of ours"}
        await ledger_payments.adjust(conn, account_id=account, amount=1, key="an adjustment", **people)
        payment: dict[str, Any] = {"amount": CREDIT, "source": ledger.GrantSource.PAYMENT, "key": "a payment"}
        await ledger.grant(conn, account_id=account, **payment)
        clawed: dict[str, Any] = {"amount": CREDIT, "payment_key": "a payment", "key": "a clawback"}
        await ledger_payments.claw_back(conn, account_id=account, **clawed)
        assert await ledger.check(conn) == []
        await conn.execute(
            """DO $$
            DECLARE one record;
            BEGIN
                FOR one IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
                            WHERE contype = 'c' AND connamespace = 'ledger'::regnamespace LOOP
                    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.owner, one.conname);
                END LOOP;
                FOR one IN SELECT tgrelid::regclass AS owner, tgname FROM pg_trigger WHERE NOT tgisinternal LOOP
                    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', one.owner, one.tgname);
                END LOOP;
            END $$"""
        )
    return url


@pytest.mark.parametrize(
    ("invariant", "breakage"),
    [
        *(pytest.param(*one, id=one[0]) for one in BREAKAGES.items()),
        pytest.param("INV-10", "UPDATE ledger.holds SET settled_micros = 1 WHERE state = 'held'", id="INV-10, parts"),
        pytest.param("INV-8", "UPDATE ledger.transfers SET once = false WHERE operation = 'settle'", id="INV-8, once"),
    ],
)
async def test_check_finds_what_was_broken(unguarded_url: str, invariant: str, breakage: str) -> None:
    """INV-3 to INV-6, and the others of section 5 that rows can tell."""
    async with await AsyncConnection.connect(unguarded_url, autocommit=True) as conn, conn.transaction():
        await conn.execute(breakage.encode())

        violations = await ledger.check(conn)

        assert [line for line in violations if invariant in line.split(": ")[0].split("/")], violations
        raise psycopg.Rollback


async def test_check_is_silent_about_books_that_balance(own_pool: Pool) -> None:
    async with single(own_pool) as conn:
        account = await an_account(conn, credits=10)
        await an_admitted(conn, account)
        request = await a_processing(conn, account)
        await generations.finish(conn, success(request))

        assert await ledger.check(conn) == []
