"""Lots: credits that expire. What is left of one is derived; what is burned is booked."""

from __future__ import annotations

import asyncio
import os
import random
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from store import ledger, ledger_payments, lots
from store.connection import Pool, single
from store.ledger import Granted, GrantSource
from store.ledger_payments import DisputeOutcome
from store.ledger_verification import verify
from tests.ledger_proof.conftest import damage, take_the_guards_down
from tests.store.builders import CREDIT, a_work_id, an_account, hold, let_go, settle, standing
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]
NOW = datetime.now(UTC)
MAY, JUNE, JULY = (NOW + timedelta(days=days) for days in (30, 60, 90))
pytestmark = pytest.mark.usefixtures("books_that_balance")


def a_key() -> str:
    return f"promo:{uuid.uuid4()}"


@pytest.fixture
async def customer(conn: Conn) -> str:
    return await an_account(conn)


async def promise(conn: Conn, account_id: str, credits: int, expires_at: datetime = MAY, key: str | None = None) -> str:
    """A lot, by the key of its grant."""
    key = key or a_key()
    await lots.grant(conn, account_id=account_id, amount=credits * CREDIT, key=key, expires_at=expires_at)
    return key


async def buy(conn: Conn, account_id: str, credits: int) -> str:
    key = f"stripe:pi:{uuid.uuid4()}"
    await ledger.grant(conn, account_id=account_id, amount=credits * CREDIT, source=GrantSource.PAYMENT, key=key)
    return key


async def start(conn: Conn, account_id: str, credits: int) -> str:
    work = a_work_id()
    assert await hold(conn, account_id, work, credits * CREDIT) is ledger.Reserved.HELD
    return work


async def spend(conn: Conn, account_id: str, credits: int) -> str:
    work = await start(conn, account_id, credits)
    await settle(conn, account_id, work, credits * CREDIT)
    return work


async def cancel(conn: Conn, account_id: str, work: str) -> None:
    await ledger.release(conn, account_id=account_id, work_id=work, reason="canceled")


async def expire(conn: Conn, account_id: str, by: datetime = MAY) -> int:
    return await lots.expire(conn, account_id, by=by) // CREDIT


