"""What attempts cost: job by job and as margins, before and after retention removes their records."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.generation import AttemptState, attempt_id
from domain.periods import Period
from store import attempts, costs, generations, retention
from store.connection import Pool, single
from store.costs import Margin, RecordedCost
from tests.store.builders import a_failure, a_job, an_account, an_admitted, an_intent, success

Conn = AsyncConnection[Any]


@pytest.fixture
def today() -> Period:
    now = datetime.now(UTC)
    return Period(now - timedelta(days=1), now + timedelta(days=1))


async def a_generation_that_failed_over(conn: Conn, account_id: str, *, failed: str, delivered: str) -> str:
    """Ten for a failed attempt and three thousand for the one that delivered; it brought five thousand."""
    request = await an_admitted(conn, account_id)
    await attempts.begin(conn, replace(an_intent(request), provider=failed, cost_microcredits=900))
    first = attempt_id(request.generation_id, 1)
    await attempts.accepted(conn, first, a_job())
    await attempts.close(conn, first, AttemptState.FAILED, failure=a_failure(), cost_microcredits=10)
    second = replace(an_intent(request), attempt_id=attempt_id(request.generation_id, 2), number=2, provider=delivered)
    await attempts.begin(conn, second)
    await attempts.accepted(conn, second.attempt_id, a_job())
    await generations.finish(conn, success(request, attempt_number=2, provider_used=delivered, cost_microcredits=3_000))
    return request.generation_id


async def remove(conn: Conn, account_id: str) -> int:
    await conn.execute(
        "UPDATE store.generations SET files_removed_at = now() WHERE account_id = %s AND completed_at IS NOT NULL",
        [account_id],
    )
    return await retention.purge_generations(conn, account_id, timedelta(0), limit=100)


async def test_e17_r4_r6_costs_and_margins_are_the_same_after_their_records_are_gone(
    own_pool: Pool, today: Period
) -> None:
    """A failed attempt is a cost at its own provider (E17), and a report can be repeated (R6)."""
    async with single(own_pool) as conn:
        account_id = await an_account(conn, credits=1)
        generation_id = await a_generation_that_failed_over(conn, account_id, failed="fal", delivered="replicate")

        async def report() -> tuple[list[RecordedCost], list[RecordedCost], list[Margin]]:
            of_each = [await costs.recorded(conn, provider, today) for provider in ("fal", "replicate")]
            return of_each[0], of_each[1], await costs.margins(conn, today)

        before = await report()
        assert await remove(conn, account_id) == 1
        assert await report() == before

    [failed], [used], margins = before
    assert (failed.generation_id, failed.state, failed.cost_microcredits) == (generation_id, "failed", 10)
    assert (used.attempt_id, used.state, used.cost_microcredits) == (attempt_id(generation_id, 2), "used", 3_000)
    assert failed.job_id != used.job_id
    model = used.model
    assert margins == [Margin("fal", model, 0, 10), Margin("replicate", model, 5_000, 3_000)]


async def test_pages_of_costs_leave_out_nothing_while_records_are_removed(conn: Conn, today: Period) -> None:
    provider = f"provider {uuid.uuid4()}"
    leaving, staying = await an_account(conn, credits=1), await an_account(conn, credits=1)
    for account_id in (leaving, staying, leaving):
        await a_generation_that_failed_over(conn, account_id, failed=provider, delivered="replicate")
    whole = await costs.recorded(conn, provider, today)

    paged = await costs.recorded(conn, provider, today, limit=1)
    await remove(conn, leaving)
    while page := await costs.recorded(conn, provider, today, after=paged[-1].position, limit=1):
        paged += page

    assert len(whole) == 3
    assert paged == whole


async def test_an_attempt_costs_what_is_expected_until_it_ends_and_a_refused_one_nothing(
    conn: Conn, account_id: str, today: Period
) -> None:
    provider = f"provider {uuid.uuid4()}"
    for _ in range(2):
        request = await an_admitted(conn, account_id)
        await attempts.begin(conn, replace(an_intent(request), provider=provider, cost_microcredits=70))
    await attempts.refused(conn, attempt_id(request.generation_id, 1), a_failure())

    [open_one] = await costs.recorded(conn, provider, today)

    assert (open_one.state, open_one.job_id, open_one.cost_microcredits) == ("submitting", None, 70)
    before = Period(today.start - timedelta(days=9), open_one.begun_at)
    assert await costs.recorded(conn, provider, before) == []
    assert await costs.recorded(conn, provider, replace(today, start=open_one.begun_at)) == [open_one]
