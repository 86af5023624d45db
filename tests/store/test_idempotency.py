"""Idempotency-Key, contract section 8."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from store import generations, idempotency
from store.idempotency import Claim, ClaimState
from tests.store.builders import an_account, an_admitted
from tests.support.requests import a_request

Conn = AsyncConnection[Any]
AT_ONCE = timedelta(0)  # a lease, or a life, that is over as soon as it began
ANSWER = b'{"status":"success"}'


@pytest.fixture
def generation_id() -> str:
    return str(uuid.uuid4())


async def claim(conn: Conn, account_id: str, generation_id: str, print_: str = "p", **changes: Any) -> Claim:
    return await idempotency.claim(conn, account_id, "order:7", print_, generation_id, **changes)


async def test_the_first_request_gets_the_key(conn: Conn, account_id: str, generation_id: str) -> None:
    assert await claim(conn, account_id, generation_id) == Claim(ClaimState.NEW, generation_id)


async def test_a_second_request_meanwhile_is_told_to_wait(conn: Conn, account_id: str, generation_id: str) -> None:
    await claim(conn, account_id, generation_id)

    assert await claim(conn, account_id, str(uuid.uuid4())) == Claim(ClaimState.IN_PROGRESS, generation_id)


async def test_the_answer_is_given_again_byte_for_byte(conn: Conn, account_id: str, generation_id: str) -> None:
    await claim(conn, account_id, generation_id)

    assert await idempotency.complete(conn, account_id, "order:7", generation_id, ANSWER, status=201) is True
    assert await idempotency.complete(conn, account_id, "order:7", generation_id, b"other") is False

    again = await claim(conn, account_id, str(uuid.uuid4()))
    assert again == Claim(ClaimState.REPLAY, generation_id, ANSWER, 201)


async def test_another_body_under_the_same_key_is_a_mismatch(conn: Conn, account_id: str, generation_id: str) -> None:
    await claim(conn, account_id, generation_id)
    early = await claim(conn, account_id, str(uuid.uuid4()), "q")
    await idempotency.complete(conn, account_id, "order:7", generation_id, ANSWER)

    late = await claim(conn, account_id, str(uuid.uuid4()), "q")

    assert (early.state, late.state) == (ClaimState.MISMATCH, ClaimState.MISMATCH)


async def test_an_error_frees_the_key_for_a_retry(conn: Conn, account_id: str, generation_id: str) -> None:
    await claim(conn, account_id, generation_id)
    other = str(uuid.uuid4())

    assert await idempotency.free(conn, account_id, "order:7", other) is False
    assert await idempotency.free(conn, account_id, "order:7", generation_id) is True

    assert await claim(conn, account_id, other, "q") == Claim(ClaimState.NEW, other)


async def test_an_answered_key_is_not_freed(conn: Conn, account_id: str, generation_id: str) -> None:
    await claim(conn, account_id, generation_id)
    await idempotency.complete(conn, account_id, "order:7", generation_id, ANSWER)

    assert await idempotency.free(conn, account_id, "order:7", generation_id) is False


async def test_the_answer_of_a_request_that_died_is_finished_from_its_record(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    await claim(conn, account_id, request.generation_id, lease=AT_ONCE)

    words = [await claim(conn, account_id, str(uuid.uuid4())) for _ in range(2)]

    recovered = Claim(ClaimState.RECOVER, request.generation_id)
    assert words == [recovered, Claim(ClaimState.IN_PROGRESS, request.generation_id)]


@pytest.mark.parametrize(
    ("claimed_s", "recorded_s", "state"),
    [
        (6, 6, ClaimState.RECOVER),
        (6, 1, ClaimState.IN_PROGRESS),  # recorded late: whoever waits for it answers now
        (1, 6, ClaimState.IN_PROGRESS),  # somebody is recovering it
    ],
)
async def test_what_is_long_on_record_is_answered_before_the_lease_ends(
    conn: Conn, account_id: str, claimed_s: int, recorded_s: int, state: ClaimState
) -> None:
    request = await an_admitted(conn, account_id)
    await claim(conn, account_id, request.generation_id)
    await conn.execute(
        "UPDATE store.idempotency_keys SET lease_until = lease_until - make_interval(secs => %s)"
        " WHERE generation_id = %s",
        (claimed_s, request.generation_id),
    )
    await conn.execute(
        "UPDATE store.generations SET created_at = created_at - make_interval(secs => %s) WHERE generation_id = %s",
        (recorded_s, request.generation_id),
    )

    words = [await claim(conn, account_id, str(uuid.uuid4())) for _ in range(2)]
    other = await claim(conn, account_id, str(uuid.uuid4()), "q")

    in_progress = Claim(ClaimState.IN_PROGRESS, request.generation_id)
    assert words == [Claim(state, request.generation_id), in_progress]
    assert other.state is ClaimState.MISMATCH


async def test_an_abandoned_generation_leaves_the_key_free_at_once(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id)
    await claim(conn, account_id, request.generation_id)
    await generations.abandon(conn, request, code="BSE5004", message="nobody answered")
    other = str(uuid.uuid4())

    assert await claim(conn, account_id, other, "q") == Claim(ClaimState.NEW, other)
    assert await idempotency.free(conn, account_id, "order:7", request.generation_id) is False


async def test_a_request_that_died_before_its_record_leaves_the_key_free(
    conn: Conn, account_id: str, generation_id: str
) -> None:
    await claim(conn, account_id, generation_id, lease=AT_ONCE)
    other = str(uuid.uuid4())

    assert await claim(conn, account_id, other, "q") == Claim(ClaimState.NEW, other)
    assert await idempotency.complete(conn, account_id, "order:7", generation_id, ANSWER) is False


async def test_an_abandoned_generation_leaves_the_key_free(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id)
    await claim(conn, account_id, request.generation_id, lease=AT_ONCE)
    await generations.abandon(conn, request, code="BSE5004", message="nobody answered")

    assert (await claim(conn, account_id, str(uuid.uuid4()))).state is ClaimState.NEW


async def test_a_key_is_free_again_after_its_day(conn: Conn, account_id: str, generation_id: str) -> None:
    await claim(conn, account_id, generation_id, life=AT_ONCE)
    await idempotency.complete(conn, account_id, "order:7", generation_id, ANSWER)
    other = str(uuid.uuid4())

    assert await claim(conn, account_id, other, "q") == Claim(ClaimState.NEW, other)


async def test_two_accounts_use_the_same_key(conn: Conn, account_id: str, generation_id: str) -> None:
    """INV-23."""
    await claim(conn, account_id, generation_id)

    assert (await claim(conn, await an_account(conn), str(uuid.uuid4()), "q")).state is ClaimState.NEW


async def test_keys_past_their_life_are_purged(conn: Conn, account_id: str, generation_id: str) -> None:
    await claim(conn, account_id, generation_id, life=AT_ONCE)

    assert await idempotency.purge(conn) >= 1
    assert await idempotency.purge(conn) == 0
