"""`babysea stripe`: the events that came from Stripe, those that could not be applied, and differences of the books."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.deployment import DataOption, JsonOption
from cli.keys import AccountOption
from cli.operator_api import WHERE, operator_api
from cli.output import out, print_json, print_table
from embedded.config import DATA_DEFAULT

stripe_commands = typer.Typer(no_args_is_help=True, help=f"Payments: what came from Stripe.\n\n{WHERE}")


@stripe_commands.command()
def events(
    state: Annotated[
        str | None, typer.Option(help="Only those that are `received`, `applied`, `ignored` or `parked`.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first, with what became of them."""
    with operator_api(data) as api:
        found = api.items("/stripe/events", "events", limit=limit, state=state)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "at", "type", "about", "state", "why", "tries"),
        (
            (
                one["event_id"],
                one["received_at"],
                one["type"],
                one["object_id"],
                one["state"],
                one["explanation"] or "-",
                str(one["tries"]),
            )
            for one in found
        ),
    )


@stripe_commands.command()
def retry(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="From `babysea stripe events`.")],
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Try a parked event again, once what it was parked for is mended."""
    with operator_api(data) as api:
        event = api.post(f"/stripe/events/{event_id}/retry")
    if as_json:
        print_json(event)
    else:
        out.print(f"{event['event_id']} is tried again; `babysea stripe events` tells what became of it.")


@stripe_commands.command()
def link(
    account: AccountOption,
    customer: Annotated[str, typer.Option(help="The customer at Stripe, cus_...")],
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Say which account a customer of Stripe pays for. A link never changes."""
    with operator_api(data) as api:
        linked = api.post("/stripe/customers", account_id=api.account(account)["account_id"], customer_id=customer)
    if as_json:
        print_json(linked)
    else:
        out.print(f"{customer} pays for {account}.")


@stripe_commands.command()
def differences(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Where Stripe's books and ours did not agree when they were compared last. Exit code 1 when there are any."""
    with operator_api(data) as api:
        found = api.get("/stripe/differences")["differences"]
    if as_json:
        print_json(found)
    elif found:
        print_table(
            ("what", "difference", "explanation", "since"),
            ((one["source_id"], one["difference"], one["explanation"], one["found_at"]) for one in found),
        )
    else:
        out.print("The books agree.")
    if found:
        raise typer.Exit(1)
