"""`babysea webhooks`: where an account is told of its generations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.deployment import DataOption, JsonOption
from cli.errors import CommandFailed
from cli.keys import AccountOption
from cli.operator_api import WHERE, OperatorApi, operator_api
from cli.output import err, out, print_json, print_table
from cli.words import is_id, one_of
from domain.webhook_events import SUBSCRIBABLE, SUBSCRIBED_BY_DEFAULT
from embedded.config import DATA_DEFAULT

webhooks_commands = typer.Typer(no_args_is_help=True, help=f"Webhook endpoints of an account.\n\n{WHERE}")

EndpointArgument = Annotated[
    str, typer.Argument(metavar="ENDPOINT_ID", help="Its id, from `babysea webhooks list`.", show_default=False)
]
URL = "Where to POST: public https, unless the deployment allows others."
EVENT = f"What to tell of, repeatable: {', '.join(SUBSCRIBABLE)}."


@webhooks_commands.command()
def add(
    account: AccountOption,
    url: Annotated[str, typer.Option(help=URL)],
    event: Annotated[
        list[str],
        typer.Option(parser=one_of(SUBSCRIBABLE), metavar="EVENT", show_default="the four of a generation", help=EVENT),
    ] = [str(one) for one in SUBSCRIBED_BY_DEFAULT],  # noqa: B006 - typer only reads it
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add an endpoint. The secret that signs what is sent there is shown once."""
    with operator_api(data) as api:
        made = api.post(endpoints_path(api, account), url=url, events=event)
    _print_secret(made, as_json=as_json)


@webhooks_commands.command("list")
def list_endpoints(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the endpoints of an account, without their secrets."""
    with operator_api(data) as api:
        found = api.items(endpoints_path(api, account), "webhooks")
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "state", "failures", "queued", "url", "events"),
        (
            (
                one["endpoint_id"],
                _state(one),
                str(one["consecutive_failures"]),
                str(one["queued"]),
                one["url"],
                " ".join(one["events"]),
            )
            for one in found
        ),
    )


@webhooks_commands.command()
def show(
    account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False
) -> None:
    """Show an endpoint: whether it is enabled, how often it failed, and how much is queued for it."""
    with operator_api(data) as api:
        found = api.get(endpoint_path(api, account, endpoint_id))
    if as_json:
        print_json(found)
        return
    shown = {
        "id": found["endpoint_id"],
        "url": found["url"],
        "events": " ".join(found["events"]),
        "state": _state(found),
        "failures": f"{found['consecutive_failures']} in a row",
        "queued": found["queued"],
        "created": found["created_at"],
    }
    for word, value in shown.items():
        out.print(f"{word:<9} {value}", markup=False)


@webhooks_commands.command()
def update(
    account: AccountOption,
    endpoint_id: EndpointArgument,
    url: Annotated[str | None, typer.Option(help=URL)] = None,
    event: Annotated[list[str] | None, typer.Option(parser=one_of(SUBSCRIBABLE), metavar="EVENT", help=EVENT)] = None,
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Change what is given, and nothing else. The events given replace all others."""
    given: dict[str, Any] = {"url": url, "events": event}
    change = {name: value for name, value in given.items() if value}
    if not change:
        raise typer.BadParameter("Say what to change: --url or --event.")
    _change(data, account, endpoint_id, **change)
    out.print("Updated.")


@webhooks_commands.command()
def enable(account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT) -> None:
    """Send to an endpoint again; its count of failures begins anew. What was queued waits for `drain`."""
    _change(data, account, endpoint_id, enabled=True)
    out.print("Enabled.")


@webhooks_commands.command()
def disable(account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT) -> None:
    """Send nothing more to an endpoint. What happens meanwhile is queued for 72 hours."""
    _change(data, account, endpoint_id, enabled=False)
    out.print("Disabled.")


@webhooks_commands.command("rotate-secret")
def rotate_secret(
    account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False
) -> None:
    """Make a new secret, shown once. It signs the very next attempt; the old one signs nothing more."""
    with operator_api(data) as api:
        made = api.post(f"{endpoint_path(api, account, endpoint_id)}/rotate-secret")
    _print_secret(made, as_json=as_json)


@webhooks_commands.command()
def remove(
    account: AccountOption,
    endpoint_id: EndpointArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = DATA_DEFAULT,
) -> None:
    """Send nothing more to an endpoint, for good; what is queued expires. The log of its deliveries can be read on."""
    if not yes:
        typer.confirm(f"Remove endpoint {endpoint_id} for good?", abort=True, err=True)
    with operator_api(data) as api:
        api.delete(endpoint_path(api, account, endpoint_id))
    out.print("Removed.")


def endpoints_path(api: OperatorApi, account: str) -> str:
    """Raises CommandFailed when there is no account of that name."""
    return f"/accounts/{api.account(account)['account_id']}/webhooks"


def endpoint_path(api: OperatorApi, account: str, endpoint_id: str) -> str:
    """Raises CommandFailed for what cannot be the id of one."""
    if not is_id(endpoint_id):
        raise CommandFailed(f"There is no webhook {endpoint_id!r}.")
    return f"{endpoints_path(api, account)}/{endpoint_id}"


def _change(data: Path, account: str, endpoint_id: str, **change: Any) -> None:
    with operator_api(data) as api:
        api.patch(endpoint_path(api, account, endpoint_id), **change)


def _print_secret(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    out.print(made["secret"], markup=False)
    err.print(f"It signs what endpoint {made['endpoint_id']} is sent, and is shown this once.")


def _state(endpoint: dict[str, Any]) -> str:
    if endpoint["deleted_at"]:
        return "removed"
    if endpoint["enabled"]:
        return "enabled"
    return "disabled by failures" if endpoint["disabled_at"] else "disabled"
