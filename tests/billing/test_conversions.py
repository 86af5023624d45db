"""U7: the ledger has one unit. Money of others ends where a grant is computed, and how it ended there is kept."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from adapters import stripe_objects as read
from domain.billing import Facts, Parked, Purchase, Reason
from domain.offers import Currency
from store import billing, billing_effects, ledger
from tests.billing.objects import CREDIT, a_line, a_session, an_intent, bought, invoiced, offers
from tests.store.builders import an_account
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]


@pytest.fixture(scope="module")
async def conn() -> AsyncIterator[Conn]:
    async with await AsyncConnection.connect(await fresh_database(), autocommit=True) as conn:
        yield conn
        assert await ledger.check(conn) == []


async def applied(conn: Conn, purchase: Purchase) -> Purchase:
    """As of an account and a payment of its own."""
    account_id, name = await an_account(conn), uuid.uuid4().hex
    await billing.link_customer(conn, account_id, f"cus_{name}")
    purchase = replace(purchase, key=f"stripe:pi:{name}", customer_id=f"cus_{name}", references=())
    async with conn.transaction():
        looked_at = await billing.now(conn)
        await billing_effects.apply(
            conn,
            "evt_1",
            Facts(False, purchase=purchase),
            looked_at=looked_at,
            offers=offers(manual_invoices_grant=True),
        )
    return purchase


async def conversion_of(conn: Conn, key: str) -> dict[str, Any]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SELECT * FROM store.stripe_conversions WHERE key = %s", [key])
        found = await cursor.fetchone()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("purchase", "kept"),
    [
        pytest.param(bought(), ("usd", 2, CREDIT, 1000, 0, 10 * CREDIT, {"pack-10": 1}), id="a pack"),
        pytest.param(
            read.top_up_purchase(an_intent(currency="jpy", amount_received=10_000), ((), ())),
            ("jpy", 0, 6_600, 10_000, 10_000, 0, {}),
            id="yen by value",
        ),
        pytest.param(
            bought(
                a_session(currency="kwd", amount_total=1500, metadata={}, total_details={"amount_tax": 300}),
                a_line("price_any", None, total=1500, tax=300),
            ),
            ("kwd", 3, 3_250_000, 1500, 1200, 0, {}),
            id="dinar without tax",
        ),
        pytest.param(invoiced(), ("usd", 2, CREDIT, 900, 0, 9 * CREDIT, {"starter-monthly": 1}), id="a period"),
    ],
)
async def test_u7_every_grant_of_a_payment_leads_to_an_amount_its_currency_and_the_rate(
    conn: Conn, purchase: Purchase, kept: tuple[Any, ...]
) -> None:
    """U7: and the credits can be computed again from what is kept, without the list of offers."""
    purchase = await applied(conn, purchase)

    found = await conversion_of(conn, purchase.key)

    names = ("currency", "decimals", "unit_micros", "paid_minor", "value_minor", "fixed_micros", "offers")
    assert tuple(found[name] for name in names) == kept
    rate = Currency(found["decimals"], found["unit_micros"])
    (granted,) = await amounts(conn, purchase.key)
    assert found["fixed_micros"] + rate.worth(found["value_minor"]) == granted


async def amounts(conn: Conn, key: str) -> list[int]:
    cursor = await conn.execute("SELECT amount_micros FROM ledger.transfers WHERE key = %s", [key])
    return [row[0] for row in await cursor.fetchall()]


async def test_u7_money_without_a_rate_does_not_enter(conn: Conn) -> None:
    """U7: nothing is granted, and nothing is kept of it."""
    cursor = await conn.execute("SELECT count(*) FROM store.stripe_payments")
    before = await cursor.fetchone()

    with pytest.raises(Parked) as parked:
        await applied(conn, bought(a_session(currency="idr")))

    assert parked.value.reason is Reason.CURRENCY_UNKNOWN
    cursor = await conn.execute("SELECT count(*) FROM store.stripe_payments")
    assert await cursor.fetchone() == before


async def test_u7_the_ledger_has_no_place_for_another_code(conn: Conn) -> None:
    """U7, INV-3, INV-6: every amount of it is one of micro-credits, and none of its operations takes a currency."""
    cursor = await conn.execute(
        "SELECT table_name || '.' || column_name FROM information_schema.columns"
        " WHERE table_schema = 'ledger' AND (column_name ~ 'currency|minor|unit|rate'"
        "       OR column_name ~ '(amount|balance)(_|$)' AND column_name !~ '_micros$')"
        " UNION ALL SELECT proname FROM pg_proc"
        " WHERE pronamespace = 'ledger'::regnamespace AND array_to_string(proargnames, ' ') ~ 'currency|minor|rate'"
    )

    assert await cursor.fetchall() == []


async def test_u7_a_rate_that_was_used_is_not_changed_later(conn: Conn) -> None:
    purchase = await applied(conn, bought())

    for statement in (
        "UPDATE store.stripe_conversions SET unit_micros = 1 WHERE key = %s",
        "DELETE FROM store.stripe_conversions WHERE key = %s",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            await conn.execute(statement.encode(), [purchase.key])
