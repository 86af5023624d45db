"""How a generation ends: its record, its attempts and its hold together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from domain.errors import (
    GenerationNotFound,
    InternalError,
)
from domain.generation import AttemptState, Finished, GenerationStatus, attempt_id
from store import attempts, generations, ledger
from tests.store.builders import (
    CREDIT,
    a_failure,
    a_job,
    a_processing,
    an_account,
    an_admitted,
    an_asset,
    an_intent,
    cancellation,
    failure,
    standing,
    success,
)
from tests.support.requests import a_request

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]
QUOTE = 5_000


async def test_a_success_settles_and_keeps_the_assets(conn: Conn, account_id: str) -> None:
    """INV-28, INV-30."""
    request = await a_processing(conn, account_id, output_count=2)
    files = [an_asset(request, 0), an_asset(request, 1)]

    finished = await generations.finish(conn, success(request, assets=files))

    assert finished == Finished(GenerationStatus.SUCCEEDED, [], credits_released=False)
    assert await standing(conn, account_id) == (10 * CREDIT - QUOTE, 0, 0)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.assets == files
    assert (record.status, record.provider_used, record.settled_microcredits) == (
        GenerationStatus.SUCCEEDED,
        "replicate",
        QUOTE,
    )
    assert record.predict_time_s == 1.5
    assert record.completed_at is not None
    assert record.started_at is not None
    assert record.created_at <= record.started_at <= record.completed_at


async def test_a_part_delivered_is_a_part_charged(conn: Conn, account_id: str) -> None:
    """E11."""
    request = await a_processing(conn, account_id)

    await generations.finish(conn, success(request, settle_microcredits=2_000))

    assert await standing(conn, account_id) == (10 * CREDIT - 2_000, 0, 0)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.settled_microcredits == 2_000


async def test_a_failure_releases_and_says_why(conn: Conn, account_id: str) -> None:
    """INV-29."""
    request = await a_processing(conn, account_id)

    finished = await generations.finish(conn, failure(request, error_message="No\x00 provider"))

    assert finished == Finished(GenerationStatus.FAILED, [], credits_released=True)
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert (record.status, record.error_code, record.error_message) == (
        GenerationStatus.FAILED,
        "BSE4003",
        "No provider",
    )
    assert record.provider_errors == [a_failure()]
    assert record.provider_used is None


async def test_a_cancellation_releases(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)

    finished = await generations.finish(conn, cancellation(request))

    assert finished == Finished(GenerationStatus.CANCELED, [], credits_released=True)
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


@pytest.mark.parametrize("first", [success, failure, cancellation], ids=lambda make: make.__name__)
@pytest.mark.parametrize("second", [success, failure, cancellation], ids=lambda make: make.__name__)
async def test_the_first_end_stands(conn: Conn, account_id: str, first: Any, second: Any) -> None:
    """INV-8: never paid without artifact, never free with artifact."""
    request = await a_processing(conn, account_id)
    finished = await generations.finish(conn, first(request))
    before = await generations.get(conn, account_id, request.generation_id)

    again = await generations.finish(conn, second(request))

    assert again == finished
    assert await generations.get(conn, account_id, request.generation_id) == before


async def test_an_end_closes_every_attempt(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    await attempts.close(conn, attempt_id(request.generation_id, 1), AttemptState.FAILED, failure=a_failure())
    await attempts.begin(conn, an_intent(request, 2))
    await attempts.accepted(conn, attempt_id(request.generation_id, 2), a_job())

    await generations.finish(conn, success(request, attempt_number=2, provider_used="fal", cost_microcredits=2_500))

    first, second = await attempts.of_generation(conn, request.generation_id)
    assert (first.state, first.cost_microcredits) == (AttemptState.FAILED, 0)
    assert (second.state, second.cost_microcredits) == (AttemptState.USED, 2_500)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.prediction_id == second.attempt_id


@pytest.mark.parametrize(
    ("end", "submitting", "refused", "accepted"),
    [
        (cancellation, (AttemptState.CANCELED, 0), (AttemptState.CANCELED, 0), (AttemptState.CANCELED, 0)),
        (failure, (AttemptState.DISCARDED, 3_000), (AttemptState.FAILED, 0), (AttemptState.FAILED, 0)),
        (success, (AttemptState.DISCARDED, 3_000), (AttemptState.DISCARDED, 3_000), (AttemptState.USED, 3_000)),
    ],
    ids=["cancellation", "failure", "success"],
)
async def test_an_open_attempt_ends_with_its_generation(
    conn: Conn, account_id: str, end: Any, submitting: Any, refused: Any, accepted: Any
) -> None:
    request = await a_processing(conn, account_id, candidates=[*a_request().candidates, a_request().candidates[0]])
    await attempts.begin(conn, an_intent(request, 2))
    await attempts.begin(conn, an_intent(request, 3))
    await attempts.refused(conn, attempt_id(request.generation_id, 3), a_failure())

    await generations.finish(conn, end(request))

    records = await attempts.of_generation(conn, request.generation_id)
    assert [(one.state, one.cost_microcredits) for one in records] == [accepted, submitting, refused]


async def test_an_unknown_or_foreign_generation_cannot_end(conn: Conn, account_id: str) -> None:
    """INV-23."""
    request = await an_admitted(conn, account_id)
    other = await an_account(conn)

    with pytest.raises(GenerationNotFound):
        await generations.finish(conn, failure(a_request(account_id=account_id)))
    with pytest.raises(GenerationNotFound):
        await generations.finish(conn, failure(replace(request, account_id=other)))


async def test_more_than_the_quote_is_never_settled(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)

    with pytest.raises(InternalError):
        await generations.finish(conn, success(request, settle_microcredits=QUOTE + 1))

    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.status is GenerationStatus.PROCESSING


async def test_a_delivery_after_the_hold_expired_is_collected_again(conn: Conn, account_id: str) -> None:
    """E5, K12."""
    request = await a_processing(conn, account_id)
    await ledger.release(conn, account_id=account_id, work_id=request.generation_id, reason=ledger.EXPIRED)

    finished = await generations.finish(conn, success(request))

    assert finished.status is GenerationStatus.SUCCEEDED
    assert await standing(conn, account_id) == (10 * CREDIT - QUOTE, 0, 0)


async def test_a_failure_after_the_hold_expired_is_still_released(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    await ledger.release(conn, account_id=account_id, work_id=request.generation_id, reason=ledger.EXPIRED)

    assert await generations.finish(conn, failure(request)) == Finished(GenerationStatus.FAILED, [], True)


async def test_work_that_was_settled_behind_our_back_cannot_fail(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    async with conn.transaction(force_rollback=True):
        await ledger.settle(conn, account_id=account_id, work_id=request.generation_id, amount=QUOTE)

        with pytest.raises(InternalError):
            await generations.finish(conn, failure(request))


async def test_an_ended_generation_stays_ended_whoever_writes(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    await generations.finish(conn, cancellation(request))

    with pytest.raises(errors.RestrictViolation):
        await conn.execute(
            "UPDATE store.generations SET status = 'failed', error_code = 'x' WHERE generation_id = %s",
            [request.generation_id],
        )
