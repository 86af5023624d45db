"""`babysea credits`: what an account has, grants to it, and whether the books are in order."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Annotated

import typer

from cli.deployment import DataOption, Deployment, JsonOption, with_database
from cli.errors import CommandFailed
from cli.keys import AccountOption
from cli.output import credits, err, out, print_json
from domain.errors import InvalidInput
from domain.pricing import microcredits_from_text
from embedded.config import DATA_DEFAULT

credits_commands = typer.Typer(no_args_is_help=True, help="Credits of an account; 1 credit is 1 USD.")


def microcredits_from(text: str) -> int:
    """Read `12`, `0.5` or `0.000001` exactly. Raises CommandFailed for anything else, zero included."""
    try:
        amount = microcredits_from_text(text)
    except InvalidInput:
        amount = 0
    if amount <= 0:
        raise CommandFailed(f"{text!r} is not an amount: give credits above zero with at most six decimals, like 12.5.")
    return amount


@credits_commands.command()
def grant(
    account: AccountOption,
    amount: Annotated[str, typer.Option(help="Credits, like 25 or 0.5.")],
    key: Annotated[str | None, typer.Option(help="Names this grant: the same key again grants nothing more.")] = None,
    note: Annotated[str | None, typer.Option(help="Why, for the books.")] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add credits to an account."""
    from cli.accounts import account_named
    from store import ledger
    from store.connection import Pool, transaction

    micros = microcredits_from(amount)

    async def step(_: Deployment, pool: Pool) -> tuple[str, ledger.Balance]:
        async with transaction(pool) as conn:
            owner = await account_named(conn, account)
            granted = await ledger.grant(
                conn,
                account_id=owner.account_id,
                amount=micros,
                source=ledger.GrantSource.ADJUSTMENT,
                key=key or f"command-line/{uuid.uuid4()}",
                note=note,
            )
            return granted.value, await ledger.balance(conn, owner.account_id)

    result, balance = with_database(data, step)
    if result == ledger.Granted.CONFLICT:
        raise CommandFailed(f"The key {key!r} was used for another grant; nothing was added.")
    if as_json:
        print_json({"result": result, **asdict(balance)})
        return
    out.print(f"{result}: {credits(balance.available)} credits available, {credits(balance.held)} held")


@credits_commands.command()
def balance(account: AccountOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """What the account may spend, what is held for running generations, and what it owes."""
    from cli.accounts import account_named
    from store import ledger
    from store.connection import Pool, single

    async def step(_: Deployment, pool: Pool) -> ledger.Balance:
        async with single(pool) as conn:
            return await ledger.balance(conn, (await account_named(conn, account)).account_id)

    found = with_database(data, step)
    if as_json:
        print_json(asdict(found))
        return
    out.print(f"available {credits(found.available)}")
    out.print(f"held      {credits(found.held)}")
    if found.debt:
        out.print(f"debt      {credits(found.debt)}")


@credits_commands.command()
def check(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Recompute every invariant of the ledger. Exit code 1 when one does not hold."""
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
