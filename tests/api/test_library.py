"""Sections 10.1, 10.5, 10.11 and 10.12: the key, the estimate and the library."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI

from api.schemas import Estimate, KeyStatus, LibraryModels, LibraryProviders
from tests.api.conftest import Customer, NewCustomer, generate, reaching
from tests.api.reading import data_of, error_of

ESTIMATE = "/v1/estimate/bfl/flux-schnell"


async def a_video(http: httpx.AsyncClient, customer: Customer) -> dict[str, object]:
    models = (await http.get("/v1/library/models", headers=customer.auth)).json()["data"]["models"]
    video: dict[str, object] = next(model for model in models if model["model_type"] == "video")
    return video


async def test_10_1_the_status_describes_the_key(http: httpx.AsyncClient, new_customer: NewCustomer):
    expires_at = datetime.now(UTC) + timedelta(days=1)
    customer = await new_customer(expires_at=expires_at)

    data = data_of(await http.get("/v1/status", headers=customer.auth), KeyStatus)

    assert data["account_id"] == customer.account_id
    assert data["apikey_id"] == customer.api_key_id
    assert data["apikey_name"] == "test key"
    assert data["apikey_prefix"] == customer.key[:9]
    assert datetime.fromisoformat(data["apikey_expires_at"]) - expires_at < timedelta(milliseconds=1)
    assert abs(datetime.fromisoformat(data["apikey_last_used_at"]).timestamp() - time.time()) < 5


async def test_10_1_a_key_without_an_end_has_null_there(http: httpx.AsyncClient, customer: Customer):
    data = data_of(await http.get("/v1/status", headers=customer.auth), KeyStatus)

    assert data["apikey_expires_at"] is None


async def test_10_5_an_estimate_is_what_a_generation_holds(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(credits=1_000_000)

    estimated = data_of(await http.get(ESTIMATE, headers=customer.auth), Estimate)
    await generate(http, customer)
    after = data_of(await http.get(ESTIMATE, headers=customer.auth), Estimate)

    assert estimated["credit_balance"] == 1.0
    assert estimated["cost_total_consumed"] > 0
    assert after["credit_balance"] == pytest.approx(1.0 - estimated["cost_total_consumed"])


@pytest.mark.parametrize(("query", "count"), [("", 1), ("?count=3", 3), ("?count=0", 1), ("?count=1000", 100)])
async def test_10_5_the_count_is_clamped(http: httpx.AsyncClient, customer: Customer, query: str, count: int):
    data = data_of(await http.get(f"{ESTIMATE}{query}", headers=customer.auth), Estimate)

    assert data["assets_count"] == count
    assert data["cost_total_consumed"] == pytest.approx(data["cost_per_generation"] * count)


async def test_10_5_an_empty_account_can_afford_nothing(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(credits=0)

    data = data_of(await http.get(ESTIMATE, headers=customer.auth), Estimate)

    assert (data["credit_balance"], data["credit_balance_can_afford"]) == (0, False)
    assert data["credit_balance_max_affordable"] == 0


async def test_10_5_the_estimate_is_given_without_the_balance_when_that_cannot_be_read(
    settings_app: FastAPI, customer: Customer
):
    async with reaching(settings_app, "127.0.0.1") as http:
        await http.get("/v1/status", headers=customer.auth)  # the key is remembered
        await settings_app.state.services.pool.close()
        data = data_of(await http.get(ESTIMATE, headers=customer.auth), Estimate)

    assert data["cost_total_consumed"] > 0
    assert data["credit_balance"] is None
    assert data["credit_balance_can_afford"] is None
    assert data["credit_balance_max_affordable"] is None


async def test_10_5_a_video_is_priced_by_the_second(http: httpx.AsyncClient, customer: Customer):
    video = await a_video(http, customer)
    schema = video["schema"]
    assert isinstance(schema, dict)
    duration = schema["generation_duration"][0]

    response = await http.get(f"/v1/estimate/{video['model_identifier']}?duration={duration}", headers=customer.auth)

    data = data_of(response, Estimate)
    assert data["model_type"] == "video"
    assert data["cost_per_generation"] > 0


@pytest.mark.parametrize(
    ("query", "status", "code", "field"),
    [
        ("", 400, "BSE2001", "duration"),
        ("?duration=soon", 400, "BSE2001", "duration"),
        ("?duration=100000", 422, "BSE2008", "duration"),
        ("?duration=5&count=many", 400, "BSE2001", "count"),
        ("?duration=5&audio=loud", 400, "BSE2001", "audio"),
    ],
)
async def test_10_5_a_query_that_cannot_be_priced_is_refused(
    http: httpx.AsyncClient, customer: Customer, query: str, status: int, code: str, field: str
):
    video = await a_video(http, customer)

    response = await http.get(f"/v1/estimate/{video['model_identifier']}{query}", headers=customer.auth)

    assert error_of(response) == (status, code)
    assert response.json()["error"]["details"]["field"] == field


async def test_10_5_an_unknown_model_has_no_price(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/estimate/bfl/Flux-Schnell", headers=customer.auth)

    assert error_of(response) == (404, "BSE2011")


async def test_10_11_the_providers_have_the_published_shape(http: httpx.AsyncClient, customer: Customer):
    data = data_of(await http.get("/v1/library/providers", headers=customer.auth), LibraryProviders)

    assert data["providers_total"] == len(data["providers"])
    assert {"fal", "replicate"} <= {provider["provider_id"] for provider in data["providers"]}


async def test_10_12_the_models_have_the_published_shape(http: httpx.AsyncClient, customer: Customer):
    data = data_of(await http.get("/v1/library/models", headers=customer.auth), LibraryModels)

    assert data["models_total"] == len(data["models"])
    assert "bfl/flux-schnell" in {model["model_identifier"] for model in data["models"]}
    assert all(isinstance(model["model_pricing"], int | float | dict) for model in data["models"])
