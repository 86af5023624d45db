"""Reads what is sold for money from one file, by default `packs.yml` beside this module."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import yaml
from pydantic import Field, StringConstraints, ValidationError

from catalog.schema import Shape, Text
from catalog.yaml_text import load_yaml
from domain.errors import InvalidInput
from domain.offers import Currency, Offer, Offers, Policy
from domain.plans import FALLBACK, Plans
from domain.pricing import microcredits_from_text

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")]


class PacksInvalid(Exception):
    """The offers must not be used. One message per problem, each beginning with the file's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the offers are invalid:\n" + "\n".join(problems))
        self.problems = problems


def load_packs(plans: Plans, path: Path | None = None) -> Offers:
    """The offers in `path`, by default those that are part of this package. Raises PacksInvalid."""
    source: Traversable = path if path is not None else resources.files("catalog") / "packs.yml"
    try:
        read = _PacksFile.model_validate(load_yaml(source.read_text("utf-8")))
        offers = _offers(read)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
        raise PacksInvalid([f"{source.name}: {problem}" for problem in problems]) from error
    except (OSError, yaml.YAMLError, ValueError, InvalidInput) as error:
        raise PacksInvalid([f"{source.name}: {' '.join(str(error).split())}"]) from error
    if problems := list(_problems(offers, plans)):
        raise PacksInvalid([f"{source.name}: {problem}" for problem in problems])
    return offers


class _CurrencyFile(Shape):
    decimals: Annotated[int, Field(ge=0, le=3)]
    credits: Text  # of one whole unit, as a decimal text: a YAML number would be a float


class _PackFile(Shape):
    label: Text
    price: Text
    credits: Text | None = None  # none: what was paid is worth


class _SubscriptionFile(_PackFile):
    plan: Text


class _PolicyFile(Shape):
    packs_need_subscription: bool = True
    manual_invoices_grant: bool = False
    out_of_band_grants: bool = False
    reviews_delay_grants: bool = False
    disputes_freeze: bool = False
    fraud_warnings_freeze: bool = False


class _PacksFile(Shape):
    policy: _PolicyFile = _PolicyFile()
    currencies: dict[Code, _CurrencyFile]
    top_up_currency: Code
    packs: dict[Name, _PackFile]
    subscriptions: dict[Name, _SubscriptionFile]


def _offers(read: _PacksFile) -> Offers:
    return Offers(
        packs=MappingProxyType({name: _offer(name, file) for name, file in read.packs.items()}),
        subscriptions=MappingProxyType({name: _offer(name, file) for name, file in read.subscriptions.items()}),
        currencies=MappingProxyType(
            {code: Currency(file.decimals, _above_zero(file.credits)) for code, file in read.currencies.items()}
        ),
        top_up_currency=read.top_up_currency,
        policy=Policy(**read.policy.model_dump()),
    )


def _offer(name: str, file: _PackFile) -> Offer:
    return Offer(
        name=name,
        label=file.label,
        price=file.price,
        microcredits=None if file.credits is None else _above_zero(file.credits),
        plan=file.plan if isinstance(file, _SubscriptionFile) else None,
    )


def _above_zero(text: str) -> int:
    amount = microcredits_from_text(text)
    if amount <= 0:
        raise ValueError(f"{text} credits are none: leave the offer out")
    return amount


def _problems(offers: Offers, plans: Plans) -> list[str]:
    prices = [offer.price for offer in (*offers.packs.values(), *offers.subscriptions.values())]
    twice = sorted({price for price in prices if prices.count(price) > 1})
    unknown = [one for one in offers.subscriptions.values() if plans.of(one.plan or "").identifier == FALLBACK]
    return [
        *(f"the price {price} belongs to two offers" for price in twice),
        *(f"subscriptions.{one.name}: there is no plan {one.plan}" for one in unknown),
        *([] if offers.top_up_currency in offers.currencies else ["top_up_currency is not among the currencies"]),
    ]
