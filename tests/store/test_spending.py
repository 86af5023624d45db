"""A9: spending limits of accounts and keys, counted where the credits are held: exact in every race, never leaking."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain import keys as key_rules
from domain.errors import ParameterOutOfRange, ResourceNotFound, SpendingLimitReached
from domain.generation import GenerationRequest
from store import generations, keys, ledger, spending
from store.connection import Pool, single, transaction
from store.keys import ApiKeyRow, Successor
from store.spending import Limit, Period
from tests.store.builders import (
    CREDIT,
    a_processing,
    an_account,
    an_admitted,
    an_endpoint,
    cancellation,
    failure,
    standing,
    success,
)
from tests.support.requests import a_request

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]


async def limited(conn: Conn, account_id: str, credits: float, **facts: Any) -> Limit:
    asked: dict[str, Any] = {"period": Period.DAY, "is_hard": True} | facts
    async with conn.transaction():
        return await spending.put(conn, account_id, limit=int(credits * CREDIT), **asked)


async def spent(conn: Conn, account_id: str) -> list[float]:
    async with conn.transaction():
        return [limit.spent_micros / CREDIT for limit in await spending.of_account(conn, account_id)]


async def bought(conn: Conn, account_id: str, credits: float, **facts: Any) -> GenerationRequest:
    return await an_admitted(conn, account_id, quote_microcredits=int(credits * CREDIT), **facts)


async def a_key(conn: Conn, account_id: str) -> str:
    minted = key_rules.mint(b"pepper", os.urandom(32))
    row = ApiKeyRow(str(uuid.uuid4()), account_id, "worker", minted.prefix, minted.key_hash, ["generation:write"], "us")
    await keys.insert(conn, row)
    return row.api_key_id


async def test_a9_a_hard_limit_refuses_what_would_pass_it_and_leaves_no_trace(conn: Conn, account_id: str) -> None:
    await limited(conn, account_id, 3)
    await bought(conn, account_id, 2)
    before = await standing(conn, account_id)
    request = a_request(account_id=account_id, quote_microcredits=1_000_001)

    with pytest.raises(SpendingLimitReached, match="may spend 3 credits a day, and has 2 spent or held") as refused:
        await generations.admit(conn, request)

    details = refused.value.details
    assert details.pop("resets_at").endswith("T00:00:00.000Z")
    assert details == {
        "limited": "account",
        "period": "day",
        "limit_microcredits": 3 * CREDIT,
        "spent_microcredits": 2 * CREDIT,
    }
    assert await standing(conn, account_id) == before
    assert await generations.get(conn, account_id, request.generation_id) is None
    assert await ledger.hold(conn, account_id=account_id, work_id=request.generation_id) is None
    await bought(conn, account_id, 1)
    assert await spent(conn, account_id) == [3]


@pytest.mark.parametrize("ended", [failure, cancellation])
async def test_a9_a_released_hold_gives_back(conn: Conn, account_id: str, ended: Any) -> None:
    await limited(conn, account_id, 3)
    request = await bought(conn, account_id, 3)

    await generations.finish(conn, ended(request))

    assert await spent(conn, account_id) == [0]
    await bought(conn, account_id, 3)


async def test_a9_a_settlement_counts_and_its_remainder_gives_back(conn: Conn, account_id: str) -> None:
    await limited(conn, account_id, 3)
    request = await a_processing(conn, account_id, quote_microcredits=3 * CREDIT)

    await generations.finish(conn, success(request, settle_microcredits=CREDIT))

    assert await spent(conn, account_id) == [1]
    await bought(conn, account_id, 2)
    with pytest.raises(SpendingLimitReached):
        await bought(conn, account_id, 0.000001)


async def test_a9_eight_at_once_at_the_edge_never_pass_the_limit(conn: Conn, shared_pool: Pool) -> None:
    account_id = await an_account(conn, credits=100)
    await limited(conn, account_id, 3)

    async def one(released: bool) -> bool:
        async with single(shared_pool) as other:
            try:
                request = await bought(other, account_id, 1)
            except SpendingLimitReached:
                return False
            if released:
                await generations.finish(other, failure(request))
            return not released

    for _ in range(5):
        await asyncio.gather(*(one(released=True) for _ in range(8)))
    assert await spent(conn, account_id) == [0]

    held = await asyncio.gather(*(one(released=False) for _ in range(8)))

    assert sum(held) == 3
    assert await spent(conn, account_id) == [3]
    assert (await standing(conn, account_id))[1] == 3 * CREDIT


async def test_a9_a_limit_that_is_made_while_others_spend_counts_all_of_them(conn: Conn, shared_pool: Pool) -> None:
    account_id = await an_account(conn, credits=100)

    async def one() -> None:
        async with single(shared_pool) as other:
            for _ in range(5):
                await bought(other, account_id, 1)

    async def limit() -> None:
        async with transaction(shared_pool) as other:
            await spending.put(other, account_id, period=Period.MONTH, is_hard=True, limit=100 * CREDIT)

    await asyncio.gather(*(one() for _ in range(4)), limit(), *(one() for _ in range(4)))

    assert await spent(conn, account_id) == [40]


async def test_a9_what_was_spent_this_month_before_the_limit_counts(conn: Conn, account_id: str) -> None:
    key = await a_key(conn, account_id)
    await generations.finish(conn, failure(await bought(conn, account_id, 2, api_key_id=key)))
    settled = await a_processing(conn, account_id, quote_microcredits=CREDIT, api_key_id=key)
    await generations.finish(conn, success(settled, settle_microcredits=CREDIT))
    await bought(conn, account_id, 4)

    await limited(conn, account_id, 50, period=Period.MONTH)
    of_key = await limited(conn, account_id, 50, period=Period.MONTH, api_key_id=key)

    assert await spent(conn, account_id) == [5, 1]
    assert (of_key.api_key_id, of_key.spent_micros) == (key, CREDIT)


async def test_a9_a_limit_of_a_key_is_of_that_key_alone_and_the_accounts_is_of_all(conn: Conn, account_id: str) -> None:
    key, other = await a_key(conn, account_id), await a_key(conn, account_id)
    await limited(conn, account_id, 1, api_key_id=key)
    await limited(conn, account_id, 2)

    await bought(conn, account_id, 1, api_key_id=key)
    with pytest.raises(SpendingLimitReached, match="The key may spend 1 credits"):
        await bought(conn, account_id, 0.5, api_key_id=key)
    await bought(conn, account_id, 1, api_key_id=other)
    with pytest.raises(SpendingLimitReached, match="The account may spend 2 credits"):
        await bought(conn, account_id, 0.5, api_key_id=other)

    assert await spent(conn, account_id) == [2, 1]


async def test_a9_a_rotated_key_does_not_refill_its_limit(conn: Conn, account_id: str) -> None:
    key = await a_key(conn, account_id)
    await limited(conn, account_id, 1, api_key_id=key)
    await bought(conn, account_id, 1, api_key_id=key)
    minted = key_rules.mint(b"pepper", os.urandom(32))

    async with conn.transaction():
        made = await keys.rotate(conn, key, Successor(str(uuid.uuid4()), minted.prefix, minted.key_hash))

    with pytest.raises(SpendingLimitReached):
        await bought(conn, account_id, 1, api_key_id=made.api_key_id)
    await keys.delete(conn, key)
    assert len(await spent(conn, account_id)) == 1
    await keys.delete(conn, made.api_key_id)
    assert await spent(conn, account_id) == []


async def test_a9_free_work_passes_a_limit_of_nothing(conn: Conn, account_id: str) -> None:
    await limited(conn, account_id, 0)

    await bought(conn, account_id, 0)

    with pytest.raises(SpendingLimitReached):
        await bought(conn, account_id, 0.001)


async def test_a9_a_soft_limit_tells_once_in_a_period_and_refuses_nothing(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id, "credits.spending_limit")
    await limited(conn, account_id, 2, period=Period.MONTH, is_hard=False)

    for _ in range(4):
        await bought(conn, account_id, 1)

    rows = await conn.execute(
        "SELECT body FROM store.webhook_deliveries WHERE endpoint_id = %s", [endpoint.endpoint_id]
    )
    [[body]] = await rows.fetchall()
    told = json.loads(body)
    began = told["webhook_data"].pop("period_started_at")
    assert told["webhook_event"] == "credits.spending_limit"
    assert told["webhook_data"] == {"account_id": account_id, "period": "month", "limit": 2, "spent": 3}
    assert began == f"{datetime.now(UTC):%Y-%m}-01T00:00:00.000Z"
    assert await spent(conn, account_id) == [4]


async def test_e21_a_period_is_a_half_open_day_or_month_of_utc(conn: Conn, account_id: str) -> None:
    await limited(conn, account_id, 3)
    await bought(conn, account_id, 1)
    count = "SELECT store.count_spending(%s, NULL, gen_random_uuid(), %s, %s)"
    night = datetime(2031, 1, 31, 23, 59, 59, 999_999, UTC)

    await conn.execute(count, [account_id, 3 * CREDIT, night])
    await conn.execute(count, [account_id, 3 * CREDIT, datetime(2031, 2, 1, tzinfo=UTC)])

    rows = await conn.execute(
        "SELECT day::text FROM store.spending WHERE scope_id = %s AND day > '2031-01-01' ORDER BY day", [account_id]
    )
    assert [row[0] for row in await rows.fetchall()] == ["2031-01-31", "2031-02-01"]


async def test_a_limit_is_changed_in_place_and_removed_by_its_id(conn: Conn, account_id: str) -> None:
    first = await limited(conn, account_id, 3)

    again = await limited(conn, account_id, 5)
    removed = await spending.remove(conn, account_id, first.limit_id)

    assert (again.limit_id, again.limit_micros) == (first.limit_id, 5 * CREDIT)
    assert removed is not None
    assert await spending.remove(conn, account_id, first.limit_id) is None
    await bought(conn, account_id, 6)


async def test_a_limit_needs_an_amount_that_there_is_and_a_key_of_the_account(conn: Conn, account_id: str) -> None:
    foreign = await a_key(conn, await an_account(conn))

    with pytest.raises(ParameterOutOfRange):
        await limited(conn, account_id, -1)
    with pytest.raises(ResourceNotFound):
        await limited(conn, account_id, 1, api_key_id=foreign)
