"""Builders that put a generation into the state a test is about."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from domain.generation import (
    Asset,
    AttemptFailure,
    GenerationRequest,
    GenerationStatus,
    JobRef,
    Outcome,
    attempt_id,
)
from domain.webhook_events import webhook_test_body
from store import accounts, attempts, generations, ledger, webhook_endpoints, webhooks
from store.attempts import Intent
from store.ledger import GrantSource, Reserved, Settled
from store.webhook_endpoints import Endpoint
from tests.support.requests import a_request

CREDIT = 1_000_000
SOON = datetime.now(UTC) + timedelta(hours=1)
_names = itertools.count(1)


def a_job() -> JobRef:
    job_id = f"job-{next(_names)}"
    return JobRef(job_id, {"get": f"https://provider.example/jobs/{job_id}"})


def a_work_id() -> str:
    return str(uuid.uuid4())


async def an_account(conn: AsyncConnection[Any], *, credits: int = 0) -> str:
    account = await accounts.create(conn, f"account {next(_names)}")
    if credits:
        await give(conn, account.account_id, credits * CREDIT)
    return account.account_id


async def give(conn: AsyncConnection[Any], account_id: str, amount: int) -> None:
    key = f"promo:{uuid.uuid4()}"
    await ledger.grant(conn, account_id=account_id, amount=amount, source=GrantSource.PROMOTION, key=key)


async def freeze(conn: AsyncConnection[Any], account_id: str, *, frozen: bool = True) -> None:
    account = await accounts.get(conn, account_id)
    assert account is not None
    await accounts.update(conn, replace(account, frozen=frozen))


async def hold(
    conn: AsyncConnection[Any], account_id: str, work_id: str, amount: int = CREDIT, **changes: Any
) -> Reserved:
    facts: dict[str, Any] = {"price_version": "2026-11", "expires_at": SOON} | changes
    return await ledger.reserve(conn, account_id=account_id, work_id=work_id, amount=amount, **facts)


async def settle(conn: AsyncConnection[Any], account_id: str, work_id: str, amount: int = CREDIT) -> Settled:
    return await ledger.settle(conn, account_id=account_id, work_id=work_id, amount=amount)


async def let_go(conn: AsyncConnection[Any], account_id: str, work_id: str) -> ledger.Released:
    return await ledger.release(conn, account_id=account_id, work_id=work_id, reason="failed")


async def standing(conn: AsyncConnection[Any], account_id: str) -> tuple[int, int, int]:
    """Available, held, debt."""
    balance = await ledger.balance(conn, account_id)
    return balance.available, balance.held, balance.debt


def an_intent(request: GenerationRequest, number: int = 1) -> Intent:
    candidate = request.candidates[number - 1]
    return Intent(
        attempt_id=attempt_id(request.generation_id, number),
        generation_id=request.generation_id,
        account_id=request.account_id,
        number=number,
        provider=candidate.provider,
        native_model=candidate.native_model,
        cost_microcredits=candidate.cost_microcredits,
    )


async def an_admitted(conn: AsyncConnection[Any], account_id: str, **changes: Any) -> GenerationRequest:
    request = a_request(account_id=account_id, **changes)
    await generations.admit(conn, request)
    return request


async def a_processing(conn: AsyncConnection[Any], account_id: str, **changes: Any) -> GenerationRequest:
    request = await an_admitted(conn, account_id, **changes)
    await attempts.begin(conn, an_intent(request))
    await attempts.accepted(conn, attempt_id(request.generation_id, 1), a_job())
    return request


def a_failure(provider: str = "replicate") -> AttemptFailure:
    return AttemptFailure(
        provider, "BSE4001", "provider_error", "the provider failed", retryable=True, fault="provider"
    )


def an_asset(request: GenerationRequest, index: int = 0) -> Asset:
    key = f"us/{request.account_id}/{request.generation_id}/{attempt_id(request.generation_id, 1)}/{index}.png"
    return Asset(key, "image/png", 2048 + index, "ab" * 32, 1024, 768)


def success(request: GenerationRequest, **changes: Any) -> Outcome:
    facts: dict[str, Any] = {
        "status": GenerationStatus.SUCCEEDED,
        "assets": [an_asset(request)],
        "attempt_number": 1,
        "provider_used": "replicate",
        "settle_microcredits": request.quote_microcredits,
        "predict_time_s": 1.5,
    } | changes
    return Outcome(request.generation_id, request.account_id, **facts)


def failure(request: GenerationRequest, **changes: Any) -> Outcome:
    facts: dict[str, Any] = {
        "status": GenerationStatus.FAILED,
        "error_code": "BSE4003",
        "error_message": "No provider delivered.",
        "provider_errors": [a_failure()],
    } | changes
    return Outcome(request.generation_id, request.account_id, **facts)


def cancellation(request: GenerationRequest) -> Outcome:
    return Outcome(request.generation_id, request.account_id, GenerationStatus.CANCELED)


async def an_endpoint(conn: AsyncConnection[Any], account_id: str, *events: str) -> Endpoint:
    return await webhook_endpoints.insert(
        conn,
        endpoint_id=str(uuid.uuid4()),
        account_id=account_id,
        url="https://customer.example/hooks",
        secret_sealed=b"sealed",
        events=list(events)
        or ["generation.started", "generation.completed", "generation.failed", "generation.canceled"],
    )


async def a_test_delivery(conn: AsyncConnection[Any], endpoint: Endpoint, *, age: timedelta = timedelta(0)) -> str:
    """A `webhook.test` that is to be sent."""
    delivery_id, at = str(uuid.uuid4()), datetime.now(UTC) - age
    await webhooks.insert_test(
        conn,
        delivery_id=delivery_id,
        endpoint_id=endpoint.endpoint_id,
        account_id=endpoint.account_id,
        body=webhook_test_body(endpoint.account_id, delivery_id, at),
        at=at,
    )
    return delivery_id


async def an_event(conn: AsyncConnection[Any], endpoint: Endpoint, *, age: timedelta = timedelta(0)) -> str:
    """The endpoint's delivery of a canceled generation: to be sent, or queued while it is disabled."""
    request = await an_admitted(conn, endpoint.account_id)
    await generations.finish(conn, cancellation(request))
    cursor = await conn.execute(
        "UPDATE store.webhook_deliveries SET created_at = created_at - %s"
        " WHERE generation_id = %s AND endpoint_id = %s RETURNING delivery_id::text",
        [age, request.generation_id, endpoint.endpoint_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    delivery_id: str = row[0]
    return delivery_id
