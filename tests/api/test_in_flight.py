"""Section 7's caps beside idempotency and credits; tests/store/test_in_flight.py has the counting."""

from __future__ import annotations

import uuid

import httpx

from api.schemas import GenerationAccepted
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer, a_running, generate
from tests.api.reading import data_of, error_of, refusal_of
from tests.support.staged_worker import StagedProvider


async def filled(http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider) -> tuple[Customer, str]:
    """A customer whose two images are in flight, and the id of one of them."""
    customer = await new_customer(plan="free")
    first, _ = [await a_running(http, customer, replicate) for _ in range(2)]
    return customer, first


async def test_7_over_the_cap_a_client_is_told_when_to_come_back_and_nothing_is_held(
    http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider, pool: Pool
):
    customer, _ = await filled(http, new_customer, replicate)
    async with single(pool) as conn:
        before = await ledger.balance(conn, customer.account_id)

    response = await generate(http, customer)

    assert error_of(response) == (429, "BSE1009")
    refusal = refusal_of(response)
    assert (refusal["type"], refusal["retryable"]) == ("concurrency_limit_exceeded", True)
    assert refusal["details"] == {"limit": 2}
    assert response.headers["Retry-After"] == "5"
    assert int(response.headers["X-RateLimit-Remaining"]) < 60
    async with single(pool) as conn:
        assert await ledger.balance(conn, customer.account_id) == before


async def test_8_a_refusal_frees_the_idempotency_key_for_when_there_is_room(
    http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider
):
    customer, running = await filled(http, new_customer, replicate)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    refused = await generate(http, customer, headers=key)

    await http.post(f"/v1/content/generation/cancel/{running}", headers=customer.auth)
    again = await generate(http, customer, headers=key)

    assert error_of(refused) == (429, "BSE1009")
    assert data_of(again, GenerationAccepted)["generation_id"] != running
    assert "Idempotency-Replayed" not in again.headers


async def test_8_a_replay_needs_no_slot(http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider):
    customer = await new_customer(plan="free")
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = await generate(http, customer, headers=key)
    await generate(http, customer)

    replay = await generate(http, customer, headers=key)

    assert (replay.status_code, replay.content) == (200, first.content)
    assert replay.headers["Idempotency-Replayed"] == "true"
