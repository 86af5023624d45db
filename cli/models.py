"""`babysea models`: what can be generated, by whom, and what it costs. Read from the catalogue; asks nobody."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.deployment import DataOption, JsonOption, SettingsRefused, find
from cli.errors import CommandFailed
from cli.output import credits, print_json, print_table
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from domain.model import Catalog, Model

models_commands = typer.Typer(
    help="What can be generated, by whom, and what it costs. Read from the catalogue; needs no running system."
)


@models_commands.callback(invoke_without_command=True)
def models(ctx: typer.Context, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the models: type, price in credits, the providers that this deployment has a key for and the others."""
    if ctx.invoked_subcommand is not None:
        return
    from catalog.views import library_models
    from cli import keyed

    known, today = catalogue_here(data), _today()
    if as_json:
        print_json(library_models(known, on=today)["models"])
        return
    available = keyed.names(data)
    print_table(
        ("model", "type", "name", "price", "available", "no key", "retires"),
        (
            (
                model.identifier,
                model.media_type.value,
                model.name,
                price_of(model, on=today),
                *_hosts(model, available, today),
                retirements(model, today),
            )
            for model in known.models.values()
        ),
    )


@models_commands.command()
def show(
    model_identifier: Annotated[
        str, typer.Argument(metavar="MODEL", help="As `babysea models` lists it.", show_default=False)
    ],
    body: Annotated[
        str | None, typer.Option(help="JSON of a request, as it is sent to the API. Without it: the least it needs.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="The same, from a file.", exists=True, dir_okay=False, readable=True)
    ] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Explain a model: its fields, its price, its providers, and what each of them would be sent. Costs nothing."""
    from cli import keyed
    from cli.model_page import minimal_body, page, print_page

    model = catalogue_here(data).model(model_identifier)
    text = body if file is None else file.read_text("utf-8")
    asked = minimal_body(model) if text is None else _parsed(text)
    shown = page(model, asked, available=keyed.names(data), on=_today())
    if as_json:
        print_json(shown)
    else:
        print_page(shown)


def price_of(model: Model, *, on: date | None = None) -> str:
    """From the cheapest tier to the dearest."""
    from domain.errors import ModelUnpriced

    try:
        price = model.prices.at(on)
    except ModelUnpriced:
        return "none yet"
    amounts = list(price.rates.tiers.values()) if price.rates.tiers else [price.rates.at(None, audio=False)]
    lowest, highest = credits(min(amounts)), credits(max(amounts))
    return f"{lowest if lowest == highest else f'{lowest} to {highest}'} per {price.unit}"


def retirements(model: Model, today: date) -> str:
    """When it ends, or ends at some of its providers; or that it has ended."""
    if model.retires_on is not None:
        return f"retired {model.retires_on}" if model.retires_on <= today else str(model.retires_on)
    ends = [(entry.provider, entry.retires_on) for entry in model.providers if entry.retires_on is not None]
    return ", ".join(f"at {provider} {day}" for provider, day in ends) or "-"


def _hosts(model: Model, available: frozenset[str], today: date) -> tuple[str, str]:
    """Those with a key and those without, in order; what has retired is neither."""
    left = [entry.provider for entry in model.providers if entry.retires_on is None or today < entry.retires_on]
    keyed = ", ".join(name for name in left if name in available)
    return keyed or "-", ", ".join(name for name in left if name not in available) or "-"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"The body is not JSON: {error}.") from None


def catalogue_here(data: Path) -> Catalog:
    """With the prices of this deployment, where one is named."""
    try:
        return catalogue(find(data).settings.prices_file)
    except SettingsRefused:
        return catalogue()


@cache
def catalogue(prices: Path | None = None) -> Catalog:
    """All of it, retired models too."""
    from catalog.loader import load_catalog

    return load_catalog(prices=prices)


def _today() -> date:
    return datetime.now(UTC).date()
