"""What the record of a plan says: which providers, why not the others, and where each field went."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest
from temporalio.converter import DataConverter

from domain.decision import unable
from domain.generation import Decision, FieldsAt, GenerationRequest, MediaType, Skipped, SkipReason
from domain.mapping import CannotServe
from domain.model import Catalog
from domain.planning import plan_generation
from tests.support.catalog import A_FILE, CATALOG, MODELS, minimal_body, with_a_file

BOTH = frozenset({"replicate", "fal"})
ADMIT_BY = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
A_PROMPT = "a boat that nobody may read of"


def without(provider: str) -> Catalog:
    """The catalogue, but this provider does not offer the model any more."""
    model = CATALOG.model("bfl/flux-schnell")
    ended = {provider: date(2026, 1, 1)}
    entries = tuple(dataclasses.replace(one, retires_on=ended.get(one.provider)) for one in model.providers)
    left = dataclasses.replace(model, providers=entries)
    return dataclasses.replace(CATALOG, models=MappingProxyType({model.identifier: left}))


def planned(
    model: str = "bfl/flux-schnell", *, catalog: Catalog = CATALOG, body: dict[str, Any] | None = None, **asked: Any
) -> GenerationRequest:
    found = CATALOG.model(model)
    facts: dict[str, Any] = {"available_providers": BOTH, "paused_providers": frozenset()} | {
        name: asked.pop(name) for name in ("available_providers", "paused_providers", "open_breakers") if name in asked
    }
    return plan_generation(
        catalog,
        account_id="account",
        api_key_id="key",
        region="us",
        model_identifier=model,
        media_type=found.media_type,
        body={"generation_prompt": A_PROMPT} | asked if body is None else body,
        generation_id="00000000-0000-4000-8000-000000000001",
        admit_by=ADMIT_BY,
        deadlines={MediaType.IMAGE: 600, MediaType.VIDEO: 1800},
        **facts,
    )


def decided(*arguments: Any, **asked: Any) -> Decision:
    decision = planned(*arguments, **asked).decision
    assert decision is not None
    return decision


def at(decision: Decision, provider: str) -> FieldsAt:
    return next(one for one in decision.candidates if one.provider == provider)


def test_each_field_is_used_mapped_or_implied_at_each_candidate():
    decision = decided(generation_ratio="16:9", generation_provider_order="fastest")

    replicate, fal = at(decision, "replicate"), at(decision, "fal")
    assert replicate.used["generation_ratio"] == "aspect_ratio"
    assert fal.mapped["generation_ratio"] == "image_size"
    assert fal.used["generation_prompt"] == "prompt"
    assert decision.routing == ["generation_provider_order"]
    assert set(decision.defaulted) == {"generation_output_format", "generation_output_number"}


def test_what_is_not_sent_has_its_reason():
    body = {
        "generation_prompt": A_PROMPT,
        "generation_duration": 5,
        "generation_ratio": "16:9",
        "generation_input_file": [A_FILE],
    }
    decision = decided("pixverse/v5", body=body, available_providers=frozenset({"fal"}))

    assert "first frame" in at(decision, "fal").implied["generation_ratio"]


def test_candidates_carry_the_version_of_their_mapping():
    request = planned()

    assert request.decision is not None
    assert [one.mapping_version for one in request.decision.candidates] == [
        candidate.mapping_version for candidate in request.candidates
    ]


@pytest.mark.parametrize(
    ("asked", "skipped"),
    [
        pytest.param({}, [], id="none"),
        pytest.param(
            {"generation_output_format": "webp"},
            [Skipped("fal", SkipReason.CANNOT_SERVE, "generation_output_format", "webp")],
            id="it has not this value",
        ),
        pytest.param(
            {"available_providers": frozenset({"replicate"})}, [Skipped("fal", SkipReason.UNAVAILABLE)], id="no key"
        ),
        pytest.param({"paused_providers": {"replicate"}}, [Skipped("replicate", SkipReason.PAUSED)], id="paused"),
        pytest.param({"generation_provider_order": "fal"}, [], id="not asked for"),
        pytest.param({"catalog": without("fal")}, [Skipped("fal", SkipReason.RETIRED)], id="retired"),
        pytest.param(
            {"catalog": without("fal"), "generation_provider_order": "replicate"}, [], id="retired and not asked for"
        ),
    ],
)
def test_a_provider_that_is_no_candidate_is_skipped_for_a_reason(asked: dict[str, Any], skipped: list[Skipped]):
    known = [one for one in decided(**asked).skipped if one.provider in BOTH]

    assert known == skipped


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_nothing_that_the_customer_wrote_is_in_the_record(model: Any):
    body = with_a_file(model) if model.input_files_max else minimal_body(model)
    decision = decided(model.identifier, body=body, available_providers=frozenset(model.provider_names))

    text = json.dumps(dataclasses.asdict(decision))

    assert body.get("generation_prompt", A_PROMPT) not in text
    assert "://" not in text
    assert {name for one in decision.candidates for name in (*one.used, *one.mapped, *one.implied)} <= set(
        model.field_names
    )


@pytest.mark.parametrize(
    ("field", "asked", "shown"),
    [
        pytest.param("generation_output_number", 4, "4", id="a number"),
        pytest.param("generation_generate_audio", True, "true", id="a switch"),
        pytest.param("generation_ratio", "16:9", "16:9", id="one of a list"),
        pytest.param("generation_input_file", [A_FILE, A_FILE], "2 files", id="files"),
        pytest.param("generation_negative_prompt", A_PROMPT, None, id="the customer's words"),
        pytest.param("generation_input_file_last_content", A_FILE, None, id="an address"),
    ],
)
def test_what_was_asked_is_shown_where_it_is_not_the_customers_own(field: str, asked: Any, shown: str | None):
    skipped = unable(CATALOG.model("google/veo-3.1-fast"), {field: asked}, CannotServe("fal", field))

    assert skipped == Skipped("fal", SkipReason.CANNOT_SERVE, field, shown)


async def test_the_decision_is_the_same_on_the_other_side_of_the_engine():
    request = planned(generation_output_format="webp", available_providers=frozenset({"replicate", "fal", "bfl"}))

    payloads = await DataConverter.default.encode([request])

    assert await DataConverter.default.decode(payloads, [GenerationRequest]) == [request]


@pytest.mark.parametrize(
    ("order", "open_breakers", "tried", "demoted"),
    [
        ("fastest", {"replicate"}, ["fal", "replicate"], ["replicate"]),
        ("fastest", {"fal"}, ["replicate", "fal"], ["fal"]),
        ("fastest", {"replicate", "fal"}, ["replicate", "fal"], []),
        ("replicate, fal", {"replicate"}, ["replicate", "fal"], []),
    ],
)
def test_10_13_an_open_breaker_moves_a_provider_to_the_end_of_an_order_that_is_ours(
    order: str, open_breakers: set[str], tried: list[str], demoted: list[str]
):
    request = planned(generation_provider_order=order, open_breakers=open_breakers)

    assert request.provider_order == tried
    assert request.decision is not None
    assert request.decision.demoted == demoted
    assert [one.provider for one in request.decision.candidates] == tried
    assert not [one for one in request.decision.skipped if one.provider in BOTH]
