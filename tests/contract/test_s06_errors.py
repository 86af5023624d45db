"""Section 6: every code by a real path, answered with the status, type and retry flag of its row.

Codes of family 4, and those of input files, say what a provider did. No customer's request waits for a provider
(decision 0001), so most of them are read in the record of a generation: as its own code, where the failure is final,
and else as the reason of one provider behind `all_providers_failed`.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from adapters.local_store import LocalStore
from api.errors import rows
from domain import ending
from domain import errors as e
from store import generations
from store.connection import Pool, single
from tests.api.conftest import (
    PROMPT,
    SCHNELL,
    Customer,
    NewCustomer,
    a_finished,
    a_running,
    generate,
    reaching,
)
from tests.contract.test_s04_order import (  # noqa: F401 - fixtures
    ATTEMPTS_MAX,
    Blocked,
    blocked,
    closed,
    exhausted,
    in_flight,
)
from tests.support.staged_worker import StagedProvider

ROWS = {row.code: row for row in rows()}
AN_ID = "0d9c4f3e-6b1a-4c57-9e20-5a8f7d1c2b34"
_numbers = itertools.count(1)


def assert_row(response: httpx.Response, code: str) -> dict[str, Any]:
    """The answer is that row of the table, with the headers that its retry flag asks for. Returns the error."""
    error: dict[str, Any] = response.json()["error"]
    row = ROWS[code]
    assert (error["code"], error["type"], response.status_code) == (code, row.type, row.status), response.text
    assert error["retryable"] is row.retryable
    if row.retryable:
        assert int(response.headers["X-RateLimit-Limit"]) > 0
    if response.status_code == 429:
        assert int(response.headers["Retry-After"]) >= 1
    return error


async def ended(http: httpx.AsyncClient, customer: Customer, generation_id: str) -> dict[str, Any]:
    """Read until the generation has ended."""
    async with asyncio.timeout(20):
        while True:
            data: dict[str, Any] = (await http.get(f"/v1/content/{generation_id}", headers=customer.auth)).json()[
                "data"
            ]
            if data["generation_status"] in {"succeeded", "failed", "canceled"}:
                return data
            await asyncio.sleep(0.02)


# --- family 1: authentication and limits --------------------------------------------------------------------------


async def test_bse1001_no_key(http: httpx.AsyncClient):
    assert_row(await http.get("/v1/status"), "BSE1001")


async def test_bse1002_a_key_that_does_not_exist(http: httpx.AsyncClient):
    response = await http.get("/v1/status", headers={"Authorization": "Bearer bye_" + "a" * 43})

    assert_row(response, "BSE1002")


async def test_bse1002_an_expired_key(http: httpx.AsyncClient, new_customer: NewCustomer):
    expired = await new_customer(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    assert_row(await http.get("/v1/status", headers=expired.auth), "BSE1002")


async def test_bse1003_a_key_without_the_scope(http: httpx.AsyncClient, new_customer: NewCustomer):
    narrow = await new_customer(scopes=("monitor_only",))

    assert_row(await http.get("/v1/status", headers=narrow.auth), "BSE1003")


async def test_bse1004_too_little_credit(http: httpx.AsyncClient, new_customer: NewCustomer):
    assert_row(await generate(http, await new_customer(credits=0)), "BSE1004")


async def test_bse1005_too_many_requests_of_an_account(http: httpx.AsyncClient, exhausted: Customer):  # noqa: F811
    response = await http.get("/v1/status", headers=exhausted.auth)

    error = assert_row(response, "BSE1005")
    assert error["details"] == {"retry_after_seconds": int(response.headers["Retry-After"]), "limit": 60}


async def test_bse1006_too_many_failed_authentications_of_an_address(blocked: Blocked):  # noqa: F811
    response = await blocked.http.get("/v1/status", headers={"Authorization": "Bearer bye_" + "b" * 43})

    assert_row(response, "BSE1006")
    assert int(response.headers["X-RateLimit-Limit"]) == ATTEMPTS_MAX


async def test_bse1007_another_address(http: httpx.AsyncClient, new_customer: NewCustomer):
    elsewhere = await new_customer(ip_allowlist=("203.0.113.9",))

    assert_row(await http.get("/v1/status", headers=elsewhere.auth), "BSE1007")


async def test_bse1008_an_account_that_is_gone(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer
):
    customer = await new_customer()
    await http.post(f"/admin/v1/accounts/{customer.account_id}/close", headers=operator)

    assert_row(await http.get("/v1/status", headers=customer.auth), "BSE1008")


async def test_bse1009_too_many_in_flight(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(plan="free")
    await in_flight(http, customer, 2)

    response = await generate(http, customer)

    assert_row(response, "BSE1009")
    assert response.headers["Retry-After"] == "5"


# --- family 2: input ----------------------------------------------------------------------------------------------


async def test_bse2001_an_unknown_field(http: httpx.AsyncClient, customer: Customer):
    assert_row(await generate(http, customer, unheard=1), "BSE2001")


async def test_bse2008_a_value_outside_the_range(http: httpx.AsyncClient, customer: Customer):
    assert_row(await generate(http, customer, generation_ratio="1:7"), "BSE2008")


async def test_bse2010_a_body_over_100_kb(http: httpx.AsyncClient, customer: Customer):
    assert_row(await generate(http, customer, generation_prompt="a" * 103_000), "BSE2010")


async def test_bse2011_an_unknown_model(http: httpx.AsyncClient, customer: Customer):
    response = await http.post("/v1/generate/image/bfl/nothing", headers=customer.auth, json={})

    assert_row(response, "BSE2011")


async def test_bse2012_an_order_with_a_stranger_in_it(http: httpx.AsyncClient, customer: Customer):
    assert_row(await generate(http, customer, generation_provider_order="openai, replicate"), "BSE2012")


async def test_bse2013_an_image_model_on_the_video_route(http: httpx.AsyncClient, customer: Customer):
    response = await http.post("/v1/generate/video/bfl/flux-schnell", headers=customer.auth, json={})

    assert_row(response, "BSE2013")


async def test_bse2014_a_key_of_the_wrong_form(http: httpx.AsyncClient, customer: Customer):
    assert_row(await generate(http, customer, headers={"Idempotency-Key": "a/b"}), "BSE2014")


async def test_bse2015_a_key_with_another_body(http: httpx.AsyncClient, customer: Customer):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    await generate(http, customer, headers=key)

    assert_row(await generate(http, customer, headers=key, generation_prompt="Another"), "BSE2015")


async def test_bse2016_a_key_whose_first_request_is_at_work(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer, key = await new_customer(), {"Idempotency-Key": str(uuid.uuid4())}

    responses = await asyncio.gather(*(generate(http, customer, headers=key) for _ in range(8)))

    waiting = [response for response in responses if response.status_code != 200]
    for response in waiting:
        assert_row(response, "BSE2016")
        assert response.headers["Retry-After"] == "2"
    assert waiting


async def test_bse2017_a_body_that_is_not_json(http: httpx.AsyncClient, customer: Customer):
    assert_row(await http.post(SCHNELL, headers=customer.auth, content=b"{}"), "BSE2017")


# --- family 3: resources ------------------------------------------------------------------------------------------


async def test_bse3001_an_unknown_generation(http: httpx.AsyncClient, customer: Customer):
    assert_row(await http.get(f"/v1/content/{AN_ID}", headers=customer.auth), "BSE3001")


async def test_bse3002_a_cancel_after_the_end(http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider):
    generation_id = await a_running(http, customer, replicate)
    path = f"/v1/content/generation/cancel/{generation_id}"
    await http.post(path, headers=customer.auth)

    assert_row(await http.post(path, headers=customer.auth), "BSE3002")


async def test_bse3003_a_delete_before_the_end(http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider):
    generation_id = await a_running(http, customer, replicate)

    assert_row(await http.delete(f"/v1/content/{generation_id}", headers=customer.auth), "BSE3003")


async def test_bse3004_an_unknown_path(http: httpx.AsyncClient):
    assert_row(await http.get("/v1/nothing"), "BSE3004")


async def test_bse3005_an_unknown_method(http: httpx.AsyncClient):
    assert_row(await http.put("/v1/status"), "BSE3005")


# --- what a provider did ------------------------------------------------------------------------------------------

FINAL = [
    e.InputImageTooLarge,
    e.InputImageTooSmall,
    e.InputFormatUnsupported,
    e.InputFileRefused,
    e.ContentRefused,
    e.InputFileTooBig,
    e.InputFileUnreachable,
]
PASSED_ON = [
    e.ProviderUnavailable,
    e.ProviderBusy,
    e.ProviderAtCapacity,
    e.ProviderFailed,
    e.ProviderCreditsExhausted,
    e.ProviderRejectedInput,
    e.ProviderAuthFailed,
]


async def refused(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, kind: type[e.ProviderError]
) -> dict[str, Any]:
    """A generation whose only provider answers its submit like that."""
    prompt = f"{PROMPT} {next(_numbers)}"
    replicate.refuse(prompt, kind("The provider said so."))
    created = await generate(http, customer, generation_prompt=prompt)
    return await ended(http, customer, created.json()["data"]["generation_id"])


@pytest.mark.parametrize("kind", FINAL, ids=lambda kind: kind.code)
async def test_a_final_refusal_of_a_provider_is_the_code_of_the_generation(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, kind: type[e.ProviderError]
):
    data = await refused(http, customer, replicate, kind)

    assert (data["generation_status"], data["generation_error_code"]) == ("failed", kind.code)
    assert data["generation_error"] == "The provider said so."
    assert data["generation_output_file"] is None


@pytest.mark.parametrize("kind", PASSED_ON, ids=lambda kind: kind.code)
async def test_any_other_failure_of_the_last_provider_is_bse4003_with_that_reason_kept(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, pool: Pool, kind: type[e.ProviderError]
):
    data = await refused(http, customer, replicate, kind)

    assert data["generation_error_code"] == "BSE4003"
    async with single(pool) as conn:
        record = await generations.get(conn, customer.account_id, data["generation_id"])
    assert record is not None
    (reason,) = record.provider_errors
    row = ROWS[kind.code]
    assert (reason.provider, reason.code, reason.type, reason.retryable) == (
        "replicate",
        row.code,
        row.type,
        row.retryable,
    )


async def test_bse4004_no_provider_has_a_key_here(customer: Customer, settings_app: FastAPI):
    settings_app.state.services = replace(settings_app.state.services, available_providers=frozenset())
    async with reaching(settings_app, "127.0.0.1") as http:
        error = assert_row(await generate(http, customer), "BSE4004")

    (reason,) = error["provider_errors"]
    assert set(reason) == {"provider", "code", "type", "message", "retryable"}
    assert reason["provider"] == "replicate"


@pytest.fixture
async def replicate_paused(http: httpx.AsyncClient, operator: dict[str, str]) -> AsyncIterator[None]:
    await http.post("/admin/v1/providers/replicate/pause", headers=operator, json={})
    yield
    await http.post("/admin/v1/providers/replicate/resume", headers=operator)


async def test_bse4007_every_provider_is_paused(http: httpx.AsyncClient, customer: Customer, replicate_paused: None):
    error = assert_row(await generate(http, customer), "BSE4007")

    (reason,) = error["provider_errors"]
    assert (reason["provider"], reason["code"], reason["type"], reason["retryable"]) == (
        "replicate",
        "BSE4007",
        "provider_paused",
        False,
    )


# --- family 5: ours -----------------------------------------------------------------------------------------------


async def test_bse5001_a_bug_of_ours(settings_app: FastAPI):
    async def broken() -> None:
        raise RuntimeError

    settings_app.add_api_route("/v1/broken", broken)
    async with reaching(settings_app, "127.0.0.1") as http:
        assert_row(await http.get("/v1/broken"), "BSE5001")


class AwayStore(LocalStore):
    """Does not answer."""

    async def check(self) -> None:
        raise e.StorageUnavailable("The object store does not answer.")


async def test_bse5002_the_object_store_does_not_answer(
    customer: Customer, http: httpx.AsyncClient, engine: Any, replicate: StagedProvider, settings_app: FastAPI
):
    generation_id = await a_finished(http, engine, customer, replicate)
    settings_app.state.services = replace(settings_app.state.services, objects=AwayStore.__new__(AwayStore))

    async with reaching(settings_app, "127.0.0.1") as away:
        response = await away.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    assert_row(response, "BSE5002")


async def test_bse5006_a_generation_that_nothing_works_on_any_more(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, engine: Any, pool: Pool
):
    generation_id = await a_running(http, customer, replicate)
    outcome = ending.expired(generation_id=generation_id, account_id=customer.account_id)

    async with single(pool) as conn:  # as the sweep does it
        await generations.finish(conn, outcome)

    data = await ended(http, customer, generation_id)
    assert (data["generation_status"], data["generation_error_code"]) == ("failed", "BSE5006")
    await engine.get_workflow_handle(f"generation/{generation_id}").terminate()
