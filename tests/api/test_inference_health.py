"""Sections 10.13 and 10.14: how providers and models are, by real attempts, keys and pauses."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import samples
from api.schemas import GenerationAccepted, ModelsHealth, ProvidersHealth, Success
from catalog.loader import load_catalog
from domain.generation import AttemptState, attempt_id
from settings import Settings
from store import attempts, generations, paused_providers
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer, generate, reaching, serving
from tests.api.reading import data_of, error_of
from tests.store.builders import a_failure, a_processing, success

CATALOGUE = load_catalog()
PROVIDERS = sorted(CATALOGUE.providers)
PROVIDERS_PATH, MODELS_PATH = "/v1/health/inference/providers", "/v1/health/inference/models"


@dataclass(frozen=True)
class Journal:
    """Attempts at replicate, as they are when they ended; what other tests left is put out of the window."""

    pool: Pool
    account_id: str

    async def clear(self) -> None:
        async with single(self.pool) as conn:
            await conn.execute("UPDATE store.attempts SET begun_at = begun_at - interval '1 day'")

    async def ended(self, words: str, *, ago: timedelta = timedelta(seconds=5)) -> None:
        """`F` failed, `S` was used, `C` is the customer's fault."""
        async with single(self.pool) as conn:
            for word in words:
                request = await a_processing(conn, self.account_id)
                attempt = attempt_id(request.generation_id, 1)
                if word == "S":
                    await generations.finish(conn, success(request))
                else:
                    fault = replace(a_failure(), fault="customer" if word == "C" else "provider")
                    await attempts.close(conn, attempt, AttemptState.FAILED, failure=fault)
                await conn.execute(
                    "UPDATE store.attempts SET ended_at = now() - %s WHERE attempt_id = %s", [ago, attempt]
                )


@pytest.fixture
async def journal(pool: Pool, customer: Customer) -> Journal:
    journal = Journal(pool, customer.account_id)
    await journal.clear()
    return journal


async def providers(http: httpx.AsyncClient, customer: Customer) -> dict[str, Any]:
    return data_of(await http.get(PROVIDERS_PATH, headers=customer.auth), ProvidersHealth)


async def replicate_of(http: httpx.AsyncClient, customer: Customer) -> dict[str, Any]:
    data = await providers(http, customer)
    return next(each for each in data["providers"] if each["provider"] == "replicate")


async def test_10_13_without_attempts_every_provider_of_the_library_is_unknown(
    http: httpx.AsyncClient, customer: Customer, journal: Journal
):
    assert await providers(http, customer) == {
        "service": "providers",
        "healthy": True,
        "providers_total": len(PROVIDERS),
        "providers": [
            {
                "provider": provider,
                "status": "unknown",
                "failure_rate": 0.0,
                "window": {"total_attempts": 0, "failures": 0, "successes": 0, "duration_seconds": 300},
            }
            for provider in PROVIDERS
        ],
    }


@pytest.mark.parametrize(
    ("words", "status", "rate", "failures", "successes"),
    [
        ("S", "healthy", 0.0, 0, 1),
        ("FFFF", "healthy", 1.0, 4, 0),
        ("FFFSS", "degraded", 0.6, 3, 2),
        ("FFSSS", "healthy", 0.4, 2, 3),
        ("FSS", "healthy", 0.3333, 1, 2),
        ("CCCCCCS", "healthy", 0.0, 0, 1),
    ],
)
async def test_10_13_a_provider_is_what_its_attempts_of_the_last_five_minutes_say(
    http: httpx.AsyncClient,
    customer: Customer,
    journal: Journal,
    words: str,
    status: str,
    rate: float,
    failures: int,
    successes: int,
):
    await journal.ended(words)

    data = await providers(http, customer)

    replicate = next(each for each in data["providers"] if each["provider"] == "replicate")
    assert replicate == {
        "provider": "replicate",
        "status": status,
        "failure_rate": rate,
        "window": {
            "total_attempts": failures + successes,
            "failures": failures,
            "successes": successes,
            "duration_seconds": 300,
        },
    }
    assert data["healthy"] is (status != "degraded")
    assert [each["status"] for each in data["providers"] if each["provider"] != "replicate"] == ["unknown"] * (
        len(PROVIDERS) - 1
    )


async def test_10_13_half_a_minute_later_it_is_recovering_and_two_successes_heal_it(
    http: httpx.AsyncClient, customer: Customer, journal: Journal
):
    await journal.ended("FFFFF", ago=timedelta(seconds=60))
    statuses = [await replicate_of(http, customer)]
    await journal.ended("S")
    statuses.append(await replicate_of(http, customer))
    await journal.ended("S")
    statuses.append(await replicate_of(http, customer))

    assert [each["status"] for each in statuses] == ["recovering", "recovering", "healthy"]
    assert [each["window"]["total_attempts"] for each in statuses] == [5, 6, 7]


async def test_10_13_a_recovering_provider_is_not_an_unhealthy_service(
    http: httpx.AsyncClient, customer: Customer, journal: Journal
):
    await journal.ended("FFFFF", ago=timedelta(seconds=60))

    assert (await providers(http, customer))["healthy"] is True


async def test_10_13_what_is_older_than_the_window_is_not_counted(
    http: httpx.AsyncClient, customer: Customer, journal: Journal
):
    await journal.ended("FFFFF", ago=timedelta(seconds=301))

    assert (await replicate_of(http, customer))["status"] == "unknown"


