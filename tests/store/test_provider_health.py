"""Section 10.13: which attempts say something of their provider, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain import errors as e
from domain.ending import failure_of
from domain.generation import AttemptState, GenerationStatus, attempt_id
from store import attempts, generations, provider_health
from store.connection import Pool, single
from tests.store.builders import a_failure, a_processing, an_account, an_intent, cancellation, failure, success

Conn = AsyncConnection[Any]
MINUTES = timedelta(minutes=1)


@pytest.fixture
async def conn(own_pool: Pool) -> AsyncIterator[Conn]:
    async with single(own_pool) as conn:
        yield conn


@pytest.fixture
async def account_id(conn: Conn) -> str:
    return await an_account(conn, credits=10)


async def outcomes(conn: Conn, *, within: timedelta = 5 * MINUTES) -> dict[str, list[bool]]:
    found = await provider_health.outcomes(conn, within=within, longest=40 * MINUTES)
    assert all(list(ages) == sorted(ages, reverse=True) for ages in ([one.age for one in of] for of in found.values()))
    return {provider: [outcome.succeeded for outcome in of] for provider, of in found.items()}


async def failed_by(conn: Conn, account_id: str, error: e.ProviderError) -> str:
    """The id of an attempt that failed so."""
    request = await a_processing(conn, account_id)
    failed = attempt_id(request.generation_id, 1)
    await attempts.close(conn, failed, AttemptState.FAILED, failure=failure_of("replicate", error))
    return failed


async def age(conn: Conn, attempt: str, *, ended: timedelta, took: timedelta = timedelta(0)) -> None:
    await conn.execute(
        "UPDATE store.attempts SET ended_at = now() - %(ended)s::interval, begun_at = now() - %(begun)s::interval"
        " WHERE attempt_id = %(id)s",
        {"ended": ended, "begun": ended + took, "id": attempt},
    )


async def test_10_13_a_used_attempt_is_a_success_of_the_provider_that_was_used(conn: Conn, account_id: str):
    request = await a_processing(conn, account_id)
    await attempts.close(conn, attempt_id(request.generation_id, 1), AttemptState.FAILED, failure=a_failure())
    await attempts.begin(conn, an_intent(request, 2))
    await attempts.accepted(conn, attempt_id(request.generation_id, 2), attempts.JobRef("job-of-fal"))
    await generations.finish(conn, success(request, attempt_number=2, provider_used="fal"))

    assert await outcomes(conn) == {"replicate": [False], "fal": [True]}


@pytest.mark.parametrize(
    "error",
    [e.ProviderFailed, e.ProviderTimedOut, e.ProviderUnavailable, e.ProviderInvalidOutput, e.JobNotFound],
)
async def test_10_13_a_fault_of_the_provider_is_a_failure(conn: Conn, account_id: str, error: type[e.ProviderError]):
    await failed_by(conn, account_id, error("It failed."))

    assert await outcomes(conn) == {"replicate": [False]}


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(e.ContentRefused, id="the customer's: refused content"),
        pytest.param(e.InputFileRefused, id="the customer's: a bad file"),
        pytest.param(e.ProviderBusy, id="load: too many requests"),
        pytest.param(e.ProviderAtCapacity, id="load: no machine"),
        pytest.param(e.ProviderAuthFailed, id="ours: a refused credential"),
        pytest.param(e.ProviderCreditsExhausted, id="ours: an empty balance"),
        pytest.param(e.ProviderRejectedInput, id="ours: a wrong mapping"),
    ],
)
async def test_10_13_what_is_not_the_providers_fault_does_not_count(
    conn: Conn, account_id: str, error: type[e.ProviderError]
):
    await failed_by(conn, account_id, error("It failed."))

    assert await outcomes(conn) == {}


async def test_10_13_an_attempt_that_was_lost_is_a_failure_and_a_canceled_one_is_nothing(conn: Conn, account_id: str):
    lost, canceled, running = [await a_processing(conn, account_id) for _ in range(3)]
    ambiguous = failure_of("replicate", e.SubmitAmbiguous("The answer was lost."))
    await attempts.close(conn, attempt_id(lost.generation_id, 1), AttemptState.DISCARDED, failure=ambiguous)
    assert (await generations.finish(conn, cancellation(canceled))).status is GenerationStatus.CANCELED

    assert await outcomes(conn) == {"replicate": [False]}
    await generations.finish(conn, failure(running))  # nobody wrote why its attempt ended
    assert await outcomes(conn) == {"replicate": [False]}


async def test_10_13_only_what_ended_within_the_time_is_found_however_long_it_took(conn: Conn, account_id: str):
    recent, old, long_one = [await failed_by(conn, account_id, e.ProviderFailed("It failed.")) for _ in range(3)]
    await age(conn, recent, ended=4 * MINUTES)
    await age(conn, old, ended=6 * MINUTES)
    await age(conn, long_one, ended=MINUTES, took=35 * MINUTES)

    found = await provider_health.outcomes(conn, within=5 * MINUTES, longest=40 * MINUTES)

    assert [round(outcome.age / MINUTES) for outcome in found["replicate"]] == [4, 1]
