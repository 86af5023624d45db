"""`babysea credits`: what an account has, grants to it, and whether the books are in order."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from cli.deployment import DataOption, Deployment, JsonOption, with_database
from cli.errors import CommandFailed
from cli.keys import AccountOption
from cli.operator_api import WHERE, operator_api
from cli.output import credits, err, out, print_json, print_table
from cli.words import is_id
from domain.errors import InvalidInput
from domain.pricing import exact_credits, microcredits_from_number, microcredits_from_text
from embedded.config import DATA_DEFAULT

credits_commands = typer.Typer(no_args_is_help=True, help=f"Credits of an account; 1 credit is 1 USD.\n\n{WHERE}")


def microcredits_from(text: str) -> int:
    """Read `12`, `0.5` or `0.000001` exactly. Raises CommandFailed for anything else, zero included."""
    amount = _read(text)
    if amount <= 0:
        raise CommandFailed(f"{text!r} is not an amount: give credits above zero with at most six decimals, like 12.5.")
    return amount


def signed_microcredits_from(text: str) -> int:
    """The same, or below zero."""
    amount = _read(text)
    if amount == 0:
        raise CommandFailed(f"{text!r} is not an amount: give credits with at most six decimals, like 12.5 or -2.5.")
    return amount


def _read(text: str) -> int:
    try:
        return microcredits_from_text(text)
    except InvalidInput:
        return 0


@credits_commands.command()
def grant(
    account: AccountOption,
    amount: Annotated[str, typer.Option(help="Credits, like 25 or 0.5.")],
    key: Annotated[str | None, typer.Option(help="Names this grant: the same key again grants nothing more.")] = None,
    note: Annotated[str | None, typer.Option(help="Why, for the books.")] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="A promotion that ends then, like 2026-12-31T00:00:00Z: what is left goes back.")
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, help="The same, in so many days.")] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add credits to an account."""
    micros = microcredits_from(amount)
    if expires_at is not None and expires_in_days is not None:
        raise CommandFailed("Give either --expires-at or --expires-in-days.")
    if expires_in_days is not None:
        expires_at = (datetime.now(UTC) + timedelta(days=expires_in_days)).isoformat()
    with operator_api(data) as api:
        answer = api.post(
            f"/accounts/{api.account(account)['account_id']}/credits/grants",
            amount=exact_credits(micros),
            key=key or f"command-line/{uuid.uuid4()}",
            note=note,
            **({} if expires_at is None else {"expires_at": expires_at, "source": "promotion"}),
        )
    found = _micros(answer)
    if as_json:
        print_json({"result": answer["result"], **found})
        return
    out.print(f"{answer['result']}: {credits(found['available'])} credits available, {credits(found['held'])} held")


@credits_commands.command()
def refund(
    generation_id: Annotated[str, typer.Argument(help="The generation that was paid for.", show_default=False)],
    account: AccountOption,
    reason: Annotated[str, typer.Option(help="Why, for the books.")],
    amount: Annotated[str | None, typer.Option(help="Credits; without it all that it cost.")] = None,
    key: Annotated[str | None, typer.Option(help="Names this refund: the same key again refunds nothing more.")] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Give back what a generation cost, or a part of it."""
    if not is_id(generation_id):
        raise CommandFailed(f"There is no generation {generation_id}.")
    with operator_api(data) as api:
        answer = api.post(
            f"/accounts/{api.account(account)['account_id']}/credits/refunds",
            generation_id=generation_id,
            amount=None if amount is None else exact_credits(microcredits_from(amount)),
            reason=reason,
            key=key or f"command-line/{uuid.uuid4()}",
        )
    if as_json:
        print_json(answer)
        return
    refunded, available = (credits(microcredits_from_number(answer[name])) for name in ("refunded", "available"))
    out.print(f"{answer['result']}: {refunded} credits; {available} credits available")


@credits_commands.command()
def balance(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """What the account may spend, what is held for generations in flight, and what it owes."""
    with operator_api(data) as api:
        found = _micros(api.get(f"/accounts/{api.account(account)['account_id']}/credits"))
    if as_json:
        print_json(found)
        return
    out.print(f"available {credits(found['available'])}")
    out.print(f"held      {credits(found['held'])}")
    if found["debt"]:
        out.print(f"debt      {credits(found['debt'])}")


@credits_commands.command()
def entries(
    account: AccountOption,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List what came to the account and went from it, newest first."""
    with operator_api(data) as api:
        path = f"/accounts/{api.account(account)['account_id']}/credits/entries"
        found = api.items(path, "entries", limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("when", "what", "amount", "balance", "for"),
        (
            (
                one["created_at"],
                one["operation"],
                credits(microcredits_from_number(one["amount"])),
                credits(microcredits_from_number(one["balance_after"])),
                one["generation_id"] or one["key"] or "-",
            )
            for one in found
        ),
    )


@credits_commands.command()
def lots(
    account: AccountOption,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List credits that expire, newest first, and what is left of them."""
    with operator_api(data) as api:
        found = api.items(f"/accounts/{api.account(account)['account_id']}/credits/lots", "lots", limit=limit)
    if as_json:
        print_json(found)
        return
    parts = ("granted", "left", "held", "spent", "burned")
    print_table(
        ("expires", "state", *parts, "for"),
        (
            (
                one["expires_at"],
                one["state"],
                *(credits(microcredits_from_number(one[part])) for part in parts),
                one["key"],
            )
            for one in found
        ),
    )


@credits_commands.command()
def check(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Recompute every invariant of the ledger, in the database itself. Exit code 1 when one does not hold."""
    from store import ledger
    from store.connection import Pool, single

    async def step(_: Deployment, pool: Pool) -> list[str]:
        async with single(pool) as conn:
            return await ledger.check(conn)

    broken = with_database(data, step)
    if as_json:
        print_json({"balanced": not broken, "violations": broken})
    elif broken:
        for violation in broken:
            err.print(violation, markup=False)
    else:
        out.print("The ledger is balanced.")
    if broken:
        raise typer.Exit(1)


def _micros(balance: dict[str, Any]) -> dict[str, int]:
    """Whole micro-credits, as this command has always printed them."""
    return {name: microcredits_from_number(balance[name]) for name in ("available", "held", "debt")}
