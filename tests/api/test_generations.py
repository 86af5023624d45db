"""Section 10.6: asking for a generation, and section 6: how a request is refused."""

from __future__ import annotations

import uuid
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from api.schemas import GenerationAccepted
from domain.generation import attempt_id, workflow_id
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import PROMPT, SCHNELL, Customer, NewCustomer, generate, reaching
from tests.api.reading import data_of, error_of
from tests.store.builders import freeze
from workflows import names


async def test_10_6_a_create_answers_with_the_normal_form(http: httpx.AsyncClient, customer: Customer):
    response = await http.post(SCHNELL, headers=customer.auth, json={"generation_prompt": PROMPT})

    data = data_of(response, GenerationAccepted)
    assert data["model_identifier"] == "bfl/flux-schnell"
    assert sorted(data["generation_provider_order"]) == ["fal", "replicate"]
    assert data["generation_initialized"] is True
    assert uuid.UUID(data["generation_id"]).version == 4


async def test_1_9_a_create_has_no_generation_status(http: httpx.AsyncClient, customer: Customer):
    response = await generate(http, customer)

    assert "generation_status" not in response.json()["data"]


async def test_1_10_the_prediction_id_is_the_first_attempt(http: httpx.AsyncClient, customer: Customer):
    data = data_of(await generate(http, customer), GenerationAccepted)

    assert data["generation_prediction_id"] == attempt_id(data["generation_id"], 1)


async def test_1_16_a_generation_can_be_read_as_soon_as_it_is_created(http: httpx.AsyncClient, customer: Customer):
    data = data_of(await generate(http, customer), GenerationAccepted)

    response = await http.get(f"/v1/content/{data['generation_id']}", headers=customer.auth)

    assert response.status_code == 200


async def test_10_6_the_quote_is_held_when_the_answer_comes(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer(credits=1_000_000)

    await generate(http, customer)

    async with single(pool) as conn:
        balance = await ledger.balance(conn, customer.account_id)
    assert balance.held > 0
    assert balance.available + balance.held == 1_000_000


async def test_the_workflow_carries_what_operators_search_by(
    http: httpx.AsyncClient, customer: Customer, engine: Client
):
    data = data_of(await generate(http, customer), GenerationAccepted)

    found = await engine.get_workflow_handle(workflow_id(data["generation_id"])).describe()

    attributes = found.typed_search_attributes
    assert attributes[names.ACCOUNT_ID] == customer.account_id
    assert attributes[names.MODEL] == "bfl/flux-schnell"
    assert attributes[names.MEDIA_TYPE] == "image"
    assert attributes[names.REGION] == "us"
    assert attributes[names.GENERATION_STATUS] == "pending"
    assert PROMPT not in str(attributes)


async def test_1_2_a_model_of_three_segments_reaches_the_route(http: httpx.AsyncClient, customer: Customer):
    response = await http.post("/v1/generate/image/one/two/three", headers=customer.auth, json={})

    assert error_of(response) == (404, "BSE2011")


async def test_10_5_a_slash_at_the_end_of_the_model_is_ignored(http: httpx.AsyncClient, customer: Customer):
    response = await http.post(f"{SCHNELL}/", headers=customer.auth, json={"generation_prompt": PROMPT})

    assert data_of(response, GenerationAccepted)["model_identifier"] == "bfl/flux-schnell"


REFUSED = [
    pytest.param({}, 400, "BSE2001", id="no prompt"),
    pytest.param({"generation_prompt": ""}, 400, "BSE2001", id="an empty prompt"),
    pytest.param({"generation_prompt": PROMPT, "unknown": 1}, 400, "BSE2001", id="an unknown field"),
    pytest.param({"generation_prompt": PROMPT, "generation_ratio": "1:7"}, 422, "BSE2008", id="another ratio"),
    pytest.param(
        {"generation_prompt": PROMPT, "generation_provider_order": "openai"}, 400, "BSE2012", id="another provider"
    ),
    pytest.param({"generation_prompt": PROMPT, "generation_duration": 5}, 400, "BSE2013", id="a duration"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
async def test_6_a_body_that_the_model_does_not_take_is_refused(
    http: httpx.AsyncClient, customer: Customer, body: dict[str, object], status: int, code: str
):
    response = await http.post(SCHNELL, headers=customer.auth, json=body)

    assert error_of(response) == (status, code)
    assert response.json()["error"]["retryable"] is False


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[1]", b'{"a":1,"a":2}', b"\xff", b"NaN"],
    ids=["empty", "broken", "a list", "twice", "no utf-8", "NaN"],
)
async def test_6_a_body_that_is_no_json_object_is_refused(http: httpx.AsyncClient, customer: Customer, raw: bytes):
    headers = customer.auth | {"Content-Type": "application/json"}

    response = await http.post(SCHNELL, headers=headers, content=raw)

    assert error_of(response) == (400, "BSE2001")


async def test_6_an_unknown_model_is_not_found(http: httpx.AsyncClient, customer: Customer):
    response = await http.post("/v1/generate/image/bfl/nothing", headers=customer.auth, json={})

    assert error_of(response) == (404, "BSE2011")


async def test_6_an_image_model_on_the_video_route_is_refused(http: httpx.AsyncClient, customer: Customer):
    body = {"generation_prompt": PROMPT, "generation_duration": 5}

    response = await http.post("/v1/generate/video/bfl/flux-schnell", headers=customer.auth, json=body)

    assert error_of(response) == (400, "BSE2013")


async def test_6_too_little_credit_is_a_402_that_leaves_nothing(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    poor = await new_customer(credits=1)

    response = await generate(http, poor)

    assert error_of(response) == (402, "BSE1004")
    assert response.json()["error"]["retryable"] is False
    listed = await http.get("/v1/content/list", headers=poor.auth)
    assert listed.json()["total"] == 0
    async with single(pool) as conn:
        assert (await ledger.balance(conn, poor.account_id)).held == 0


async def test_6_a_frozen_account_may_not_generate(http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool):
    customer = await new_customer()
    async with single(pool) as conn:
        await freeze(conn, customer.account_id)

    response = await generate(http, customer)

    assert error_of(response) == (403, "BSE1003")


async def test_6_a_model_whose_providers_have_no_key_here_is_unavailable(customer: Customer, settings_app: FastAPI):
    settings_app.state.services = replace(settings_app.state.services, available_providers=frozenset())
    async with reaching(settings_app, "127.0.0.1") as client:
        response = await generate(client, customer)

    assert error_of(response) == (503, "BSE4004")
    assert response.json()["error"]["retryable"] is True
    assert response.headers["X-RateLimit-Limit"]


async def test_2_4_the_headers_of_the_sdk_change_nothing(http: httpx.AsyncClient, customer: Customer):
    telemetry = {
        "X-BabySea-SDK-Name": "babysea-node",
        "X-BabySea-SDK-Version": "1.4.6",
        "X-BabySea-SDK-Runtime": "unknown",
        "User-Agent": "babysea-node/1.4.6 (node/20.11.1)",
    }

    response = await generate(http, customer, headers=telemetry)

    assert response.status_code == 200
