"""What usage counts (contract section 10.2), before and after the records are gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import AccountNotFound
from domain.generation import AttemptState, attempt_id
from store import attempts, generations, requests, usage
from store.connection import Pool, single, transaction
from store.usage import EndpointUsage, ProviderUsage, Usage
from tests.store.builders import (
    a_failure,
    a_job,
    a_processing,
    a_work_id,
    an_account,
    an_admitted,
    an_intent,
    cancellation,
    failure,
    success,
)
from tests.store.test_requests import a_key, a_writer, an_entry

TABLES_OF_A_GENERATION = ("assets", "attempts", "generations")


async def used(conn: AsyncConnection[Any], account_id: str, days: int = 30) -> Usage:
    return await usage.of_account(conn, account_id, days=days)


async def purge(conn: AsyncConnection[Any], *generation_ids: str) -> None:
    """As the clean-up of records does it, inside one transaction."""
    ids = list(generation_ids)
    await conn.execute("SELECT store.archive_usage(%s::uuid[])", [ids])
    for table in TABLES_OF_A_GENERATION:
        await conn.execute(f"DELETE FROM store.{table} WHERE generation_id = ANY (%s::uuid[])".encode(), [ids])


async def age(conn: AsyncConnection[Any], generation_id: str, age: str) -> None:
    await conn.execute(
        "UPDATE store.generations SET created_at = clock_timestamp() - %s::interval WHERE generation_id = %s",
        [age, generation_id],
    )


async def one_of_each_end(conn: AsyncConnection[Any], account_id: str) -> list[str]:
    """Four generations: failed over and used, canceled, failed, under way. Costs by attempt: 3, 50, 0, 7."""
    first = await an_admitted(conn, account_id)
    await attempts.begin(conn, replace(an_intent(first), provider="fal", cost_microcredits=900))
    await attempts.close(
        conn, attempt_id(first.generation_id, 1), AttemptState.FAILED, failure=a_failure(), cost_microcredits=3
    )
    second = replace(an_intent(first), attempt_id=attempt_id(first.generation_id, 2), number=2, cost_microcredits=50)
    await attempts.begin(conn, second)
    await attempts.accepted(conn, second.attempt_id, a_job())
    await generations.finish(conn, success(first, attempt_number=2))

    canceled = await a_processing(conn, account_id)
    await generations.finish(conn, cancellation(canceled))

    failed = await a_processing(conn, account_id)
    await attempts.close(conn, attempt_id(failed.generation_id, 1), AttemptState.DISCARDED, cost_microcredits=11)
    await generations.finish(conn, failure(failed))

    running = await an_admitted(conn, account_id)
    await attempts.begin(conn, replace(an_intent(running), cost_microcredits=7))
    await attempts.accepted(conn, attempt_id(running.generation_id, 1), a_job())
    return [request.generation_id for request in (first, canceled, failed, running)]


EACH_END = [
    ProviderUsage("fal", 1, used=0, canceled=0, discarded=0, failed=1, cost_microcredits=3, wasted_microcredits=3),
    ProviderUsage(
        "replicate", 4, used=1, canceled=1, discarded=1, failed=0, cost_microcredits=68, wasted_microcredits=11
    ),
]


async def test_an_account_that_did_nothing(conn: AsyncConnection[Any]):
    account_id = await an_account(conn, credits=2)

    assert await used(conn, account_id) == Usage(2_000_000, 0, [], [])


async def test_an_account_that_does_not_exist(conn: AsyncConnection[Any]):
    with pytest.raises(AccountNotFound):
        await used(conn, a_work_id())


async def test_attempts_are_counted_one_by_one_by_provider_and_end(conn: AsyncConnection[Any], account_id: str):
    await one_of_each_end(conn, account_id)

    found = await used(conn, account_id)

    assert (found.generations, found.providers) == (4, EACH_END)


async def test_an_attempt_that_the_provider_refused_costs_nothing_while_it_waits_for_its_repeat(
    conn: AsyncConnection[Any], account_id: str
):
    request = await an_admitted(conn, account_id)
    await attempts.begin(conn, an_intent(request))
    await attempts.refused(conn, attempt_id(request.generation_id, 1), a_failure())

    (provider,) = (await used(conn, account_id)).providers

    assert (provider.submissions, provider.failed, provider.cost_microcredits) == (1, 0, 0)


async def test_a_deleted_generation_is_still_counted(conn: AsyncConnection[Any], account_id: str):
    request = await a_processing(conn, account_id)
    await generations.finish(conn, success(request))

    await generations.mark_deleted(conn, account_id, request.generation_id)

    found = await used(conn, account_id)
    assert (found.generations, found.providers[0].used) == (1, 1)


async def test_purged_records_are_counted_as_before(conn: AsyncConnection[Any], account_id: str):
    ids = await one_of_each_end(conn, account_id)
    before = await used(conn, account_id)

    for generation_id in ids[:3]:  # in two goes to the same rows of the archive
        async with conn.transaction():
            await purge(conn, generation_id)

    assert await used(conn, account_id) == before
    cursor = await conn.execute("SELECT count(*) FROM store.generations WHERE account_id = %s", [account_id])
    assert await cursor.fetchone() == (1,)


async def test_a_purge_that_is_rolled_back_archives_nothing(shared_pool: Pool, account_id: str):
    async with single(shared_pool) as conn:
        ids = await one_of_each_end(conn, account_id)
        before = await used(conn, account_id)

    async def interrupted() -> None:
        async with transaction(shared_pool) as conn:
            await purge(conn, *ids[:3])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await interrupted()

    async with single(shared_pool) as conn:
        assert await used(conn, account_id) == before


async def test_a_generation_that_two_purge_is_archived_once(shared_pool: Pool, account_id: str):
    async with single(shared_pool) as conn:
        ids = await one_of_each_end(conn, account_id)
        before = await used(conn, account_id)

    for _ in range(2):
        async with transaction(shared_pool) as conn:
            await purge(conn, *ids[:3])

    async with single(shared_pool) as conn:
        assert await used(conn, account_id) == before


@pytest.mark.parametrize("purged", [False, True], ids=["recorded", "archived"])
async def test_the_window_is_days_of_twenty_four_hours(conn: AsyncConnection[Any], account_id: str, purged: bool):
    inside, outside = (await one_of_each_end(conn, account_id))[:2]
    await age(conn, inside, "6 days 23:59")
    await age(conn, outside, "7 days 01:01")
    if purged:
        async with conn.transaction():
            await purge(conn, inside, outside)

    week, day, quarter = [await used(conn, account_id, days) for days in (7, 1, 90)]

    assert (week.generations, day.generations, quarter.generations) == (3, 2, 4)
    assert [sum(one.submissions for one in found.providers) for found in (week, day, quarter)] == [4, 2, 5]


async def test_requests_are_counted_by_endpoint_class_and_code(conn: AsyncConnection[Any], account_id: str):
    key_id = await a_key(conn, account_id)
    answers = [(200, None), (200, None), (404, "BSE3001"), (404, "BSE3001"), (429, "BSE1005"), (503, "BSE5003")]
    entries = [an_entry(account_id, key_id, status=status, code=code) for status, code in answers]
    entries += [an_entry(account_id, key_id, endpoint="/v1/a"), an_entry(account_id, key_id, status=499)]
    old = an_entry(account_id, key_id, came_at=entries[0].came_at - 9 * 86_400)
    await requests.add(conn, a_writer(), 1, [*entries, old])

    found = await used(conn, account_id, 7)

    codes = {"BSE3001": 2, "BSE1005": 1, "BSE5003": 1}
    assert found.endpoints == [
        EndpointUsage("/v1/a", 1, 1, 0, 0, {}),
        EndpointUsage("/v1/status", 7, 2, 4, 1, codes),
    ]


async def test_what_others_used_is_theirs(conn: AsyncConnection[Any], account_id: str):
    await one_of_each_end(conn, await an_account(conn, credits=10))

    assert (await used(conn, account_id)).generations == 0
