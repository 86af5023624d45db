"""What every model becomes at every provider."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import pytest

from domain.fields import DURATION, RESOLUTION, values_of
from domain.mapping import CannotServe, compile_native
from domain.model import Model
from domain.normalization import normalize
from tests.support.catalog import CATALOG, GOLDEN, MODELS, golden_file, minimal_body, native_requests

# The only values that a provider of a model does not serve although another does.
NARROWER = {("bfl/flux-schnell", "fal", "generation_output_format", "webp")}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_the_native_requests_are_those_that_were_reviewed(model: Model):
    assert native_requests(model) == json.loads(golden_file(model).read_text("utf-8"))


def test_there_is_one_golden_file_per_model():
    assert set(GOLDEN.iterdir()) == set(map(golden_file, MODELS))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_every_value_of_every_field_can_be_sent_to_every_provider(model: Model):
    for field in model.fields:
        for value, entry in itertools.product(values_of(field), model.providers):
            body = minimal_body(model) | {field.name: value}
            if field.name == RESOLUTION and model.durations:
                body[DURATION] = model.durations_at(str(value))[0]
            normal = normalize(model, model.media_type, body)
            if (model.identifier, entry.provider, field.name, value) in NARROWER:
                with pytest.raises(CannotServe):
                    compile_native(entry, normal)
            else:
                native = compile_native(entry, normal)
                assert native.native_model
                assert json.loads(json.dumps(native.native_input)) == native.native_input


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
def test_different_values_of_a_field_make_different_requests(model: Model):
    for entry, field in itertools.product(model.providers, model.fields):
        bodies = [minimal_body(model) | {field.name: value} for value in values_of(field)]
        if field.name == RESOLUTION:
            bodies = [
                body | {DURATION: model.durations_at(str(body[RESOLUTION]))[0]} if model.durations else body
                for body in bodies
            ]
        normals = [normalize(model, model.media_type, body) for body in bodies]
        served = [n for n in normals if (model.identifier, entry.provider, field.name, n[field.name]) not in NARROWER]

        sent = {json.dumps(asdict(compile_native(entry, normal))) for normal in served}

        assert len(sent) == len(served)


def test_every_identifier_is_found():
    assert all(CATALOG.model(model.identifier) is model for model in MODELS)
