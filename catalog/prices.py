"""An operator's own prices, from one file: from the first day of its prices on, they hold in place of ours.

name: acme-2026-12          # versions are named after it: bfl/flux-schnell@acme-2026-12.1
prices:
  bfl/flux-schnell:
    - {effective: 2026-12-01, microcredits: 6000}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import yaml
from pydantic import Field, StringConstraints, ValidationError

from catalog.building import rates
from catalog.checks import price_problems
from catalog.schema import Identifier, Positive, Shape
from catalog.yaml_text import load_yaml
from domain.model import Catalog, Model, Price, PriceBook

BASIS = "operator"


class _PriceFile(Shape):
    effective: date
    microcredits: Positive | dict[str, Positive]


class _PricesFile(Shape):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
    prices: dict[Identifier, Annotated[list[_PriceFile], Field(min_length=1)]]


def with_prices(catalog: Catalog, path: Path) -> tuple[Catalog, list[str]]:
    """The catalogue with the prices in `path`; and all that is wrong with them, each beginning with the file's name."""
    try:
        file = _PricesFile.model_validate(load_yaml(path.read_text("utf-8")))
    except ValidationError as error:
        said = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
        return catalog, [f"{path.name}: {message}" for message in said]
    except (OSError, yaml.YAMLError, ValueError) as error:
        return catalog, [f"{path.name}: {' '.join(str(error).split())}"]
    problems = [f"{path.name}: {message}" for message in _problems(catalog.models, file)]
    if problems:
        return catalog, problems
    priced = {name: _priced(catalog.models[name], file.name, prices) for name, prices in file.prices.items()}
    return replace(catalog, models=MappingProxyType({**catalog.models, **priced})), []


def _problems(models: Mapping[str, Model], file: _PricesFile) -> Iterator[str]:
    for name, prices in file.prices.items():
        model = models.get(name)
        if model is None:
            yield f"prices.{name}: there is no such model"
            continue
        if any(later.effective <= earlier.effective for earlier, later in pairwise(prices)):
            yield f"prices.{name}: each entry must be effective later than the one before"
        for number, price in enumerate(prices, start=1):
            where = f"prices.{name}.{number}.microcredits"
            yield from price_problems(model.resolutions, where, price.microcredits, audio=model.audio)


def _priced(model: Model, name: str, prices: list[_PriceFile]) -> Model:
    ours = [price for price in model.prices.entries if price.effective < prices[0].effective]
    theirs = [
        Price(
            version=f"{model.identifier}@{name}.{number}",
            effective=price.effective,
            unit=model.prices.entries[-1].unit,
            rates=rates(price.microcredits),
            basis=BASIS,
        )
        for number, price in enumerate(prices, start=1)
    ]
    return replace(model, prices=PriceBook((*ours, *theirs)))
