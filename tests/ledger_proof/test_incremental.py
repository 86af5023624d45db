"""The scheduled proof reads what is new: it finds there whatever a full one finds, and reads no more than that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection, errors

from domain.periods import month_of
from store import ledger, ledger_seals, ledger_verifications, sql
from store.connection import open_pool, single
from store.ledger_border import border
from store.ledger_incremental import verify_new, verify_scheduled
from store.ledger_verification import Verification, verify
from tests.ledger_proof.conftest import damage, take_the_guards_down
from tests.ledger_proof.test_verify import KINDS, an_account_with_everything
from tests.store.builders import CREDIT, a_work_id, an_account, give, hold, let_go, settle
from tests.store.test_ledger_guards import SERVICE
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]
DAY = timedelta(days=1)


async def scheduled(conn: Conn) -> Verification:
    return await verify_scheduled(conn, full_every=DAY)


async def test_r1_the_first_verification_reads_everything_and_the_next_one_what_is_new(conn: Conn) -> None:
    """R1, R6."""
    for _ in range(2):
        await an_account_with_everything(conn)
    full = await scheduled(conn)
    nothing_new = await scheduled(conn)
    account, work = await an_account(conn, credits=2), a_work_id()
    await hold(conn, account, work)
    await settle(conn, account, work)

    new, again = await verify_new(conn), await verify_new(conn)

    assert [one.violations for one in (full, nothing_new, new, again)] == [[]] * 4
    assert [one.is_full for one in (full, nothing_new, new, again)] == [True, False, False, False]
    assert full.entries == (await verify(conn)).entries - 6
    assert (nothing_new.entries, new.entries, again.entries) == (0, 6, 6)
    assert new.holds == nothing_new.holds + 1
    assert (await scheduled(conn)).up_to_transfer == full.up_to_transfer + 3


async def test_everything_is_read_again_when_the_last_time_is_long_ago(conn: Conn) -> None:
    await an_account(conn, credits=1)
    await scheduled(conn)

    assert not (await scheduled(conn)).is_full
    assert (await verify_scheduled(conn, full_every=timedelta(0))).is_full


async def test_a_hold_may_end_and_be_corrected_and_refunded_in_any_later_run(conn: Conn) -> None:
    account, work, late = await an_account(conn, credits=10), a_work_id(), a_work_id()
    for one in (work, late):
        await hold(conn, account, one)
    runs = [await scheduled(conn)]
    await settle(conn, account, work, CREDIT // 4)
    await let_go(conn, account, late)
    runs.append(await scheduled(conn))
    await settle(conn, account, late)
    await ledger.refund_settled(
        conn, account_id=account, work_id=work, amount=CREDIT // 8, actor="ada", reason="a bad picture", key="refund:1"
    )
    runs.append(await scheduled(conn))
    runs.append(await scheduled(conn))

    assert [(run.is_full, run.violations) for run in runs] == [(True, []), (False, []), (False, []), (False, [])]
    assert [run.holds for run in runs[1:]] == [2, 2, 0]


async def test_a_violation_drops_the_checkpoint_until_everything_is_clean_again(conn: Conn) -> None:
    account = await an_account(conn, credits=10)
    await scheduled(conn)
    await take_the_guards_down(conn)
    await damage(
        conn, "UPDATE ledger.books SET available_micros = available_micros + 1 WHERE mine AND shard = 0", account
    )
    first, second = await scheduled(conn), await scheduled(conn)
    await damage(
        conn, "UPDATE ledger.books SET available_micros = available_micros - 1 WHERE mine AND shard = 0", account
    )
    third, fourth = await scheduled(conn), await scheduled(conn)

    assert [str(one) for one in first.violations] == [str(one) for one in second.violations] != []
    assert [one.is_full for one in (first, second, third, fourth)] == [False, True, True, False]
    assert third.violations == fourth.violations == []


async def test_damage_before_the_checkpoint_is_found_by_a_full_verification_alone(conn: Conn) -> None:
    account = await an_account_with_everything(conn)
    await scheduled(conn)
    await take_the_guards_down(conn)
    await damage(conn, "UPDATE ledger.transfers SET amount_micros = 1 WHERE mine AND operation = 'recollect'", account)

    assert (await scheduled(conn)).violations == []
    found = await verify_scheduled(conn, full_every=timedelta(0))

    assert (found.violations[0].invariant, found.violations[0].account_id) == ("INV-4", account)
    assert (await scheduled(conn)).is_full


async def test_the_border_waits_for_a_transfer_that_is_on_its_way(own_url: str, conn: Conn) -> None:
    """It took an id, another one took a higher one and committed: up to there nothing is final yet."""
    slow_one, quick_one = [await an_account(conn, credits=5) for _ in range(2)]
    before = await border(conn)
    committed: list[int] = []
    async with await AsyncConnection.connect(own_url) as slow:
        await hold(slow, slow_one, a_work_id())
        await hold(conn, quick_one, a_work_id())

        async def commit_it() -> None:
            committed.append((await verify(conn)).entries)
            await slow.commit()

        after = await border(conn, pause=commit_it)

    assert committed == [6]
    assert after.transfer_id == before.transfer_id + 2
    assert (await verify(conn)).entries == 8


# --- damage after the checkpoint --------------------------------------------------------------------------------------

TABLES = ("ledger.transfers", "ledger.books", "ledger.holds", "ledger.grants", "ledger.keyed_operations", "ledger.lots")


@pytest.fixture(scope="module")
async def after_checkpoint() -> AsyncIterator[tuple[Conn, str]]:
    """An account that did everything before the checkpoint, and one after it; guards down, a copy beside."""
    pool = await open_pool(await fresh_database(), size_max=1)
    async with single(pool) as conn:
        await an_account_with_everything(conn)
        assert (await scheduled(conn)).violations == []
        account = await an_account_with_everything(conn)
        assert (await verify_new(conn)).violations == []
        await take_the_guards_down(conn)
        for table in (*TABLES, "store.generations"):
            copy = table.replace(".", "_")
            await conn.execute(f"CREATE TABLE public.{copy} AS SELECT * FROM {table}".encode())
        yield conn, account
    await pool.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_damage_to_what_is_new_is_found_as_by_a_full_verification(
    after_checkpoint: tuple[Conn, str], kind: str
) -> None:
    """R1."""
    conn, account = after_checkpoint
    statement, invariant, words = KINDS[kind]
    before = await verify_new(conn)
    await damage(conn, statement, account)

    found, full = await verify_new(conn), await verify(conn)

    await undo_the_damage(conn)
    assert (before.is_full, before.violations) == (False, [])
    assert (found.violations[0].invariant, found.violations[0].account_id) == (invariant, account)
    assert re.search(words.format(account=account), str(found.violations[0])), found.violations[0]
    assert [one.invariant for one in found.violations] == [one.invariant for one in full.violations]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.transfers SET once = false WHERE mine AND operation = 'settle'",
        "UPDATE ledger.transfers SET once = true WHERE mine AND operation = 'refund'",
        "UPDATE ledger.transfers SET once = true WHERE mine AND operation = 'grant'",
    ],
)
async def test_a_transfer_in_the_wrong_index_is_found_by_every_verification(
    after_checkpoint: tuple[Conn, str], statement: str
) -> None:
    """INV-8: it would be overlooked among those of its hold or its account, or pass the key that keeps it single."""
    conn, account = after_checkpoint
    await damage(conn, statement, account)

    results = [
        await verify_new(conn),
        await verify(conn),
        await verify(conn, batch_rows=2),
        await verify(conn, account_id=account),
    ]

    await undo_the_damage(conn)
    for found in results:
        assert (found.violations[0].invariant, found.violations[0].account_id) == ("INV-8", account)
        assert re.search(r"Transfer \d+ of account .* of what a hold sees once at most", str(found.violations[0]))


async def undo_the_damage(conn: Conn) -> None:
    for table in (*TABLES, "store.generations"):
        await conn.execute(f"DELETE FROM {table}".encode())
        await conn.execute(f"INSERT INTO {table} SELECT * FROM public.{table.replace('.', '_')}".encode())


# --- any history, any checkpoints -------------------------------------------------------------------------------------

STEPS = st.sampled_from(["hold", "hold", "settle", "part", "release", "late", "refund", "grant", "checkpoint"])
HARM = st.sampled_from(
    [
        "UPDATE ledger.transfers SET amount_micros = amount_micros + 1 WHERE mine AND transfer_id = LAST",
        "UPDATE ledger.transfers SET debit_number = debit_number + 1 WHERE mine AND transfer_id = LAST",
        "UPDATE ledger.transfers SET credit_balance_micros = 3 WHERE mine AND transfer_id = LAST",
        "DELETE FROM ledger.transfers WHERE mine AND transfer_id = LAST",
        "UPDATE ledger.books SET revenue_micros = revenue_micros + 1 WHERE mine AND shard = 0",
        "UPDATE ledger.holds SET amount_micros = amount_micros + 1 WHERE mine AND state = 'held'",
    ]
)


@pytest.fixture(scope="module")
def loop_and_conn() -> Iterator[tuple[asyncio.Runner, Conn]]:
    with asyncio.Runner() as runner:
        conn = runner.run(open_alone())
        yield runner, conn
        runner.run(conn.close())


async def open_alone() -> Conn:
    conn: Conn = await AsyncConnection.connect(await fresh_database(), autocommit=True)
    return conn


@settings(max_examples=8, phases=(Phase.generate,), database=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=16), harm=HARM)
def test_r1_after_any_history_what_is_new_gets_the_verdict_of_a_full_verification(
    loop_and_conn: tuple[asyncio.Runner, Conn], steps: list[str], harm: str
) -> None:
    runner, conn = loop_and_conn
    runner.run(a_history(conn, steps, harm))


async def a_history(conn: Conn, steps: list[str], harm: str) -> None:
    """Steps on one account with checkpoints between, then one that is new, and damage to it; undone at the end."""
    account = await an_account(conn, credits=10)
    works: list[str] = []
    for position, step in enumerate(steps):
        work = works[(3 * position) % len(works)] if works else a_work_id()
        match step:
            case "hold":
                works.append(a_work_id())
                await hold(conn, account, works[-1], CREDIT // 8)
            case "settle":
                await settle(conn, account, work, CREDIT // 8)
            case "part":
                await settle(conn, account, work, CREDIT // 16)
            case "release":
                await let_go(conn, account, work)
            case "late":
                await let_go(conn, account, work)
                await settle(conn, account, work, CREDIT // 8)
            case "refund":
                facts = {"amount": CREDIT // 32, "actor": "ada", "reason": "a bad picture", "key": f"refund {position}"}
                await ledger.refund_settled(conn, account_id=account, work_id=work, **facts)  # type: ignore[arg-type]
            case "grant":
                await give(conn, account, CREDIT)
            case _:
                assert (await scheduled(conn)).violations == []
    await hold(conn, account, a_work_id(), 1)
    assert (await verify_new(conn)).violations == (await verify(conn, account_id=account)).violations == []
    table = harm.split()[1] if harm.startswith("UPDATE") else harm.split()[2]
    await conn.execute(f"CREATE TEMP TABLE saved AS SELECT * FROM {table} WHERE account_id = '{account}'".encode())
    await conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
    last = "(SELECT max(transfer_id) FROM ledger.transfers WHERE mine)"
    await damage(conn, harm.replace("LAST", last), account)

    found, full = await verify_new(conn), await verify(conn, account_id=account)

    await conn.execute(f"DELETE FROM {table} WHERE account_id = '{account}'".encode())
    await conn.execute(f"INSERT INTO {table} SELECT * FROM saved".encode())
    await conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())
    await conn.execute("DROP TABLE saved")
    assert [str(one) for one in found.violations] == [str(one) for one in full.violations] != []


# --- what it costs, and who may do it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["entries", "holds", "accounts_with_rarer_operations", "generations"])
async def test_r1_new_transfers_are_looked_up_by_account_and_never_by_reading_history(conn: Conn, name: str) -> None:
    """Whatever the planner believes of the table: each look into it names an account."""
    await an_account_with_everything(conn)
    await conn.execute("ANALYZE ledger.transfers")
    await conn.execute("SET enable_seqscan = off")  # which is the cheaper way for a table of one page
    statement = b"EXPLAIN (FORMAT JSON) " + sql.load("ledger_incremental")[name]

    cursor = await conn.execute(statement, {"border": 1, "since": "2026-01-01"})

    (plan,) = await cursor.fetchone() or (None,)
    assert plan is not None
    looks = list(looks_into("transfers", plan[0]["Plan"]))
    assert looks
    assert all("account_id = " in condition for condition in looks), looks


def looks_into(table: str, plan: dict[str, Any]) -> Iterator[str]:
    if plan.get("Relation Name") == table:
        yield plan.get("Index Cond") or plan.get("Recheck Cond") or "all of it"
    for part in plan.get("Plans", []):
        yield from looks_into(table, part)


async def test_inv_24_the_service_verifies_and_seals_without_a_right_to_write(own_url: str, conn: Conn) -> None:
    """INV-24."""
    role = f"prover_{own_url.partition('?')[0].rpartition('/')[2]}"
    await an_account_with_everything(conn)
    await conn.execute(f"CREATE ROLE {role}".encode())
    try:
        for statement in SERVICE:
            await conn.execute(statement.format(role=role).encode())
        await conn.execute(f"SET ROLE {role}".encode())

        runs = [await scheduled(conn), await scheduled(conn)]
        await ledger_verifications.keep(conn, runs[-1])
        sealed = await ledger_seals.close(conn, month_of(datetime.now(UTC)))
        with pytest.raises(errors.InsufficientPrivilege):
            await conn.execute("DELETE FROM ledger.checkpoints")
    finally:
        await conn.execute("RESET ROLE")
        await conn.execute(f"DROP OWNED BY {role}".encode())
        await conn.execute(f"DROP ROLE {role}".encode())

    assert [(run.is_full, run.violations) for run in runs] == [(True, []), (False, [])]
    assert [seal.transfers for seal in sealed] == [0]
    assert (await ledger_seals.verify_seals(conn)).violation is None
