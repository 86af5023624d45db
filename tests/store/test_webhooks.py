"""Deliveries: being sent, queued, drained, replayed, and in the log."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import InternalError
from store import generations, webhook_endpoints, webhook_log, webhooks
from store.connection import Pool, single, transaction
from store.timeline import timeline
from store.webhook_endpoints import Endpoint
from store.webhooks import FAILURES_MAX, DeliveryState, Purpose
from tests.store.builders import a_test_delivery, an_admitted, an_endpoint, an_event, cancellation

Conn = AsyncConnection[Any]


async def a_subscriber(conn: Conn, account_id: str) -> Endpoint:
    return await an_endpoint(conn, account_id, "generation.canceled")


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


async def state(conn: Conn, delivery_id: str) -> str:
    return (await webhooks.delivery(conn, delivery_id)).state


async def failures(conn: Conn, endpoint: Endpoint) -> tuple[int, bool]:
    now = await webhook_endpoints.get(conn, endpoint.account_id, endpoint.endpoint_id)
    assert now is not None
    return now.consecutive_failures, now.enabled


async def switch(conn: Conn, endpoint: Endpoint, *, enabled: bool) -> None:
    assert await webhook_endpoints.change(conn, endpoint.account_id, endpoint.endpoint_id, enabled=enabled)


async def missed(conn: Conn, endpoint: Endpoint, count: int, *, age: timedelta = timedelta(0)) -> list[str]:
    """What happened while it was disabled; it is enabled again."""
    await switch(conn, endpoint, enabled=False)
    queued = [await an_event(conn, endpoint, age=age) for _ in range(count)]
    await switch(conn, endpoint, enabled=True)
    return queued


async def taken(conn: Conn, endpoint: Endpoint) -> str:
    delivery_id = await webhooks.take_queued(conn, endpoint.endpoint_id)
    assert delivery_id is not None
    return delivery_id


# --- being sent --------------------------------------------------------------------------------------------------


async def test_a_delivery_comes_with_all_that_is_needed_to_send_it(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)

    delivery = await webhooks.delivery(conn, await an_event(conn, endpoint))

    assert (delivery.url, delivery.secret_sealed, delivery.state) == (endpoint.url, b"sealed", DeliveryState.PENDING)
    assert delivery.purpose is Purpose.EVENT
    assert delivery.endpoint_enabled
    assert delivery.timestamp in delivery.body


async def test_a_delivery_that_was_never_written_down_is_an_error_of_ours(conn: Conn) -> None:
    with pytest.raises(InternalError):
        await webhooks.delivery(conn, str(uuid.uuid4()))
    with pytest.raises(InternalError):
        await record(conn, str(uuid.uuid4()), 200)
    with pytest.raises(InternalError):
        await webhooks.replay(conn, str(uuid.uuid4()))


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_a_2xx_ends_the_delivery_and_clears_the_count(conn: Conn, account_id: str, status: int) -> None:
    """12.5."""
    endpoint = await a_subscriber(conn, account_id)
    await record(conn, await an_event(conn, endpoint), 500, final=True)
    delivery_id = await an_event(conn, endpoint)

    words = [await record(conn, delivery_id, 503), await record(conn, delivery_id, status, number=2, final=True)]

    assert words == [DeliveryState.PENDING, DeliveryState.DELIVERED]
    assert await state(conn, delivery_id) == "delivered"
    assert await failures(conn, endpoint) == (0, True)


@pytest.mark.parametrize("status", [None, 199, 300, 301, 404, 500])
async def test_anything_else_fails_in_the_end_and_counts_once(conn: Conn, account_id: str, status: int | None) -> None:
    """12.5: redirects too."""
    endpoint = await a_subscriber(conn, account_id)
    delivery_id = await an_event(conn, endpoint)

    words = [
        await record(conn, delivery_id, status),
        await record(conn, delivery_id, status, number=2, final=True),
        await record(conn, delivery_id, status, number=2, final=True),
        await record(conn, delivery_id, 200, number=3, final=True),
    ]

    assert words == [DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.FAILED, DeliveryState.FAILED]
    assert await failures(conn, endpoint) == (1, True)


async def test_giving_up_counts_even_when_the_attempt_was_recorded_before(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    delivery_id = await an_event(conn, endpoint)
    await record(conn, delivery_id, 500, number=1)

    assert await record(conn, delivery_id, 500, number=1, final=True) is DeliveryState.FAILED
    assert await failures(conn, endpoint) == (1, True)


async def test_fifteen_failed_deliveries_in_a_row_disable_the_endpoint(conn: Conn, account_id: str) -> None:
    """12.5."""
    endpoint = await a_subscriber(conn, account_id)
    for _ in range(FAILURES_MAX - 1):
        await record(conn, await an_event(conn, endpoint), 500, final=True)
    assert await failures(conn, endpoint) == (14, True)

    last = await an_event(conn, endpoint)
    await record(conn, last, 500, final=True)

    assert await failures(conn, endpoint) == (15, False)
    disabled = await webhook_endpoints.get(conn, account_id, endpoint.endpoint_id)
    assert disabled is not None
    assert disabled.disabled_at is not None
    assert not (await webhooks.delivery(conn, last)).endpoint_enabled
    assert await state(conn, last) == "failed"  # it exhausted its attempts: in the log, not in the queue
    request = await an_admitted(conn, account_id)
    assert (await generations.finish(conn, cancellation(request))).deliveries == []


async def test_a_delivery_nobody_took_up_is_found(conn: Conn, account_id: str) -> None:
    """K8."""
    endpoint = await a_subscriber(conn, account_id)
    lost, done, queued = [await an_event(conn, endpoint) for _ in range(3)]
    await record(conn, done, 200)
    await switch(conn, endpoint, enabled=False)
    await webhooks.set_aside(conn, queued)

    found = {one.delivery_id for one in await webhooks.overdue(conn, older_than=timedelta(0), limit=10_000)}

    assert found & {lost, done, queued} == {lost}
    later = await webhooks.overdue(conn, older_than=timedelta(hours=1))
    assert lost not in {one.delivery_id for one in later}


# --- the queue, 12.6 ---------------------------------------------------------------------------------------------


async def test_what_happens_while_an_endpoint_is_disabled_is_queued_for_it_alone(conn: Conn, account_id: str) -> None:
    disabled, other = await a_subscriber(conn, account_id), await a_subscriber(conn, account_id)
    await switch(conn, disabled, enabled=False)
    request = await an_admitted(conn, account_id)

    finished = await generations.finish(conn, cancellation(request))
    again = await generations.finish(conn, cancellation(request))

    story = await timeline(conn, request.generation_id)
    assert {(one.endpoint_id, one.state) for one in story.deliveries} == {
        (disabled.endpoint_id, "queued"),
        (other.endpoint_id, "pending"),
    }
    assert len(story.deliveries) == 2
    (to_be_sent,) = finished.deliveries
    assert (await webhooks.delivery(conn, to_be_sent)).endpoint_id == other.endpoint_id
    assert again.deliveries == finished.deliveries
    now = await webhook_endpoints.get(conn, account_id, disabled.endpoint_id)
    assert now is not None
    assert now.queued == 1


async def test_a_low_balance_is_queued_like_every_event(conn: Conn, account_id: str) -> None:
    endpoint = await an_endpoint(conn, account_id, "credits.low_balance")
    await switch(conn, endpoint, enabled=False)
    data = json.dumps({"account_id": account_id, "current_balance": 0.43})

    cursor = await conn.execute(
        "SELECT store.enqueue_event(%s, NULL, 'credits.low_balance', %s::json)", [account_id, data]
    )
    assert await cursor.fetchone() == ([],)
    await switch(conn, endpoint, enabled=True)

    body = (await webhooks.delivery(conn, await taken(conn, endpoint))).body
    assert '"webhook_data":{"account_id":"' in body
    assert body.endswith('"current_balance":0.43}}')


async def test_a_delivery_under_way_goes_into_the_queue_when_its_endpoint_is_disabled(
    conn: Conn, account_id: str
) -> None:
    endpoint = await a_subscriber(conn, account_id)
    delivery_id = await an_event(conn, endpoint)
    await record(conn, delivery_id, 500)
    before = await webhooks.set_aside(conn, delivery_id)
    await switch(conn, endpoint, enabled=False)

    assert [await webhooks.set_aside(conn, delivery_id) for _ in range(2)] == ["queued", None]
    assert before is None
    assert await state(conn, delivery_id) == "queued"


async def test_a_test_or_a_replay_does_not_go_into_the_queue(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    by_hand = [await a_test_delivery(conn, endpoint), await webhooks.replay(conn, await an_event(conn, endpoint))]
    await switch(conn, endpoint, enabled=False)

    assert [await webhooks.set_aside(conn, one) for one in by_hand] == ["failed", "failed"]


async def test_a_drain_sends_the_oldest_first_each_as_a_fresh_delivery(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    queued = await missed(conn, endpoint, 2)

    sent = []
    for _ in queued:
        sent.append(await webhooks.delivery(conn, await taken(conn, endpoint)))
        await record(conn, sent[-1].delivery_id, 204)
    nothing_left = await webhooks.take_queued(conn, endpoint.endpoint_id)

    assert nothing_left is None
    assert [await state(conn, one) for one in queued] == ["delivered", "delivered"]
    for original, fresh in zip([await webhooks.delivery(conn, one) for one in queued], sent, strict=True):
        first, second = json.loads(original.body), json.loads(fresh.body)
        assert second["webhook_data"] == first["webhook_data"]
        assert second["webhook_delivery_id"] == fresh.delivery_id != original.delivery_id
        assert second["webhook_timestamp"] == fresh.timestamp
        assert fresh.created_at > original.created_at


async def test_what_was_taken_is_answered_again_until_it_has_ended(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    (queued,) = await missed(conn, endpoint, 1)

    first, repeated = await taken(conn, endpoint), await taken(conn, endpoint)
    await record(conn, first, 500, final=True)
    next_drain = await taken(conn, endpoint)

    assert first == repeated != next_drain
    assert await state(conn, queued) == "queued"
    assert await failures(conn, endpoint) == (1, True)


async def test_two_drains_at_once_send_the_same_delivery(conn: Conn, account_id: str, shared_pool: Pool) -> None:
    """The queue is drained by one execution per endpoint; the database would not let a second one send it twice."""
    endpoint = await a_subscriber(conn, account_id)
    await missed(conn, endpoint, 1)

    async with transaction(shared_pool) as one:
        first = await webhooks.take_queued(one, endpoint.endpoint_id)
        async with single(shared_pool) as other:
            meanwhile = await webhooks.take_queued(other, endpoint.endpoint_id)
    afterwards = await webhooks.take_queued(conn, endpoint.endpoint_id)

    assert meanwhile is None
    assert first == afterwards


async def test_nothing_is_taken_for_an_endpoint_that_is_disabled(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    await missed(conn, endpoint, 1)
    under_way = await taken(conn, endpoint)
    await switch(conn, endpoint, enabled=False)

    assert await webhooks.take_queued(conn, endpoint.endpoint_id) is None
    assert await webhooks.set_aside(conn, under_way) == "failed"  # what it was made from is still queued


async def test_expiry_takes_a_batch_and_only_what_is_queued(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    long_ago = timedelta(days=400)
    pending = await an_event(conn, endpoint, age=long_ago)
    queued = await missed(conn, endpoint, 3, age=long_ago)

    batches = [await webhooks.expire_queued(conn, older_than=timedelta(days=300), limit=2) for _ in range(3)]

    assert batches == [2, 1, 0]
    assert [await state(conn, one) for one in [pending, *queued]] == ["pending", "expired", "expired", "expired"]
    assert await webhooks.take_queued(conn, endpoint.endpoint_id) is None


# --- by hand, 12.6 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 500])
async def test_tests_and_replays_leave_the_count_of_failures_alone(conn: Conn, account_id: str, status: int) -> None:
    endpoint = await a_subscriber(conn, account_id)
    failed = await an_event(conn, endpoint)
    await record(conn, failed, 500, final=True)

    for delivery_id in (await a_test_delivery(conn, endpoint), await webhooks.replay(conn, failed)):
        await record(conn, delivery_id, status, final=True)

    assert await failures(conn, endpoint) == (1, True)


async def test_a_replay_is_another_delivery_of_the_same_event(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    first = await webhooks.delivery(conn, await an_event(conn, endpoint))

    replay = await webhooks.delivery(conn, await webhooks.replay(conn, first.delivery_id))
    of_the_replay = await webhooks.delivery(conn, await webhooks.replay(conn, replay.delivery_id))

    assert len({first.delivery_id, replay.delivery_id, of_the_replay.delivery_id}) == 3
    bodies = [json.loads(one.body) for one in (first, replay, of_the_replay)]
    assert [body["webhook_delivery_id"] for body in bodies] == [
        one.delivery_id for one in (first, replay, of_the_replay)
    ]
    assert [body["webhook_timestamp"] for body in bodies] == [one.timestamp for one in (first, replay, of_the_replay)]
    assert bodies[0]["webhook_data"] == bodies[1]["webhook_data"] == bodies[2]["webhook_data"]
    story = await timeline(conn, bodies[0]["webhook_data"]["generation_id"])
    assert [one.replay_of for one in story.deliveries] == [None, first.delivery_id, replay.delivery_id]


async def test_a_replay_of_a_queued_one_leaves_it_queued(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    (queued,) = await missed(conn, endpoint, 1)

    await record(conn, await webhooks.replay(conn, queued), 204, final=True)

    assert await state(conn, queued) == "queued"


async def test_a_replay_outlives_the_log_of_what_it_repeats(conn: Conn, account_id: str) -> None:
    endpoint = await a_subscriber(conn, account_id)
    first = await an_event(conn, endpoint)
    replay, second = await webhooks.replay(conn, first), await webhooks.replay(conn, first)

    await conn.execute("DELETE FROM store.webhook_deliveries WHERE delivery_id = %s", [first])

    for each in (replay, second):
        kept = await webhook_log.one(conn, account_id, endpoint.endpoint_id, each)
        assert kept is not None
        assert (kept.purpose, kept.replay_of) == ("replay", None)


# --- the log -----------------------------------------------------------------------------------------------------


async def test_the_log_shows_what_was_sent_and_what_came_back(conn: Conn, account_id: str) -> None:
    """12.6: event, generation id, payload, HTTP status, error, attempts, time; 12.5: one kilobyte of the reply."""
    endpoint = await a_subscriber(conn, account_id)
    delivery_id = await an_event(conn, endpoint)
    await record(conn, delivery_id, None)
    await record(conn, delivery_id, 204, number=2)

    logged = await webhook_log.one(conn, account_id, endpoint.endpoint_id, delivery_id)

    assert logged is not None
    assert (logged.event, logged.purpose, logged.state) == ("generation.canceled", "event", "delivered")
    assert logged.generation_id == logged.payload["webhook_data"]["generation_id"]
    assert [(one.number, one.status_code, one.error) for one in logged.attempts] == [
        (1, None, "timed out"),
        (2, 204, None),
    ]
    assert logged.attempts[0].reply_head == "x" * 1024
    assert logged.created_at < logged.attempts[0].created_at < logged.attempts[1].created_at <= (logged.ended_at or 0)


async def test_the_log_is_paged_newest_first_by_endpoint_and_state(conn: Conn, account_id: str) -> None:
    endpoint, other = await a_subscriber(conn, account_id), await an_endpoint(conn, account_id, "generation.failed")
    sent = [await an_event(conn, endpoint) for _ in range(3)]
    await a_test_delivery(conn, other)
    await record(conn, sent[1], 204)

    async def page(**which: Any) -> tuple[list[str], int]:
        wanted = {"state": None, "limit": 2, "offset": 0} | which
        logged, total = await webhook_log.page(conn, account_id, endpoint.endpoint_id, **wanted)
        return [one.delivery_id for one in logged], total

    assert await page() == ([sent[2], sent[1]], 3)
    assert await page(offset=2) == ([sent[0]], 3)
    assert await page(state=DeliveryState.DELIVERED) == ([sent[1]], 1)
    assert await webhook_log.page(conn, str(uuid.uuid4()), endpoint.endpoint_id, state=None, limit=9, offset=0) == (
        [],
        0,
    )
    assert await webhook_log.one(conn, account_id, other.endpoint_id, sent[0]) is None
