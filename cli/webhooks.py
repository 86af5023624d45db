"""`babysea webhooks`: where an account is told of its generations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.deployment import DataOption, Deployment, JsonOption, with_database
from cli.errors import CommandFailed
from cli.keys import AccountOption
from cli.output import err, out, print_json, print_table
from cli.words import is_id, one_of
from domain.webhook_events import SUBSCRIBABLE, SUBSCRIBED_BY_DEFAULT
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from store.webhooks import Endpoint

webhooks_commands = typer.Typer(no_args_is_help=True, help="Webhook endpoints of an account.")

EndpointArgument = Annotated[
    str, typer.Argument(metavar="ENDPOINT_ID", help="Its id, from `babysea webhooks list`.", show_default=False)
]


@webhooks_commands.command()
def add(
    account: AccountOption,
    url: Annotated[str, typer.Option(help="Where to POST: public https, unless the deployment allows others.")],
    event: Annotated[
        list[str],
        typer.Option(
            parser=one_of(SUBSCRIBABLE),
            metavar="EVENT",
            show_default="the four of a generation",
            help=f"What to tell of, repeatable: {', '.join(SUBSCRIBABLE)}.",
        ),
    ] = [str(one) for one in SUBSCRIBED_BY_DEFAULT],  # noqa: B006 - typer only reads it
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add an endpoint. The secret that signs what is sent there is shown once."""
    from cli.accounts import account_named
    from cli.endpoints import add_endpoint, new_secret
    from store.connection import Pool, transaction

    secret = new_secret()

    async def step(deployment: Deployment, pool: Pool) -> Endpoint:
        async with transaction(pool) as conn:
            owner = await account_named(conn, account)
            return await add_endpoint(conn, deployment.settings, owner, url=url, secret=secret, events=event)

    made = with_database(data, step)
    if as_json:
        print_json({"secret": secret, **_document(made)})
        return
    out.print(secret)
    err.print(f"It signs what endpoint {made.endpoint_id} is sent, and is shown this once.")


@webhooks_commands.command("list")
def list_endpoints(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the endpoints of an account, without their secrets."""
    from cli.accounts import account_named
    from store import webhooks
    from store.connection import Pool, single

    async def step(_: Deployment, pool: Pool) -> list[Endpoint]:
        async with single(pool) as conn:
            return await webhooks.endpoints(conn, (await account_named(conn, account)).account_id)

    found = with_database(data, step)
    if as_json:
        print_json([_document(endpoint) for endpoint in found])
        return
    print_table(
        ("id", "state", "failures", "url", "events"),
        ((one.endpoint_id, _state(one), str(one.consecutive_failures), one.url, " ".join(one.events)) for one in found),
    )


@webhooks_commands.command()
def enable(account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT) -> None:
    """Send to an endpoint again; its count of failures begins anew."""
    _set_enabled(data, account, endpoint_id, enabled=True)
    out.print("Enabled.")


@webhooks_commands.command()
def disable(account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT) -> None:
    """Send nothing more to an endpoint."""
    _set_enabled(data, account, endpoint_id, enabled=False)
    out.print("Disabled.")


def _set_enabled(data: Path, account: str, endpoint_id: str, *, enabled: bool) -> None:
    from cli.accounts import account_named
    from store import webhooks
    from store.connection import Pool, transaction

    async def step(_: Deployment, pool: Pool) -> bool:
        async with transaction(pool) as conn:
            owner = await account_named(conn, account)
            return is_id(endpoint_id) and await webhooks.set_enabled(
                conn, owner.account_id, endpoint_id, enabled=enabled
            )

    if not with_database(data, step):
        raise CommandFailed(f"Account {account!r} has no webhook endpoint {endpoint_id!r}.")


def _state(endpoint: Endpoint) -> str:
    if endpoint.enabled:
        return "enabled"
    return "disabled by failures" if endpoint.disabled_at else "disabled"


def _document(endpoint: Endpoint) -> dict[str, object]:
    return {
        "endpoint_id": endpoint.endpoint_id,
        "account_id": endpoint.account_id,
        "url": endpoint.url,
        "events": endpoint.events,
        "enabled": endpoint.enabled,
        "consecutive_failures": endpoint.consecutive_failures,
        "disabled_at": endpoint.disabled_at,
        "created_at": endpoint.created_at,
    }
