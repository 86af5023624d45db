"""`babysea models`: what can be generated, and what it costs. Read from the catalogue; needs no running system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.deployment import JsonOption
from cli.output import credits, print_json, print_table

if TYPE_CHECKING:
    from domain.model import Model


def models(as_json: JsonOption = False) -> None:
    """List the models with their type, price in credits, and providers."""
    from catalog.loader import load_catalog
    from catalog.views import library_models

    catalogue = load_catalog()
    if as_json:
        print_json(library_models(catalogue)["models"])
        return
    print_table(
        ("model", "type", "price", "providers"),
        (
            (model.identifier, model.media_type.value, price_of(model), ", ".join(model.provider_names))
            for model in catalogue.models.values()
        ),
    )


def price_of(model: Model) -> str:
    """Today's, from the cheapest tier to the dearest."""
    price = model.prices.at()
    amounts = list(price.rates.tiers.values()) if price.rates.tiers else [price.rates.at(None, audio=False)]
    lowest, highest = credits(min(amounts)), credits(max(amounts))
    return f"{lowest if lowest == highest else f'{lowest} to {highest}'} per {price.unit}"
