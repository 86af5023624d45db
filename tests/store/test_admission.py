"""Admission of a generation, or its abandonment: exactly one of the two."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from domain.errors import (
    AccountFrozen,
    AccountNotFound,
    DatabaseUnavailable,
    EngineUnavailable,
    InsufficientCredits,
    InternalError,
    InvalidInput,
)
from domain.generation import Admission, Finished, GenerationStatus, MediaType, attempt_id
from store import attempts, generations, ledger
from store.attempts import BeginState
from store.connection import Pool, single
from tests.store.builders import (
    CREDIT,
    a_job,
    an_account,
    an_admitted,
    an_intent,
    failure,
    freeze,
    standing,
    success,
)
from tests.support.requests import a_request

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]
QUOTE = 5_000


async def test_an_admission_records_the_generation_and_holds_its_quote(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id, api_key_id=str(uuid.uuid4()), replay_of=str(uuid.uuid4()))

    admission = await generations.admit(conn, request)

    gid = request.generation_id
    assert admission == Admission(gid, "bfl/flux-schnell", ["replicate", "fal"], attempt_id(gid, 1))
    assert await standing(conn, account_id) == (10 * CREDIT - QUOTE, QUOTE, 0)
    record = await generations.get(conn, account_id, gid)
    assert record is not None
    assert (record.status, record.params, record.media_type) == (
        GenerationStatus.PENDING,
        request.params,
        MediaType.IMAGE,
    )
    assert (record.provider_order, record.prediction_id) == (["replicate", "fal"], attempt_id(gid, 1))
    assert (record.api_key_id, record.replay_of) == (request.api_key_id, request.replay_of)
    assert (record.quote_microcredits, record.settled_microcredits, record.completed_at) == (QUOTE, None, None)


async def test_the_hold_outlives_the_deadlines_of_all_candidates(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id, deadline_s=1800)

    hold = await ledger.hold(conn, account_id=account_id, work_id=request.generation_id)

    assert hold is not None
    assert hold.price_version == request.price_version
    expected = datetime.now(UTC) + timedelta(seconds=2 * 1800 + 3600)
    assert abs(hold.expires_at - expected) < timedelta(minutes=1)


async def test_a_repeated_admission_gives_the_same_answer_and_holds_once(conn: Conn, account_id: str) -> None:
    """K2: also when it is too late by now, or the money has gone, or the account was frozen."""
    request = a_request(account_id=account_id, quote_microcredits=10 * CREDIT)

    first = await generations.admit(conn, request)
    again = await generations.admit(conn, request)
    late = await generations.admit(conn, replace(request, admit_by=time.time() - 1))
    await freeze(conn, account_id)
    frozen = await generations.admit(conn, request)

    assert first == again == late == frozen
    assert await standing(conn, account_id) == (0, 10 * CREDIT, 0)


async def test_without_credits_nothing_is_written(conn: Conn) -> None:
    account = await an_account(conn)
    request = a_request(account_id=account)

    with pytest.raises(InsufficientCredits) as refusal:
        await generations.admit(conn, request)

    assert refusal.value.message == "This generation needs 0.005 credits; the balance is below that."
    assert refusal.value.details == {"required_microcredits": QUOTE}
    assert await generations.get(conn, account, request.generation_id) is None
    assert await ledger.hold(conn, account_id=account, work_id=request.generation_id) is None


async def test_a_frozen_account_starts_nothing(conn: Conn, account_id: str) -> None:
    await freeze(conn, account_id)
    request = a_request(account_id=account_id)

    with pytest.raises(AccountFrozen):
        await generations.admit(conn, request)

    assert await generations.get(conn, account_id, request.generation_id) is None


async def test_an_account_that_does_not_exist_starts_nothing(conn: Conn) -> None:
    with pytest.raises(AccountNotFound):
        await generations.admit(conn, a_request(account_id=str(uuid.uuid4())))
    with pytest.raises(AccountNotFound):
        await generations.abandon(conn, a_request(account_id=str(uuid.uuid4())), code="BSE5004", message="late")


async def test_nothing_is_admitted_after_its_time(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id, admit_by=time.time() - 1)

    with pytest.raises(EngineUnavailable):
        await generations.admit(conn, request)

    assert await generations.get(conn, account_id, request.generation_id) is None
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


async def test_the_id_of_another_account_is_not_admitted_again(conn: Conn, account_id: str) -> None:
    """INV-23."""
    request = await an_admitted(conn, account_id)
    other = await an_account(conn, credits=1)

    with pytest.raises(InternalError):
        await generations.admit(conn, replace(request, account_id=other))

    assert await standing(conn, other) == (CREDIT, 0, 0)


async def test_parameters_that_cannot_be_stored_are_the_callers_mistake(conn: Conn, account_id: str) -> None:
    with pytest.raises(InvalidInput):
        await an_admitted(conn, account_id, params={"generation_prompt": "a\x00b"})


async def test_a_connection_that_dies_is_said_with_its_cause_and_not_as_its_own(own_pool: Pool) -> None:
    """Whoever writes a failure down follows its causes to the end."""
    async with single(own_pool) as conn:
        account_id = await an_account(conn, credits=10)

    async def cut_off() -> None:
        async with single(own_pool) as conn:
            await conn.close()
            await generations.admit(conn, a_request(account_id=account_id))

    with pytest.raises(DatabaseUnavailable) as failed:
        await cut_off()

    assert isinstance(failed.value.__cause__, psycopg.OperationalError)
    assert failed.value.__cause__.__cause__ is None


async def test_free_work_is_admitted_without_credits(conn: Conn) -> None:
    """E13."""
    account = await an_account(conn)

    request = await an_admitted(conn, account, quote_microcredits=0)
    begun = await attempts.begin(conn, an_intent(request))
    await attempts.accepted(conn, attempt_id(request.generation_id, 1), a_job())
    finished = await generations.finish(conn, success(request))

    assert begun.state is BeginState.NEW
    assert finished.status is GenerationStatus.SUCCEEDED


async def test_an_abandoned_generation_is_failed_and_never_admitted(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id)

    words = [await generations.abandon(conn, request, code="BSE5004", message="nobody\x00 answered") for _ in range(2)]

    assert words == [True, True]
    with pytest.raises(EngineUnavailable):
        await generations.admit(conn, request)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert (record.status, record.abandoned) == (GenerationStatus.FAILED, True)
    assert (record.error_code, record.error_message) == ("BSE5004", "nobody answered")
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    assert (await attempts.begin(conn, an_intent(request))).state is BeginState.CLOSED
    assert await generations.finish(conn, failure(request)) == Finished(GenerationStatus.FAILED)


async def test_an_admitted_generation_cannot_be_abandoned(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)

    assert await generations.abandon(conn, request, code="BSE5004", message="late") is False
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.status is GenerationStatus.PENDING
