"""Section 1: the eighteen facts that break the published client if missed, one test each, mostly through its double."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from api import starting
from domain.errors import (
    ControlPlaneError,
    DatabaseUnavailable,
    EngineUnavailable,
    IdempotencyInProgress,
    InternalError,
    ProviderUnavailable,
)
from domain.signature import sign_webhook
from settings import ADMISSION_TIMEOUT_BELOW_S, Settings
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import (
    PROMPT,
    SCHNELL,
    Customer,
    NewCustomer,
    a_finished,
    a_running,
    reaching,
    serving,
)
from tests.support.sdk import TIMEOUT_S, ApiError, BabySea, GenerationFailed
from tests.support.staged_worker import StagedProvider

Sdk = Callable[[str], BabySea]
MODEL, PARAMS = "bfl/flux-schnell", {"generation_prompt": PROMPT, "generation_provider_order": "replicate"}
AMOUNT = re.compile(r"(^|_)(cost|balance|total|limit|offset|count|pricing|duration|latency|rate)(_|$)")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
READ_ROUTES = [
    "/v1/status",
    "/v1/usage",
    "/v1/user/account",
    "/v1/user/billing",
    "/v1/estimate/bfl/flux-schnell",
    "/v1/content/list",
    "/v1/library/providers",
    "/v1/library/models",
    "/v1/health/inference/providers",
    "/v1/health/inference/models",
    "/v1/health/storage",
    "/v1/health/cache",
]


def members(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every member of a JSON value, at any depth, with its name; those of a list have the list's."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from members(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, name)
    else:
        yield name, value


@pytest.mark.parametrize("base_url", ["http://testserver/babysea", "http://testserver/babysea//"])
async def test_1_1_the_base_url_may_have_a_path_prefix_and_slashes_at_its_end(
    app: FastAPI, customer: Customer, base_url: str
):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, root_path="/babysea")) as http:
        answer = await BabySea(customer.key, base_url=base_url, http=http).status()
        preflight = await http.options("http://testserver/babysea/v1/status")

    assert answer["data"]["account_id"] == customer.account_id
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")


async def test_1_2_a_model_identifier_is_not_escaped_and_may_have_three_segments(
    http: httpx.AsyncClient, sdk: Sdk, customer: Customer
):
    created = await sdk(customer.key).generate(MODEL, PARAMS)
    with pytest.raises(ApiError) as unknown:
        await sdk(customer.key).estimate("one/two/three", duration=8)

    assert created["data"]["model_identifier"] == MODEL
    assert unknown.value.code == "BSE2011"


async def test_1_3_the_list_is_not_taken_for_a_generation_id(sdk: Sdk, customer: Customer):
    answer = await sdk(customer.key).list()

    assert isinstance(answer["data"]["generations"], list)


async def test_1_4_every_success_has_a_json_body_a_cancel_and_a_delete_included(
    sdk: Sdk, http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    client = sdk(customer.key)
    generation_id = await a_running(http, customer, replicate)

    canceled, deleted = await client.cancel(generation_id), await client.delete(generation_id)

    assert canceled["data"]["generation_status"] == "canceled"
    assert deleted["data"]["generation_id"] == generation_id
    for path in READ_ROUTES:
        response = await http.get(path, headers=customer.auth)
        assert (response.status_code, response.json()["status"]) == (200, "success"), path


async def test_1_5_a_cancel_arrives_with_an_empty_body_and_no_content_type(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)

    response = await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    assert response.request.headers["Content-Length"] == "0"
    assert "Content-Type" not in response.request.headers
    assert response.status_code == 200


@pytest.mark.parametrize(
    "failure", [InternalError, DatabaseUnavailable, EngineUnavailable, ProviderUnavailable, IdempotencyInProgress]
)
async def test_1_6_every_error_that_may_be_repeated_has_the_rate_limit_beside_whole_seconds(
    settings_app: FastAPI, failure: type[ControlPlaneError]
):
    async def fails() -> None:
        raise failure("Not now.", retry_after=starting.engine_unanswered().retry_after)

    settings_app.add_api_route("/v1/failing", fails)
    async with reaching(settings_app, "127.0.0.1") as http:
        response = await http.get("/v1/failing")

    assert response.json()["error"]["retryable"] is True
    assert re.fullmatch(r"[1-9]\d*", response.headers["Retry-After"])
    for name in ("Limit", "Remaining", "Reset"):
        assert re.fullmatch(r"\d+", response.headers[f"X-RateLimit-{name}"])


async def test_1_7_a_refusal_that_may_be_repeated_leaves_nothing_running_and_nothing_held(
    settings_app: FastAPI, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()
    settings_app.state.services = replace(settings_app.state.services, available_providers=frozenset())

    async def no_pause(_: float) -> None: ...

    async with reaching(settings_app, "127.0.0.1") as http:
        client = BabySea(customer.key, base_url="http://testserver", http=http, pause=no_pause)
        with pytest.raises(ApiError) as refused:
            await client.generate(MODEL, PARAMS)
        listed = await client.list()

    assert refused.value.retryable is True
    assert len(client.pauses) == 2  # a POST without a key is repeated all the same
    assert listed["total"] == 0
    async with single(pool) as conn:
        assert (await ledger.balance(conn, customer.account_id)).held == 0


def test_1_8_a_create_is_answered_well_inside_the_clients_thirty_seconds():
    slowest_s = ADMISSION_TIMEOUT_BELOW_S + starting.ABANDON_WITHIN_S

    assert slowest_s <= TIMEOUT_S
    assert Settings.model_fields["admission_timeout_s"].default <= TIMEOUT_S / 2


async def test_1_9_a_create_has_no_generation_status(sdk: Sdk, customer: Customer):
    created = await sdk(customer.key).generate(MODEL, PARAMS)

    assert "generation_status" not in created["data"]


async def test_1_10_the_prediction_id_of_a_create_is_a_string(sdk: Sdk, customer: Customer):
    created = await sdk(customer.key).generate(MODEL, PARAMS)

    assert created["data"]["generation_prediction_id"]
    assert isinstance(created["data"]["generation_prediction_id"], str)


async def test_1_11_the_pagination_is_beside_the_data_not_in_it(sdk: Sdk, customer: Customer):
    answer = await sdk(customer.key).list(limit=1)

    assert set(answer) == {"status", "request_id", "message", "timestamp", "total", "limit", "offset", "data"}
    assert set(answer["data"]) == {"generations"}


async def test_1_12_a_replay_is_recognised_by_its_header(sdk: Sdk, customer: Customer):
    client = sdk(customer.key)

    first = await client.generate(MODEL, PARAMS, idempotency_key="fact-12")
    again = await client.generate(MODEL, PARAMS, idempotency_key="fact-12")

    assert "idempotency_replayed" not in first
    assert again.pop("idempotency_replayed") is True
    assert again == first


async def test_1_13_output_addresses_are_https_where_the_api_is(
    settings: Settings, http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)

    async with serving(settings.model_copy(update={"public_url": "https://api.example.com"})) as secure:
        response = await secure.get(f"/v1/content/{generation_id}", headers=customer.auth)

    (url,) = response.json()["data"]["generation_output_file"]
    assert url.startswith("https://api.example.com/")


async def test_1_14_amounts_are_numbers_and_times_have_milliseconds_and_a_z(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)
    seen = []
    for path in [*READ_ROUTES, f"/v1/content/{generation_id}", "/v1/estimate/pixverse/v5?duration=5"]:
        seen += members((await http.get(path, headers=customer.auth)).json())

    times = [(name, value) for name, value in seen if name.endswith("_at") or name == "timestamp"]
    amounts = [
        (name, value) for name, value in seen if AMOUNT.search(name) and not name.endswith(("_tracking", "can_afford"))
    ]

    assert times
    assert amounts
    assert not [(name, value) for name, value in times if value is not None and not TIMESTAMP.fullmatch(value)]
    assert not [(name, value) for name, value in amounts if isinstance(value, str | bool)]


def test_1_15_a_webhook_signature_has_no_space_and_one_lower_case_v1():
    secret = "whsec_t3stVect0rT3stVect0rT3stVect0r"
    body = (
        b'{"webhook_event":"webhook.test","webhook_timestamp":"2026-01-01T00:00:00.000Z",'
        b'"webhook_delivery_id":"5f0c1b9e-3a52-4a5e-9c0d-2b7f6a1d8e34","webhook_data":'
        b'{"account_id":"7b0c2f4e-8d1a-4c3b-9e5f-6a7d8c9b0e1f","model_identifier":"bfl/flux-schnell",'
        b'"generation_status":"succeeded","generation_id":"00000000-0000-0000-0000-000000000000"}}'
    )

    header = sign_webhook(secret, body, 1767225600)

    assert header == "t=1767225600,v1=f6ffa484322ea6e18d01f7b02acfc9609b7b7aacf2ca600d69308c996e6b972d"


async def test_1_16_a_generation_can_be_read_right_after_its_create(sdk: Sdk, customer: Customer):
    client = sdk(customer.key)
    created = await client.generate(MODEL, PARAMS)

    read = await client.get(created["data"]["generation_id"])

    assert read["data"]["generation_status"] in {"pending", "processing"}


async def test_1_17_a_browser_may_send_the_headers_of_the_sdk(http: httpx.AsyncClient):
    asked = "authorization,content-type,accept,idempotency-key,x-babysea-sdk-name,x-babysea-sdk-version"
    preflight = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }

    response = await http.options(SCHNELL, headers=preflight)

    allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(asked.split(",")) <= set(allowed)
    assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_1_18_the_wait_raises_with_the_error_and_its_code(
    sdk: Sdk, customer: Customer, http: httpx.AsyncClient, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)
    await sdk(customer.key).cancel(generation_id)

    with pytest.raises(GenerationFailed) as ended:
        await sdk(customer.key).wait(generation_id)

    assert ended.value.generation["generation_status"] == "canceled"
    assert ended.value.code is None


async def test_an_unknown_generation_ends_the_wait_at_once(sdk: Sdk, customer: Customer):
    client = sdk(customer.key)

    with pytest.raises(ApiError) as missing:
        await client.wait("0d9c4f3e-6b1a-4c57-9e20-5a8f7d1c2b34")

    assert (missing.value.code, client.pauses) == ("BSE3001", [])
