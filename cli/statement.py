"""`babysea statement`: what an account had, what came and went in a period, and what it had then."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.deployment import DataOption, JsonOption
from cli.operator_api import operator_api
from cli.output import out, print_json, print_table
from embedded.config import DATA_DEFAULT


def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name of the account.", show_default=False)],
    period: Annotated[
        str | None, typer.Option(help="A year, month or day of UTC, like 2026, 2026-11 or 2026-11-22.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="In place of --period: from this time on, with an offset.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="In place of --period: before this time.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """The statement of an account: both balances, and everything between them."""
    query = {"period": period, "from": start, "to": end}
    with operator_api(data) as api:
        path = f"/accounts/{api.account(account)['account_id']}/statement"
        if as_csv:
            for text in api.stream(path, format="csv", **query):
                sys.stdout.write(text)
            sys.stdout.flush()
            return
        found = api.get(path, **query)
    if as_json:
        print_json(found)
        return
    out.print(f"{found['period_start']}  {found['opening']['available']} credits")
    print_table(
        ("number", "at", "what", "amount", "balance", "for"),
        (
            (
                str(one["number"]),
                one["at"],
                one["operation"],
                one["amount"],
                one["balance_after"],
                one["generation_id"] or one["key"] or "-",
            )
            for one in found["entries"]
        ),
    )
    out.print(f"{found['period_end']}  {found['closing']['available']} credits")
