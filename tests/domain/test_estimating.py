"""What a generation would cost: the same as it does cost."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import InputError, InvalidInput, ParameterOutOfRange
from domain.estimating import estimate, estimate_from_query
from domain.fields import DURATION, GENERATE_AUDIO, RESOLUTION
from domain.model import Model
from domain.normalization import normalize
from domain.pricing import quote
from tests.support.catalog import CATALOG, MODELS, full_body, minimal_body

FLUX = CATALOG.model("bfl/flux-schnell")
SEEDANCE = CATALOG.model("bytedance/seedance-1-pro")
VEO = CATALOG.model("google/veo-3.1-fast")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.identifier)
@pytest.mark.parametrize("body_of", [minimal_body, full_body])
def test_an_estimate_equals_the_reservation(model: Model, body_of: Any):
    normal = normalize(model, model.media_type, body_of(model))

    guess = estimate(
        model,
        count=2,
        duration=normal.get(DURATION),
        resolution=normal.get(RESOLUTION),
        audio=normal.get(GENERATE_AUDIO, False),
    )

    assert guess.quote == quote(model, normal, 2)


@pytest.mark.parametrize(
    ("asked", "counted"), [("1", 1), ("0", 1), ("-5", 1), ("100", 100), ("101", 100), ("9" * 30, 100)]
)
def test_the_count_is_clamped(asked: str, counted: int):
    assert estimate_from_query(FLUX, {"count": asked}).quote.count == counted


def test_a_query_is_read():
    query = {"count": "2", "duration": "8", "resolution": "1080p", "audio": "true"}

    guess = estimate_from_query(VEO, query)

    assert (guess.duration_s, guess.resolution, guess.quote.microcredits) == (8, "1080p", 2_400_000)


@pytest.mark.parametrize("duration", ["8", "8.0", "8.000"])
def test_a_duration_may_be_written_as_a_decimal(duration: str):
    assert estimate_from_query(SEEDANCE, {"duration": duration}).duration_s == 8


def test_the_default_resolution_is_estimated_when_none_is_asked_for():
    guess = estimate(SEEDANCE, duration=5)

    assert (guess.resolution, guess.quote.unit_price_microcredits) == ("1080p", 150_000)


@pytest.mark.parametrize("query", [{"duration": "5"}, {"duration": "x"}, {"resolution": "8K"}, {"audio": "true"}])
def test_what_the_model_does_not_have_is_ignored(query: dict[str, str]):
    assert estimate_from_query(FLUX, query).quote == estimate(FLUX).quote


@pytest.mark.parametrize(
    ("query", "error", "field"),
    [
        ({}, InvalidInput, "duration"),
        ({"duration": "5s"}, InvalidInput, "duration"),
        ({"duration": ""}, InvalidInput, "duration"),
        ({"duration": "1e1"}, InvalidInput, "duration"),
        ({"duration": "NaN"}, InvalidInput, "duration"),
        ({"duration": "99"}, ParameterOutOfRange, "duration"),
        ({"duration": "-5"}, ParameterOutOfRange, "duration"),
        ({"duration": "5.5"}, ParameterOutOfRange, "duration"),
        ({"duration": "5", "resolution": "8K"}, ParameterOutOfRange, "resolution"),
        ({"duration": "5", "resolution": ""}, ParameterOutOfRange, "resolution"),
        ({"duration": "5", "audio": "yes"}, InvalidInput, "audio"),
        ({"duration": "5", "count": "two"}, InvalidInput, "count"),
        ({"duration": "5", "count": "1.5"}, InvalidInput, "count"),
        pytest.param({"duration": "5", "count": "9" * 5000}, InvalidInput, "count", id="5000 digits"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query: dict[str, str], error: type[InputError], field: str):
    with pytest.raises(InputError) as caught:
        estimate_from_query(SEEDANCE, query)

    assert (type(caught.value), caught.value.details["field"]) == (error, field)


def test_a_duration_must_fit_the_resolution():
    with pytest.raises(ParameterOutOfRange):
        estimate(CATALOG.model("pixverse/v5"), duration=8, resolution="1080p")


@pytest.mark.parametrize(("balance", "count"), [(10_000_000, 2000), (4_999, 0), (0, 0), (-5, 0)])
def test_a_balance_pays_for(balance: int, count: int):
    assert estimate(FLUX).affordable(balance) == count
