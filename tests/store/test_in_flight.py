"""A plan's cap on generations in flight: counted where the credits are held, exact in every race, and never leaking."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import ConcurrencyLimitExceeded, EngineUnavailable, InsufficientCredits
from domain.generation import Admission, GenerationRequest, MediaType, Outcome
from store import generations, ledger
from store.connection import Pool, single
from tests.store.builders import (
    CREDIT,
    a_processing,
    an_account,
    an_admitted,
    cancellation,
    failure,
    standing,
    success,
)
from tests.support.requests import a_request

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]
IMAGE, VIDEO = MediaType.IMAGE, MediaType.VIDEO


async def is_full(conn: Conn, account_id: str, *, cap: int, media_type: MediaType = IMAGE) -> bool:
    request = a_request(account_id=account_id, in_flight_max=cap, media_type=media_type)
    try:
        await generations.admit(conn, request)
    except ConcurrencyLimitExceeded:
        return True
    return False


async def test_over_the_cap_nothing_is_written_and_nothing_held(conn: Conn, account_id: str) -> None:
    for _ in range(2):
        await an_admitted(conn, account_id, in_flight_max=2)
    before = await standing(conn, account_id)
    request = a_request(account_id=account_id, in_flight_max=2)

    with pytest.raises(ConcurrencyLimitExceeded) as refused:
        await generations.admit(conn, request)

    assert (refused.value.details, refused.value.retry_after) == ({"limit": 2}, timedelta(seconds=5))
    assert await standing(conn, account_id) == before
    assert await generations.get(conn, account_id, request.generation_id) is None
    assert await ledger.hold(conn, account_id=account_id, work_id=request.generation_id) is None


async def test_images_and_videos_are_counted_apart(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id, in_flight_max=1)

    assert not await is_full(conn, account_id, cap=1, media_type=VIDEO)
    assert await is_full(conn, account_id, cap=1, media_type=VIDEO)
    assert await is_full(conn, account_id, cap=1)


async def test_accounts_are_counted_apart(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id, in_flight_max=1)

    assert not await is_full(conn, await an_account(conn, credits=1), cap=1)


async def test_a_processing_generation_is_in_flight(conn: Conn, account_id: str) -> None:
    await a_processing(conn, account_id, in_flight_max=1)

    assert await is_full(conn, account_id, cap=1)


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (an_admitted, failure),
        (an_admitted, cancellation),
        (a_processing, success),
        (a_processing, failure),
        (a_processing, cancellation),
    ],
)
async def test_every_end_frees_the_slot(conn: Conn, account_id: str, step: Any, outcome: Any) -> None:
    request: GenerationRequest = await step(conn, account_id, in_flight_max=1)

    await generations.finish(conn, outcome(request))

    assert not await is_full(conn, account_id, cap=1)


async def test_an_abandoned_generation_never_takes_a_slot(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id, in_flight_max=1)

    await generations.abandon(conn, request, code="BSE5004", message="Too late.")

    assert not await is_full(conn, account_id, cap=1)


async def test_a_refusal_for_lack_of_credits_takes_no_slot(conn: Conn, account_id: str) -> None:
    with pytest.raises(InsufficientCredits):
        await an_admitted(conn, account_id, in_flight_max=1, quote_microcredits=11 * CREDIT)

    assert not await is_full(conn, account_id, cap=1)


async def test_section_4_the_cap_comes_before_the_credits(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id, in_flight_max=1, quote_microcredits=10 * CREDIT)

    assert await is_full(conn, account_id, cap=1)


async def test_a_free_generation_takes_a_slot_like_any_other(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id, in_flight_max=1, quote_microcredits=0)

    assert await is_full(conn, account_id, cap=1)


async def test_a_repeated_admission_stands_although_the_cap_is_full(conn: Conn, account_id: str) -> None:
    """Its own slot is not held against it, and neither is a plan that became narrower."""
    request = await an_admitted(conn, account_id, in_flight_max=2)
    await an_admitted(conn, account_id, in_flight_max=2)

    assert await generations.admit(conn, request) == request.admission
    assert await generations.admit(conn, replace(request, in_flight_max=1)) == request.admission


async def test_without_a_cap_nothing_is_counted(conn: Conn, account_id: str) -> None:
    """As for a generation that was started before there were caps."""
    for _ in range(5):
        await an_admitted(conn, account_id, in_flight_max=None)


async def test_a_cap_of_none_admits_nothing(conn: Conn, account_id: str) -> None:
    assert await is_full(conn, account_id, cap=0)


async def test_what_is_too_late_is_told_so_even_when_the_cap_is_full(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id, in_flight_max=1)

    with pytest.raises(EngineUnavailable):
        await an_admitted(conn, account_id, in_flight_max=1, admit_by=time.time() - 1)


async def tried(pool: Pool, request: GenerationRequest) -> Admission | type[Exception]:
    async with single(pool) as conn:
        try:
            return await generations.admit(conn, request)
        except (ConcurrencyLimitExceeded, InsufficientCredits) as refused:
            return type(refused)


@pytest.mark.parametrize("quote", [0, 1, CREDIT], ids=["free", "cheap", "so that the credits run out as well"])
@pytest.mark.parametrize("cap", [1, 3, 10])
async def test_of_many_at_once_exactly_the_cap_is_admitted(shared_pool: Pool, conn: Conn, cap: int, quote: int) -> None:
    account = await an_account(conn, credits=5)
    asked = [a_request(account_id=account, in_flight_max=cap, quote_microcredits=quote) for _ in range(30)]

    answers = await asyncio.gather(*(tried(shared_pool, request) for request in asked))

    admitted = min(cap, 5) if quote == CREDIT else cap
    assert sum(isinstance(answer, Admission) for answer in answers) == admitted
    assert await generations.in_flight(conn, account, IMAGE) == admitted


async def test_repeats_of_one_admission_at_once_take_one_slot(shared_pool: Pool, conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id, in_flight_max=1)

    answers = await asyncio.gather(*(tried(shared_pool, request) for _ in range(12)))

    assert answers == [request.admission] * 12
    assert await is_full(conn, account_id, cap=1)


async def test_images_and_videos_of_several_accounts_at_once(shared_pool: Pool, conn: Conn) -> None:
    """No one waits for another in a circle: a deadlock would end one of them with an error."""
    accounts = [await an_account(conn, credits=5) for _ in range(3)]
    asked = [
        a_request(account_id=account, media_type=media_type, in_flight_max=2)
        for account in accounts
        for media_type in MediaType
        for _ in range(6)
    ]
    random.shuffle(asked)

    answers = await asyncio.gather(*(tried(shared_pool, request) for request in asked))

    assert sum(isinstance(answer, Admission) for answer in answers) == len(accounts) * len(MediaType) * 2


async def test_admissions_and_ends_in_any_order_keep_to_the_cap_and_lose_no_slot(shared_pool: Pool, conn: Conn) -> None:
    """Walkers begin and end generations as fast as they can; somebody counts all the while."""
    cap, account = 3, await an_account(conn, credits=100)
    most = 0

    async def walk() -> None:
        nonlocal most
        for _ in range(12):
            request = a_request(account_id=account, in_flight_max=cap)
            if not isinstance(await tried(shared_pool, request), Admission):
                continue
            async with single(shared_pool) as own:
                most = max(most, await generations.in_flight(own, account, IMAGE))
                await generations.finish(own, random.choice([failure, cancellation])(request))

    await asyncio.gather(*(walk() for _ in range(8)))

    assert 1 <= most <= cap
    assert await generations.in_flight(conn, account, IMAGE) == 0
    refused = [await is_full(conn, account, cap=cap) for _ in range(cap + 1)]
    assert refused == [False] * cap + [True]


async def test_an_end_that_was_given_twice_frees_one_slot_only(conn: Conn, account_id: str) -> None:
    first = await a_processing(conn, account_id, in_flight_max=2)
    await an_admitted(conn, account_id, in_flight_max=2)

    outcome: Outcome = success(first)
    for _ in range(2):
        await generations.finish(conn, outcome)

    assert [await is_full(conn, account_id, cap=2) for _ in range(2)] == [False, True]
