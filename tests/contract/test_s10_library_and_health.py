"""Sections 10.11 to 10.15: the library and the health of everything, member by member."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from catalog.loader import load_catalog
from domain.model import Model
from tests.api.conftest import Customer

SCHEMA = {
    "generation_prompt",
    "generation_ratio",
    "generation_output_format",
    "generation_output_number",
    "generation_input_file",
}
VIDEO_ONLY = {"generation_duration"}
PRICED_BY = {"generation_resolution", "generation_generate_audio"}


async def data_at(http: httpx.AsyncClient, customer: Customer, path: str) -> dict[str, Any]:
    response = await http.get(path, headers=customer.auth)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


async def test_10_11_the_providers_have_exactly_these_members(http: httpx.AsyncClient, customer: Customer):
    data = await data_at(http, customer, "/v1/library/providers")

    assert set(data) == {"providers", "providers_total"}
    assert data["providers_total"] == len(data["providers"]) == len(load_catalog().providers)
    for provider in data["providers"]:
        assert set(provider) == {
            "provider_id",
            "provider_name",
            "provider_description",
            "provider_website",
            "provider_docs",
            "provider_status",
            "babysea_implementation",
        }
        assert provider["provider_status"] in {"active", "beta", "paused", "unavailable"}
        implementation = provider["babysea_implementation"]
        assert set(implementation) == {
            "delivery_method",
            "cancel_method",
            "webhook_verification",
            "error_mapping",
            "cost_tracking",
            "schema_conversion",
            "failover_strategy",
            "health_monitoring",
            "supported_media_types",
            "supported_models_total",
        }
        assert implementation["delivery_method"] in {"webhook_with_polling", "synchronous", "polling"}
        assert implementation["cancel_method"] in {"prediction_cancel_api", "queue_cancel_api", None}
        assert implementation["webhook_verification"] in {"hmac_sha256", "ed25519", None}
        assert set(implementation["supported_media_types"]) <= {"image", "video"}


async def test_10_12_the_models_have_exactly_these_members(http: httpx.AsyncClient, customer: Customer):
    data = await data_at(http, customer, "/v1/library/models")

    assert set(data) == {"models", "models_total"}
    assert data["models_total"] == len(data["models"]) == len(offered())
    for model in data["models"]:
        assert set(model) == {
            "model_type",
            "model_identifier",
            "model_pricing",
            "model_supported_provider",
            "schema",
            "specific_schema",
        }
        schema = set(model["schema"])
        assert schema >= SCHEMA
        if model["model_type"] == "video":
            assert VIDEO_ONLY <= schema <= SCHEMA | VIDEO_ONLY | PRICED_BY
        else:
            assert schema <= SCHEMA | {"generation_resolution"}
        assert isinstance(model["schema"]["generation_output_number"], int)
        assert isinstance(model["schema"]["generation_input_file"], bool)


def offered() -> Mapping[str, Model]:
    return load_catalog().on(datetime.now(UTC).date()).models


async def test_10_12_a_price_by_tier_names_its_tiers(http: httpx.AsyncClient, customer: Customer):
    models = (await data_at(http, customer, "/v1/library/models"))["models"]

    for model in models:
        pricing = model["model_pricing"]
        if not isinstance(pricing, dict):
            assert isinstance(pricing, int | float)
            continue
        resolutions = set(model["schema"]["generation_resolution"])
        audio = "generation_generate_audio" in model["schema"]
        tiers = {f"{name}_{kind}" for name in resolutions for kind in ("audio", "noaudio")} if audio else resolutions
        assert set(pricing) == tiers


async def test_10_13_the_health_of_the_providers_has_exactly_these_members(http: httpx.AsyncClient, customer: Customer):
    data = await data_at(http, customer, "/v1/health/inference/providers")

    assert set(data) == {"service", "healthy", "providers_total", "providers"}
    assert data["service"] == "providers"
    assert data["providers_total"] == len(data["providers"]) == len(load_catalog().providers)
    for provider in data["providers"]:
        assert set(provider) == {"provider", "status", "failure_rate", "window"}
        assert provider["status"] in {"healthy", "recovering", "degraded", "unknown"}
        assert 0 <= provider["failure_rate"] <= 1
        window = provider["window"]
        assert set(window) == {"total_attempts", "failures", "successes", "duration_seconds"}
        assert window["duration_seconds"] == 300
        assert window["total_attempts"] == window["failures"] + window["successes"]
    assert data["healthy"] is all(provider["status"] != "degraded" for provider in data["providers"])


async def test_10_14_the_health_of_the_models_has_exactly_these_members(http: httpx.AsyncClient, customer: Customer):
    data = await data_at(http, customer, "/v1/health/inference/models")

    assert set(data) == {"service", "healthy", "models_total", "models"}
    assert data["service"] == "models"
    assert data["models_total"] == len(data["models"]) == len(offered())
    for model in data["models"]:
        assert set(model) == {"model_identifier", "model_type", "model_pricing", "providers"}
        assert model["model_type"] in {"image", "video", "unknown"}
        assert isinstance(model["model_pricing"], int | float)
        for found in model["providers"].values():
            assert set(found) == {"available", "raw_model_id"}
            assert isinstance(found["available"], bool)
    served = [any(found["available"] for found in model["providers"].values()) for model in data["models"]]
    assert data["healthy"] is all(served)


async def test_10_14_a_price_by_tier_is_shown_as_its_cheapest(http: httpx.AsyncClient, customer: Customer):
    library = (await data_at(http, customer, "/v1/library/models"))["models"]
    health = (await data_at(http, customer, "/v1/health/inference/models"))["models"]

    cheapest = {
        model["model_identifier"]: min(model["model_pricing"].values())
        if isinstance(model["model_pricing"], dict)
        else model["model_pricing"]
        for model in library
    }
    assert {model["model_identifier"]: model["model_pricing"] for model in health} == cheapest


@pytest.mark.parametrize(
    ("path", "service", "members"),
    [
        ("/v1/health/storage", "storage", {"service", "healthy", "latency_ms", "bucket"}),
        ("/v1/health/cache", "redis", {"service", "healthy", "latency_ms"}),
    ],
)
async def test_10_15_a_probe_has_exactly_these_members_while_all_is_well(
    http: httpx.AsyncClient, customer: Customer, path: str, service: str, members: set[str]
):
    data = await data_at(http, customer, path)

    assert set(data) == members
    assert (data["service"], data["healthy"]) == (service, True)
    assert data["latency_ms"] >= 0
