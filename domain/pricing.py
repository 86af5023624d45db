"""Parameters and price to whole micro-credits. Integers only: no float comes near an amount.

Estimate and reservation both come from `quote`, so they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from domain.errors import InvalidInput
from domain.fields import DURATION, GENERATE_AUDIO, RESOLUTION
from domain.model import Model, ProviderEntry, Rates, Unit

MICROCREDITS_PER_CREDIT = 1_000_000
AMOUNT_MICROCREDITS_MAX = 10**15  # one billion credits
_PUBLIC_STEP = 1_000  # the public unit has three decimals
_AMOUNT = re.compile(r"(-?)(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,6}))?", re.ASCII)


@dataclass(frozen=True)
class Quote:
    """What a generation costs: fixed when the credits are reserved, explained by the price version for ever."""

    microcredits: int
    per_generation_microcredits: int  # one output, rounded half up to three decimals of a credit
    unit_price_microcredits: int  # per output, or per second of one
    unit: Unit
    count: int
    price_version: str


def quote(model: Model, params: Mapping[str, Any], count: int, *, on: date | None = None) -> Quote:
    """The price of `count` outputs with these parameters (a normal form, or the part of it that prices read)."""
    price = model.prices.at(on)
    rate = _rate(price.rates, params)
    per_generation = _to_public_step(rate * _units(price.unit, params))
    return Quote(
        microcredits=per_generation * count,
        per_generation_microcredits=per_generation,
        unit_price_microcredits=rate,
        unit=price.unit,
        count=count,
        price_version=price.version,
    )


def expected_cost(
    model: Model, entry: ProviderEntry, params: Mapping[str, Any], count: int, *, on: date | None = None
) -> int:
    """What the provider is expected to charge us, unrounded: its own rate where the catalogue knows it, else ours."""
    price = model.prices.at(on)
    return _rate(entry.cost or price.rates, params) * _units(price.unit, params) * count


def credits(microcredits: int) -> float:
    """The public JSON number: three decimals, rounded down so that nobody reads more than there is.

    Integer division by 1,000 gives the float nearest to the decimal, which prints as exactly that decimal.
    """
    return microcredits // _PUBLIC_STEP / 1_000


def usd(microcredits: int) -> float:
    """What a provider charges, as a public JSON number: six decimals. One credit is one US dollar.

    Division of whole numbers gives the float nearest to the decimal, which prints as exactly that decimal.
    """
    return microcredits / MICROCREDITS_PER_CREDIT


def microcredits_from_text(text: str) -> int:
    """A decimal text with up to six decimals, such as `12.5`, as micro-credits.

    Raises InvalidInput for anything else: signs but a minus, exponents, blanks, other digits, more than 10^9 credits.
    """
    match = _AMOUNT.fullmatch(text)
    amount = 0
    if match:
        sign, whole, decimals = match.groups()
        amount = int(whole) * MICROCREDITS_PER_CREDIT + int((decimals or "").ljust(6, "0"))
        amount = -amount if sign else amount
    if not match or abs(amount) > AMOUNT_MICROCREDITS_MAX:
        raise InvalidInput("An amount is a decimal number of credits with at most six decimals.")
    return amount


def microcredits_from_number(amount: float) -> int:
    """The same of a JSON number, read as the decimal that it was written as. Raises InvalidInput."""
    return microcredits_from_text(format(Decimal(repr(amount)).normalize(), "f"))


def exact_credits(microcredits: int) -> float:
    """The JSON number that `microcredits_from_number` reads back as the same amount: for operators, not for prices."""
    return microcredits / MICROCREDITS_PER_CREDIT


def text_from_microcredits(microcredits: int) -> str:
    """The shortest text that `microcredits_from_text` reads back as the same amount."""
    whole, micros = divmod(abs(microcredits), MICROCREDITS_PER_CREDIT)
    decimals = f"{micros:06}".rstrip("0")
    return f"{'-' if microcredits < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def _rate(rates: Rates, params: Mapping[str, Any]) -> int:
    return rates.at(params.get(RESOLUTION), audio=params.get(GENERATE_AUDIO) is True)


def _units(unit: Unit, params: Mapping[str, Any]) -> int:
    if unit is Unit.GENERATION:
        return 1
    seconds = params[DURATION]
    assert type(seconds) is int  # what the normal form has; anything else would bring floats in here
    return seconds


def _to_public_step(microcredits: int) -> int:
    return (microcredits + _PUBLIC_STEP // 2) // _PUBLIC_STEP * _PUBLIC_STEP
