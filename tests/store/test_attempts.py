"""The journal of attempts: what may be submitted, what became of it, what it cost."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from domain.errors import InternalError
from domain.generation import AttemptState, GenerationStatus, attempt_id
from store import attempts, generations, ledger
from store.attempts import BeginState, Begun, JobClaimed
from tests.store.builders import (
    a_failure,
    a_job,
    a_processing,
    an_admitted,
    an_endpoint,
    an_intent,
    cancellation,
)

Conn = AsyncConnection[Any]


async def attempt(conn: Conn, generation_id: str, number: int = 1) -> attempts.AttemptRecord:
    record = await attempts.get(conn, attempt_id(generation_id, number))
    assert record is not None
    return record


async def test_an_intent_is_written_before_anything_is_submitted(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)

    begun = await attempts.begin(conn, an_intent(request))

    record = await attempt(conn, request.generation_id)
    assert begun == Begun(BeginState.NEW, None, record.begun_at)
    assert (record.state, record.provider, record.native_model) == (
        AttemptState.SUBMITTING,
        "replicate",
        "black-forest-labs/flux-schnell",
    )
    assert (record.estimate_microcredits, record.cost_microcredits) == (3_000, None)
    assert (record.accepted_at, record.ended_at) == (None, None)


async def test_an_intent_of_unknown_end_is_ambiguous(conn: Conn, account_id: str) -> None:
    """K4: never blindly repeated; the time of the intent says since when to look for the job."""
    request = await an_admitted(conn, account_id)
    first = await attempts.begin(conn, an_intent(request))

    again = await attempts.begin(conn, an_intent(request))

    assert again == Begun(BeginState.AMBIGUOUS, None, first.intended_at)


async def test_what_was_refused_may_be_submitted_again_once(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    await attempts.begin(conn, an_intent(request))
    await attempts.refused(conn, attempt_id(request.generation_id, 1), a_failure())
    assert (await attempt(conn, request.generation_id)).failure == a_failure()

    words = [(await attempts.begin(conn, an_intent(request))).state for _ in range(2)]

    assert words == [BeginState.RESUBMIT, BeginState.AMBIGUOUS]
    record = await attempt(conn, request.generation_id)
    assert (record.submissions, record.failure) == (2, None)


async def test_an_accepted_attempt_is_not_submitted_again(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    begun, job = await attempts.begin(conn, an_intent(request)), a_job()
    await attempts.accepted(conn, attempt_id(request.generation_id, 1), job)

    again = await attempts.begin(conn, an_intent(request))
    await attempts.refused(conn, attempt_id(request.generation_id, 1), a_failure())

    assert again == Begun(BeginState.ACCEPTED, job, begun.intended_at)
    assert (await attempt(conn, request.generation_id)).state is AttemptState.ACCEPTED


async def test_a_closed_attempt_is_not_submitted_again(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    await attempts.close(conn, attempt_id(request.generation_id, 1), AttemptState.FAILED, failure=a_failure())

    assert (await attempts.begin(conn, an_intent(request))).state is BeginState.CLOSED
    assert (await attempts.begin(conn, an_intent(request, 2))).state is BeginState.NEW


async def test_nothing_is_submitted_for_a_generation_that_ended(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    await generations.finish(conn, cancellation(request))

    assert await attempts.begin(conn, an_intent(request)) == Begun(BeginState.CLOSED)
    assert await attempts.of_generation(conn, request.generation_id) == []


async def test_nothing_is_submitted_without_an_open_hold(conn: Conn, account_id: str) -> None:
    """INV-27."""
    request = await an_admitted(conn, account_id)
    await ledger.release(conn, account_id=account_id, work_id=request.generation_id, reason=ledger.EXPIRED)

    assert await attempts.begin(conn, an_intent(request)) == Begun(BeginState.CLOSED)


async def test_the_first_acceptance_starts_the_generation_and_announces_it_once(conn: Conn, account_id: str) -> None:
    await an_endpoint(conn, account_id)
    request = await an_admitted(conn, account_id)
    first, second = attempt_id(request.generation_id, 1), attempt_id(request.generation_id, 2)
    await attempts.begin(conn, an_intent(request))

    ids = await attempts.accepted(conn, first, a_job())
    again = await attempts.accepted(conn, first, a_job())
    started = await generations.get(conn, account_id, request.generation_id)
    await attempts.close(conn, first, AttemptState.FAILED)
    await attempts.begin(conn, an_intent(request, 2))
    failed_over = await attempts.accepted(conn, second, a_job())

    assert len(ids) == 1
    assert ids == again == failed_over
    now = await generations.get(conn, account_id, request.generation_id)
    assert started is not None
    assert now is not None
    assert (started.status, now.status) == (GenerationStatus.PROCESSING, GenerationStatus.PROCESSING)
    assert started.started_at == now.started_at is not None
    assert (started.prediction_id, now.prediction_id) == (first, second)


async def test_the_first_job_of_an_attempt_stays(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    await attempts.begin(conn, an_intent(request))
    job = a_job()
    await attempts.accepted(conn, attempt_id(request.generation_id, 1), job, adopted=True)

    await attempts.accepted(conn, attempt_id(request.generation_id, 1), a_job())

    record = await attempt(conn, request.generation_id)
    assert (record.job, record.adopted) == (job, True)


async def test_one_job_belongs_to_one_attempt(conn: Conn, account_id: str) -> None:
    one, other, job = await an_admitted(conn, account_id), await an_admitted(conn, account_id), a_job()
    for request in (one, other):
        await attempts.begin(conn, an_intent(request))
    await attempts.accepted(conn, attempt_id(one.generation_id, 1), job)

    with pytest.raises(JobClaimed):
        await attempts.accepted(conn, attempt_id(other.generation_id, 1), job)

    assert (await attempt(conn, other.generation_id)).state is AttemptState.SUBMITTING


async def test_a_job_accepted_too_late_is_kept_and_changes_nothing_else(conn: Conn, account_id: str) -> None:
    """So that it can be canceled at the provider and accounted for."""
    await an_endpoint(conn, account_id)
    request = await an_admitted(conn, account_id)
    await attempts.begin(conn, an_intent(request))
    await generations.finish(conn, cancellation(request))
    job = a_job()

    assert await attempts.accepted(conn, attempt_id(request.generation_id, 1), job) == []

    record = await attempt(conn, request.generation_id)
    assert (record.state, record.job) == (AttemptState.CANCELED, job)
    ended = await generations.get(conn, account_id, request.generation_id)
    assert ended is not None
    assert (ended.status, ended.started_at) == (GenerationStatus.CANCELED, None)


async def test_a_job_needs_an_attempt(conn: Conn) -> None:
    with pytest.raises(InternalError):
        await attempts.accepted(conn, str(uuid.uuid4()), a_job())


@pytest.mark.parametrize(
    ("state", "told", "cost"),
    [
        pytest.param(AttemptState.DISCARDED, None, 3_000, id="left behind: as estimated"),
        pytest.param(AttemptState.FAILED, None, 0, id="failed: nothing"),
        pytest.param(AttemptState.CANCELED, None, 0, id="canceled: nothing"),
        pytest.param(AttemptState.USED, None, 3_000, id="used: as estimated"),
        pytest.param(AttemptState.FAILED, 700, 700, id="failed and billed all the same"),
        pytest.param(AttemptState.DISCARDED, 0, 0, id="left behind and free"),
    ],
)
async def test_an_attempt_ends_with_a_cost(
    conn: Conn, account_id: str, state: AttemptState, told: int | None, cost: int
) -> None:
    """E17, R4."""
    request = await a_processing(conn, account_id)

    await attempts.close(conn, attempt_id(request.generation_id, 1), state, cost_microcredits=told)

    record = await attempt(conn, request.generation_id)
    assert (record.state, record.cost_microcredits) == (state, cost)
    assert record.ended_at is not None


async def test_a_cost_told_later_replaces_what_was_assumed(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    one = attempt_id(request.generation_id, 1)
    await attempts.close(conn, one, AttemptState.FAILED, failure=a_failure())
    ended = await attempt(conn, request.generation_id)

    await attempts.close(conn, one, AttemptState.FAILED, cost_microcredits=900)
    await attempts.close(conn, one, AttemptState.FAILED)

    record = await attempt(conn, request.generation_id)
    assert (record.cost_microcredits, record.failure, record.ended_at) == (900, a_failure(), ended.ended_at)


async def test_a_delivery_after_the_end_is_discarded_and_accounted_for(conn: Conn, account_id: str) -> None:
    """Contract section 9."""
    request = await a_processing(conn, account_id)
    one = attempt_id(request.generation_id, 1)
    await generations.finish(conn, cancellation(request))

    await attempts.close(conn, one, AttemptState.DISCARDED)
    await attempts.close(conn, one, AttemptState.USED)

    record = await attempt(conn, request.generation_id)
    assert (record.state, record.cost_microcredits) == (AttemptState.DISCARDED, 3_000)


async def test_an_attempt_ends_once_whoever_writes(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    await attempts.close(conn, attempt_id(request.generation_id, 1), AttemptState.USED)

    with pytest.raises(errors.RestrictViolation):
        await conn.execute(
            "UPDATE store.attempts SET state = 'failed' WHERE generation_id = %s", [request.generation_id]
        )


async def test_there_is_no_record_of_an_unknown_attempt(conn: Conn) -> None:
    assert await attempts.get(conn, str(uuid.uuid4())) is None
