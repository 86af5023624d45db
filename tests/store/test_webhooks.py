"""Endpoints and the outbox."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import InternalError
from domain.webhook_events import WebhookEvent, event_body
from store import generations, webhooks
from store.timeline import timeline
from store.webhooks import FAILURES_MAX, DeliveryState, Endpoint
from tests.store.builders import an_account, an_admitted, an_endpoint, cancellation

Conn = AsyncConnection[Any]


async def a_delivery(conn: Conn, endpoint: Endpoint) -> str:
    delivery_id, at = str(uuid.uuid4()), datetime.now(UTC)
    await webhooks.enqueue(
        conn,
        delivery_id=delivery_id,
        endpoint_id=endpoint.endpoint_id,
        account_id=endpoint.account_id,
        event=WebhookEvent.TEST,
        body=event_body(WebhookEvent.TEST, delivery_id, at, {"account_id": endpoint.account_id}),
        at=at,
    )
    return delivery_id


async def record(conn: Conn, delivery_id: str, status: int | None, *, number: int = 1, final: bool = False) -> str:
    return await webhooks.record_attempt(
        conn,
        delivery_id,
        number=number,
        status_code=status,
        error=None if status else "timed out\x00",
        reply_head="x" * 5000,
        final=final,
    )


async def failures(conn: Conn, endpoint: Endpoint) -> tuple[int, bool]:
    now = await webhooks.endpoint(conn, endpoint.account_id, endpoint.endpoint_id)
    assert now is not None
    return now.consecutive_failures, now.enabled


async def test_an_endpoint_belongs_to_its_account(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id, "generation.failed")
    other = await an_account(conn)

    assert await webhooks.endpoints(conn, account_id) == [endpoint]
    assert await webhooks.endpoint(conn, account_id, endpoint.endpoint_id) == endpoint
    assert await webhooks.endpoints(conn, other) == []
    assert await webhooks.endpoint(conn, other, endpoint.endpoint_id) is None
    assert await webhooks.set_enabled(conn, other, endpoint.endpoint_id, enabled=False) is False
    assert (endpoint.events, endpoint.enabled, endpoint.secret_sealed) == (["generation.failed"], True, b"sealed")


async def test_a_delivery_comes_with_all_that_is_needed_to_send_it(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id)

    delivery = await webhooks.delivery(conn, await a_delivery(conn, endpoint))

    assert (delivery.url, delivery.secret_sealed, delivery.state) == (endpoint.url, b"sealed", DeliveryState.PENDING)
    assert delivery.endpoint_enabled
    assert delivery.timestamp in delivery.body


async def test_a_delivery_that_was_never_queued_is_an_error_of_ours(conn: Conn) -> None:
    with pytest.raises(InternalError):
        await webhooks.delivery(conn, str(uuid.uuid4()))
    with pytest.raises(InternalError):
        await record(conn, str(uuid.uuid4()), 200)


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_a_2xx_ends_the_delivery_and_clears_the_count(conn: Conn, account_id: str, status: int) -> None:
    endpoint = await an_endpoint(conn, account_id)
    await record(conn, await a_delivery(conn, endpoint), 500, final=True)
    delivery_id = await a_delivery(conn, endpoint)

    words = [await record(conn, delivery_id, 503), await record(conn, delivery_id, status, number=2, final=True)]

    assert words == [DeliveryState.PENDING, DeliveryState.DELIVERED]
    assert (await webhooks.delivery(conn, delivery_id)).state is DeliveryState.DELIVERED
    assert await failures(conn, endpoint) == (0, True)


@pytest.mark.parametrize("status", [None, 199, 300, 301, 404, 500])
async def test_anything_else_fails_in_the_end_and_counts_once(conn: Conn, account_id: str, status: int | None) -> None:
    endpoint = await an_endpoint(conn, account_id)
    delivery_id = await a_delivery(conn, endpoint)

    words = [
        await record(conn, delivery_id, status),
        await record(conn, delivery_id, status, number=2, final=True),
        await record(conn, delivery_id, status, number=2, final=True),
        await record(conn, delivery_id, 200, number=3, final=True),
    ]

    assert words == [DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.FAILED, DeliveryState.FAILED]
    assert await failures(conn, endpoint) == (1, True)


async def test_giving_up_counts_even_when_the_attempt_was_recorded_before(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id)
    delivery_id = await a_delivery(conn, endpoint)
    await record(conn, delivery_id, 500, number=1)

    assert await record(conn, delivery_id, 500, number=1, final=True) is DeliveryState.FAILED
    assert await failures(conn, endpoint) == (1, True)


async def test_fifteen_failed_deliveries_in_a_row_disable_the_endpoint(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id)
    for _ in range(FAILURES_MAX - 1):
        await record(conn, await a_delivery(conn, endpoint), 500, final=True)
    assert await failures(conn, endpoint) == (14, True)

    last = await a_delivery(conn, endpoint)
    await record(conn, last, 500, final=True)

    assert await failures(conn, endpoint) == (15, False)
    disabled = await webhooks.endpoint(conn, account_id, endpoint.endpoint_id)
    assert disabled is not None
    assert disabled.disabled_at is not None
    assert not (await webhooks.delivery(conn, last)).endpoint_enabled
    request = await an_admitted(conn, account_id)
    assert (await generations.finish(conn, cancellation(request))).deliveries == []
    assert await webhooks.set_enabled(conn, account_id, endpoint.endpoint_id, enabled=True) is True
    assert await failures(conn, endpoint) == (0, True)


async def test_a_replay_is_another_delivery_of_the_same_event(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id)
    request = await an_admitted(conn, account_id)
    (first,) = (await generations.finish(conn, cancellation(request))).deliveries

    for _ in range(2):
        await webhooks.enqueue(
            conn,
            delivery_id="11111111-1111-4111-8111-" + first[-12:],
            endpoint_id=endpoint.endpoint_id,
            account_id=account_id,
            event="generation.canceled",
            body="{}",
            at=datetime.now(UTC),
            generation_id=request.generation_id,
            replay_of=first,
        )

    story = await timeline(conn, request.generation_id)
    assert [one.replay_of for one in story.deliveries] == [None, first]


async def test_a_delivery_nobody_took_up_is_found(conn: Conn, account_id: str) -> None:
    """K8."""
    endpoint = await an_endpoint(conn, account_id)
    lost, done = await a_delivery(conn, endpoint), await a_delivery(conn, endpoint)
    await record(conn, done, 200)

    found = await webhooks.overdue(conn, older_than=timedelta(0), limit=10_000)

    assert lost in found
    assert done not in found
    assert lost not in await webhooks.overdue(conn, older_than=timedelta(hours=1))
