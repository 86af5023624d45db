"""The library as the public API shows it."""

from __future__ import annotations

import json
from datetime import date

import pytest

from catalog.views import (
    cheapest_price,
    estimate_view,
    health_model,
    health_models,
    library_model,
    library_models,
    library_provider,
    library_providers,
)
from domain.estimating import estimate
from tests.support.catalog import CATALOG, MODELS

FLUX = CATALOG.model("bfl/flux-schnell")
VEO = CATALOG.model("google/veo-3.1-fast")


def test_an_image_model_is_shown_without_the_fields_of_videos():
    assert library_model(FLUX) == {
        "model_type": "image",
        "model_identifier": "bfl/flux-schnell",
        "model_pricing": 0.005,
        "model_supported_provider": ["replicate", "fal", "cloudflare"],
        "schema": {
            "generation_prompt": True,
            "generation_ratio": ["1:1", "16:9", "9:16", "4:3", "3:4"],
            "generation_output_format": ["png", "jpg", "webp"],
            "generation_output_number": 1,
            "generation_input_file": False,
        },
        "specific_schema": ["generation_seed", "generation_num_inference_steps"],
    }


def test_a_video_model_is_shown_with_its_tiers():
    shown = library_model(VEO)

    assert shown["model_pricing"] == {
        "720p_audio": 0.15,
        "720p_noaudio": 0.1,
        "1080p_audio": 0.15,
        "1080p_noaudio": 0.1,
    }
    assert shown["schema"] == {
        "generation_prompt": True,
        "generation_ratio": ["16:9", "9:16"],
        "generation_output_format": ["mp4"],
        "generation_output_number": 1,
        "generation_input_file": True,
        "generation_duration": [4, 6, 8],
        "generation_resolution": ["720p", "1080p"],
        "generation_generate_audio": True,
    }
    assert shown["specific_schema"] == [
        "generation_input_file_last_content",
        "generation_seed",
        "generation_negative_prompt",
    ]


def test_resolutions_are_listed_where_they_have_prices_and_the_default_comes_first():
    """Section 10.12, and 10.6: clients take the first listed resolution for the default."""
    for model in CATALOG.models.values():
        shown = library_model(model)
        listed = shown["schema"].get("generation_resolution")

        assert (listed is not None) == isinstance(shown["model_pricing"], dict), model.identifier
        if listed is not None:
            assert listed[0] == model.default_resolution
            assert sorted(listed) == sorted(model.resolutions)


def test_the_models_that_accept_files_say_so():
    shown = {model["model_identifier"]: model["schema"] for model in library_models(CATALOG)["models"]}

    assert {name: schema["generation_input_file"] for name, schema in shown.items()} == {
        name: model.input_files_max > 0 for name, model in CATALOG.models.items()
    }
    assert shown["kling/v2.5-turbo-pro"]["generation_input_file"]
    assert not shown["bfl/flux-schnell"]["generation_input_file"]


def test_the_models_that_have_no_prompt_say_so():
    library = library_models(CATALOG)["models"]

    assert [model["model_identifier"] for model in library if not model["schema"]["generation_prompt"]] == [
        "runway/act-two",
        "wan/2.2-animate-mix",
        "wan/2.2-animate-move",
    ]


def test_a_sound_that_costs_nothing_is_an_option():
    """Section 10.12: the schema names what prices depend on; whatever else may be said is an extra field."""
    shown = library_model(CATALOG.model("bytedance/seedance-2.0"))

    assert "generation_generate_audio" not in shown["schema"]
    assert shown["specific_schema"] == ["generation_generate_audio", "generation_input_file_last_content"]


def test_a_provider_that_must_be_named_is_not_listed_among_those_of_the_default_order():
    nano = CATALOG.model("google/nano-banana")

    assert nano.provider_names == ("replicate", "fal", "runway")
    assert library_model(nano)["model_supported_provider"] == ["replicate", "fal"]


def test_a_model_without_a_price_is_shown_without_one():
    before_all_prices = date(2026, 10, 31)

    assert "model_pricing" not in library_model(FLUX, on=before_all_prices)
    assert "model_pricing" not in health_model(FLUX, {"fal"}, on=before_all_prices)


