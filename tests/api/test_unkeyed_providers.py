"""A provider without a key is shown as unavailable, is never routed to, and costs nobody anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.api.conftest import Customer, NewCustomer, generate, reaching
from tests.api.reading import error_of


@pytest.fixture
async def http(settings_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A deployment that has a key for replicate alone."""
    settings_app.state.services = replace(settings_app.state.services, available_providers=frozenset({"replicate"}))
    async with reaching(settings_app, "127.0.0.1") as client:
        yield client


async def read(http: httpx.AsyncClient, customer: Customer, path: str) -> dict[str, Any]:
    answer = await http.get(path, headers=customer.auth)
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_the_library_says_so(http: httpx.AsyncClient, customer: Customer):
    providers = (await read(http, customer, "/v1/library/providers"))["providers"]

    states = {provider["provider_id"]: provider["provider_status"] for provider in providers}
    assert states.pop("replicate") == "active"
    assert set(states.values()) == {"unavailable"}


async def test_the_health_of_the_models_says_so(http: httpx.AsyncClient, customer: Customer):
    models = (await read(http, customer, "/v1/health/inference/models"))["models"]

    available = {name for model in models for name, at in model["providers"].items() if at["available"]}
    assert available == {"replicate"}


@pytest.mark.usefixtures("worker")
async def test_it_is_not_routed_to(http: httpx.AsyncClient, customer: Customer):
    created = await generate(http, customer, generation_provider_order="fal, replicate")

    assert created.json()["data"]["generation_provider_order"] == ["replicate"]


async def test_where_no_provider_is_left_nothing_is_reserved(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(credits=1_000_000)

    refused = await generate(http, customer, generation_provider_order="fal")

    assert error_of(refused) == (503, "BSE4004")
    error = refused.json()["error"]
    assert "available here" in error["message"]
    assert [(one["provider"], one["message"]) for one in error["provider_errors"]] == [
        ("fal", "This deployment has no key for fal.")
    ]
    assert (await read(http, customer, "/v1/content/list"))["generations"] == []
    balance = await read(http, customer, "/v1/estimate/bfl/flux-schnell")
    assert balance["credit_balance"] == 1.0
