"""Looks at one payment that overlap: the later one counts, whichever is applied first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.billing import Facts, Movement
from store import accounts, billing, billing_effects, ledger
from store.billing_effects import LookedTooEarly
from store.connection import open_pool, single
from tests.billing.objects import CREDIT, a_refund, a_session, bought, offers
from tests.support.postgres import fresh_database


@pytest.fixture
async def conn() -> AsyncIterator[AsyncConnection[Any]]:
    pool = await open_pool(await fresh_database(), size_max=2)
    async with single(pool) as conn:
        yield conn
    await pool.close()


async def test_a_look_that_is_older_than_the_last_one_applied_is_made_anew(conn: AsyncConnection[Any]):
    account_id = (await accounts.create(conn, "payer")).account_id
    await billing.link_customer(conn, account_id, "cus_1")
    named = {"client_reference_id": account_id, "metadata": {"account_id": account_id, "pack": "pack-10"}}
    refunded = Facts(False, purchase=bought(a_session(**named), refunds=(a_refund("re_1", 400),)))
    failed = Facts(False, purchase=bought(a_session(**named), refunds=(a_refund("re_1", 400, status="failed"),)))
    early = await billing.now(conn)

    await billing_effects.apply(conn, "evt_2", failed, looked_at=early + timedelta(seconds=1), offers=offers())
    with pytest.raises(LookedTooEarly):
        await billing_effects.apply(conn, "evt_1", refunded, looked_at=early, offers=offers())

    assert (await ledger.balance(conn, account_id)).available == 10 * CREDIT
    assert await ledger.check(conn) == []


async def test_a_row_of_stripes_books_is_kept_once_and_finds_its_payment_later(conn: AsyncConnection[Any]):
    account_id = (await accounts.create(conn, "payer")).account_id
    await billing.link_customer(conn, account_id, "cus_1")
    charge = Movement("txn_1", "charge", "charge", "ch_1", 1000, 59, "usd", 1)
    payout = Movement("txn_2", "payout", "", "", -900, 0, "usd", 1)

    for movement in (charge, payout, charge):
        await billing_effects.keep_movement(conn, "stripe:pi:pi_1", movement)  # which is not booked yet
    named = {"client_reference_id": account_id, "metadata": {"account_id": account_id, "pack": "pack-10"}}
    paid = Facts(False, purchase=bought(a_session(**named)))
    await billing_effects.apply(conn, "evt_1", paid, looked_at=await billing.now(conn), offers=offers())
    before = await rows(conn, "SELECT movement_id, payment_key FROM store.stripe_movements ORDER BY 1")
    for _ in range(2):
        await billing_effects.keep_movement(conn, "stripe:pi:pi_1", charge)
    await billing_effects.keep_movement(conn, None, charge)

    assert before == [("txn_1", None), ("txn_2", None)]
    kept = await rows(conn, "SELECT movement_id, payment_key, source_type FROM store.stripe_movements ORDER BY 1")
    assert kept == [("txn_1", "stripe:pi:pi_1", "charge"), ("txn_2", None, None)]
    income = await rows(
        conn, "SELECT currency, kind, movements, amount_minor, fee_minor, net_minor FROM store.stripe_income"
    )
    assert income == [("usd", "charge", 1, 1000, 59, 941)]


async def rows(conn: AsyncConnection[Any], query: str) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query.encode())).fetchall()


async def test_a_link_never_changes(conn: AsyncConnection[Any]):
    first, second = [(await accounts.create(conn, name)).account_id for name in ("one", "two")]
    await billing.link_customer(conn, first, "cus_1")

    assert await billing.link_customer(conn, first, "cus_2") == "cus_1"
    with pytest.raises(Exception, match="linked to another account"):
        await billing.link_customer(conn, second, "cus_1")