@pytest.mark.parametrize(("day", "listed"), [(date(2026, 11, 30), True), (date(2026, 12, 1), False)])
def test_a_model_is_listed_until_the_day_it_retires(day: date, listed: bool):
    for shown in (library_models(CATALOG, on=day), health_models(CATALOG, {"fal"}, on=day)):
        names = [model["model_identifier"] for model in shown["models"]]
        assert ("gpt/image-1.5" in names) is listed
        assert shown["models_total"] == len(names)


def test_the_library_lists_every_model_once():
    library = library_models(CATALOG)

    assert library["models_total"] == len(CATALOG.models)
    assert [model["model_identifier"] for model in library["models"]] == list(CATALOG.models)
    assert json.loads(json.dumps(library)) == library


def test_a_provider_is_shown_with_what_is_done_for_it():
    assert library_provider(CATALOG.providers["fal"], CATALOG) == {
        "provider_id": "fal",
        "provider_name": "fal",
        "provider_description": "Hosted media models of many labs behind one queue API.",
        "provider_website": "https://fal.ai",
        "provider_docs": "https://docs.fal.ai",
        "provider_status": "active",
        "babysea_implementation": {
            "delivery_method": "webhook_with_polling",
            "cancel_method": "queue_cancel_api",
            "webhook_verification": "ed25519",
            "error_mapping": "bse_error_codes",
            "cost_tracking": "per_generation_usd",
            "schema_conversion": "unified_to_native",
            "failover_strategy": "sequential_provider_chain",
            "health_monitoring": "circuit_breaker",
            "supported_media_types": ["image", "video"],
            "supported_models_total": sum("fal" in {at.provider for at in model.providers} for model in MODELS),
        },
    }


def test_the_providers_are_listed_by_id():
    library = library_providers(CATALOG)

    assert [provider["provider_id"] for provider in library["providers"]] == sorted(CATALOG.providers)
    assert library["providers_total"] == len(CATALOG.providers)


@pytest.mark.parametrize(("identifier", "price"), [("bfl/flux-schnell", 0.005), ("pixverse/v5", 0.03)])
def test_one_number_is_the_cheapest_tier(identifier: str, price: float):
    assert cheapest_price(CATALOG.model(identifier)) == price


def test_the_health_of_a_model_names_its_native_ids():
    assert health_model(FLUX, {"fal"}) == {
        "model_identifier": "bfl/flux-schnell",
        "model_type": "image",
        "model_pricing": 0.005,
        "providers": {
            "replicate": {"available": False, "raw_model_id": "black-forest-labs/flux-schnell"},
            "fal": {"available": True, "raw_model_id": "fal-ai/flux/schnell"},
            "cloudflare": {"available": False, "raw_model_id": "@cf/black-forest-labs/flux-1-schnell"},
        },
    }


def test_an_estimate_of_an_image_is_shown_beside_the_balance():
    assert estimate_view(estimate(FLUX, count=3), 10_000_000) == {
        "model_identifier": "bfl/flux-schnell",
        "model_type": "image",
        "assets_count": 3,
        "cost_per_generation": 0.005,
        "cost_total_consumed": 0.015,
        "credit_balance": 10.0,
        "credit_balance_can_afford": True,
        "credit_balance_max_affordable": 2000,
    }


def test_an_estimate_of_a_video_shows_its_rate():
    shown = estimate_view(estimate(VEO, count=2, duration=8, resolution="1080p", audio=True), 1_000_000)

    assert shown == {
        "model_identifier": "google/veo-3.1-fast",
        "model_type": "video",
        "assets_count": 2,
        "cost_per_second": 0.15,
        "duration_seconds": 8,
        "resolution": "1080p",
        "cost_per_generation": 1.2,
        "cost_total_consumed": 2.4,
        "credit_balance": 1.0,
        "credit_balance_can_afford": False,
        "credit_balance_max_affordable": 0,
    }


def test_without_a_tiered_price_no_resolution_is_shown():
    assert "resolution" not in estimate_view(estimate(CATALOG.model("kling/v2.5-turbo-pro"), duration=5), None)


def test_without_a_balance_its_fields_are_null():
    shown = estimate_view(estimate(FLUX), None)

    assert [shown[f"credit_balance{end}"] for end in ("", "_can_afford", "_max_affordable")] == [None, None, None]