async def left(conn: Conn, account_id: str) -> dict[str, int]:
    """Credits that are left of each lot, by the key of its grant."""
    found, _ = await lots.of_account(conn, account_id)
    return {lot.key: lot.left_micros // CREDIT for lot in found}


async def of(conn: Conn, account_id: str, key: str) -> tuple[int, int, int, int]:
    """Left, held, burned, spent."""
    found, _ = await lots.of_account(conn, account_id)
    lot = next(one for one in found if one.key == key)
    parts = (lot.left_micros, lot.held_micros, lot.burned_micros, lot.spent_micros)
    assert sum(parts) == lot.granted_micros
    return tuple(part // CREDIT for part in parts)  # type: ignore[return-value]


async def burns(conn: Conn, account_id: str) -> list[tuple[str | None, int]]:
    found = await ledger.entries(conn, account_id, operation=ledger.Operation.BURN)
    return [(entry.key, entry.amount_micros // CREDIT) for entry in reversed(found)]


async def lot_id_of(conn: Conn, account_id: str, key: str) -> str:
    found, _ = await lots.of_account(conn, account_id)
    return next(lot.lot_id for lot in found if lot.key == key)


@pytest.fixture
async def unguarded(own_pool: Pool) -> AsyncIterator[Conn]:
    async with single(own_pool) as conn:
        yield conn


# --- what is left -------------------------------------------------------------------------------------------------


async def test_the_lot_that_expires_first_is_spent_first_and_what_was_bought_last(conn: Conn, customer: str) -> None:
    """E16: the example of docs/money.md."""
    await buy(conn, customer, 10)
    july, may = await promise(conn, customer, 5, JULY), await promise(conn, customer, 5, MAY)

    await spend(conn, customer, 7)

    assert await left(conn, customer) == {may: 0, july: 3}
    await spend(conn, customer, 6)
    assert await left(conn, customer) == {may: 0, july: 0}
    assert [await expire(conn, customer, by) for by in (MAY, JULY)] == [0, 0]
    assert await standing(conn, customer) == (7 * CREDIT, 0, 0)


async def test_of_two_that_expire_together_the_older_is_spent_first(conn: Conn, customer: str) -> None:
    older, newer = await promise(conn, customer, 5), await promise(conn, customer, 5)

    await spend(conn, customer, 6)

    assert await left(conn, customer) == {older: 0, newer: 4}


async def test_what_was_spent_before_a_lot_was_granted_was_not_spent_from_it(conn: Conn, customer: str) -> None:
    await buy(conn, customer, 10)
    await spend(conn, customer, 4)
    early = await start(conn, customer, 3)
    lot = await promise(conn, customer, 5)

    await let_go(conn, customer, early)

    assert await of(conn, customer, lot) == (5, 0, 0, 0)


async def test_what_a_failure_gives_back_before_the_end_is_of_the_lot_again(conn: Conn, customer: str) -> None:
    """Else every failure would make credits that never expire."""
    await buy(conn, customer, 10)
    may, july = await promise(conn, customer, 2, MAY), await promise(conn, customer, 2, JULY)
    work = await start(conn, customer, 6)
    assert await left(conn, customer) == {may: 0, july: 0}

    await let_go(conn, customer, work)

    assert await left(conn, customer) == {may: 2, july: 2}


async def test_a_part_settlement_gives_back_what_was_taken_last(conn: Conn, customer: str) -> None:
    await buy(conn, customer, 2)
    may, july = await promise(conn, customer, 2, MAY), await promise(conn, customer, 2, JULY)
    work = await start(conn, customer, 6)

    await settle(conn, customer, work, 3 * CREDIT)

    assert await left(conn, customer) == {may: 0, july: 1}
    assert await standing(conn, customer) == (3 * CREDIT, 0, 0)


async def test_a_lot_pays_the_debt_that_it_met_and_only_what_is_left_expires(conn: Conn, customer: str) -> None:
    paid = await buy(conn, customer, 3)
    await spend(conn, customer, 3)
    await ledger_payments.claw_back(conn, account_id=customer, amount=3 * CREDIT, payment_key=paid, key=a_key())
    assert await standing(conn, customer) == (0, 0, 3 * CREDIT)

    lot = await promise(conn, customer, 5)

    assert await of(conn, customer, lot) == (2, 0, 0, 3)
    assert await expire(conn, customer) == 2
    assert await standing(conn, customer) == (0, 0, 0)


async def test_what_is_taken_back_of_a_payment_is_taken_from_what_was_bought(conn: Conn, customer: str) -> None:
    """And from the lots only what is missing there, the last one to expire first."""
    paid = await buy(conn, customer, 4)
    may, july = await promise(conn, customer, 2, MAY), await promise(conn, customer, 2, JULY)
    await spend(conn, customer, 1)

    for name, amount in (("first", 3), ("rest", 1)):
        await ledger_payments.claw_back(
            conn, account_id=customer, amount=amount * CREDIT, payment_key=paid, key=f"{paid}:{name}"
        )
        assert await left(conn, customer) == {may: 1, july: 2}
    people = {"actor_one": "ada", "actor_two": "bob", "reason": "a mistake"}
    await ledger_payments.adjust(conn, account_id=customer, amount=-CREDIT, key=a_key(), **people)

    assert await left(conn, customer) == {may: 1, july: 1}


async def test_what_an_operator_or_a_bank_gives_back_does_not_expire(conn: Conn, customer: str) -> None:
    paid = await buy(conn, customer, 4)
    lot = await promise(conn, customer, 5)
    work = await spend(conn, customer, 5)
    dispute = {"account_id": customer, "dispute": a_key()}
    await ledger_payments.dispute_hold(conn, **dispute, amount=4 * CREDIT, payment_key=paid, key=a_key())

    await ledger.refund_settled(
        conn, account_id=customer, work_id=work, amount=5 * CREDIT, actor="ada", reason="a bad picture", key=a_key()
    )
    await ledger_payments.dispute_end(conn, **dispute, outcome=DisputeOutcome.RESTORED, key=a_key())

    assert await of(conn, customer, lot) == (0, 0, 0, 5)
    assert await expire(conn, customer) == 0
    assert await standing(conn, customer) == (9 * CREDIT, 0, 0)


# --- the end of a lot ---------------------------------------------------------------------------------------------


async def test_e16_what_is_held_is_settled_from_the_lot_and_the_rest_is_burned(conn: Conn, customer: str) -> None:
    """E16, section 9: `lot:<id>:expired`, back to where promotions come from."""
    await buy(conn, customer, 1)
    lot = await promise(conn, customer, 10)
    work = await start(conn, customer, 4)

    assert await expire(conn, customer, NOW) == 0  # not yet
    assert await expire(conn, customer) == 6

    assert await of(conn, customer, lot) == (0, 4, 6, 0)
    assert await standing(conn, customer) == (CREDIT, 4 * CREDIT, 0)
    await settle(conn, customer, work, 4 * CREDIT)
    assert await expire(conn, customer) == 0
    assert await of(conn, customer, lot) == (0, 0, 6, 4)
    assert await burns(conn, customer) == [(f"lot:{await lot_id_of(conn, customer, lot)}:expired", -6)]
    (promotion, *_) = await ledger.entries(conn, customer, kind=ledger.AccountKind.PROMOTION)
    assert (promotion.amount_micros, promotion.balance_micros) == (6 * CREDIT, -4 * CREDIT)


async def test_e16_what_the_customer_cancels_later_is_burned_then(conn: Conn, customer: str) -> None:
    """E16, section 9: steps are numbered."""
    await buy(conn, customer, 1)
    lot = await promise(conn, customer, 10)
    works = [await start(conn, customer, 4) for _ in range(2)]
    assert await expire(conn, customer) == 2

    for work in works:
        await cancel(conn, customer, work)
        assert [await expire(conn, customer) for _ in range(2)] == [4, 0]

    assert await of(conn, customer, lot) == (0, 0, 10, 0)
    assert await standing(conn, customer) == (CREDIT, 0, 0)
    key = f"lot:{await lot_id_of(conn, customer, lot)}:expired"
    assert await burns(conn, customer) == [(key, -2), (f"{key}:2", -4), (f"{key}:3", -4)]


@pytest.mark.parametrize("reason", ["failed", ledger.EXPIRED])
async def test_e16_what_a_failure_gives_back_later_stays_and_does_not_expire(
    conn: Conn, customer: str, reason: str
) -> None:
    """E16: unless the failure was ours."""
    lot = await promise(conn, customer, 10)
    work = await start(conn, customer, 4)
    assert await expire(conn, customer) == 6

    await ledger.release(conn, account_id=customer, work_id=work, reason=reason)

    assert await expire(conn, customer) == 0
    assert await of(conn, customer, lot) == (0, 0, 6, 4)
    assert await standing(conn, customer) == (4 * CREDIT, 0, 0)
    assert customer not in await lots.due(conn, by=JULY, limit=10_000)


async def test_files_that_were_not_delivered_after_the_end_are_given_back_for_good(conn: Conn, customer: str) -> None:
    """E11, E16."""
    await promise(conn, customer, 4)
    work = await start(conn, customer, 4)
    await expire(conn, customer)

    await settle(conn, customer, work, 3 * CREDIT)

    assert await expire(conn, customer) == 0
    assert await standing(conn, customer) == (CREDIT, 0, 0)


async def test_a_lot_is_spent_from_until_its_end_is_booked(conn: Conn, customer: str) -> None:
    """However late the sweep is, it never burns what was bought meanwhile."""
    await promise(conn, customer, 5, NOW - timedelta(days=1))
    await spend(conn, customer, 5)
    await buy(conn, customer, 10)

    assert await expire(conn, customer, NOW) == 0
    assert await standing(conn, customer) == (10 * CREDIT, 0, 0)


async def test_what_was_canceled_after_the_end_may_be_spent_until_it_is_burned(conn: Conn, customer: str) -> None:
    lot = await promise(conn, customer, 5)
    work = await start(conn, customer, 5)
    await expire(conn, customer)
    await cancel(conn, customer, work)
    await buy(conn, customer, 10)

    await spend(conn, customer, 4)

    assert await expire(conn, customer) == 1
    assert await of(conn, customer, lot) == (0, 0, 1, 4)
    assert await standing(conn, customer) == (10 * CREDIT, 0, 0)


async def test_a_late_success_after_the_end_is_paid_by_what_is_there(conn: Conn, customer: str) -> None:
    """E5: nothing is taken from a lot that has ended."""
    lot = await promise(conn, customer, 5)
    work = await start(conn, customer, 5)
    await expire(conn, customer)
    await cancel(conn, customer, work)
    await expire(conn, customer)
    await buy(conn, customer, 3)

    assert await settle(conn, customer, work, 5 * CREDIT) is ledger.Settled.SHORTFALL

    assert await of(conn, customer, lot) == (0, 0, 5, 0)
    assert await standing(conn, customer) == (0, 0, 2 * CREDIT)


async def test_credits_that_expire_take_the_balance_below_a_threshold_like_any_others(
    conn: Conn, customer: str
) -> None:
    """A1."""
    await promise(conn, customer, 5)
    await expire(conn, customer)

    cursor = await conn.execute(
        "SELECT balance_micros, thresholds_micros FROM store.low_balance_alerts WHERE account_id = %s", [customer]
    )

    assert await cursor.fetchall() == [(0, [CREDIT // 2])]


async def test_an_old_lot_that_is_closed_is_not_told_again(conn: Conn, customer: str) -> None:
    """What ended before the others began cannot change them, and its history is not read any more."""
    first = await promise(conn, customer, 5, MAY)
    await spend(conn, customer, 2)
    await expire(conn, customer, MAY)
    second = await promise(conn, customer, 5, JUNE)
    await spend(conn, customer, 1)
    third = await promise(conn, customer, 5, JULY)

    cursor = await conn.execute("SELECT count(*) FROM ledger.left_of_lots(%s)", [customer])

    assert await cursor.fetchone() == (2,)
    assert await left(conn, customer) == {first: 0, second: 4, third: 5}
    assert await expire(conn, customer, JULY) == 9
    assert await standing(conn, customer) == (0, 0, 0)


# --- keys, repeats and races --------------------------------------------------------------------------------------


async def test_a_lot_is_granted_once_and_another_expiry_is_a_conflict(conn: Conn, customer: str) -> None:
    """INV-12, INV-13."""
    key = a_key()
    asked: dict[str, Any] = {"account_id": customer, "amount": CREDIT, "key": key}

    words = [
        await lots.grant(conn, **asked, expires_at=MAY),
        await lots.grant(conn, **asked, expires_at=MAY, note="another text"),
        await lots.grant(conn, **asked, expires_at=JUNE),
        await ledger.grant(conn, **asked, source=GrantSource.PROMOTION),
        await lots.grant(conn, **(asked | {"amount": 2}), expires_at=MAY),
    ]

    assert words == [Granted.GRANTED, Granted.ALREADY_GRANTED, *[Granted.CONFLICT] * 3]
    assert await left(conn, customer) == {key: 1}


async def test_only_a_promotion_expires(conn: Conn, customer: str) -> None:
    statement = "SELECT ledger.grant_until(%s, 5, 'payment', %s, NULL, now())"
    with pytest.raises(psycopg.errors.CheckViolation):
        await conn.execute(statement, [customer, a_key()])

    assert await standing(conn, customer) == (0, 0, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.lots SET expires_at = now()",
        "UPDATE ledger.lots SET granted_micros = 1",
        "UPDATE ledger.lots SET ended_at = now() WHERE ended_at IS NOT NULL",
        "UPDATE ledger.lots SET ended_at = NULL, ended_after = NULL WHERE ended_at IS NOT NULL",
        "UPDATE ledger.lots SET closed_after = 1 WHERE ended_at IS NULL",
        "UPDATE ledger.lots SET burned_micros = granted_micros + 1 WHERE ended_at IS NOT NULL",
        "UPDATE ledger.lots SET burned_micros = 0 WHERE burned_micros > 0",
        "DELETE FROM ledger.lots",
        "TRUNCATE ledger.lots",
    ],
)
async def test_the_terms_of_a_lot_are_not_to_be_written_by_hand(conn: Conn, customer: str, statement: str) -> None:
    """INV-19: refused for the owner, too, and where ordinary triggers are switched off."""
    await promise(conn, customer, 5)
    await expire(conn, customer)
    await promise(conn, customer, 5)

    async with conn.transaction():
        await conn.execute("SET LOCAL session_replication_role = 'replica'")
        with pytest.raises(psycopg.IntegrityError):
            await conn.execute(statement.encode())
        raise psycopg.Rollback


async def test_many_sweeps_spenders_and_cancels_at_once_burn_each_credit_once(shared_pool: Pool, conn: Conn) -> None:
    """INV-1, INV-14: what is bought is never burned, whatever comes first."""
    for _ in range(5):
        account = await an_account(conn)
        await buy(conn, account, 3)
        lot = await promise(conn, account, 12)
        works = [await start(conn, account, 2) for _ in range(3)]

        async def alone(step: Any, *arguments: Any, account: str = account) -> Any:
            async with single(shared_pool) as own:
                return await step(own, account, *arguments)

        burned = await asyncio.gather(
            *(alone(expire) for _ in range(4)),
            *(alone(cancel, work) for work in works[:2]),
            alone(settle, works[2], 2 * CREDIT),
        )
        last = await expire(conn, account)

        assert sum(burned[:4]) + last == 10
        assert await of(conn, account, lot) == (0, 0, 10, 2)
        assert await standing(conn, account) == (3 * CREDIT, 0, 0)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        pytest.param(
            "UPDATE ledger.lots SET burned_micros = burned_micros - 1 WHERE mine AND burned_micros > 0",
            r"and burned 3,999,999 .* its operations burned 4,000,000",
            id="burned",
        ),
        pytest.param(
            "UPDATE ledger.lots SET granted_micros = granted_micros + 1 WHERE mine",
            r"is of 4,000,001 .* its grant is of 4,000,000",
            id="granted",
        ),
        pytest.param("DELETE FROM ledger.lots WHERE mine", r"4,000,000 .* were burned for the lot .* not", id="gone"),
    ],
)
async def test_a_damaged_lot_is_found_and_named(unguarded: Conn, statement: str, words: str) -> None:
    """E16: every burn has its lot, and every lot its grant."""
    account = await an_account(unguarded)
    await promise(unguarded, account, 4)
    await expire(unguarded, account)
    assert (await verify(unguarded, account_id=account)).violations == []
    await take_the_guards_down(unguarded)

    await damage(unguarded, statement, account)

    (found,) = (await verify(unguarded, account_id=account)).violations
    assert (found.invariant, found.account_id) == ("E16", account)
    assert re.search(words, str(found)), found
    assert any(line.startswith("E16: lot") for line in await ledger.check(unguarded))


async def test_the_accounts_that_are_due_are_listed_page_by_page(own_pool: Pool) -> None:
    async with single(own_pool) as conn:
        accounts = sorted([await an_account(conn) for _ in range(3)])
        for account in accounts:
            await promise(conn, account, 1, NOW - timedelta(hours=1))
        await promise(conn, await an_account(conn), 1, JULY)

        first = await lots.due(conn, limit=2)

        assert first == accounts[:2]
        assert await lots.due(conn, after=first[-1], limit=2) == accounts[2:]
        for account in accounts:
            assert await lots.expire(conn, account) == CREDIT
        assert await lots.due(conn) == []


# --- against a model of single credits ----------------------------------------------------------------------------

BOUGHT = -1  # the name of credits that do not expire


@dataclass
class Purse:
    """Every credit by the name of its lot; the model of what the database derives."""

    credits: list[int] = field(default_factory=list)
    holds: dict[str, list[int]] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    terms: list[tuple[datetime, int]] = field(default_factory=list)  # by lot: when it expires, and of how many it was
    ended: set[int] = field(default_factory=set)
    burned: list[int] = field(default_factory=list)
    debt: int = 0

    def order(self, lot: int) -> tuple[bool, datetime, int]:
        return (lot == BOUGHT, MAY if lot == BOUGHT else self.terms[lot][0], lot)

    def add(self, credits: list[int]) -> None:
        """What comes in pays debt first."""
        paid = min(self.debt, len(credits))
        self.debt -= paid
        self.credits += credits[paid:]

    def take(self, amount: int, *, spending: bool) -> list[int]:
        ordered = sorted(self.credits, key=self.order, reverse=not spending)
        self.credits = ordered[amount:]
        return ordered[:amount]

    def give_back(self, taken: list[int], *, canceled: bool) -> None:
        self.credits += [BOUGHT if lot in self.ended and not canceled else lot for lot in taken]

    def expire(self, by: datetime) -> int:
        self.ended |= {lot for lot, (expires_at, _) in enumerate(self.terms) if expires_at <= by}
        burned = [lot for lot in self.credits if lot in self.ended]
        self.burned += burned
        self.credits = [lot for lot in self.credits if lot not in self.ended]
        return len(burned)

    def lots(self) -> list[tuple[int, int, int]]:
        """Left, held and burned of each."""
        held = [lot for taken in self.holds.values() for lot in taken]
        return [(self.credits.count(lot), held.count(lot), self.burned.count(lot)) for lot in range(len(self.terms))]


NUMBER = st.integers(0, 5)
STEP = st.one_of(
    st.tuples(st.just("lot"), st.integers(1, 5), st.sampled_from([MAY, JUNE, JULY])),
    st.tuples(st.just("buy"), st.integers(1, 5)),
    st.tuples(st.just("hold"), st.integers(1, 6)),
    st.tuples(st.just("hold"), st.integers(1, 6)),
    st.tuples(st.just("settle"), NUMBER, st.integers(0, 6)),
    st.tuples(st.just("release"), NUMBER, st.sampled_from(["canceled", "failed", "expired"])),
    st.tuples(st.just("release"), NUMBER, st.just("canceled")),
    st.tuples(st.just("late"), NUMBER),
    st.tuples(st.just("refund"), NUMBER),
    st.tuples(st.just("claw back"), st.integers(1, 5)),
    st.tuples(st.just("adjust"), st.sampled_from([-2, -1, 1, 3])),
    st.tuples(st.just("expire"), st.sampled_from([NOW, MAY, JUNE, JULY])),
    st.tuples(st.just("expire"), st.sampled_from([MAY, JUNE])),
)


class Story:
    """One account in the database and in the model, step by step."""

    def __init__(self, conn: Conn, account_id: str) -> None:
        self.conn, self.account_id, self.purse = conn, account_id, Purse()
        self.released: dict[str, int] = {}
        self.payments: list[list[Any]] = []

    async def step(self, step: tuple[Any, ...]) -> None:
        conn, account, purse = self.conn, self.account_id, self.purse
        match step:
            case ("lot", amount, expires_at):
                await promise(conn, account, amount, expires_at)
                purse.terms.append((expires_at, amount))
                purse.add([len(purse.terms) - 1] * amount)
            case ("buy", amount):
                self.payments.append([await buy(conn, account, amount), amount])
                purse.add([BOUGHT] * amount)
            case ("hold", amount) if amount <= len(purse.credits):
                purse.holds[await start(conn, account, amount)] = purse.take(amount, spending=True)
            case ("settle", number, amount) if purse.holds:
                work = self._one_of(purse.holds, number)
                taken = purse.holds.pop(work)
                amount = min(amount, len(taken))
                await settle(conn, account, work, amount * CREDIT)
                taken.sort(key=purse.order)
                purse.give_back(taken[amount:], canceled=False)
                purse.settled[work] = amount
            case ("release", number, reason) if purse.holds:
                work = self._one_of(purse.holds, number)
                await ledger.release(conn, account_id=account, work_id=work, reason=reason)
                taken = purse.holds.pop(work)
                self.released[work] = len(taken)
                purse.give_back(taken, canceled=reason == "canceled")
            case ("late", number) if self.released:
                work = self._one_of(self.released, number)
                amount = self.released.pop(work)
                await settle(conn, account, work, amount * CREDIT)
                purse.debt += amount - len(purse.take(amount, spending=True))
                purse.settled[work] = amount
            case ("refund", number) if any(purse.settled.values()):
                work = self._one_of({one: left for one, left in purse.settled.items() if left}, number)
                await ledger.refund_settled(
                    conn, account_id=account, work_id=work, amount=CREDIT, actor="ada", reason="why", key=a_key()
                )
                purse.settled[work] -= 1
                purse.add([BOUGHT])
            case ("claw back", amount) if any(rest >= amount for _, rest in self.payments):
                payment = next(one for one in self.payments if one[1] >= amount)
                payment[1] -= amount
                await ledger_payments.claw_back(
                    conn, account_id=account, amount=amount * CREDIT, payment_key=payment[0], key=a_key()
                )
                purse.debt += amount - len(purse.take(amount, spending=False))
            case ("adjust", amount) if -amount <= len(purse.credits):
                people = {"actor_one": "ada", "actor_two": "bob", "reason": "why"}
                await ledger_payments.adjust(conn, account_id=account, amount=amount * CREDIT, key=a_key(), **people)
                if amount > 0:
                    purse.add([BOUGHT] * amount)
                else:
                    purse.take(-amount, spending=False)
            case ("expire", by):
                assert await expire(conn, account, by) == purse.expire(by)
                assert await expire(conn, account, by) == 0

    async def compare(self) -> None:
        found, _ = await lots.of_account(self.conn, self.account_id)
        balance = await ledger.balance(self.conn, self.account_id)
        told = [(lot.left_micros, lot.held_micros, lot.burned_micros) for lot in reversed(found)]
        assert told == [tuple(part * CREDIT for part in parts) for parts in self.purse.lots()]
        held = sum(map(len, self.purse.holds.values()))
        in_all = (len(self.purse.credits), held, self.purse.debt)
        assert (balance.available, balance.held, balance.debt) == tuple(part * CREDIT for part in in_all)

    @staticmethod
    def _one_of(works: dict[str, Any], number: int) -> str:
        return list(works)[number % len(works)]


def test_random_stories_agree_with_a_model_of_single_credits() -> None:
    """E16, INV-1: what was bought or is held is never burned, a repeat burns nothing, the parts of a lot sum up."""
    number = int(os.environ.get("BABYSEA_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {number}")
    with asyncio.Runner() as runner:
        conn = runner.run(AsyncConnection.connect(runner.run(fresh_database()), autocommit=True, prepare_threshold=0))

        async def tell(steps: list[tuple[Any, ...]]) -> None:
            story = Story(conn, await an_account(conn))
            for step in [("lot", 3, MAY), ("buy", 2), ("lot", 3, JUNE), *steps]:
                await story.step(step)
                await story.compare()
            assert (await verify(conn, account_id=story.account_id)).violations == []

        @seed(number)
        @settings(
            max_examples=int(os.environ.get("BABYSEA_ROUNDS", "12")) * 3,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        )
        @given(st.lists(STEP, min_size=10, max_size=40))
        def stories(steps: list[tuple[Any, ...]]) -> None:
            runner.run(tell(steps))

        stories()
        assert runner.run(ledger.check(conn)) == []
        runner.run(conn.close())
