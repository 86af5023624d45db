"""A7: at the last hour's rate, empty in less than so many hours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import ParameterOutOfRange
from store import alerts, ledger
from store.alerts import Runway
from store.connection import Pool, single
from tests.store.builders import CREDIT, a_work_id, an_account, an_endpoint, give, hold, let_go, settle

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]
At = Callable[[float], datetime]
HOUR = timedelta(hours=1)


@pytest.fixture
def at() -> At:
    """Minutes after the rule was made; the clock of a look is an argument, so nobody waits."""
    began = datetime.now(UTC)
    return lambda minutes: began + timedelta(minutes=minutes)


async def watch(conn: Conn, account_id: str, hours: int | None, *, enabled: bool = True) -> None:
    await alerts.put(conn, account_id, enabled=enabled, thresholds=[], runway_hours=hours)


async def look(conn: Conn, account_id: str, at: datetime) -> int:
    """How many deliveries it made: one where it told."""
    return len(await alerts.watch_runway(conn, account_id, at=at))


async def spend(conn: Conn, account_id: str, credits: float) -> str:
    work_id = a_work_id()
    assert await hold(conn, account_id, work_id, int(credits * CREDIT)) is ledger.Reserved.HELD
    return work_id


@pytest.fixture
async def listening(conn: Conn, account_id: str) -> str:
    """The account, with ten credits and somebody who wants to hear."""
    await an_endpoint(conn, account_id, "credits.low_runway")
    return account_id


async def test_a7_what_is_left_lasts_less_than_the_hours_at_the_last_hours_rate(
    conn: Conn, listening: str, at: At
) -> None:
    await watch(conn, listening, 4)
    await settle(conn, listening, await spend(conn, listening, 1), CREDIT)
    await spend(conn, listening, 1)  # 8 are left, and two an hour are four hours: not less than that

    enough = await look(conn, listening, at(30))
    await let_go(conn, listening, await spend(conn, listening, 5))  # given back: not spent
    await spend(conn, listening, 0.25)
    short = await look(conn, listening, at(50))

    assert (enough, short) == (0, 1)
    row = await conn.execute("SELECT body FROM store.webhook_deliveries WHERE account_id = %s", [listening])
    [(body,)] = await row.fetchall()
    assert json.loads(body)["webhook_event"] == "credits.low_runway"
    assert json.loads(body)["webhook_data"] == {
        "account_id": listening,
        "current_balance": 7.75,
        "spent_last_hour": 2.25,
        "hours_left": 3.4,
        "hours_threshold": 4,
    }


async def test_a7_it_tells_once_in_a_descent_and_again_after_the_balance_came_back(
    conn: Conn, listening: str, at: At
) -> None:
    await watch(conn, listening, 10)
    told = []
    for minutes in range(5, 65, 5):  # half a credit each, so six an hour: the third look sees ten hours no more
        await spend(conn, listening, 0.5)
        told.append(await look(conn, listening, at(minutes)))
    first = (await alerts.get(conn, listening)).runway
    await give(conn, listening, 100 * CREDIT)
    away = await look(conn, listening, at(65))
    rearmed = (await alerts.get(conn, listening)).runway
    await spend(conn, listening, 60)
    again = await look(conn, listening, at(70))

    assert told == [0, 1, *[0] * 10]
    assert first == Runway(10, armed=False, told_at=at(10))
    assert (away, rearmed) == (0, Runway(10, armed=True, told_at=at(10)))
    assert again == 1


async def test_a4_a7_a_rate_at_the_edge_sends_no_stream_of_alerts(conn: Conn, listening: str, at: At) -> None:
    """Armed again by a tenth more: as hours at the rate of now, or as the balance that would have been enough then."""
    await watch(conn, listening, 4)
    await spend(conn, listening, 2.5)  # 7.5 are three hours
    told = [await look(conn, listening, at(1))]
    await give(conn, listening, 3_400_000)  # 10.9: above ten, and short of eleven
    told.append(await look(conn, listening, at(2)))
    await spend(conn, listening, 0.5)
    told.append(await look(conn, listening, at(3)))
    at_the_edge = (await alerts.get(conn, listening)).runway

    await give(conn, listening, 600_000)  # eleven
    told.append(await look(conn, listening, at(4)))

    assert at_the_edge is not None
    assert not at_the_edge.armed
    assert told == [1, 0, 0, 1]  # at eleven it is armed, and three an hour are less than four hours again


async def test_a7_nothing_is_told_without_spending_and_what_is_long_ago_does_not_count(
    conn: Conn, listening: str, at: At
) -> None:
    await spend(conn, listening, 1)  # before there was a rule
    await watch(conn, listening, 12)

    told = [await look(conn, listening, at(minutes)) for minutes in (5, 90)]
    await spend(conn, listening, 2)
    told.append(
        await look(conn, listening, at(300))
    )  # the worker was away: 2 in three and a half hours, and 7 are left
    await spend(conn, listening, 0.5)
    told += [await look(conn, listening, at(minutes)) for minutes in (330, 360, 500)]
    quiet = (await alerts.get(conn, listening)).runway

    assert told == [0, 0, 0, 1, 0, 0]
    assert quiet == Runway(12, armed=False, told_at=at(330))
    kept = await conn.execute("SELECT count(*) FROM store.runway_looks WHERE account_id = %s", [listening])
    assert await kept.fetchone() == (2,)


async def test_a6_a7_a_rule_that_is_changed_or_switched_begins_anew_and_one_that_is_removed_tells_nothing(
    conn: Conn, listening: str, at: At
) -> None:
    async def descend(minutes: float) -> int:
        await spend(conn, listening, 1)
        return await look(conn, listening, at(minutes))

    await watch(conn, listening, 100)
    first = await descend(1)
    await watch(conn, listening, 100)
    stays = await descend(2)
    await watch(conn, listening, 100, enabled=False)
    off = await descend(3)
    await watch(conn, listening, 100)
    switched_on = await descend(4)
    await watch(conn, listening, 50)
    changed = await descend(5)
    await watch(conn, listening, None)
    removed = await descend(6)

    assert (first, stays, off, switched_on, changed, removed) == (1, 0, 0, 1, 1, 0)
    assert (await alerts.get(conn, listening)).runway is None


async def test_a7_of_many_who_look_at_once_one_tells(conn: Conn, listening: str, at: At, shared_pool: Pool) -> None:
    await watch(conn, listening, 100)
    await spend(conn, listening, 5)

    async def one(second: int) -> int:
        async with single(shared_pool) as other:
            return await look(other, listening, at(1 + second / 60))

    assert sum(await asyncio.gather(*(one(second) for second in range(8)))) == 1


async def test_a_refund_is_no_spending_and_no_rate_is_below_zero(conn: Conn, listening: str, at: At) -> None:
    work_id = await spend(conn, listening, 5)
    await settle(conn, listening, work_id, 5 * CREDIT)
    await watch(conn, listening, 100)
    await ledger.refund_settled(
        conn, account_id=listening, work_id=work_id, amount=5 * CREDIT, actor="ada", reason="late", key=work_id
    )

    assert await look(conn, listening, at(5)) == 0


@pytest.mark.parametrize("hours", [0, 721])
async def test_a_runway_is_of_1_to_720_hours(conn: Conn, account_id: str, hours: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        await watch(conn, account_id, hours)


async def test_the_accounts_with_a_rule_are_walked_page_by_page(own_pool: Pool) -> None:
    async with single(own_pool) as conn:
        made = sorted([await an_account(conn) for _ in range(3)])
        for account_id in made[:2]:
            await watch(conn, account_id, 5)

        first = await alerts.watched_runways(conn, after=None, limit=1)
        second = await alerts.watched_runways(conn, after=first[-1], limit=5)

    assert [*first, *second] == made[:2]
