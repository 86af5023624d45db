"""From the day on which something retires, nothing is routed there. The day is always an argument: no test may depend
on today's."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from domain.errors import ModelNotFound, UnsupportedProviderOrder
from domain.generation import GenerationRequest, MediaType
from domain.model import Catalog, Model
from domain.planning import plan_generation
from tests.support.catalog import CATALOG

DAY = date(2027, 6, 1)
EVE = DAY - timedelta(days=1)


def ending(**ends: date | None) -> Catalog:
    """A catalogue of one model, whose providers end on these days."""
    model = CATALOG.model("bfl/flux-schnell")
    entries = tuple(dataclasses.replace(one, retires_on=ends.get(one.provider)) for one in model.providers)
    return only(dataclasses.replace(model, providers=entries))


def only(model: Model) -> Catalog:
    return dataclasses.replace(CATALOG, models=MappingProxyType({model.identifier: model}))


def planned(catalog: Catalog, day: date, **asked: Any) -> GenerationRequest:
    return plan_generation(
        catalog,
        account_id="account",
        api_key_id=None,
        region="us",
        model_identifier="bfl/flux-schnell",
        media_type=MediaType.IMAGE,
        body={"generation_prompt": "a boat"} | asked,
        available_providers=frozenset({"replicate", "fal"}),
        generation_id="00000000-0000-4000-8000-000000000001",
        admit_by=datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp(),
        deadlines={MediaType.IMAGE: 600},
    )


@pytest.mark.parametrize(("day", "order"), [(EVE, ["replicate", "fal"]), (DAY, ["fal"])])
def test_an_entry_is_tried_until_the_day_it_retires(day: date, order: list[str]):
    assert planned(ending(replicate=DAY), day).provider_order == order


def test_a_retired_entry_cannot_be_named():
    assert planned(ending(replicate=DAY), EVE, generation_provider_order="replicate").provider_order == ["replicate"]
    with pytest.raises(UnsupportedProviderOrder) as caught:
        planned(ending(replicate=DAY), DAY, generation_provider_order="replicate")

    assert caught.value.details["problems"][0]["allowed"] == ["fastest", "fal, cloudflare"]


def test_a_retired_model_is_not_found_and_the_message_says_why():
    catalog = only(dataclasses.replace(CATALOG.model("bfl/flux-schnell"), retires_on=DAY))

    assert planned(catalog, EVE).model == "bfl/flux-schnell"
    with pytest.raises(ModelNotFound, match="is retired and not offered any more"):
        planned(catalog, DAY)


def test_a_model_ends_with_the_last_of_its_providers():
    left = ending(replicate=DAY, fal=DAY, cloudflare=DAY).on(DAY)

    assert (list(left.models), left.retired) == ([], {"bfl/flux-schnell"})


def test_a_model_ends_when_only_providers_that_must_be_named_are_left():
    nano = CATALOG.model("google/nano-banana")
    ended = (dataclasses.replace(one, retires_on=DAY if one.default else None) for one in nano.providers)

    assert dataclasses.replace(nano, providers=tuple(ended)).on(DAY) is None


def test_before_the_first_end_the_catalogue_is_the_same_object():
    assert ending().on(DAY) is not None
    catalog = ending(fal=DAY)

    assert catalog.on(EVE) is catalog
    assert catalog.on(DAY) is catalog.on(DAY + timedelta(days=400))
    assert catalog.on(EVE) is catalog


def test_what_is_known_to_retire():
    ends = {
        (model.identifier, each.provider if each is not model else None): each.retires_on
        for model in CATALOG.models.values()
        for each in (model, *model.providers)
        if each.retires_on is not None
    }

    assert ends == {
        ("gpt/image-1-mini", None): date(2026, 12, 1),
        ("gpt/image-1-mini", "openai"): date(2026, 12, 1),
        ("gpt/image-1.5", None): date(2026, 12, 1),
        ("gpt/image-1.5", "openai"): date(2026, 12, 1),
    }


def test_a_provider_that_must_be_named_is_not_tried_otherwise():
    nano = CATALOG.model("google/nano-banana")

    assert nano.default_order == ("replicate", "fal")
    assert nano.entry("runway").default is False
