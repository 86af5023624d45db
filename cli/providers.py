"""`babysea providers`: what they are, which get new generations, and the switch for that."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.deployment import DataOption, JsonOption
from cli.operator_api import WHERE, operator_api
from cli.output import out, print_json, print_table
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from domain.model import Catalog, ProviderFacts
    from domain.provider import ProviderLimits

providers_commands = typer.Typer(
    help=f"Inference providers. Without a command: what the catalogue and the settings here say of them.\n\n{WHERE}"
)

ProviderArgument = Annotated[
    str, typer.Argument(metavar="PROVIDER", help="As `babysea providers list` names it.", show_default=False)
]


@providers_commands.callback(invoke_without_command=True)
def providers(ctx: typer.Context, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Show how each provider is driven, and whether this deployment has a key for it. Asks nobody."""
    if ctx.invoked_subcommand is not None:
        return
    from adapters.providers.registry import KINDS
    from cli import keyed
    from cli.models import catalogue_here

    known, available = catalogue_here(data).on(datetime.now(UTC).date()), keyed.names(data)
    shown = [_facts(facts, known, available, KINDS[name].limits) for name, facts in known.providers.items()]
    if as_json:
        print_json(shown)
        return
    print_table(
        ("provider", "key", "delivery", "callbacks", "requests a second", "models"),
        (
            (
                one["provider"],
                "yes" if one["available"] else "no",
                one["delivery"],
                one["callbacks"] or "-",
                f"{one['requests_per_second']:g}" if one["requests_per_second"] else "-",
                str(one["models"]),
            )
            for one in shown
        ),
    )


def _facts(
    facts: ProviderFacts, catalogue: Catalog, available: Collection[str], limits: ProviderLimits
) -> dict[str, Any]:
    rings = facts.delivery_method == "webhook_with_polling"
    return {
        "provider": facts.identifier,
        "name": facts.name,
        "available": facts.identifier in available,
        "delivery": facts.delivery_method,
        "callbacks": facts.webhook_verification or ("unsigned" if rings else None),
        "requests_per_second": limits.requests_per_second,
        "models": sum(facts.identifier in model.provider_names for model in catalogue.models.values()),
    }


@providers_commands.command("list")
def list_providers(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the providers and their state: active, paused, or unconfigured when there is no key for one."""
    with operator_api(data) as api:
        found = api.items("/providers", "providers")
    if as_json:
        print_json(found)
        return
    print_table(
        ("provider", "state", "since", "by", "reason"),
        (
            (
                one["provider"],
                one["state"],
                one["paused_at"] or "-",
                one["paused_by"] or "-",
                one["reason"] or "-",
            )
            for one in found
        ),
    )


@providers_commands.command()
def pause(
    provider: ProviderArgument,
    reason: Annotated[str | None, typer.Option(help="Why, for the other operators.")] = None,
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Send no new generation there. Those that were admitted before may still go there."""
    with operator_api(data) as api:
        api.post(f"/providers/{provider}/pause", reason=reason)
    out.print("Paused.")


@providers_commands.command()
def resume(provider: ProviderArgument, data: DataOption = DATA_DEFAULT) -> None:
    """Send new generations there again."""
    with operator_api(data) as api:
        api.post(f"/providers/{provider}/resume")
    out.print("Resumed.")
