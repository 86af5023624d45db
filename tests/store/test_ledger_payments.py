"""The ledger after the fact: refunds, clawbacks, disputes, adjustments, and debt that is paid first."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import AccountNotFound, InvalidInput, ParameterOutOfRange
from store import ledger, ledger_payments
from store.connection import Pool, single
from store.ledger import AccountKind, GrantSource, Operation, Refunded
from store.ledger_payments import Adjusted, Clawed, Disputed, DisputeOutcome, Restored
from tests.store.builders import CREDIT, a_work_id, an_account, give, hold, let_go, settle, standing

Conn = AsyncConnection[Any]
NOBODY = "00000000-0000-4000-8000-000000000000"
pytestmark = pytest.mark.usefixtures("books_that_balance")


def a_key() -> str:
    return f"stripe:{uuid.uuid4()}"


async def a_payment(conn: Conn, account_id: str, amount: int = 10 * CREDIT) -> str:
    key = a_key()
    await ledger.grant(conn, account_id=account_id, amount=amount, source=GrantSource.PAYMENT, key=key)
    return key


@pytest.fixture
async def customer(conn: Conn) -> str:
    return await an_account(conn)


async def refund(conn: Conn, account_id: str, work_id: str, amount: int, key: str | None = None) -> Refunded:
    return await ledger.refund_settled(
        conn,
        account_id=account_id,
        work_id=work_id,
        amount=amount,
        actor="ada",
        reason="the picture was empty",
        key=key or a_key(),
    )


async def claw(conn: Conn, account_id: str, payment: str, amount: int, key: str | None = None) -> Clawed:
    return await ledger_payments.claw_back(
        conn, account_id=account_id, amount=amount, payment_key=payment, key=key or a_key()
    )


async def restore(conn: Conn, account_id: str, clawback_key: str, key: str | None = None) -> Restored:
    return await ledger_payments.restore_clawback(
        conn, account_id=account_id, clawback_key=clawback_key, key=key or a_key()
    )


async def dispute(
    conn: Conn, account_id: str, payment: str, amount: int, name: str, key: str | None = None
) -> Disputed:
    return await ledger_payments.dispute_hold(
        conn, account_id=account_id, amount=amount, dispute=name, payment_key=payment, key=key or f"{name}:held"
    )


async def end(conn: Conn, account_id: str, name: str, outcome: DisputeOutcome, key: str | None = None) -> Disputed:
    return await ledger_payments.dispute_end(
        conn, account_id=account_id, dispute=name, outcome=outcome, key=key or f"{name}:{outcome}"
    )


async def adjust(conn: Conn, account_id: str, amount: int, key: str | None = None, two: str = "grace") -> Adjusted:
    return await ledger_payments.adjust(
        conn,
        account_id=account_id,
        amount=amount,
        actor_one="ada",
        actor_two=two,
        reason="a mistake of ours",
        key=key or a_key(),
    )


async def spend(conn: Conn, account_id: str, amount: int) -> str:
    work = a_work_id()
    await hold(conn, account_id, work, amount)
    await settle(conn, account_id, work, amount)
    return work


# --- refunds ------------------------------------------------------------------------------------------------------


async def test_a_refund_turns_revenue_into_available_credits_part_by_part(conn: Conn, account_id: str) -> None:
    """Section 3, INV-17: never more than was settled."""
    work = await spend(conn, account_id, 4 * CREDIT)

    words = [await refund(conn, account_id, work, amount * CREDIT) for amount in (3, 2, 1)]

    assert words == [Refunded.REFUNDED, Refunded.TOO_MUCH, Refunded.REFUNDED]
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    refunded = await ledger.hold(conn, account_id=account_id, work_id=work)
    assert refunded is not None
    assert (refunded.settled_micros, refunded.refunded_micros) == (4 * CREDIT, 4 * CREDIT)


async def test_a_repeated_refund_gives_back_once_and_another_body_is_a_conflict(conn: Conn, account_id: str) -> None:
    """INV-12, INV-13."""
    work, key = await spend(conn, account_id, 4 * CREDIT), a_key()

    words = [await refund(conn, account_id, work, amount, key) for amount in (CREDIT, CREDIT, 2 * CREDIT)]

    assert words == [Refunded.REFUNDED, Refunded.ALREADY_REFUNDED, Refunded.CONFLICT]
    assert await standing(conn, account_id) == (7 * CREDIT, 0, 0)


async def test_only_a_settled_hold_is_refunded(conn: Conn, account_id: str) -> None:
    """INV-15."""
    held, released = a_work_id(), a_work_id()
    for work in (held, released):
        await hold(conn, account_id, work)
    await let_go(conn, account_id, released)

    words = [await refund(conn, account_id, work, 1) for work in (held, released, a_work_id())]

    assert words == [Refunded.CONFLICT] * 3


async def test_two_tenants_use_the_same_key_for_a_refund_without_noticing(conn: Conn, account_id: str) -> None:
    """INV-23; C15."""
    other, key = await an_account(conn, credits=1), a_key()
    works = [await spend(conn, one, CREDIT) for one in (account_id, other)]

    assert await refund(conn, account_id, works[0], CREDIT, key) is Refunded.REFUNDED
    assert await refund(conn, other, works[1], CREDIT, key) is Refunded.REFUNDED
    assert await refund(conn, other, works[0], CREDIT) is Refunded.CONFLICT


async def test_a_refund_after_a_late_success_pays_the_debt_first(conn: Conn, account_id: str) -> None:
    work = a_work_id()
    await hold(conn, account_id, work, 4 * CREDIT)
    await let_go(conn, account_id, work)
    await hold(conn, account_id, a_work_id(), 9 * CREDIT)
    await settle(conn, account_id, work, 4 * CREDIT)
    assert await standing(conn, account_id) == (0, 9 * CREDIT, 3 * CREDIT)

    await refund(conn, account_id, work, 4 * CREDIT)

    assert await standing(conn, account_id) == (CREDIT, 9 * CREDIT, 0)


# --- debt ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "available", "debt"), [(1, 0, 2), (3, 0, 0), (5, 2, 0)], ids=["part", "all of it", "and more"]
)
async def test_credits_that_come_in_pay_debt_first(
    conn: Conn, customer: str, granted: int, available: int, debt: int
) -> None:
    payment = await a_payment(conn, customer, 3 * CREDIT)
    await spend(conn, customer, 3 * CREDIT)
    assert await claw(conn, customer, payment, 3 * CREDIT) is Clawed.PARTLY_DEBT

    await give(conn, customer, granted * CREDIT)

    assert await standing(conn, customer) == (available * CREDIT, 0, debt * CREDIT)
    (repaid, *_) = await ledger.entries(conn, customer, kind=AccountKind.DEBT)
    assert (repaid.operation, repaid.amount_micros) == (Operation.REPAY, (3 - debt) * CREDIT)


# --- clawbacks ----------------------------------------------------------------------------------------------------


async def test_a_clawback_takes_what_is_there_and_the_rest_is_debt(conn: Conn, customer: str) -> None:
    """INV-1: never below zero; section 3."""
    payment = await a_payment(conn, customer)
    await spend(conn, customer, 4 * CREDIT)

    words = [await claw(conn, customer, payment, 5 * CREDIT), await claw(conn, customer, payment, 5 * CREDIT)]

    assert words == [Clawed.CLAWED, Clawed.PARTLY_DEBT]
    assert await standing(conn, customer) == (0, 0, 4 * CREDIT)
    assert len(await ledger.entries(conn, customer, kind=AccountKind.CLEARING)) == 3


async def test_a_repeated_clawback_takes_once_and_another_body_is_a_conflict(conn: Conn, customer: str) -> None:
    """INV-12, INV-13, INV-14: for another account, too."""
    payment, key, other = await a_payment(conn, customer), a_key(), await an_account(conn)

    words = [await claw(conn, customer, payment, amount, key) for amount in (CREDIT, CREDIT, 2)]

    assert words == [Clawed.CLAWED, Clawed.ALREADY_CLAWED, Clawed.CONFLICT]
    assert await claw(conn, other, payment, CREDIT, key) is Clawed.CONFLICT
    assert await standing(conn, customer) == (9 * CREDIT, 0, 0)


async def test_inv_18_clawbacks_and_disputes_of_a_payment_never_exceed_it(conn: Conn, customer: str) -> None:
    payment, name = await a_payment(conn, customer), a_key()
    await give(conn, customer, 50 * CREDIT)
    await claw(conn, customer, payment, 4 * CREDIT)
    await dispute(conn, customer, payment, 5 * CREDIT, name)

    assert await claw(conn, customer, payment, 2 * CREDIT) is Clawed.CONFLICT
    assert await dispute(conn, customer, payment, 2 * CREDIT, a_key()) is Disputed.CONFLICT
    await end(conn, customer, name, DisputeOutcome.RESTORED)
    assert await claw(conn, customer, payment, 6 * CREDIT) is Clawed.CLAWED
    assert await claw(conn, customer, payment, 1) is Clawed.CONFLICT


async def test_a_clawback_of_a_payment_that_is_not_here_or_anothers_is_a_conflict(conn: Conn, customer: str) -> None:
    """INV-23: and its key stays free, for when the payment has come."""
    other, key = await an_account(conn), a_key()
    payment = await a_payment(conn, other)

    assert await claw(conn, customer, payment, 1) is Clawed.CONFLICT
    assert await claw(conn, customer, a_key(), 1, key) is Clawed.CONFLICT
    assert await claw(conn, customer, await a_payment(conn, customer), 1, key) is Clawed.CLAWED


async def test_a_clawback_is_restored_once_and_pays_the_debt_it_made(conn: Conn, customer: str) -> None:
    payment, clawback, key = await a_payment(conn, customer), a_key(), a_key()
    await spend(conn, customer, 4 * CREDIT)
    await claw(conn, customer, payment, 10 * CREDIT, clawback)

    words = [await restore(conn, customer, clawback, each) for each in (key, key, a_key())]

    assert words == [Restored.RESTORED, Restored.ALREADY, Restored.CONFLICT]
    assert await standing(conn, customer) == (6 * CREDIT, 0, 0)
    assert await restore(conn, customer, a_key()) is Restored.CONFLICT
    assert await claw(conn, customer, payment, 10 * CREDIT) is Clawed.PARTLY_DEBT


# --- disputes -----------------------------------------------------------------------------------------------------


async def test_a_dispute_that_is_won_gives_back_what_it_had_set_aside(conn: Conn, customer: str) -> None:
    payment, name = await a_payment(conn, customer), a_key()

    words = [await dispute(conn, customer, payment, 4 * CREDIT, name) for _ in range(2)]
    aside = await ledger.balance(conn, customer)
    ends = [await end(conn, customer, name, DisputeOutcome.RESTORED) for _ in range(2)]

    assert (words, ends) == ([Disputed.HELD, Disputed.ALREADY], [Disputed.RESTORED, Disputed.ALREADY])
    assert (aside.available, aside.disputed) == (6 * CREDIT, 4 * CREDIT)
    assert await standing(conn, customer) == (10 * CREDIT, 0, 0)
    assert await end(conn, customer, name, DisputeOutcome.LOST) is Disputed.CONFLICT


@pytest.mark.parametrize(("given_meanwhile", "left"), [(0, (0, 0, 4)), (3, (0, 0, 1)), (9, (5, 0, 0))])
async def test_a_dispute_that_is_lost_takes_what_was_missing_then_debt(
    conn: Conn, customer: str, given_meanwhile: int, left: tuple[int, int, int]
) -> None:
    payment, name = await a_payment(conn, customer), a_key()
    await spend(conn, customer, 4 * CREDIT)
    await dispute(conn, customer, payment, 10 * CREDIT, name)
    assert await standing(conn, customer) == (0, 0, 0)
    if given_meanwhile:
        await give(conn, customer, given_meanwhile * CREDIT)

    words = [await end(conn, customer, name, DisputeOutcome.LOST) for _ in range(2)]

    assert words == [Disputed.LOST, Disputed.ALREADY]
    assert await standing(conn, customer) == tuple(part * CREDIT for part in left)


async def test_a_dispute_that_ended_before_it_began_changes_nothing(conn: Conn, customer: str) -> None:
    payment, won, lost = await a_payment(conn, customer), a_key(), a_key()

    assert await end(conn, customer, won, DisputeOutcome.RESTORED) is Disputed.RESTORED
    assert await dispute(conn, customer, payment, CREDIT, won) is Disputed.ALREADY
    assert await end(conn, customer, lost, DisputeOutcome.LOST) is Disputed.CONFLICT
    assert await standing(conn, customer) == (10 * CREDIT, 0, 0)


async def test_a_dispute_belongs_to_one_account(conn: Conn, customer: str) -> None:
    """INV-14."""
    other, name = await an_account(conn), a_key()
    await dispute(conn, customer, await a_payment(conn, customer), CREDIT, name)

    theirs = await a_payment(conn, other)
    assert await dispute(conn, other, theirs, CREDIT, name, key=a_key()) is Disputed.CONFLICT
    assert await end(conn, other, name, DisputeOutcome.RESTORED) is Disputed.CONFLICT


# --- adjustments --------------------------------------------------------------------------------------------------


async def test_an_adjustment_goes_up_and_down_and_never_below_zero(conn: Conn, account_id: str) -> None:
    """Section 3; a repeat changes nothing (INV-12), another body is a conflict (INV-13)."""
    key = a_key()

    words = [
        await adjust(conn, account_id, 2 * CREDIT, key),
        await adjust(conn, account_id, 2 * CREDIT, key),
        await adjust(conn, account_id, CREDIT, key),
        await adjust(conn, account_id, -13 * CREDIT),
        await adjust(conn, account_id, -12 * CREDIT),
    ]

    assert words == [
        Adjusted.ADJUSTED,
        Adjusted.ALREADY,
        Adjusted.CONFLICT,
        Adjusted.CONFLICT,
        Adjusted.ADJUSTED,
    ]
    assert await standing(conn, account_id) == (0, 0, 0)


async def test_one_person_adjusts_nothing(conn: Conn, account_id: str) -> None:
    with pytest.raises(InvalidInput):
        await adjust(conn, account_id, CREDIT, two="ada")


@pytest.mark.parametrize("amount", [0, 10**15 + 1, -(10**15) - 1])
async def test_u3_an_adjustment_beyond_every_limit_is_refused(conn: Conn, account_id: str, amount: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        await adjust(conn, account_id, amount)


async def test_nothing_happens_to_an_account_that_does_not_exist(conn: Conn) -> None:
    for operation in (
        refund(conn, NOBODY, a_work_id(), 1),
        claw(conn, NOBODY, a_key(), 1),
        restore(conn, NOBODY, a_key()),
        dispute(conn, NOBODY, a_key(), 1, a_key()),
        end(conn, NOBODY, a_key(), DisputeOutcome.RESTORED),
        adjust(conn, NOBODY, 1),
    ):
        with pytest.raises(AccountNotFound):
            await operation


async def test_inv_21_a_past_balance_knows_of_disputes_and_debt(conn: Conn, customer: str) -> None:
    payment, name, told = await a_payment(conn, customer), a_key(), []

    async def look() -> None:
        row = await (await conn.execute("SELECT clock_timestamp()")).fetchone()
        assert row is not None
        told.append((row[0], await ledger.balance(conn, customer)))

    await spend(conn, customer, 4 * CREDIT)
    await look()
    await dispute(conn, customer, payment, 8 * CREDIT, name)
    await look()
    await end(conn, customer, name, DisputeOutcome.LOST)
    await look()
    await give(conn, customer, CREDIT)
    await look()

    assert [await ledger.balance(conn, customer, at=at) for at, _ in told] == [balance for _, balance in told]
    assert [(balance.disputed, balance.debt) for _, balance in told] == [
        (0, 0),
        (6 * CREDIT, 0),
        (0, 2 * CREDIT),
        (0, CREDIT),
    ]


# --- at once ------------------------------------------------------------------------------------------------------


async def test_c11_c14_the_same_reversals_from_every_side_happen_once_and_never_deadlock(own_pool: Pool) -> None:
    async with single(own_pool) as conn:
        one, other = await an_account(conn), await an_account(conn)
        payments = {account: await a_payment(conn, account, 20 * CREDIT) for account in (one, other)}
        works = {account: await spend(conn, account, CREDIT) for account in (one, other)}
    keys = {account: a_key() for account in (one, other)}

    async def at(step: Any, *arguments: Any) -> Any:
        async with single(own_pool) as conn:
            return await step(conn, *arguments)

    words = await asyncio.gather(
        *(
            at(step, account, *arguments)
            for _ in range(4)
            for account in (one, other)
            for step, arguments in (
                (claw, (payments[account], 2 * CREDIT, f"{keys[account]}:claw")),
                (dispute, (payments[account], 3 * CREDIT, keys[account])),
                (refund, (works[account], CREDIT, f"{keys[account]}:refund")),
                (adjust, (-CREDIT, f"{keys[account]}:adjust")),
            )
        )
    )

    for first in (Clawed.CLAWED, Disputed.HELD, Refunded.REFUNDED, Adjusted.ADJUSTED):
        assert [word for word in words if type(word) is type(first)].count(first) == 2
    async with single(own_pool) as conn:
        assert await standing(conn, one) == await standing(conn, other) == (14 * CREDIT, 0, 0)
        assert await ledger.check(conn) == []


async def test_c16_the_last_credit_goes_through_one_door(own_pool: Pool) -> None:
    """A hold of the API and an adjustment by operators."""
    for _ in range(6):
        async with single(own_pool) as conn, single(own_pool) as second:
            account = await an_account(conn, credits=1)

            word, adjusted = await asyncio.gather(
                hold(conn, account, a_work_id(), CREDIT), adjust(second, account, -CREDIT)
            )

            assert (word, adjusted) in {
                (ledger.Reserved.HELD, Adjusted.CONFLICT),
                (ledger.Reserved.INSUFFICIENT, Adjusted.ADJUSTED),
            }
    async with single(own_pool) as conn:
        assert await ledger.check(conn) == []
