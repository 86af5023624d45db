"""An operator's own prices."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from catalog.loader import CatalogInvalid
from catalog.prices import with_prices
from domain.model import Catalog
from domain.pricing import quote
from tests.support.catalog import CATALOG

PRICES = """
name: acme-2026-12
prices:
  bfl/flux-schnell:
    - {effective: 2026-12-01, microcredits: 6000}
    - {effective: 2027-01-01, microcredits: 7000}
  google/veo-3.1-fast:
    - effective: 2026-12-01
      microcredits: {720p_audio: 200000, 720p_noaudio: 150000, 1080p_audio: 200000, 1080p_noaudio: 150000}
  wan/2.2-animate-mix:
    - {effective: 2026-10-01, microcredits: 130000}
"""


def priced(folder: Path, text: str = PRICES) -> Catalog:
    file = folder / "prices.yml"
    file.write_text(text, encoding="utf-8")
    catalog, problems = with_prices(CATALOG, file)
    if problems:
        raise CatalogInvalid(problems)
    return catalog


@pytest.mark.parametrize(
    ("day", "microcredits", "version"),
    [
        pytest.param(date(2026, 11, 30), 5_000, "bfl/flux-schnell@1", id="before: ours"),
        pytest.param(date(2026, 12, 1), 6_000, "bfl/flux-schnell@acme-2026-12.1", id="from its first day on: theirs"),
        pytest.param(date(2027, 2, 1), 7_000, "bfl/flux-schnell@acme-2026-12.2", id="then the next"),
    ],
)
def test_the_operators_price_holds_from_its_first_day_on(tmp_path: Path, day: date, microcredits: int, version: str):
    price = quote(priced(tmp_path).model("bfl/flux-schnell"), {}, 1, on=day)

    assert (price.microcredits, price.price_version) == (microcredits, version)


def test_an_operators_price_takes_the_place_of_a_placeholder(tmp_path: Path):
    ours, theirs = (c.model("wan/2.2-animate-mix").prices.entries for c in (CATALOG, priced(tmp_path)))

    assert [price.basis for price in ours] == ["placeholder"]
    assert [price.basis for price in theirs] == ["operator"]


def test_models_that_the_file_does_not_name_keep_their_price(tmp_path: Path):
    changed = {name for name, model in priced(tmp_path).models.items() if model != CATALOG.models[name]}

    assert changed == {"bfl/flux-schnell", "google/veo-3.1-fast", "wan/2.2-animate-mix"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bfl/flux-schnell:", "bfl/flux-slow:", "prices.bfl/flux-slow: there is no such model"),
        ("microcredits: 6000", "microcredits: 6001", "three decimals"),
        ("microcredits: 6000", "microcredits: 0", "greater than 0"),
        ("microcredits: 6000", "microcredits: {1K: 6000}", "tiers must be exactly absent"),
        ("720p_audio: 200000, ", "", "tiers must be exactly 1080p_audio"),
        ("effective: 2027-01-01", "effective: 2026-12-01", "effective later than the one before"),
        ("name: acme", "name: Acme 1", "name: String should match"),
        ("name: acme-2026-12", "name: a\ncolour: red", "colour: Extra inputs"),
        ("prices:", "prices: [", "while parsing"),
    ],
)
def test_a_mistake_is_named_with_the_file(tmp_path: Path, old: str, new: str, said: str):
    with pytest.raises(CatalogInvalid) as caught:
        priced(tmp_path, PRICES.replace(old, new, 1))

    assert all(problem.startswith("prices.yml: ") for problem in caught.value.problems)
    assert any(said in problem for problem in caught.value.problems), caught.value.problems


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    _, problems = with_prices(CATALOG, tmp_path / "prices.yml")

    assert problems[0].startswith("prices.yml: ")


def test_these_prices_are_placeholders_until_an_operator_sets_them():
    """Section 2 of the catalogue's facts: no price is known for them."""
    assert [name for name, model in CATALOG.models.items() if model.prices.at().basis == "placeholder"] == [
        "bytedance/sdxl-lightning",
        "bytedance/seedance-2.0-mini",
        "bytedance/seedream-5-pro",
        "lykon/dreamshaper-8-lcm",
        "stability/sdxl",
        "wan/2.2-animate-mix",
        "wan/2.2-animate-move",
    ]
