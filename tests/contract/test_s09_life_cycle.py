"""Section 9: the states of a generation and what may follow on each. tests/workflows has the workflow's own view."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from domain import errors as e
from domain.generation import CallbackReceived, attempt_id, workflow_id
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer, a_finished, a_running, generate
from tests.api.reading import error_of
from tests.support.staged_worker import StagedProvider
from workflows.generation import GenerationWorkflow

TERMINAL = {"succeeded", "failed", "canceled"}


async def read(http: httpx.AsyncClient, customer: Customer, generation_id: str) -> dict[str, Any]:
    data: dict[str, Any] = (await http.get(f"/v1/content/{generation_id}", headers=customer.auth)).json()["data"]
    return data


async def until(http: httpx.AsyncClient, customer: Customer, generation_id: str, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            data = await read(http, customer, generation_id)
            if data["generation_status"] in states:
                return data
            await asyncio.sleep(0.02)


async def test_9_a_generation_is_pending_then_processing_then_succeeded(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    created = (await generate(http, customer)).json()["data"]
    at_first = await read(http, customer, created["generation_id"])
    accepted = await until(http, customer, created["generation_id"], "processing")
    replicate.finish(await replicate.submitted(attempt_id(created["generation_id"], 1)))
    handle = engine.get_workflow_handle_for(GenerationWorkflow.run, workflow_id(created["generation_id"]))
    await handle.signal(GenerationWorkflow.provider_callback, CallbackReceived(1, "rung by hand"))
    await handle.result()
    at_last = await read(http, customer, created["generation_id"])

    assert at_first["generation_status"] in {"pending", "processing"}
    assert (at_first["generation_started_at"] is None) is (at_first["generation_status"] == "pending")
    assert accepted["generation_started_at"] is not None
    assert accepted["generation_provider_used"] is None
    assert at_last["generation_status"] == "succeeded"
    assert at_last["generation_provider_used"] == "replicate"
    assert at_last["generation_started_at"] == accepted["generation_started_at"]


@pytest.mark.parametrize("ending", ["succeeded", "failed", "canceled"])
async def test_9_no_transition_leaves_a_terminal_state(
    http: httpx.AsyncClient,
    engine: Client,
    customer: Customer,
    replicate: StagedProvider,
    ending: str,
):
    generation_id = await ended_as(ending, http, engine, customer, replicate)
    before = await read(http, customer, generation_id)

    cancel = await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    assert before["generation_status"] == ending
    assert error_of(cancel) == (409, "BSE3002")
    after = await read(http, customer, generation_id)
    assert {name: after[name] for name in after if name != "generation_output_file"} == {
        name: before[name] for name in before if name != "generation_output_file"
    }


async def ended_as(
    ending: str, http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
) -> str:
    if ending == "succeeded":
        return await a_finished(http, engine, customer, replicate)
    if ending == "canceled":
        generation_id = await a_running(http, customer, replicate)
        await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)
        return generation_id
    replicate.refuse("refused for section 9", e.ContentRefused("A safety filter refused the prompt."))
    created = await generate(http, customer, generation_prompt="refused for section 9")
    generation_id = str(created.json()["data"]["generation_id"])
    await until(http, customer, generation_id, "failed")
    return generation_id


async def test_9_a_success_that_comes_after_the_cancel_is_discarded(
    http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider, pool: Pool
):
    customer = await new_customer(credits=1_000_000)
    generation_id = await a_running(http, customer, replicate)
    job = await replicate.submitted(attempt_id(generation_id, 1))
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    replicate.finish(job)

    data = await read(http, customer, generation_id)
    assert (data["generation_status"], data["generation_output_file"]) == ("canceled", None)
    async with single(pool) as conn:
        assert (await ledger.balance(conn, customer.account_id)).available == 1_000_000


async def test_9_the_next_provider_of_the_order_is_asked_when_the_first_fails(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    prompt = "failing over for section 9"
    replicate.refuse(prompt, e.ProviderAtCapacity("No machine is free."))

    created = await generate(http, customer, generation_prompt=prompt, generation_provider_order="replicate, fal")

    data = await until(http, customer, created.json()["data"]["generation_id"], "processing")
    assert data["generation_provider_order"] == ["replicate", "fal"]
    assert data["generation_prediction_id"] != created.json()["data"]["generation_prediction_id"]


async def test_9_a_failed_generation_costs_nothing(
    http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider, pool: Pool
):
    customer = await new_customer(credits=1_000_000)
    replicate.refuse("free of charge", e.ProviderFailed("The job failed."))
    created = await generate(http, customer, generation_prompt="free of charge")

    data = await until(http, customer, created.json()["data"]["generation_id"], *TERMINAL)

    assert (data["generation_status"], data["generation_error_code"]) == ("failed", "BSE4003")
    async with single(pool) as conn:
        balance = await ledger.balance(conn, customer.account_id)
    assert (balance.available, balance.held) == (1_000_000, 0)
