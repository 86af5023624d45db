"""`babysea list`: an account's newest generations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.deployment import DataOption, Deployment, JsonOption, with_database
from cli.keys import AccountOption
from cli.output import print_json, print_table
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from store.shown import ShownGeneration

LIMIT_DEFAULT = 20
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def list_generations(
    account: AccountOption,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = LIMIT_DEFAULT,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List the newest generations of an account."""
    from cli.accounts import account_named
    from store import shown
    from store.connection import Pool, single

    async def step(_: Deployment, pool: Pool) -> list[ShownGeneration]:
        async with single(pool) as conn:
            owner = await account_named(conn, account)
            records, _total = await shown.page(conn, owner.account_id, limit=limit, offset=0)
            return records

    records = with_database(data, step)
    if as_json:
        print_json([_document(record) for record in records])
        return
    now = datetime.now(UTC)
    print_table(
        ("id", "status", "model", "provider", "age"),
        (
            (one.generation_id, one.status.value, one.model, one.provider_used or "-", age(now - one.created_at))
            for one in records
        ),
    )


def age(since: timedelta) -> str:
    """In the largest unit that it fills, rounded down."""
    seconds = max(int(since.total_seconds()), 0)
    return next((f"{seconds // size} {name}" for size, name in _UNITS if seconds >= size), f"{seconds} s")


def _document(record: ShownGeneration) -> dict[str, object]:
    return {
        "generation_id": record.generation_id,
        "status": record.status,
        "model": record.model,
        "media_type": record.media_type,
        "provider_used": record.provider_used,
        "error_code": record.error_code,
        "created_at": record.created_at,
        "completed_at": record.completed_at,
    }
