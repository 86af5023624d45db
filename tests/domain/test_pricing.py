"""Parameters and price to whole micro-credits."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput, ModelUnpriced
from domain.model import Model, Price, PriceBook, Rates, Unit
from domain.pricing import (
    credits,
    exact_credits,
    expected_cost,
    microcredits_from_number,
    microcredits_from_text,
    quote,
    text_from_microcredits,
)
from tests.support.catalog import CATALOG

VIDEO = {"generation_duration": 8}


def with_prices(identifier: str, *prices: Price) -> Model:
    return dataclasses.replace(CATALOG.model(identifier), prices=PriceBook(prices))


def a_price(number: int, effective: date, unit: Unit, microcredits: int) -> Price:
    return Price(f"m@{number}", effective, unit, Rates(flat_microcredits=microcredits), "provider")


@pytest.mark.parametrize(
    ("identifier", "params", "count", "each", "total"),
    [
        pytest.param("bfl/flux-schnell", {}, 1, 5_000, 5_000, id="image, flat"),
        pytest.param("bfl/flux-schnell", {}, 3, 5_000, 15_000, id="three images"),
        pytest.param("google/imagen-4", {"generation_resolution": "2K"}, 1, 40_000, 40_000, id="image, by resolution"),
        pytest.param("kling/v2.5-turbo-pro", {"generation_duration": 10}, 1, 700_000, 700_000, id="video, flat rate"),
        pytest.param(
            "bytedance/seedance-1-pro",
            VIDEO | {"generation_resolution": "480p"},
            2,
            240_000,
            480_000,
            id="by resolution",
        ),
        pytest.param(
            "google/veo-3.1-fast",
            VIDEO | {"generation_resolution": "720p", "generation_generate_audio": True},
            1,
            1_200_000,
            1_200_000,
            id="with audio",
        ),
        pytest.param(
            "google/veo-3.1-fast",
            VIDEO | {"generation_resolution": "720p", "generation_generate_audio": False},
            1,
            800_000,
            800_000,
            id="without audio",
        ),
    ],
)
def test_a_quote_is(identifier: str, params: dict[str, Any], count: int, each: int, total: int):
    price = quote(CATALOG.model(identifier), params, count)

    assert (price.per_generation_microcredits, price.microcredits) == (each, total)
    assert price.price_version == f"{identifier}@1"


@pytest.mark.parametrize(("rate", "each"), [(187, 1_000), (188, 2_000), (62, 0), (63, 1_000), (125, 1_000)])
def test_the_price_of_one_is_rounded_half_up_to_three_decimals_before_it_is_multiplied(rate: int, each: int):
    model = with_prices("kling/v2.5-turbo-pro", a_price(1, date(2026, 1, 1), Unit.SECOND, rate))

    price = quote(model, {"generation_duration": 8}, 7)

    assert (price.per_generation_microcredits, price.microcredits) == (each, each * 7)


@given(st.integers(1, 10**9), st.integers(1, 60), st.integers(1, 100))
def test_a_quote_agrees_with_decimal_arithmetic(rate: int, seconds: int, count: int):
    model = with_prices("kling/v2.5-turbo-pro", a_price(1, date(2026, 1, 1), Unit.SECOND, rate))

    price = quote(model, {"generation_duration": seconds}, count)

    exact = (Decimal(rate) / 10**6 * seconds).quantize(Decimal("0.001"), ROUND_HALF_UP) * count
    assert price.microcredits == exact * 10**6


@pytest.mark.parametrize(
    ("day", "version"),
    [
        pytest.param(date(2026, 2, 1), "m@1", id="the first day"),
        pytest.param(date(2026, 5, 31), "m@1", id="the day before"),
        pytest.param(date(2026, 6, 1), "m@2", id="the day itself"),
        pytest.param(date(2027, 6, 1), "m@2", id="later"),
        pytest.param(None, "m@2", id="no day: the newest"),
    ],
)
def test_the_price_of_the_day_holds(day: date | None, version: str):
    first = a_price(1, date(2026, 2, 1), Unit.GENERATION, 1_000)
    second = a_price(2, date(2026, 6, 1), Unit.GENERATION, 2_000)

    assert quote(with_prices("bfl/flux-schnell", first, second), {}, 1, on=day).price_version == version


def test_bse2018_nothing_is_sold_before_it_has_a_price():
    model = with_prices("bfl/flux-schnell", a_price(1, date(2026, 2, 1), Unit.GENERATION, 1_000))

    with pytest.raises(ModelUnpriced, match="before 2026-02-01"):
        quote(model, {}, 1, on=date(2026, 1, 31))


@pytest.mark.parametrize("audio", [True, False])
def test_nothing_is_sold_at_a_tier_without_a_price(audio: bool):
    with pytest.raises(ModelUnpriced, match="no price for 4k"):
        Rates(tiers={"720p": 1_000}).at("4k", audio=audio)


@pytest.mark.parametrize(
    ("identifier", "params", "count", "cost"),
    [
        pytest.param("bfl/flux-schnell", {}, 2, 6_000, id="its own rate"),
        pytest.param("google/imagen-4", {"generation_resolution": "1K"}, 1, 40_000, id="unknown: the price"),
        pytest.param("kling/v2.5-turbo-pro", {"generation_duration": 5}, 1, 350_000, id="per second"),
    ],
)
def test_a_provider_is_expected_to_charge(identifier: str, params: dict[str, Any], count: int, cost: int):
    model = CATALOG.model(identifier)

    assert expected_cost(model, model.entry("fal"), params, count) == cost


def test_the_expected_cost_is_not_rounded():
    model = CATALOG.model("bytedance/seedance-1-pro")
    entry = dataclasses.replace(model.entry("fal"), cost=Rates(tiers={"480p": 24_301}))

    assert expected_cost(model, entry, VIDEO | {"generation_resolution": "480p"}, 1) == 194_408


def test_a_float_duration_never_reaches_the_arithmetic():
    with pytest.raises(AssertionError):
        quote(CATALOG.model("kling/v2.5-turbo-pro"), {"generation_duration": 5.0}, 1)


# --- amounts as text and as JSON numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("microcredits", "shown"),
    [
        (0, "0.0"),
        (5_000, "0.005"),
        (1_328_000, "1.328"),
        (999, "0.0"),
        (9_999_999_999_000, "9999999.999"),
        (-1, "-0.001"),
    ],
)
def test_credits_are_shown_with_at_most_three_decimals_rounded_down(microcredits: int, shown: str):
    assert json.dumps(credits(microcredits)) == shown


@given(st.integers(0, 10**12))
def test_three_decimals_survive_the_way_through_json(thousandths: int):
    read = json.loads(json.dumps(credits(thousandths * 1_000)), parse_float=Decimal)

    assert Decimal(read) * 1_000 == thousandths


@pytest.mark.parametrize(
    ("text", "microcredits"),
    [
        ("0", 0),
        ("5", 5_000_000),
        ("0.5", 500_000),
        ("12.345678", 12_345_678),
        ("-1.5", -1_500_000),
        ("1000000000", 10**15),
        ("1000000000.000000", 10**15),
    ],
)
def test_an_amount_is_read_from_its_digits(text: str, microcredits: int):
    assert microcredits_from_text(text) == microcredits


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "+1",
        "1e3",
        "NaN",
        "inf",
        "1.",
        ".5",
        "01",
        "1,5",
        "0.1234567",
        "\uff11",
        "1000000000.000001",
        "--1",
        "1\n",
        pytest.param("9" * 5000, id="5000 digits"),
    ],
)
def test_anything_else_is_no_amount(text: str):
    with pytest.raises(InvalidInput):
        microcredits_from_text(text)


@given(st.integers(-(10**15), 10**15))
def test_an_amount_survives_the_way_through_text(microcredits: int):
    assert microcredits_from_text(text_from_microcredits(microcredits)) == microcredits


@given(st.integers(-(10**15), 10**15))
def test_an_amount_survives_the_way_through_a_json_number(microcredits: int):
    assert microcredits_from_number(json.loads(json.dumps(exact_credits(microcredits)))) == microcredits


@pytest.mark.parametrize("number", [0.0000001, 1e10, -1e10, 0.1 + 0.2])
def test_a_number_with_more_than_six_decimals_is_no_amount(number: float):
    with pytest.raises(InvalidInput):
        microcredits_from_number(number)
