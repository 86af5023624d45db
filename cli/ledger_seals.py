"""`babysea ledger seal` and `seals`: periods that are closed for good, each with a hash over all its transfers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.deployment import DataOption, JsonOption, find
from cli.output import credits, err, out, print_json, print_table
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from store.ledger_seals import Seal, SealsVerified

T = TypeVar("T")


def seal(
    period: Annotated[
        str | None, typer.Option(help="Up to the end of this month or day of UTC, like 2026-10 or 2026-11-05.")
    ] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Close periods: balances, last entries and a hash over all transfers are kept, and nothing can enter them.

    Months that ended before it are sealed first, each for itself; without --period they are all. The hourly proof does
    so by itself after the end of each month. What is sealed already stays as it is.
    """
    from domain.periods import period_named
    from store import ledger_seals

    async def step(conn: AsyncConnection[Any]) -> list[Seal]:
        if period is None:
            return await ledger_seals.close_months(conn)
        return await ledger_seals.close(conn, period_named(period).end)

    made = _with_connection(data, step)
    if as_json:
        print_json([_document(one) for one in made])
    elif made:
        _table(made)
    else:
        out.print("There is nothing to seal.")


def seals_list(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List the sealed periods, newest first."""
    from store import ledger_seals

    async def step(conn: AsyncConnection[Any]) -> list[Seal]:
        return (await ledger_seals.page(conn, limit=limit, offset=0))[0]

    found = _with_connection(data, step)
    if as_json:
        print_json([_document(one) for one in found])
    else:
        _table(found)


def verify_sealed(data: Path, *, as_json: bool) -> None:
    """Recompute the hash of each sealed period. Exit code 1 when one differs; the first is named."""
    from store import ledger_seals

    async def step(conn: AsyncConnection[Any]) -> SealsVerified:
        return await ledger_seals.verify_seals(conn)

    done = _with_connection(data, step)
    if as_json:
        print_json(
            {
                "unchanged": done.violation is None,
                "first_violation": None if done.violation is None else str(done.violation),
                "seals": done.seals,
                "transfers": done.transfers,
                "seconds": round(done.seconds, 3),
            }
        )
    elif done.violation is None:
        out.print(
            f"The {done.seals} sealed periods are unchanged: {done.transfers:,} transfers in {done.seconds:.1f} s."
        )
    else:
        err.print(str(done.violation), markup=False)
    if done.violation is not None:
        raise typer.Exit(1)


def _table(seals: Sequence[Seal]) -> None:
    print_table(
        ("period", "transfers", "moved", "available", "held", "revenue", "up to", "hash"),
        (
            (
                one.name,
                str(one.transfers),
                credits(int(one.moved_micros)),
                *(credits(one.balances.get(kind, 0)) for kind in ("available", "held", "revenue")),
                str(one.up_to_transfer),
                one.hash,
            )
            for one in seals
        ),
    )


def _document(one: Seal) -> dict[str, Any]:
    return {
        "number": one.seal_number,
        "period": one.name,
        "period_start": one.period_start,
        "period_end": one.period_end,
        "sealed_at": one.sealed_at,
        "up_to_transfer": one.up_to_transfer,
        "transfers": one.transfers,
        "moved_microcredits": int(one.moved_micros),
        "balances_microcredits": one.balances,
        "previous_hash": one.previous_hash,
        "hash": one.hash,
    }


def _with_connection(data: Path, step: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
    """One that may be read for long, and is in no transaction."""
    from store.ledger_verification import reading

    async def run() -> T:
        async with reading(find(data).settings.database_url.get_secret_value()) as conn:
            return await step(conn)

    return asyncio.run(run())
