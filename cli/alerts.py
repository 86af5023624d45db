"""`babysea alerts`: when an account is told that its credits run low."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.credits import microcredits_from
from cli.deployment import DataOption, JsonOption
from cli.keys import AccountOption
from cli.operator_api import WHERE, operator_api
from cli.output import credits, out, print_json
from domain.pricing import exact_credits, microcredits_from_number
from embedded.config import DATA_DEFAULT

alerts_commands = typer.Typer(no_args_is_help=True, help=f"Low-balance alerts of an account.\n\n{WHERE}")


@alerts_commands.command()
def show(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Show the thresholds, and what was told last."""
    with operator_api(data) as api:
        _print(api.get(f"/accounts/{api.account(account)['account_id']}/alerts"), as_json=as_json)


@alerts_commands.command("set")
def set_thresholds(
    account: AccountOption,
    threshold: Annotated[
        list[str] | None, typer.Option(help="Credits, repeatable up to ten times; without any, none is watched.")
    ] = None,
    runway_hours: Annotated[
        int | None,
        typer.Option(
            min=1, max=720, help="Tell when the credits last less at the last hour's rate; without it, never."
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Keep the thresholds, and tell nothing.")] = False,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Watch these thresholds and no others, and this runway or none."""
    wanted = [exact_credits(microcredits_from(text)) for text in threshold or []]
    with operator_api(data) as api:
        path = f"/accounts/{api.account(account)['account_id']}/alerts"
        _print(api.put(path, thresholds=wanted, runway_hours=runway_hours, enabled=not off), as_json=as_json)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for one in found["thresholds"]:
        state = "off" if not found["enabled"] else "armed" if one["armed"] else "told, or not reached yet"
        out.print(f"{_credits(one['threshold']):>12}  {state}")
    if runway := found["runway"]:
        state = "off" if not found["enabled"] else "armed" if runway["armed"] else f"told {runway['told_at']}"
        out.print(f"{runway['hours']:>9} h    {state}")
    for one in found["latest"]:
        crossed = ", ".join(_credits(threshold) for threshold in one["thresholds_crossed"])
        out.print(f"{one['created_at']}  below {crossed}: {_credits(one['balance'])}", markup=False)


def _credits(number: float) -> str:
    return credits(microcredits_from_number(number))
