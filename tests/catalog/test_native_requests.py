"""What every model becomes at every provider."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import pytest

from domain.fields import DURATION, RESOLUTION, values_of
from domain.mapping import CannotServe, NativeRequest, compile_native
from domain.model import Model, ProviderEntry
from domain.normalization import normalize
from sandbox.registry import accepts
from tests.support.catalog import (
    CATALOG,
    GOLDEN,
    MODELS,
    REVIEWED,
    every_body,
    golden_file,
    minimal_body,
    native_requests,
)

# The first field of an ask that a provider of a model cannot serve although another can.
NARROWER = {
    ("bfl/flux-2-dev", "cloudflare", "generation_output_format"),
    ("bfl/flux-2-klein-4b", "cloudflare", "generation_output_format"),
    ("bfl/flux-2-klein-4b", "cloudflare", "generation_resolution"),
    ("bfl/flux-2-klein-4b", "fal", "generation_resolution"),
    ("bfl/flux-2-klein-9b", "cloudflare", "generation_output_format"),
    ("bfl/flux-2-klein-9b", "cloudflare", "generation_resolution"),
    ("bfl/flux-2-klein-9b", "fal", "generation_resolution"),
    ("bfl/flux-schnell", "cloudflare", "generation_output_format"),
    ("bfl/flux-schnell", "cloudflare", "generation_ratio"),
    ("bfl/flux-schnell", "fal", "generation_output_format"),
    ("bytedance/sdxl-lightning", "cloudflare", "generation_output_format"),
    ("bytedance/sdxl-lightning", "replicate", "generation_output_format"),
    ("bytedance/seedance-1.5-pro", "replicate", "generation_resolution"),
    ("bytedance/seedance-2.0", "fal", "generation_resolution"),
    ("bytedance/seedance-2.0", "replicate", "generation_resolution"),
    ("bytedance/seedream-4", "fal", "generation_ratio"),
    ("bytedance/seedream-5-lite", "fal", "generation_output_format"),
    ("bytedance/seedream-5-lite", "runway", "generation_input_file"),
    ("google/nano-banana", "runway", "generation_output_format"),
    ("google/nano-banana-pro", "runway", "generation_moderation"),
    ("google/nano-banana-pro", "runway", "generation_output_format"),
    ("google/veo-3", "runway", "generation_duration"),
    ("google/veo-3", "runway", "generation_generate_audio"),
    ("google/veo-3.1", "runway", "generation_seed"),
    ("google/veo-3.1-fast", "runway", "generation_seed"),
    ("happyhorse/1.0-i2v", "runway", "generation_seed"),
    ("happyhorse/1.0-t2v", "runway", "generation_seed"),
    ("runway/gen-4.5", "runway", "generation_ratio"),
    ("stability/sdxl", "cloudflare", "generation_output_format"),
    ("stability/sdxl", "replicate", "generation_output_format"),
}


def compiled(model: Model, entry: ProviderEntry, body: dict[str, object]) -> NativeRequest | str:
    """The request, or the field that the provider cannot serve."""
    try:
        return compile_native(entry, normalize(model, model.media_type, body))
    except CannotServe as cannot:
        return cannot.field


@pytest.mark.parametrize("model", REVIEWED, ids=lambda model: model.identifier)
def test_the_native_requests_are_those_that_were_reviewed(model: Model):
    assert native_requests(model) == json.loads(golden_file(model).read_text("utf-8"))


def test_every_reviewed_request_is_of_a_model_that_is_there():
    assert set(GOLDEN.iterdir()) == set(map(golden_file, REVIEWED))
    assert len(REVIEWED) >= 30


def test_the_reviewed_models_use_every_provider():
    reviewed = {(entry.provider, model.media_type) for model in REVIEWED for entry in model.providers}
    used = {(entry.provider, model.media_type) for model in MODELS for entry in model.providers}

    assert reviewed == used, "Have one model of each reviewed: CONTRIBUTING, 'Add a model'."


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_the_simulated_providers_take_every_value_of_every_field(model: Model):
    for body, entry in itertools.product(every_body(model), model.providers):
        native = compiled(model, entry, body)
        if isinstance(native, str):
            assert (model.identifier, entry.provider, native) in NARROWER
        else:
            assert json.loads(json.dumps(native.native_input)) == native.native_input
            assert accepts(entry.provider, native.native_model, native.endpoint, native.native_input) == [], body


@pytest.mark.parametrize(("identifier", "provider", "field"), sorted(NARROWER))
def test_a_provider_that_is_narrower_than_its_model_cannot_serve_the_rest(identifier: str, provider: str, field: str):
    model = CATALOG.model(identifier)

    outcomes = [compiled(model, model.entry(provider), body) for body in every_body(model)]

    assert field in [outcome for outcome in outcomes if isinstance(outcome, str)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_different_values_of_a_field_make_different_requests(model: Model):
    for entry, field in itertools.product(model.providers, model.fields):
        if field.name == DURATION and model.duration_of_input:
            continue
        bodies = [minimal_body(model) | {field.name: value} for value in values_of(field)]
        if field.name == RESOLUTION and model.durations:
            bodies = [body | {DURATION: model.durations_at(str(body[RESOLUTION]))[0]} for body in bodies]
        served = [native for body in bodies if not isinstance(native := compiled(model, entry, body), str)]

        assert len({json.dumps(asdict(native)) for native in served}) == len(served), (entry.provider, field.name)


def test_every_identifier_is_found():
    assert all(CATALOG.model(model.identifier) is model for model in MODELS)
