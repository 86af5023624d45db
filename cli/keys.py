"""`babysea keys`: make, list, rotate, revoke and delete API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from cli.deployment import DataOption, JsonOption
from cli.errors import CommandFailed
from cli.operator_api import WHERE, OperatorApi, operator_api
from cli.output import err, out, print_json, print_table
from cli.words import is_id
from domain import keys as key_rules
from embedded.config import DATA_DEFAULT

PLAN_DEFAULT = "free"
HOUR = timedelta(hours=1)

keys_commands = typer.Typer(no_args_is_help=True, help=f"API keys of an account.\n\n{WHERE}")

AccountOption = Annotated[str, typer.Option("--account", help="Name of the account.")]
KeyArgument = Annotated[
    str, typer.Argument(metavar="API_KEY_ID", help="Its id, from `babysea keys list`.", show_default=False)
]


@keys_commands.command()
def create(
    account: AccountOption,
    preset: Annotated[str, typer.Option(help=f"What it may do: {', '.join(key_rules.PRESETS)}.")] = "full_access",
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"Single scopes in place of a preset, repeatable: {', '.join(key_rules.Scope)}."),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(help=f"Plan of an account made now, one of `babysea plans`; {PLAN_DEFAULT} by default."),
    ] = None,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "command line",
    expires_in_days: Annotated[int | None, typer.Option(min=1, help="Days until it stops working.")] = None,
    allow_ip: Annotated[
        list[str] | None, typer.Option(help="Address or CIDR block it may be used from; repeatable.")
    ] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a key, and the account when there is none of that name. The key is shown once and stored nowhere."""
    asked = {
        "name": key_rules.key_name(name),  # refused here, before an account is made for it
        "scopes": [one.value for one in key_rules.scopes_of(scope or [preset])],
        "ip_allowlist": key_rules.normal_allowlist(allow_ip or []),
        "expires_at": (datetime.now(UTC) + timedelta(days=expires_in_days)).isoformat() if expires_in_days else None,
    }
    with operator_api(data) as api:
        owner = api.find_account(account) or api.post("/accounts", name=account, plan=plan or PLAN_DEFAULT)
        if plan and owner["plan"] != plan:
            raise CommandFailed(f"Account {account!r} exists, on the plan {owner['plan']!r}; no key was made.")
        made = api.post(f"/accounts/{owner['account_id']}/keys", **asked)
        made |= {"account": owner["name"], "plan": owner["plan"], "api_url": api.api_url}
    _print_secret(made, f"Made for account {account}. It is shown this once.", as_json=as_json)


@keys_commands.command("list")
def list_keys(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the keys of an account: never the keys themselves, only how they begin."""
    with operator_api(data) as api:
        rows = api.items(f"/accounts/{api.account(account)['account_id']}/keys", "keys")
    if as_json:
        print_json(rows)
        return
    print_table(
        ("id", "begins with", "name", "scopes", "state"),
        ((row["api_key_id"], row["prefix"], row["name"], " ".join(row["scopes"]), row["state"]) for row in rows),
    )


@keys_commands.command()
def rotate(
    api_key_id: KeyArgument,
    grace_hours: Annotated[
        int,
        typer.Option(
            min=key_rules.GRACE_MIN // HOUR,
            max=key_rules.GRACE_MAX // HOUR,
            help="For how many hours the old key goes on working.",
        ),
    ] = key_rules.GRACE_DEFAULT // HOUR,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a successor that may do the same. The old key works until the grace period ends."""
    with operator_api(data) as api:
        made = api.post(f"{_path(api, api_key_id)}/rotate", grace_hours=grace_hours)
    said = f"It takes over from {api_key_id}, which works for {grace_hours} h more. It is shown this once."
    _print_secret(made, said, as_json=as_json)


@keys_commands.command()
def revoke(api_key_id: KeyArgument, data: DataOption = DATA_DEFAULT) -> None:
    """Make a key useless within a second, and for good."""
    with operator_api(data) as api:
        api.post(f"{_path(api, api_key_id)}/revoke")
    out.print("Revoked.")


@keys_commands.command()
def delete(api_key_id: KeyArgument, data: DataOption = DATA_DEFAULT) -> None:
    """Forget a key, and the log of its requests with it."""
    with operator_api(data) as api:
        api.delete(_path(api, api_key_id))
    out.print("Deleted.")


def _path(api: OperatorApi, api_key_id: str) -> str:
    """Where the key is; its account is looked up. Raises CommandFailed."""
    if not is_id(api_key_id):
        raise CommandFailed(f"There is no key {api_key_id}.")
    return f"/accounts/{api.get(f'/keys/{api_key_id}')['account_id']}/keys/{api_key_id}"


def _print_secret(made: dict[str, Any], said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    out.print(made["key"], markup=False)
    err.print(said, markup=False)