async def models(http: httpx.AsyncClient, customer: Customer) -> dict[str, Any]:
    return data_of(await http.get(MODELS_PATH, headers=customer.auth), ModelsHealth)


async def test_10_14_every_model_says_which_providers_can_serve_it(http: httpx.AsyncClient, customer: Customer):
    data = await models(http, customer)

    offered = list(CATALOGUE.on(datetime.now(UTC).date()).models)
    assert (data["service"], data["healthy"]) == ("models", False)  # some are hosted only where there is no key here
    assert data["models_total"] == len(offered)
    assert [each["model_identifier"] for each in data["models"]] == offered
    schnell = next(each for each in data["models"] if each["model_identifier"] == "bfl/flux-schnell")
    assert schnell == {
        "model_identifier": "bfl/flux-schnell",
        "model_type": "image",
        "model_pricing": 0.005,
        "providers": {
            "replicate": {"available": True, "raw_model_id": "black-forest-labs/flux-schnell"},
            "fal": {"available": True, "raw_model_id": "fal-ai/flux/schnell"},
            "cloudflare": {"available": False, "raw_model_id": "@cf/black-forest-labs/flux-1-schnell"},
        },
    }


async def test_10_14_a_tiered_price_is_the_cheapest_tier(http: httpx.AsyncClient, customer: Customer):
    data = await models(http, customer)
    library = (await http.get("/v1/library/models", headers=customer.auth)).json()["data"]["models"]
    prices = {each["model_identifier"]: each["model_pricing"] for each in library}

    tiered = {name for name, price in prices.items() if isinstance(price, dict)}
    assert tiered
    for each in data["models"]:
        price = prices[each["model_identifier"]]
        assert each["model_pricing"] == (min(price.values()) if isinstance(price, dict) else price)


async def test_10_14_an_open_breaker_makes_a_provider_the_last_choice_and_not_unavailable(
    http: httpx.AsyncClient, customer: Customer, journal: Journal
):
    await journal.ended("FFFFF")

    data = await models(http, customer)

    available = {(name, one["available"]) for each in data["models"] for name, one in each["providers"].items()}
    assert {("replicate", True), ("fal", True)} <= available
    assert not {("replicate", False), ("fal", False)} & available


async def test_10_13_an_open_breaker_moves_a_provider_to_the_end_of_the_order(
    settings: Settings, customer: Customer, journal: Journal
):
    await journal.ended("FFFFF")  # of replicate, which is tried before fal

    async with serving(settings.model_copy(update={"breakers_reorder": True})) as http:
        left_to_us = await generate(http, customer, generation_provider_order="fastest")
        named = await generate(http, customer, generation_provider_order="replicate, fal")

    assert data_of(left_to_us, GenerationAccepted)["generation_provider_order"] == ["fal", "replicate"]
    assert data_of(named, GenerationAccepted)["generation_provider_order"] == ["replicate", "fal"]


async def test_10_14_a_provider_without_a_key_here_is_not_available(settings: Settings, customer: Customer):
    only_replicate = {"replicate": settings.providers["replicate"]}
    async with serving(settings.model_copy(update={"providers": only_replicate})) as http:
        data = await models(http, customer)

    for each in data["models"]:
        assert {name: one["available"] for name, one in each["providers"].items()} == {
            name: name == "replicate" for name in CATALOGUE.models[each["model_identifier"]].provider_names
        }


@pytest.fixture
async def everything_paused(pool: Pool) -> AsyncIterator[None]:
    async with single(pool) as conn:
        for provider in PROVIDERS:
            await paused_providers.pause(conn, provider, paused_by="a test", reason=None)
    yield
    async with single(pool) as conn:
        for provider in PROVIDERS:
            await paused_providers.resume(conn, provider)


async def test_10_14_a_model_without_an_available_provider_is_not_healthy(
    settings_app: FastAPI, customer: Customer, everything_paused: None
):
    async with reaching(settings_app, "127.0.0.1") as http:
        data = await models(http, customer)

    assert data["healthy"] is False
    assert not any(provider["available"] for each in data["models"] for provider in each["providers"].values())


@pytest.mark.parametrize("path", [PROVIDERS_PATH, MODELS_PATH, "/v1/health/storage", "/v1/health/cache"])
async def test_3_3_health_needs_a_key_with_its_scope(http: httpx.AsyncClient, new_customer: NewCustomer, path: str):
    answers = {
        preset: await http.get(path, headers=(await new_customer(scopes=(preset,))).auth)
        for preset in ("monitor_only", "read_only", "full_access", "generate_only")
    }

    assert [answers[preset].status_code for preset in ("monitor_only", "read_only", "full_access")] == [200] * 3
    assert error_of(answers["generate_only"]) == (403, "BSE1003")
    assert error_of(await http.get(path)) == (401, "BSE1001")
    assert error_of(await http.post(path, headers=(await new_customer()).auth)) == (405, "BSE3005")


@pytest.mark.parametrize(
    ("sample", "shape"), [(samples.PROVIDERS_HEALTH, ProvidersHealth), (samples.MODELS_HEALTH, ModelsHealth)]
)
def test_10_13_the_samples_have_the_published_shape(sample: dict[str, Any], shape: Any):
    Success[shape].model_validate(sample)
    assert uuid.UUID(sample["request_id"].removeprefix("req_"))
