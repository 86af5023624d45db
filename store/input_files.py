"""The list of copies of customers' input files: announced before the object is written, forgotten after it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from store import sql

NEVER_ADMITTED_AFTER = timedelta(hours=1)  # far beyond the longest admission, so nothing is about to use the copy

_QUERIES = sql.load("input_files")


async def announce(conn: AsyncConnection[Any], generation_id: str, keys: Sequence[str]) -> None:
    """These objects are about to be written."""
    await conn.execute(_QUERIES["announce"], {"generation_id": generation_id, "keys": list(keys)})


async def due(
    conn: AsyncConnection[Any],
    *,
    never_admitted_after: timedelta = NEVER_ADMITTED_AFTER,
    after: str | None = None,
    limit: int = 100,
) -> list[str]:
    """Keys of copies that nobody needs any more: their generation has ended, or was never admitted and is this old.
    `after` is the last key of the page before."""
    parameters = {"never_admitted_after": never_admitted_after, "after": after, "limit": limit}
    cursor = await conn.execute(_QUERIES["due"], parameters)
    return [row[0] for row in await cursor.fetchall()]


async def forget(conn: AsyncConnection[Any], keys: Sequence[str]) -> None:
    """These objects are gone."""
    await conn.execute(_QUERIES["forget"], {"keys": list(keys)})
