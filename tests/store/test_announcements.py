"""What the database queues for the customer when a generation starts or ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.generation import attempt_id
from domain.webhook_events import event_body
from store import attempts, generations, webhook_endpoints, webhooks
from tests.store.builders import (
    a_job,
    a_processing,
    an_account,
    an_admitted,
    an_endpoint,
    cancellation,
    failure,
    success,
)

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]


async def bodies(conn: Conn, ids: list[str]) -> list[dict[str, Any]]:
    return [json.loads((await webhooks.delivery(conn, one)).body) for one in ids]


async def test_an_end_is_announced_to_every_enabled_endpoint_that_subscribes(conn: Conn, account_id: str) -> None:
    both = [await an_endpoint(conn, account_id), await an_endpoint(conn, account_id, "generation.failed")]
    await an_endpoint(conn, account_id, "generation.completed")
    disabled = await an_endpoint(conn, account_id, "generation.failed")
    await webhook_endpoints.change(conn, account_id, disabled.endpoint_id, enabled=False)
    await an_endpoint(conn, await an_account(conn), "generation.failed")
    request = await an_admitted(conn, account_id)

    finished = await generations.finish(conn, failure(request))

    queued = [await webhooks.delivery(conn, one) for one in finished.deliveries]
    assert {one.endpoint_id for one in queued} == {one.endpoint_id for one in both}
    assert await generations.finish(conn, failure(request)) == finished
    await webhooks.record_attempt(
        conn, finished.deliveries[0], number=1, status_code=200, error=None, reply_head=None, final=False
    )
    assert (await generations.finish(conn, failure(request))).deliveries == finished.deliveries[1:]


async def test_the_announcements_carry_the_fields_that_apply_and_no_others(conn: Conn, account_id: str) -> None:
    """Contract 12.2."""
    await an_endpoint(conn, account_id)
    common = {"account_id": account_id, "model_identifier": "bfl/flux-schnell"}
    urls = ['https://files.example/a?b=c&d="é"', "https://files.example/2"]

    done = await a_processing(conn, account_id)
    failed = await an_admitted(conn, account_id)
    canceled = await an_admitted(conn, account_id)
    started_ids = await attempts.accepted(conn, attempt_id(done.generation_id, 1), a_job())
    done_ids = (await generations.finish(conn, success(done), output_urls=urls)).deliveries
    failed_ids = (await generations.finish(conn, failure(failed))).deliveries
    canceled_ids = (await generations.finish(conn, cancellation(canceled))).deliveries

    ids = started_ids + done_ids + failed_ids + canceled_ids
    assert [(body["webhook_event"], body["webhook_data"]) for body in await bodies(conn, ids)] == [
        (
            "generation.started",
            common
            | {
                "generation_status": "processing",
                "generation_id": done.generation_id,
                "generation_provider_initialize": "replicate",
                "generation_prediction_id": attempt_id(done.generation_id, 1),
            },
        ),
        (
            "generation.completed",
            common
            | {
                "generation_status": "succeeded",
                "generation_id": done.generation_id,
                "generation_provider_used": "replicate",
                "generation_prediction_id": attempt_id(done.generation_id, 1),
                "generation_output_file": urls,
            },
        ),
        (
            "generation.failed",
            common
            | {
                "generation_status": "failed",
                "generation_id": failed.generation_id,
                "generation_error": "No provider delivered.",
                "generation_error_code": "BSE4003",
            },
        ),
        (
            "generation.canceled",
            common
            | {
                "generation_status": "canceled",
                "generation_id": canceled.generation_id,
                "generation_prediction_id": attempt_id(canceled.generation_id, 1),
                "credits_refunded": True,
            },
        ),
    ]


async def test_the_database_writes_the_same_bytes_as_the_domain(conn: Conn, account_id: str) -> None:
    await an_endpoint(conn, account_id)
    request = await a_processing(conn, account_id, model='lab/ünïcode "quoted" \\ \t\x01 😀')

    (delivery_id,) = (await generations.finish(conn, success(request), output_urls=["https://f/ä"])).deliveries

    delivery = await webhooks.delivery(conn, delivery_id)
    data = json.loads(delivery.body)["webhook_data"]
    assert delivery.body == event_body(delivery.event, delivery_id, delivery.created_at, data | {"absent": None})
    assert delivery.timestamp == json.loads(delivery.body)["webhook_timestamp"]
