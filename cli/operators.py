"""`babysea operators`: who may manage this deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.deployment import DataOption, Deployment, JsonOption, with_database
from cli.operator_api import OPERATOR_KEY_VARIABLE, WHERE, operator_api
from cli.output import err, out, print_json, print_table
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from store.operators import OperatorRow

operators_commands = typer.Typer(no_args_is_help=True, help=f"Operators and their keys.\n\n{WHERE}")


@operators_commands.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who it is.", show_default=False)],
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make an operator. The key is shown once and stored nowhere.

    Done in the database itself, which BABYSEA_DATABASE_URL or the embedded stack names: the first operator has nobody
    to ask.
    """
    from cli import local_operator
    from store.connection import Pool, transaction

    async def step(deployment: Deployment, pool: Pool) -> tuple[OperatorRow, str]:
        async with transaction(pool) as conn:
            return await local_operator.create(conn, deployment.settings.secret_key.get_secret_value(), name)

    made, key = with_database(data, step)
    if as_json:
        print_json({"operator_id": made.operator_id, "name": made.name, "prefix": made.prefix, "key": key})
        return
    out.print(key, markup=False)
    err.print(f"Made for {name}; it is shown this once. Commands take it from {OPERATOR_KEY_VARIABLE}.", markup=False)


@operators_commands.command("list")
def list_operators(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the operators, without their keys."""
    with operator_api(data) as api:
        found = api.items("/operators", "operators")
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "begins with", "last used", "state"),
        (
            (
                one["operator_id"],
                one["name"],
                one["prefix"],
                one["last_used_at"] or "-",
                "revoked" if one["revoked_at"] else "active",
            )
            for one in found
        ),
    )


@operators_commands.command()
def revoke(
    operator_id: Annotated[
        str, typer.Argument(metavar="OPERATOR_ID", help="Its id, from `babysea operators list`.", show_default=False)
    ],
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Make an operator's key useless, at once and for good."""
    with operator_api(data) as api:
        api.post(f"/operators/{operator_id}/revoke")
    out.print("Revoked.")
