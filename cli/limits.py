"""`babysea limits`: what an account or one of its keys may spend in a day or a month."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.credits import microcredits_from
from cli.deployment import DataOption, JsonOption
from cli.errors import CommandFailed
from cli.keys import AccountOption
from cli.operator_api import WHERE, operator_api
from cli.output import credits, out, print_json, print_table
from cli.words import is_id
from domain.pricing import exact_credits, microcredits_from_number
from embedded.config import DATA_DEFAULT

limits_commands = typer.Typer(no_args_is_help=True, help=f"Spending limits.\n\n{WHERE}")


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"


@limits_commands.command("list")
def list_limits(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the limits of an account and of its keys, with what is spent of each."""
    with operator_api(data) as api:
        found = api.items(f"/accounts/{api.account(account)['account_id']}/spending-limits", "limits")
    if as_json:
        print_json(found)
        return
    _table(found)


@limits_commands.command("set")
def set_limit(
    account: AccountOption,
    per: Annotated[Period, typer.Option(help="Of UTC.")],
    amount: Annotated[str, typer.Option(help="Credits, like 100 or 0.5; 0 allows nothing that costs.")],
    key: Annotated[
        str | None, typer.Option(help="Id of the key that it is for, with its successors; else the account.")
    ] = None,
    soft: Annotated[bool, typer.Option("--soft", help="Refuse nothing: tell once per period.")] = False,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a limit, or change the amount of the one that there is."""
    micros = 0 if amount == "0" else microcredits_from(amount)
    if key is not None and not is_id(key):
        raise CommandFailed(f"There is no key {key}.")
    with operator_api(data) as api:
        made = api.post(
            f"/accounts/{api.account(account)['account_id']}/spending-limits",
            period=per.value,
            amount=exact_credits(micros),
            hard=not soft,
            api_key_id=key,
        )
    if as_json:
        print_json(made)
        return
    _table([made])


@limits_commands.command()
def remove(
    account: AccountOption,
    limit_id: Annotated[
        str, typer.Argument(metavar="LIMIT_ID", help="Its id, from `babysea limits list`.", show_default=False)
    ],
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Limit no more."""
    if not is_id(limit_id):
        raise CommandFailed(f"There is no spending limit {limit_id}.")
    with operator_api(data) as api:
        api.delete(f"/accounts/{api.account(account)['account_id']}/spending-limits/{limit_id}")
    out.print("Removed.")


def _table(limits: list[dict[str, Any]]) -> None:
    print_table(
        ("id", "of", "per", "kind", "limit", "spent", "resets at"),
        (
            (
                one["limit_id"],
                one["api_key_id"] or "the account",
                one["period"],
                "hard" if one["hard"] else "soft",
                credits(microcredits_from_number(one["amount"])),
                credits(microcredits_from_number(one["spent"])),
                one["resets_at"],
            )
            for one in limits
        ),
    )
