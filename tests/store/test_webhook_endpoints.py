"""The life of an endpoint, contract 12.5 to 12.7."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import StateConflict
from store import webhook_endpoints, webhook_log, webhooks
from store.connection import Pool, single, transaction
from store.webhook_endpoints import ENDPOINTS_MAX, Endpoint
from store.webhooks import FAILURES_MAX
from tests.store.builders import a_test_delivery, an_account, an_endpoint, an_event

Conn = AsyncConnection[Any]


async def now(conn: Conn, endpoint: Endpoint) -> Endpoint:
    found = await webhook_endpoints.get(conn, endpoint.account_id, endpoint.endpoint_id)
    assert found is not None
    return found


async def change(conn: Conn, endpoint: Endpoint, **changes: Any) -> bool:
    return await webhook_endpoints.change(conn, endpoint.account_id, endpoint.endpoint_id, **changes)


async def test_an_endpoint_belongs_to_its_account(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id, "generation.failed")
    other = await an_account(conn)

    assert await webhook_endpoints.of_account(conn, account_id) == [endpoint]
    assert await webhook_endpoints.get(conn, account_id, endpoint.endpoint_id) == endpoint
    assert await webhook_endpoints.of_account(conn, other) == []
    assert await webhook_endpoints.get(conn, other, endpoint.endpoint_id) is None
    assert not await webhook_endpoints.change(conn, other, endpoint.endpoint_id, enabled=False)
    assert not await webhook_endpoints.replace_secret(conn, other, endpoint.endpoint_id, secret_sealed=b"theirs")
    assert not await webhook_endpoints.delete(conn, other, endpoint.endpoint_id)
    assert await now(conn, endpoint) == endpoint
    assert (endpoint.events, endpoint.enabled, endpoint.secret_sealed) == (["generation.failed"], True, b"sealed")


async def test_what_is_not_named_in_a_change_stays(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id)

    assert await change(conn, endpoint, url="https://other.example/hooks")
    assert await change(conn, endpoint, events=["credits.low_balance"])
    changed = await now(conn, endpoint)

    assert (changed.url, changed.events) == ("https://other.example/hooks", ["credits.low_balance"])
    assert (changed.enabled, changed.secret_sealed) == (True, endpoint.secret_sealed)


async def test_a_new_secret_takes_the_place_of_the_old_one_at_once(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id)
    delivery_id = await a_test_delivery(conn, endpoint)

    await webhook_endpoints.replace_secret(conn, account_id, endpoint.endpoint_id, secret_sealed=b"new")

    assert (await webhooks.delivery(conn, delivery_id)).secret_sealed == b"new"


@pytest.mark.parametrize("enabled", [True, False])
async def test_switching_by_hand_begins_the_count_of_failures_anew(conn: Conn, account_id: str, enabled: bool) -> None:
    endpoint = await an_endpoint(conn, account_id, "generation.canceled")
    for _ in range(FAILURES_MAX):
        await webhooks.record_attempt(
            conn,
            await an_event(conn, endpoint),
            number=1,
            status_code=500,
            error=None,
            reply_head=None,
            final=True,
        )
    disabled = await now(conn, endpoint)

    await change(conn, endpoint, enabled=enabled)
    switched = await now(conn, endpoint)

    assert (disabled.consecutive_failures, disabled.enabled, disabled.disabled_at is None) == (15, False, False)
    assert (switched.consecutive_failures, switched.enabled, switched.disabled_at) == (0, enabled, None)


async def test_an_account_has_ten_endpoints_at_most(conn: Conn, account_id: str) -> None:
    made = [await an_endpoint(conn, account_id) for _ in range(ENDPOINTS_MAX)]
    await an_endpoint(conn, await an_account(conn))

    with pytest.raises(StateConflict, match="at most 10"):
        await an_endpoint(conn, account_id)
    await webhook_endpoints.delete(conn, account_id, made[0].endpoint_id)
    await an_endpoint(conn, account_id)

    assert len(await webhook_endpoints.of_account(conn, account_id)) == ENDPOINTS_MAX


async def test_two_who_add_the_tenth_at_once_do_not_both_find_room(
    conn: Conn, account_id: str, shared_pool: Pool
) -> None:
    for _ in range(ENDPOINTS_MAX - 1):
        await an_endpoint(conn, account_id)

    async def add() -> Endpoint:
        async with single(shared_pool) as mine:
            return await an_endpoint(mine, account_id)

    async with transaction(shared_pool) as first:
        await an_endpoint(first, account_id)  # not committed yet
        second = asyncio.ensure_future(add())
        await someone_waits_for_a_lock(conn)
    outcome = await asyncio.gather(second, return_exceptions=True)

    assert isinstance(outcome[0], StateConflict)
    assert len(await webhook_endpoints.of_account(conn, account_id)) == ENDPOINTS_MAX


async def someone_waits_for_a_lock(conn: Conn) -> None:
    async with asyncio.timeout(5):
        while True:
            cursor = await conn.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.rowcount:
                return
            await asyncio.sleep(0.01)


async def test_a_deleted_endpoint_gets_nothing_more_and_its_log_can_be_read(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id, "generation.canceled")
    sent = await an_event(conn, endpoint)
    await change(conn, endpoint, enabled=False)
    waiting = await an_event(conn, endpoint)

    assert await webhook_endpoints.delete(conn, account_id, endpoint.endpoint_id)
    assert not await webhook_endpoints.delete(conn, account_id, endpoint.endpoint_id)

    gone = await now(conn, endpoint)
    assert (gone.enabled, gone.secret_sealed, gone.queued) == (False, b"", 0)
    assert gone.deleted_at is not None
    assert await webhook_endpoints.of_account(conn, account_id) == []
    assert not await change(conn, endpoint, enabled=True)
    assert not await webhook_endpoints.replace_secret(conn, account_id, endpoint.endpoint_id, secret_sealed=b"x")
    assert await webhooks.set_aside(conn, sent) == "failed"
    assert await webhooks.take_queued(conn, endpoint.endpoint_id) is None
    log, total = await webhook_log.page(conn, account_id, endpoint.endpoint_id, state=None, limit=10, offset=0)
    assert [(one.delivery_id, one.state) for one in log] == [(waiting, "expired"), (sent, "failed")]
    assert total == 2


async def test_nothing_happens_to_a_deleted_endpoint_any_more(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id)
    await webhook_endpoints.delete(conn, account_id, endpoint.endpoint_id)
    request_before = await webhook_log.page(conn, account_id, endpoint.endpoint_id, state=None, limit=1, offset=0)

    other = await an_endpoint(conn, account_id, "generation.canceled")
    await an_event(conn, other)

    assert request_before == ([], 0)
    assert await webhook_log.page(conn, account_id, endpoint.endpoint_id, state=None, limit=1, offset=0) == ([], 0)
