"""`babysea providers`: which get new generations, and the switch for that."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.deployment import DataOption, JsonOption
from cli.operator_api import WHERE, operator_api
from cli.output import out, print_json, print_table
from embedded.config import DATA_DEFAULT

providers_commands = typer.Typer(no_args_is_help=True, help=f"Inference providers.\n\n{WHERE}")

ProviderArgument = Annotated[
    str, typer.Argument(metavar="PROVIDER", help="As `babysea providers list` names it.", show_default=False)
]


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
