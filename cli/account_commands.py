"""`babysea accounts`: open, read, change and close accounts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.deployment import DataOption, JsonOption
from cli.operator_api import WHERE, operator_api
from cli.output import out, print_json, print_table
from embedded.config import DATA_DEFAULT

accounts_commands = typer.Typer(no_args_is_help=True, help=f"Accounts: who pays.\n\n{WHERE}")

AccountArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.", show_default=False)]
PlanOption = Annotated[str, typer.Option(help="Its plan, as `babysea plans` lists them.")]


@accounts_commands.command()
def create(
    name: AccountArgument,
    plan: PlanOption = "free",
    email: Annotated[str | None, typer.Option(help="Where to write to.")] = None,
    team: Annotated[bool, typer.Option("--team", help="Of a team; without this, of a person.")] = False,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Open an account. It begins without keys and credits."""
    with operator_api(data) as api:
        _print(api.post("/accounts", name=name, plan=plan, email=email, is_personal=not team), as_json=as_json)


@accounts_commands.command("list")
def list_accounts(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List all accounts, newest first."""
    with operator_api(data) as api:
        found = api.items("/accounts", "accounts")
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "plan", "state", "id"), ((one["name"], one["plan"], _state(one), one["account_id"]) for one in found)
    )


@accounts_commands.command()
def show(name: AccountArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Show an account."""
    with operator_api(data) as api:
        _print(api.account(name), as_json=as_json)


@accounts_commands.command("set")
def set_facts(
    name: AccountArgument,
    plan: Annotated[str | None, typer.Option(help="Its new plan, as `babysea plans` lists them.")] = None,
    email: Annotated[str | None, typer.Option(help="Its new email address; '' removes it.")] = None,
    new_name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    picture_url: Annotated[str | None, typer.Option(help="Address of its picture; '' removes it.")] = None,
    moderation_failover: Annotated[
        bool | None,
        typer.Option(
            help="Show content that one provider refuses to the next one, once; without this a refusal is final."
        ),
    ] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Change what is given, and nothing else."""
    given = {
        "plan": plan,
        "email": email,
        "name": new_name,
        "picture_url": picture_url,
        "moderation_failover": moderation_failover,
    }
    removable = {"email", "picture_url"}
    change = {
        field: None if value == "" and field in removable else value
        for field, value in given.items()
        if value is not None
    }
    if not change:
        raise typer.BadParameter(
            "Say what to change: --plan, --email, --new-name, --picture-url or --[no-]moderation-failover."
        )
    _change(name, data, as_json, **change)


@accounts_commands.command()
def freeze(name: AccountArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Refuse new generations; those in flight may end."""
    _change(name, data, as_json, frozen=True)


@accounts_commands.command()
def unfreeze(name: AccountArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Allow new generations again."""
    _change(name, data, as_json, frozen=False)


@accounts_commands.command()
def close(
    name: AccountArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Close an account for good: its keys stop working, nothing new starts. Its books and its name are kept."""
    if not yes:
        typer.confirm(f"Close {name} for good?", abort=True, err=True)
    with operator_api(data) as api:
        _print(api.post(f"/accounts/{api.account(name)['account_id']}/close"), as_json=as_json)


def _change(name: str, data: DataOption, as_json: bool, **change: Any) -> None:
    with operator_api(data) as api:
        _print(api.patch(f"/accounts/{api.account(name)['account_id']}", **change), as_json=as_json)


def _print(account: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(account)
        return
    shown = {
        "id": account["account_id"],
        "name": account["name"],
        "plan": account["plan"],
        "state": _state(account),
        "email": account["email"] or "-",
        "refusals": "shown to one more provider" if account["moderation_failover"] else "final",
        "created": account["created_at"],
    }
    for word, value in shown.items():
        out.print(f"{word:<8} {value}", markup=False)


def _state(account: dict[str, Any]) -> str:
    return "closed" if account["closed_at"] else "frozen" if account["frozen"] else "open"
