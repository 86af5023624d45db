"""The operations of the ledger, one word after the other."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from domain.errors import AccountNotFound, InvalidInput, ParameterOutOfRange
from store import generations, ledger
from store.connection import Pool, single
from store.ledger import AccountKind, Granted, GrantSource, HoldState, Operation, Released, Reserved, Settled
from tests.store.builders import (
    CREDIT,
    a_processing,
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

Conn = AsyncConnection[Any]
NOBODY = "00000000-0000-4000-8000-000000000000"
pytestmark = pytest.mark.usefixtures("books_that_balance")  # whatever a test does, every invariant holds afterwards


# --- reserve ------------------------------------------------------------------------------------------------------


async def test_a_reservation_takes_exactly_the_amount_out_of_available(conn: Conn, account_id: str) -> None:
    """INV-10."""
    word = await hold(conn, account_id, a_work_id(), 3 * CREDIT)

    assert word is Reserved.HELD
    assert await standing(conn, account_id) == (7 * CREDIT, 3 * CREDIT, 0)


async def test_a_repeated_reservation_moves_credits_once(conn: Conn, account_id: str) -> None:
    """INV-9, INV-12."""
    work = a_work_id()

    words = [await hold(conn, account_id, work) for _ in range(3)]

    assert words == [Reserved.HELD, Reserved.ALREADY_HELD, Reserved.ALREADY_HELD]
    assert await standing(conn, account_id) == (9 * CREDIT, CREDIT, 0)


@pytest.mark.parametrize(
    "changes",
    [pytest.param({"amount": 2}, id="other amount"), pytest.param({"price_version": "2027-01"}, id="other price")],
)
async def test_the_same_hold_with_another_body_is_a_conflict(
    conn: Conn, account_id: str, changes: dict[str, Any]
) -> None:
    """INV-13."""
    work = a_work_id()
    await hold(conn, account_id, work)

    assert await hold(conn, account_id, work, **changes) is Reserved.CONFLICT
    assert await standing(conn, account_id) == (9 * CREDIT, CREDIT, 0)


async def test_what_cannot_be_afforded_is_not_held_and_leaves_no_trace(conn: Conn, account_id: str) -> None:
    """INV-1."""
    work = a_work_id()

    assert await hold(conn, account_id, work, 10 * CREDIT + 1) is Reserved.INSUFFICIENT
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    assert await ledger.hold(conn, account_id=account_id, work_id=work) is None
    assert await hold(conn, account_id, work, 10 * CREDIT) is Reserved.HELD


async def test_an_ended_hold_cannot_be_reserved_again(conn: Conn, account_id: str) -> None:
    """E12: the published primitive answers success here and takes nothing."""
    settled, released = a_work_id(), a_work_id()
    for work in (settled, released):
        await hold(conn, account_id, work)
    await settle(conn, account_id, settled)
    await let_go(conn, account_id, released)

    assert await hold(conn, account_id, settled) is Reserved.CLOSED
    assert await hold(conn, account_id, released) is Reserved.CLOSED


async def test_a_new_try_at_the_same_work_is_another_hold(conn: Conn, account_id: str) -> None:
    work = a_work_id()
    await hold(conn, account_id, work)
    await let_go(conn, account_id, work)

    assert await hold(conn, account_id, work, try_number=2) is Reserved.HELD


async def test_a_frozen_account_keeps_its_holds_and_gets_no_new_one(conn: Conn, account_id: str) -> None:
    """E15."""
    work = a_work_id()
    await hold(conn, account_id, work)
    await freeze(conn, account_id)

    assert await hold(conn, account_id, a_work_id()) is Reserved.FROZEN
    assert await hold(conn, account_id, work) is Reserved.ALREADY_HELD
    assert await settle(conn, account_id, work) is Settled.SETTLED
    await freeze(conn, account_id, frozen=False)
    assert await hold(conn, account_id, a_work_id()) is Reserved.HELD


async def test_work_that_costs_nothing_has_a_hold_of_zero(conn: Conn) -> None:
    """E13: INV-27 needs no exception for the free tier."""
    account, settled, released = await an_account(conn), a_work_id(), a_work_id()

    words = [await hold(conn, account, settled, 0), await hold(conn, account, settled, 0)]
    await hold(conn, account, released, 0)

    assert words == [Reserved.HELD, Reserved.ALREADY_HELD]
    assert await settle(conn, account, settled, 0) is Settled.SETTLED
    assert await let_go(conn, account, released) is Released.RELEASED
    assert await ledger.entries(conn, account) == []


async def test_nobody_can_reserve_for_an_account_that_does_not_exist(conn: Conn) -> None:
    with pytest.raises(AccountNotFound):
        await hold(conn, NOBODY, a_work_id())


@pytest.mark.parametrize("amount", [-1, 10**15 + 1, 2**63, 2**200])
async def test_an_amount_beyond_every_limit_is_refused_before_any_arithmetic(
    conn: Conn, account_id: str, amount: int
) -> None:
    """U3."""
    with pytest.raises(ParameterOutOfRange):
        await hold(conn, account_id, a_work_id(), amount)
    with pytest.raises(ParameterOutOfRange):
        await settle(conn, account_id, a_work_id(), amount)


@pytest.mark.parametrize("amount", [1.0, True, "1"])
async def test_an_amount_is_a_whole_number(conn: Conn, account_id: str, amount: Any) -> None:
    """U1."""
    with pytest.raises(InvalidInput):
        await hold(conn, account_id, a_work_id(), amount)


# --- settle -------------------------------------------------------------------------------------------------------


async def test_a_settlement_turns_the_hold_into_revenue(conn: Conn, account_id: str) -> None:
    work = a_work_id()
    await hold(conn, account_id, work)

    assert await settle(conn, account_id, work) is Settled.SETTLED
    assert await standing(conn, account_id) == (9 * CREDIT, 0, 0)
    (entry,) = await ledger.entries(conn, account_id, kind=AccountKind.REVENUE)
    assert (entry.amount_micros, entry.operation, entry.work_id) == (CREDIT, Operation.SETTLE, work)


async def test_a_part_is_settled_and_the_rest_goes_back_in_one_go(conn: Conn, account_id: str) -> None:
    """E11, INV-11."""
    work = a_work_id()
    await hold(conn, account_id, work, 4 * CREDIT)

    assert await settle(conn, account_id, work, CREDIT) is Settled.SETTLED
    assert await standing(conn, account_id) == (9 * CREDIT, 0, 0)
    ended = await ledger.hold(conn, account_id=account_id, work_id=work)
    assert ended is not None
    assert (ended.state, ended.settled_micros, ended.released_micros) == (HoldState.SETTLED, CREDIT, 3 * CREDIT)


async def test_a_repeated_settlement_charges_once(conn: Conn, account_id: str) -> None:
    """INV-8, INV-12; E3: a success is reported twice."""
    work = a_work_id()
    await hold(conn, account_id, work)

    words = [await settle(conn, account_id, work) for _ in range(2)]

    assert words == [Settled.SETTLED, Settled.ALREADY_SETTLED]
    assert await standing(conn, account_id) == (9 * CREDIT, 0, 0)


async def test_a_settlement_with_another_amount_is_a_conflict(conn: Conn, account_id: str) -> None:
    """INV-13."""
    work = a_work_id()
    await hold(conn, account_id, work)
    await settle(conn, account_id, work)

    assert await settle(conn, account_id, work, 1) is Settled.CONFLICT


async def test_more_than_was_held_is_never_settled(conn: Conn, account_id: str) -> None:
    """E10, INV-17."""
    work = a_work_id()
    await hold(conn, account_id, work)

    assert await settle(conn, account_id, work, CREDIT + 1) is Settled.CONFLICT
    assert await standing(conn, account_id) == (9 * CREDIT, CREDIT, 0)


async def test_nothing_is_settled_or_released_without_a_hold(conn: Conn, account_id: str) -> None:
    """INV-15, E7."""
    work = a_work_id()

    assert await settle(conn, account_id, work) is Settled.NO_HOLD
    assert await let_go(conn, account_id, work) is Released.NO_HOLD
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


async def test_a_late_success_is_collected_again(conn: Conn, account_id: str) -> None:
    """E5, section 4."""
    work = a_work_id()
    await hold(conn, account_id, work, 4 * CREDIT)
    await let_go(conn, account_id, work)

    words = [await settle(conn, account_id, work, 3 * CREDIT) for _ in range(2)]

    assert words == [Settled.RECOLLECTED, Settled.ALREADY_SETTLED]
    assert await standing(conn, account_id) == (7 * CREDIT, 0, 0)
    ended = await ledger.hold(conn, account_id=account_id, work_id=work)
    assert ended is not None
    assert (ended.state, ended.settled_micros, ended.released_micros) == (HoldState.SETTLED, 3 * CREDIT, CREDIT)
    assert ended.corrected_at is not None


@pytest.mark.parametrize(("left", "debt"), [(3, 1), (0, 4)])
async def test_a_late_success_that_finds_too_little_becomes_debt(
    conn: Conn, account_id: str, left: int, debt: int
) -> None:
    """E5: never silently free; INV-1: and never below zero."""
    work, other = a_work_id(), a_work_id()
    await hold(conn, account_id, work, 4 * CREDIT)
    await let_go(conn, account_id, work)
    await hold(conn, account_id, other, (10 - left) * CREDIT)

    assert await settle(conn, account_id, work, 4 * CREDIT) is Settled.SHORTFALL
    assert await standing(conn, account_id) == (0, (10 - left) * CREDIT, debt * CREDIT)
    ended = await ledger.hold(conn, account_id=account_id, work_id=work)
    assert ended is not None
    assert ended.shortfall_micros == debt * CREDIT


async def test_a_late_success_happens_only_once(conn: Conn, account_id: str) -> None:
    """INV-8: the correction is the last word."""
    work = a_work_id()
    await hold(conn, account_id, work)
    await let_go(conn, account_id, work)
    await settle(conn, account_id, work)

    assert await settle(conn, account_id, work, 1) is Settled.CONFLICT
    assert await let_go(conn, account_id, work) is Released.ALREADY_SETTLED


# --- release ------------------------------------------------------------------------------------------------------


async def test_a_release_gives_everything_back_once(conn: Conn, account_id: str) -> None:
    """E4: a failure is reported twice."""
    work = a_work_id()
    await hold(conn, account_id, work)

    words = [await let_go(conn, account_id, work) for _ in range(2)]

    assert words == [Released.RELEASED, Released.ALREADY_RELEASED]
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


async def test_a_release_after_a_settlement_returns_nothing(conn: Conn, account_id: str) -> None:
    """INV-16, E6."""
    work = a_work_id()
    await hold(conn, account_id, work)
    await settle(conn, account_id, work)

    assert await let_go(conn, account_id, work) is Released.ALREADY_SETTLED
    assert await standing(conn, account_id) == (9 * CREDIT, 0, 0)


async def test_the_sweeper_expires_what_is_overdue_oldest_first_and_page_by_page(own_pool: Pool) -> None:
    """E2, K13."""
    async with single(own_pool) as conn:
        account_id = await an_account(conn, credits=10)
        now = datetime.now(UTC)
        late, later, open_work = a_work_id(), a_work_id(), a_work_id()
        await hold(conn, account_id, later, expires_at=now - timedelta(minutes=1))
        await hold(conn, account_id, late, expires_at=now - timedelta(hours=1))
        await hold(conn, account_id, open_work, expires_at=now + timedelta(hours=1))

        (first,) = await ledger.overdue(conn, limit=1)
        (second,) = await ledger.overdue(conn, after=first)
        word = await ledger.release(conn, account_id=account_id, work_id=late, reason=ledger.EXPIRED)

        assert (first.work_id, second.work_id, word) == (late, later, Released.RELEASED)
        ended = await ledger.hold(conn, account_id=account_id, work_id=late)
        assert ended is not None
        assert (ended.state, ended.reason) == (HoldState.EXPIRED, "expired")
        assert [one.work_id for one in await ledger.overdue(conn)] == [later]
        assert await settle(conn, account_id, late) is Settled.RECOLLECTED
        assert await ledger.check(conn) == []


# --- grant --------------------------------------------------------------------------------------------------------


def an_invoice(account_id: str) -> str:
    return f"stripe:invoice:in_{account_id}"


async def grant(conn: Conn, account_id: str, **changes: Any) -> Granted:
    facts: dict[str, Any] = {"amount": CREDIT, "source": GrantSource.PAYMENT, "key": an_invoice(account_id)} | changes
    return await ledger.grant(conn, account_id=account_id, **facts)


@pytest.mark.parametrize("source", list(GrantSource))
async def test_money_enters_from_a_source_that_stands_for_a_fact_outside(conn: Conn, source: GrantSource) -> None:
    """INV-7."""
    account = await an_account(conn)

    assert await grant(conn, account, source=source, note="welcome") is Granted.GRANTED
    assert await standing(conn, account) == (CREDIT, 0, 0)
    (entry,) = await ledger.entries(conn, account, kind=AccountKind(source))
    assert (entry.amount_micros, entry.key, entry.cause) == (-CREDIT, an_invoice(account), "welcome")


async def test_a_repeated_grant_adds_once(conn: Conn, account_id: str) -> None:
    """INV-12; the note is text and not part of the body (E18)."""
    words = [await grant(conn, account_id, note="one"), await grant(conn, account_id, note="two")]

    assert words == [Granted.GRANTED, Granted.ALREADY_GRANTED]
    assert await standing(conn, account_id) == (11 * CREDIT, 0, 0)


@pytest.mark.parametrize(
    ("changes", "differs"), [({"amount": 2}, ["amount"]), ({"source": GrantSource.PROMOTION}, ["source"])]
)
async def test_a_grant_with_another_body_is_a_conflict_that_names_the_field(
    conn: Conn, account_id: str, changes: dict[str, Any], differs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """INV-13."""
    await grant(conn, account_id)

    with caplog.at_level(logging.WARNING):
        assert await grant(conn, account_id, **changes) is Granted.CONFLICT
    assert [vars(record)["differs"] for record in caplog.records] == [differs]
    assert await standing(conn, account_id) == (11 * CREDIT, 0, 0)


async def test_a_payment_routed_to_two_accounts_counts_once(conn: Conn, account_id: str) -> None:
    """INV-14: the key is unique in the whole ledger."""
    other = await an_account(conn)
    await grant(conn, account_id)

    assert await grant(conn, other, key=an_invoice(account_id)) is Granted.CONFLICT
    assert await standing(conn, other) == (0, 0, 0)


async def test_keys_are_compared_exactly(conn: Conn, account_id: str) -> None:
    keys = ["k", "K", " k", "k ", "é", "e\u0301"]

    words = [await grant(conn, account_id, key=f"{key}{account_id}{key}") for key in keys]

    assert words == [Granted.GRANTED] * len(keys)


@pytest.mark.parametrize("key", ["", "x" * 256, "é" * 128, "a\x00b"])
async def test_an_impossible_key_is_refused(conn: Conn, account_id: str, key: str) -> None:
    with pytest.raises(InvalidInput):
        await grant(conn, account_id, key=key)


async def test_a_grant_to_nobody_is_refused_and_its_key_stays_free(conn: Conn, account_id: str) -> None:
    with pytest.raises(AccountNotFound):
        await grant(conn, NOBODY, key=an_invoice(account_id))

    assert await grant(conn, account_id) is Granted.GRANTED


async def test_a_grant_that_would_pass_the_limit_of_a_balance_is_refused_cleanly(conn: Conn, account_id: str) -> None:
    """E19, U3."""
    near = 9 * 10**18 - 10 * CREDIT - 10**12
    add = "UPDATE ledger.books SET available_micros = available_micros + %s WHERE shard = 0 AND account_id = %s"
    async with conn.transaction():
        await conn.execute("ALTER TABLE ledger.books DISABLE TRIGGER moved_by_transfers")
        await conn.execute(add, [near, account_id])

        with pytest.raises(ParameterOutOfRange):
            await grant(conn, account_id, amount=10**15)

        raise psycopg.Rollback
    assert await grant(conn, account_id, amount=10**15) is Granted.GRANTED


# --- reading ------------------------------------------------------------------------------------------------------


async def test_the_balance_of_nobody_is_an_error(conn: Conn) -> None:
    with pytest.raises(AccountNotFound):
        await ledger.balance(conn, NOBODY)


async def test_a_past_balance_is_what_a_reader_was_told_then(conn: Conn, account_id: str) -> None:
    """INV-21."""
    work, told = a_work_id(), []

    async def look() -> None:
        told.append((await database_time(conn), await ledger.balance(conn, account_id)))

    await look()
    await hold(conn, account_id, work, 4 * CREDIT)
    await look()
    await let_go(conn, account_id, work)
    await hold(conn, account_id, a_work_id(), 8 * CREDIT)
    await look()
    await settle(conn, account_id, work, 4 * CREDIT)
    await look()

    assert [await ledger.balance(conn, account_id, at=at) for at, _ in told] == [balance for _, balance in told]
    assert told[-1][1].debt == 2 * CREDIT


async def database_time(conn: Conn) -> datetime:
    row = await (await conn.execute("SELECT clock_timestamp()")).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


async def test_entries_are_numbered_without_a_gap_and_carry_the_balance(conn: Conn, account_id: str) -> None:
    """INV-20."""
    work = a_work_id()
    await hold(conn, account_id, work, 2 * CREDIT, key="a key")
    await settle(conn, account_id, work, CREDIT)

    entries = await ledger.entries(conn, account_id)

    assert [(one.number, one.operation, one.amount_micros, one.balance_micros) for one in entries] == [
        (3, Operation.RELEASE, CREDIT, 9 * CREDIT),
        (2, Operation.RESERVE, -2 * CREDIT, 8 * CREDIT),
        (1, Operation.GRANT, 10 * CREDIT, 10 * CREDIT),
    ]
    assert (entries[1].work_id, entries[1].try_number, entries[1].key) == (work, 1, "a key")
    assert (await ledger.balance(conn, account_id)).entry_number == 3


async def test_a_page_of_entries_goes_on_where_the_last_one_ended(conn: Conn, account_id: str) -> None:
    for _ in range(4):
        await give(conn, account_id, CREDIT)

    first = await ledger.entries(conn, account_id, limit=2)
    await give(conn, account_id, CREDIT)
    second = await ledger.entries(conn, account_id, limit=2, before=first[-1].transfer_id)
    reserved = await ledger.entries(conn, account_id, operation=Operation.RESERVE)

    assert [one.number for one in first + second] == [5, 4, 3, 2]
    assert reserved == []


async def test_two_tenants_do_not_notice_each_other(conn: Conn, account_id: str) -> None:
    """INV-23."""
    other, work = await an_account(conn, credits=1), a_work_id()

    words = [await hold(conn, account_id, work, key="k"), await hold(conn, other, work, key="k")]
    await settle(conn, account_id, work)

    assert words == [Reserved.HELD, Reserved.HELD]
    assert await let_go(conn, other, work) is Released.RELEASED
    assert await standing(conn, other) == (CREDIT, 0, 0)


async def test_amounts_of_three_decimals_survive_the_way_there_and_back(conn: Conn) -> None:
    """U6."""
    account = await an_account(conn)
    await give(conn, account, 131_072_123_000)

    assert (await ledger.balance(conn, account)).available / CREDIT == 131072.123


async def test_e20_history_is_in_the_order_of_its_numbers_whatever_the_clock_says(own_pool: Pool) -> None:
    """A clock that jumped back between two entries: the order is that of the numbers."""
    async with single(own_pool) as conn:
        account = await an_account(conn, credits=3)
        for _ in range(2):
            await hold(conn, account, a_work_id())
        await conn.execute("ALTER TABLE ledger.transfers DISABLE TRIGGER append_only")
        await conn.execute("UPDATE ledger.transfers SET created_at = now() - transfer_id * interval '1 hour'")
        await conn.execute("ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER append_only")

        entries = await ledger.entries(conn, account)

        assert [one.number for one in entries] == [3, 2, 1]
        assert [one.balance_micros for one in entries] == [CREDIT, 2 * CREDIT, 3 * CREDIT]
        assert await ledger.check(conn) == []


async def test_inv_26_the_ledger_holds_no_word_of_the_customers(conn: Conn, account_id: str) -> None:
    """No prompt, no parameter and no e-mail in any column of any of its tables."""
    secret = f"a secret {a_work_id()}"
    await conn.execute("UPDATE store.accounts SET email = %s WHERE account_id = %s", [f"{secret}@example", account_id])
    request = await a_processing(conn, account_id, params={"generation_prompt": secret})
    await generations.finish(conn, success(request))
    tables = await conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'")

    for (table,) in await tables.fetchall():
        cursor = await conn.execute(
            f"SELECT count(*) FROM ledger.{table} AS r WHERE r::text LIKE %s".encode(), [f"%{secret}%"]
        )
        assert await cursor.fetchone() == (0,), table


async def test_the_margin_is_revenue_less_what_every_attempt_cost(own_pool: Pool) -> None:
    """Section 13, 16: a failed attempt is a cost at its own provider, and a refund takes revenue back."""
    async with single(own_pool) as conn:
        account = await an_account(conn, credits=1)
        request = await a_processing(conn, account)
        await generations.finish(conn, success(request, cost_microcredits=3_000))
        read = "SELECT model, provider, revenue_micros, cost_micros, margin_micros FROM ledger.margins"

        before = await (await conn.execute(read.encode())).fetchall()
        await ledger.refund_settled(
            conn, account_id=account, work_id=request.generation_id, amount=1_000, actor="ada", reason="late", key="k"
        )
        after = await (await conn.execute(read.encode())).fetchall()

        assert before == [(request.model, "replicate", 5_000, 3_000, 2_000)]
        assert after == [(request.model, "replicate", 4_000, 3_000, 1_000)]


async def test_a_reservation_joins_the_transaction_of_its_caller(conn: Conn, account_id: str) -> None:
    async with conn.transaction():
        await hold(conn, account_id, a_work_id())
        raise psycopg.Rollback  # ends the block and is not seen outside

    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
