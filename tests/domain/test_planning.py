"""Catalogue and ask to a request that is ready to run."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest

from domain.errors import InvalidInput, ModelNotFound, ProviderPaused, ProviderUnavailable, UnsupportedProviderOrder
from domain.generation import Delivery, GenerationRequest, MediaType
from domain.model import PriceBook, Rates
from domain.planning import plan_generation
from tests.support.catalog import CATALOG, MODELS, minimal_body, with_rule

ADMIT_BY = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


def plan(model: str = "bfl/flux-schnell", available: frozenset[str] = frozenset({"replicate", "fal"}), **asked: Any):
    catalog = asked.pop("catalog", CATALOG)
    media_type = asked.pop("media_type", MediaType.IMAGE)
    replay_of = asked.pop("replay_of", None)
    paused = asked.pop("paused", frozenset())
    return plan_generation(
        catalog,
        account_id="account",
        api_key_id="key",
        region="us",
        model_identifier=model,
        media_type=media_type,
        body=({"generation_prompt": "a boat"} if catalog.model(model).prompt else {}) | asked,
        available_providers=available,
        generation_id="00000000-0000-4000-8000-000000000001",
        admit_by=ADMIT_BY,
        deadlines={MediaType.IMAGE: 600, MediaType.VIDEO: 1800},
        replay_of=replay_of,
        paused_providers=paused,
    )


def test_an_image_is_planned():
    request = plan(generation_ratio="16:9")

    assert (request.model, request.media_type, request.region) == ("bfl/flux-schnell", MediaType.IMAGE, "us")
    assert (request.account_id, request.api_key_id, request.replay_of) == ("account", "key", None)
    assert (request.quote_microcredits, request.price_version) == (5_000, "bfl/flux-schnell@1")
    assert (request.output_count, request.output_format, request.deadline_s) == (1, "png", 600)
    assert request.params["generation_ratio"] == "16:9"
    assert request.provider_order == ["replicate", "fal"]
    assert [candidate.cost_microcredits for candidate in request.candidates] == [3_000, 3_000]
    assert request.candidates[1].native_model == "fal-ai/flux/schnell"
    assert request.candidates[1].native_input["image_size"] == "landscape_16_9"


def test_a_video_that_is_polled_is_planned():
    request = plan("pixverse/v5", media_type=MediaType.VIDEO, generation_duration=5)

    assert (request.quote_microcredits, request.deadline_s, request.output_format) == (200_000, 1800, "mp4")
    assert {candidate.delivery for candidate in request.candidates} == {Delivery.POLLING}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_the_same_ask_gives_the_same_request_through_json(model: Any):
    asked = minimal_body(model) | {"media_type": model.media_type, "available": frozenset(CATALOG.providers)}

    first, again = plan(model.identifier, **asked), plan(model.identifier, **asked)

    assert first == again
    assert json.loads(json.dumps(dataclasses.asdict(first))) == dataclasses.asdict(first)


def test_a_replay_says_of_what():
    assert plan(replay_of="an older one").replay_of == "an older one"


@pytest.mark.parametrize(
    ("order", "available", "candidates"),
    [
        pytest.param("fastest", {"replicate", "fal"}, ["replicate", "fal"], id="fastest"),
        pytest.param("fal, replicate", {"replicate", "fal"}, ["fal", "replicate"], id="as asked"),
        pytest.param("fal", {"replicate", "fal"}, ["fal"], id="one only"),
        pytest.param("fastest", {"fal"}, ["fal"], id="those with a key"),
        pytest.param("fal, replicate", {"replicate", "bfl"}, ["replicate"], id="the rest of the order"),
    ],
)
def test_the_candidates_follow_the_order(order: str, available: set[str], candidates: list[str]):
    assert plan(available=frozenset(available), generation_provider_order=order).provider_order == candidates


def test_a_provider_that_cannot_honour_the_ask_is_skipped():
    assert plan(generation_output_format="webp").provider_order == ["replicate"]


def taking_one_file(provider: str) -> Any:
    """The catalogue, but one of the two providers of this model takes a single file."""
    model = CATALOG.model("google/nano-banana")
    entries = tuple(
        with_rule(entry, "generation_input_file", items_max=1) if entry.provider == provider else entry
        for entry in model.providers
    )
    narrow = dataclasses.replace(model, providers=entries)
    return dataclasses.replace(CATALOG, models=MappingProxyType({model.identifier: narrow}))


A_FILE = "https://files.example.com/a.png"


@pytest.mark.parametrize(("count", "candidates"), [(1, ["replicate", "fal"]), (2, ["replicate"])])
def test_a_provider_that_does_not_take_as_many_files_is_skipped(count: int, candidates: list[str]):
    request = plan("google/nano-banana", catalog=taking_one_file("fal"), generation_input_file=[A_FILE] * count)

    assert request.provider_order == candidates


def test_when_no_provider_that_is_left_takes_as_many_files_the_field_is_named():
    with pytest.raises(InvalidInput) as caught:
        plan(
            "google/nano-banana",
            catalog=taking_one_file("fal"),
            generation_provider_order="fal",
            generation_input_file=[A_FILE] * 2,
        )

    assert caught.value.details["problems"] == [
        {
            "path": "/generation_input_file",
            "code": "not_available_here",
            "message": "This generation_input_file is not available from fal.",
        }
    ]


@pytest.mark.parametrize(("available", "order"), [(set(), "fastest"), ({"replicate"}, "fal"), ({"bfl"}, "fastest")])
def test_without_a_key_for_any_provider_of_the_order_nothing_is_planned(available: set[str], order: str):
    with pytest.raises(ProviderUnavailable) as caught:
        plan(available=frozenset(available), generation_provider_order=order)

    assert caught.value.code == "BSE4004"
    named = ["replicate", "fal", "cloudflare"] if order == "fastest" else [order]
    assert [(one.provider, one.code) for one in caught.value.provider_errors] == [(name, "BSE4004") for name in named]


def test_a_paused_provider_is_passed_over():
    assert plan(paused={"replicate"}).provider_order == ["fal"]


@pytest.mark.parametrize(
    ("paused", "available", "order", "codes"),
    [
        pytest.param({"replicate", "fal"}, {"replicate", "fal"}, "fal, replicate", ["BSE4007", "BSE4007"], id="all"),
        pytest.param({"fal"}, {"replicate", "fal"}, "fal", ["BSE4007"], id="the only one that was asked for"),
        pytest.param({"fal"}, {"fal"}, "fastest", ["BSE4004", "BSE4007", "BSE4004"], id="one with a key"),
    ],
)
def test_when_all_that_could_do_it_are_paused_each_is_named(
    paused: set[str], available: set[str], order: str, codes: list[str]
):
    with pytest.raises(ProviderPaused) as caught:
        plan(paused=paused, available=frozenset(available), generation_provider_order=order)

    assert (caught.value.code, caught.value.retryable) == ("BSE4007", False)
    assert [one.code for one in caught.value.provider_errors] == codes


def test_a_pause_of_a_provider_without_a_key_changes_nothing():
    with pytest.raises(ProviderUnavailable):
        plan(paused={"fal"}, available=frozenset({"bfl"}), generation_provider_order="fal")


@pytest.mark.parametrize(("available", "order"), [({"fal"}, "fastest"), ({"replicate", "fal"}, "fal")])
def test_when_no_provider_that_is_left_can_honour_the_ask_the_field_is_named(available: set[str], order: str):
    with pytest.raises(InvalidInput) as caught:
        plan(available=frozenset(available), generation_provider_order=order, generation_output_format="webp")

    assert caught.value.details["field"] == "generation_output_format"
    assert caught.value.details["problems"] == [
        {
            "path": "/generation_output_format",
            "code": "not_available_here",
            "message": "This generation_output_format is not available from fal.",
            "allowed": ["png", "jpg"],
        }
    ]


@pytest.mark.parametrize(
    ("identifier", "suggestion"),
    [
        ("bfl/flux-schnel", "bfl/flux-schnell"),
        ("BFL/FLUX-SCHNELL", None),
        ("", None),
        pytest.param("x" * 100_000, None, id="100,000 characters"),
    ],
)
def test_an_unknown_model_is_not_found(identifier: str, suggestion: str | None):
    with pytest.raises(ModelNotFound) as caught:
        plan(identifier)

    assert caught.value.details.get("suggestion") == suggestion


def test_a_slash_at_the_end_of_an_identifier_is_ignored():
    assert plan("bfl/flux-schnell/").model == "bfl/flux-schnell"


def test_the_callers_mistakes_come_before_the_lack_of_providers():
    with pytest.raises(UnsupportedProviderOrder):
        plan(available=frozenset(), generation_provider_order="openai")


def test_the_price_of_the_day_is_quoted():
    model = CATALOG.model("bfl/flux-schnell")
    old = model.prices.entries[0]
    later = dataclasses.replace(
        old, version="bfl/flux-schnell@2", effective=date(2026, 11, 21), rates=Rates(flat_microcredits=9_000)
    )
    changed = dataclasses.replace(model, prices=PriceBook((old, later)))
    catalog = dataclasses.replace(CATALOG, models=MappingProxyType({model.identifier: changed}))

    request: GenerationRequest = plan(catalog=catalog)

    assert (request.quote_microcredits, request.price_version) == (5_000, "bfl/flux-schnell@1")
