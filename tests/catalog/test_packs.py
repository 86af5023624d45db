"""What is sold for money: the built-in file, and what stops a file of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

import catalog
from catalog.packs import PacksInvalid, load_packs
from catalog.plans import load_plans

BUILT_IN = (Path(catalog.__file__).parent / "packs.yml").read_text()


def test_the_offers_are_those_of_the_contract_at_a_credit_for_a_dollar():
    offers = load_packs(load_plans())

    assert [offer.microcredits for offer in offers.packs.values()] == [
        credits * 1_000_000 for credits in (10, 25, 50, 100, 500, 1000)
    ]
    assert {name: (offer.microcredits or 0) // 1_000_000 for name, offer in offers.subscriptions.items()} == {
        "starter-monthly": 9,
        "starter-yearly": 90,
        "pro-monthly": 29,
        "pro-yearly": 290,
        "scale-monthly": 99,
        "scale-yearly": 990,
        "enterprise-monthly": 199,
        "enterprise-yearly": 1990,
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("price: pack_25", "price: pack_10", "pack_10 belongs to two offers", id="a price twice"),
        pytest.param("plan: Pro Monthly", "plan: Gold Monthly", "there is no plan Gold Monthly", id="unknown plan"),
        pytest.param('credits: "25"', "credits: 25.5", "packs.pack-25.credits", id="a float"),
        pytest.param('credits: "25"', 'credits: "0"', "0 credits are none", id="nothing"),
        pytest.param("top_up_currency: usd", "top_up_currency: eur", "top_up_currency", id="unknown currency"),
        pytest.param("policy:", "polices:", "polices", id="a field that is none"),
    ],
)
def test_a_file_that_must_not_be_used_says_why(tmp_path: Path, old: str, new: str, says: str):
    path = tmp_path / "packs.yml"
    path.write_text(BUILT_IN.replace(old, new, 1))

    with pytest.raises(PacksInvalid, match=says):
        load_packs(load_plans(), path)
