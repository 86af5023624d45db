"""Section 10: a threshold tells once, in the transfer that crosses it, and is armed again with a margin."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import InvalidInput, ParameterOutOfRange, SpendingLimitReached
from store import alerts, ledger, spending, webhooks
from store.alerts import Alert, Threshold
from store.connection import Pool, single
from store.spending import Period
from tests.store.builders import CREDIT, a_work_id, an_account, an_admitted, an_endpoint, give, hold, let_go, settle
from tests.store.test_ledger_guards import SERVICE

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]


async def told(conn: Conn, account_id: str) -> list[list[float]]:
    """The thresholds of each alert in credits, oldest first."""
    found: list[Alert] = await alerts.latest(conn, account_id, limit=100)
    return [[micros / CREDIT for micros in one.thresholds_micros] for one in reversed(found)]


async def watch(conn: Conn, account_id: str, *thresholds: int, enabled: bool = True) -> None:
    """Thresholds in whole credits."""
    wanted = [threshold * CREDIT for threshold in thresholds]
    await alerts.put(conn, account_id, enabled=enabled, thresholds=wanted)


async def spend(conn: Conn, account_id: str, credits: float) -> str:
    work_id = a_work_id()
    assert await hold(conn, account_id, work_id, int(credits * CREDIT)) is ledger.Reserved.HELD
    return work_id


async def test_a_new_account_has_one_threshold_of_half_a_credit_that_its_first_credits_arm(conn: Conn) -> None:
    account_id = await an_account(conn)
    before = await alerts.get(conn, account_id)
    await give(conn, account_id, CREDIT)

    assert before == alerts.Alerts(enabled=True, thresholds=[Threshold(500_000, armed=False)])
    assert await alerts.get(conn, account_id) == alerts.Alerts(True, [Threshold(500_000, armed=True)])
    assert await told(conn, account_id) == []


async def test_a1_the_transfer_that_takes_the_balance_below_tells_and_no_other(conn: Conn, account_id: str) -> None:
    await watch(conn, account_id, 8)

    await spend(conn, account_id, 2)
    at_the_threshold = await told(conn, account_id)
    await spend(conn, account_id, 0.5)
    await spend(conn, account_id, 1)

    assert at_the_threshold == []
    assert await told(conn, account_id) == [[8]]
    [alert] = await alerts.latest(conn, account_id)
    assert alert.balance_micros == 7_500_000


async def test_a1_a_transfer_that_is_undone_has_told_nothing(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id, "credits.low_balance")
    await watch(conn, account_id, 8)

    async with conn.transaction(force_rollback=True):
        await spend(conn, account_id, 5)
        assert await told(conn, account_id) == [[8]]

    assert await told(conn, account_id) == []
    assert await bodies(conn, endpoint.endpoint_id) == []
    assert (await alerts.get(conn, account_id)).thresholds == [Threshold(8 * CREDIT, armed=True)]


async def bodies(conn: Conn, endpoint_id: str) -> list[dict[str, Any]]:
    rows = await conn.execute(
        "SELECT body FROM store.webhook_deliveries WHERE endpoint_id = %s ORDER BY created_at", [endpoint_id]
    )
    return [json.loads(row[0]) for row in await rows.fetchall()]


async def test_a2_a3_several_thresholds_are_one_message_in_the_form_of_the_contract(
    conn: Conn, account_id: str
) -> None:
    endpoint = await an_endpoint(conn, account_id, "credits.low_balance")
    await watch(conn, account_id, 9, 5, 1)

    await spend(conn, account_id, 6.123456)

    [body] = await bodies(conn, endpoint.endpoint_id)
    assert body["webhook_event"] == "credits.low_balance"
    assert body["webhook_data"] == {
        "account_id": account_id,
        "current_balance": 3.876,
        "thresholds_crossed": [{"threshold": 9, "balance_at": 3.876}, {"threshold": 5, "balance_at": 3.876}],
    }
    assert await told(conn, account_id) == [[9, 5]]


async def test_a2_k14_the_alert_waits_in_the_outbox_until_a_step_of_the_account_rings_it(
    conn: Conn, account_id: str
) -> None:
    endpoint = await an_endpoint(conn, account_id, "credits.low_balance")
    await watch(conn, account_id, 9)

    request = await an_admitted(conn, account_id, quote_microcredits=2 * CREDIT)

    cursor = await conn.execute(
        "SELECT store.pending_deliveries(%s, 'generation.started')::text[]", [request.generation_id]
    )
    row = await cursor.fetchone()
    [body] = await bodies(conn, endpoint.endpoint_id)
    assert row == ([body["webhook_delivery_id"]],)
    delivery = await webhooks.delivery(conn, body["webhook_delivery_id"])
    assert delivery.state is webhooks.DeliveryState.PENDING


async def test_a4_holds_and_releases_at_the_edge_send_no_stream_of_alerts(conn: Conn, account_id: str) -> None:
    await watch(conn, account_id, 9)

    for _ in range(5):
        work_id = await spend(conn, account_id, 1.5)
        await let_go(conn, account_id, work_id)

    assert await told(conn, account_id) == [[9], [9], [9], [9], [9]]  # each time back to ten: beyond the margin
    await spend(conn, account_id, 0.9)  # 9.1
    for _ in range(5):
        work_id = await spend(conn, account_id, 0.2)
        await let_go(conn, account_id, work_id)
    assert len(await told(conn, account_id)) == 6


async def test_a4_a_tenth_more_than_the_threshold_arms_it_again(conn: Conn, account_id: str) -> None:
    await watch(conn, account_id, 5)
    await spend(conn, account_id, 6)

    await give(conn, account_id, 1_499_999)
    short_of_it = (await alerts.get(conn, account_id)).thresholds
    await give(conn, account_id, 1)

    assert short_of_it == [Threshold(5 * CREDIT, armed=False)]
    assert (await alerts.get(conn, account_id)).thresholds == [Threshold(5 * CREDIT, armed=True)]


async def test_a5_thresholds_look_at_what_may_be_spent_so_a_settlement_tells_nothing(
    conn: Conn, account_id: str
) -> None:
    work_id = await spend(conn, account_id, 4)
    await watch(conn, account_id, 5)

    await settle(conn, account_id, work_id, 4 * CREDIT)

    assert await told(conn, account_id) == []


async def test_a6_a_threshold_that_is_removed_or_switched_off_forgets_its_state(conn: Conn, account_id: str) -> None:
    await watch(conn, account_id, 5, 2)
    await spend(conn, account_id, 6)
    await watch(conn, account_id, 5, 2, enabled=False)
    await spend(conn, account_id, 3)
    while_off = await told(conn, account_id)
    await give(conn, account_id, 9 * CREDIT)

    await watch(conn, account_id, 5, 2)
    switched_on = await alerts.get(conn, account_id)
    await watch(conn, account_id, 2)
    await spend(conn, account_id, 9)

    assert while_off == [[5]]
    assert switched_on == alerts.Alerts(True, [Threshold(5 * CREDIT, armed=True), Threshold(2 * CREDIT, armed=True)])
    assert await told(conn, account_id) == [[5], [2]]


async def test_a_threshold_that_stays_keeps_its_state(conn: Conn, account_id: str) -> None:
    await watch(conn, account_id, 5)
    await spend(conn, account_id, 6)

    await watch(conn, account_id, 5, 3)
    await spend(conn, account_id, 0.5)

    assert await told(conn, account_id) == [[5]]


async def test_an_account_has_ten_thresholds_at_most_each_above_zero(conn: Conn, account_id: str) -> None:
    await watch(conn, account_id, *range(1, 11))

    with pytest.raises(InvalidInput, match="at most 10"):
        await watch(conn, account_id, *range(1, 12))
    with pytest.raises(ParameterOutOfRange):
        await watch(conn, account_id, 0)
    assert len((await alerts.get(conn, account_id)).thresholds) == 10


async def test_c18_fifty_who_cross_at_once_send_one_alert(conn: Conn, shared_pool: Pool) -> None:
    account_id = await an_account(conn, credits=60)
    await an_endpoint(conn, account_id, "credits.low_balance")
    await watch(conn, account_id, 50)

    async def one() -> None:
        async with single(shared_pool) as other:
            await spend(other, account_id, 1)

    await asyncio.gather(*(one() for _ in range(50)))

    assert await told(conn, account_id) == [[50]]


async def test_thresholds_change_while_the_balance_moves_without_a_deadlock(conn: Conn, shared_pool: Pool) -> None:
    account_id = await an_account(conn, credits=100)

    async def move() -> None:
        async with single(shared_pool) as other:
            for _ in range(20):
                await let_go(other, account_id, await spend(other, account_id, 10))

    async def change() -> None:
        async with single(shared_pool) as other:
            for threshold in range(60, 80):
                await watch(other, account_id, threshold, 50)

    await asyncio.gather(*(move() for _ in range(4)), *(change() for _ in range(2)))

    assert await alerts.get(conn, account_id) == alerts.Alerts(
        True, [Threshold(79 * CREDIT, armed=True), Threshold(50 * CREDIT, armed=True)]
    )


async def test_inv_24_the_role_of_the_running_system_sets_alerts_and_limits(own_url: str) -> None:
    role = f"service_{own_url.partition('?')[0].rpartition('/')[2]}"
    async with await AsyncConnection.connect(own_url, autocommit=True) as conn:
        account_id = await an_account(conn, credits=10)
        await conn.execute(f"CREATE ROLE {role}".encode())
        try:
            for statement in SERVICE:
                await conn.execute(statement.format(role=role).encode())
            await conn.execute(f"SET ROLE {role}".encode())

            another = await an_account(conn)
            await alerts.put(conn, account_id, enabled=True, thresholds=[8 * CREDIT], runway_hours=5)
            async with conn.transaction():
                await spending.put(conn, account_id, period=Period.DAY, is_hard=True, limit=4 * CREDIT)
            await an_admitted(conn, account_id, quote_microcredits=3 * CREDIT)
            with pytest.raises(SpendingLimitReached):
                await an_admitted(conn, account_id, quote_microcredits=3 * CREDIT)

            assert await told(conn, account_id) == [[8]]
            assert (await alerts.get(conn, another)).enabled
            assert await alerts.watch_runway(conn, account_id) == []
        finally:
            await conn.execute("RESET ROLE")
            await conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
