"""`babysea keys`: make, list and revoke API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from api.rate_limits import REQUESTS_PER_MINUTE
from cli.deployment import DataOption, Deployment, JsonOption, with_database
from cli.errors import CommandFailed
from cli.output import err, out, print_json, print_table
from cli.words import is_id, one_of
from domain import keys as key_rules
from embedded.config import DATA_DEFAULT
from store.keys import KeyOwner

PLAN_DEFAULT = "free"

keys_commands = typer.Typer(no_args_is_help=True, help="API keys of an account.")

AccountOption = Annotated[str, typer.Option("--account", help="Name of the account.")]


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
        typer.Option(
            parser=one_of(REQUESTS_PER_MINUTE),
            metavar="PLAN",
            help=f"Plan of an account made now: {', '.join(REQUESTS_PER_MINUTE)}; {PLAN_DEFAULT} by default.",
        ),
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
    from cli.accounts import account_named_or_made, make_key
    from store.connection import Pool, transaction

    async def step(deployment: Deployment, pool: Pool) -> dict[str, object]:
        async with transaction(pool) as conn:
            owner = await account_named_or_made(conn, account, plan=plan or PLAN_DEFAULT)
            if plan and owner.plan != plan:
                raise CommandFailed(f"Account {account!r} exists, on the plan {owner.plan!r}; no key was made.")
            row, secret = await make_key(
                conn,
                deployment.settings,
                owner,
                scopes=scope or [preset],
                name=name,
                expires_in=timedelta(days=expires_in_days) if expires_in_days else None,
                ip_allowlist=allow_ip,
            )
        return {
            "key": secret,
            "api_key_id": row.api_key_id,
            "account_id": owner.account_id,
            "account": owner.name,
            "plan": owner.plan,
            "name": row.name,
            "scopes": row.scopes,
            "region": row.region,
            "expires_at": row.expires_at,
            "api_url": deployment.api_url,
        }

    made = with_database(data, step)
    if as_json:
        print_json(made)
        return
    out.print(str(made["key"]))
    err.print(f"Made for account {account}. It is shown this once.")


@keys_commands.command("list")
def list_keys(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the keys of an account: never the keys themselves, only how they begin."""
    from cli.accounts import account_named
    from store import keys
    from store.connection import Pool, single

    async def step(_: Deployment, pool: Pool) -> list[KeyOwner]:
        async with single(pool) as conn:
            return await keys.of_account(conn, (await account_named(conn, account)).account_id)

    rows = with_database(data, step)
    if as_json:
        print_json(
            [
                {
                    "api_key_id": row.api_key_id,
                    "prefix": row.prefix,
                    "name": row.name,
                    "scopes": row.scopes,
                    "created_at": row.created_at,
                    "expires_at": row.expires_at,
                    "revoked_at": row.revoked_at,
                    "last_used_at": row.last_used_at,
                }
                for row in rows
            ]
        )
        return
    print_table(
        ("id", "begins with", "name", "scopes", "state"),
        ((row.api_key_id, row.prefix, row.name, " ".join(row.scopes), _state(row)) for row in rows),
    )


@keys_commands.command()
def revoke(
    api_key_id: Annotated[str, typer.Argument(help="Its id, from `babysea keys list`.")],
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Make a key useless within a second, and for good."""
    from store import keys
    from store.connection import Pool, transaction

    async def step(_: Deployment, pool: Pool) -> bool:
        async with transaction(pool) as conn:
            return is_id(api_key_id) and await keys.revoke(conn, api_key_id)

    if not with_database(data, step):
        raise CommandFailed(f"There is no active key {api_key_id}.")
    out.print("Revoked.")


def _state(row: KeyOwner) -> str:
    return key_rules.state(
        now=datetime.now(UTC),
        region=row.region,
        key_region=row.region,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    ).value
