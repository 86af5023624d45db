"""The story of one generation, as operators read it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import GenerationNotFound
from domain.generation import AttemptState, GenerationStatus, attempt_id
from store import attempts, generations, webhooks
from store.ledger import HoldState, Operation
from store.timeline import timeline
from tests.store.builders import (
    CREDIT,
    a_failure,
    a_job,
    a_processing,
    an_admitted,
    an_asset,
    an_endpoint,
    an_intent,
    success,
)

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]
QUOTE = 5_000


async def test_the_timeline_tells_attempts_money_files_and_announcements(conn: Conn, account_id: str) -> None:
    await an_endpoint(conn, account_id, "generation.completed")
    request = await a_processing(conn, account_id)
    await attempts.close(
        conn, attempt_id(request.generation_id, 1), AttemptState.FAILED, failure=a_failure(), cost_microcredits=100
    )
    await attempts.begin(conn, an_intent(request, 2))
    await attempts.accepted(conn, attempt_id(request.generation_id, 2), a_job())
    outcome = success(request, attempt_number=2, provider_used="fal", settle_microcredits=4_000)
    (delivery_id,) = (await generations.finish(conn, outcome, output_urls=["https://f"])).deliveries
    await webhooks.record_attempt(
        conn, delivery_id, number=1, status_code=503, error=None, reply_head="busy", final=False
    )

    story = await timeline(conn, request.generation_id)

    assert story.record.status is GenerationStatus.SUCCEEDED
    assert story.assets == [an_asset(request)]
    failed, used = story.attempts
    assert (failed.failure, failed.cost_microcredits) == (a_failure(), 100)
    assert used.accepted_at is not None
    assert used.ended_at is not None
    assert used.begun_at <= used.accepted_at <= used.ended_at
    assert [one.state for one in story.holds] == [HoldState.SETTLED]
    ten = 10 * CREDIT
    assert [
        (one.operation, one.amount_micros, one.available_before_micros, one.available_after_micros)
        for one in story.transfers
    ] == [
        (Operation.RESERVE, QUOTE, ten, ten - QUOTE),
        (Operation.RELEASE, 1_000, ten - QUOTE, ten - 4_000),
        (Operation.SETTLE, 4_000, None, None),
    ]
    (delivery,) = story.deliveries
    assert (delivery.event, delivery.state) == ("generation.completed", "pending")
    assert [(one.number, one.status_code, one.reply_head) for one in delivery.attempts] == [(1, 503, "busy")]
    assert story.cost_microcredits == 3_100


async def test_a_timeline_under_way_costs_nothing_yet(conn: Conn, account_id: str) -> None:
    story = await timeline(conn, (await an_admitted(conn, account_id)).generation_id)

    assert story.cost_microcredits == 0


async def test_there_is_no_timeline_of_an_unknown_generation(conn: Conn) -> None:
    with pytest.raises(GenerationNotFound):
        await timeline(conn, str(uuid.uuid4()))
