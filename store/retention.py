"""What has been kept for long enough, and its removal. Each call is one statement and may be repeated."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from store import sql

_QUERIES = sql.load("retention")
_BEFORE_ALL = str(uuid.UUID(int=0))


@dataclass(frozen=True)
class Terms:
    """How long an account's things are kept: generations and deliveries from their end on, requests from their time."""

    files: timedelta
    generations: timedelta
    deliveries: timedelta
    requests: timedelta


@dataclass(frozen=True)
class Due:
    """An account, and which of its things are to be removed."""

    account_id: str
    files: bool
    generations: bool
    deliveries: bool
    requests: bool


@dataclass(frozen=True)
class Stored:
    """An ended generation for which something may be stored."""

    generation_id: str
    region: str


async def accounts(conn: AsyncConnection[Any], *, after: str | None, limit: int) -> dict[str, str]:
    """The plan names of accounts by id, in the order of the ids."""
    cursor = await conn.execute(_QUERIES["accounts"], {"after": after or _BEFORE_ALL, "limit": limit})
    return dict(await cursor.fetchall())


async def due(conn: AsyncConnection[Any], terms: Mapping[str, Terms], *, limit: int) -> list[Due]:
    """The first of these accounts that have something to remove, in the order of their ids."""
    parameters: dict[str, Any] = {"account_ids": list(terms), "limit": limit}
    for thing in ("files", "generations", "deliveries", "requests"):
        parameters[thing] = [getattr(term, thing) for term in terms.values()]
    async with conn.cursor(row_factory=class_row(Due)) as cursor:
        await cursor.execute(_QUERIES["due"], parameters)
        return await cursor.fetchall()


async def files_due(conn: AsyncConnection[Any], account_id: str, age: timedelta, *, limit: int) -> list[Stored]:
    """Those that ended longer ago than this and are not marked as without files, the oldest first."""
    async with conn.cursor(row_factory=class_row(Stored)) as cursor:
        await cursor.execute(_QUERIES["files_due"], {"account_id": account_id, "age": age, "limit": limit})
        return await cursor.fetchall()


async def mark_files_removed(conn: AsyncConnection[Any], generation_ids: Sequence[str]) -> None:
    """After their files are gone, and never before."""
    await conn.execute(_QUERIES["mark_files_removed"], {"generation_ids": list(generation_ids)})


async def purge_generations(conn: AsyncConnection[Any], account_id: str, age: timedelta, *, limit: int) -> int:
    """Remove records without files, with their attempts; how many. What usage counts of them stays."""
    parameters = {"account_id": account_id, "age": age, "limit": limit}
    row = await (await conn.execute(_QUERIES["purge_generations"], parameters)).fetchone()
    return int(row[0]) if row else 0


async def purge_deliveries(conn: AsyncConnection[Any], account_id: str, age: timedelta, *, limit: int) -> int:
    """Remove webhook deliveries that have ended, with their attempts; how many."""
    parameters = {"account_id": account_id, "age": age, "limit": limit}
    return (await conn.execute(_QUERIES["purge_deliveries"], parameters)).rowcount


async def purge_requests(conn: AsyncConnection[Any], account_id: str, age: timedelta, *, limit: int) -> int:
    """Remove rows of the request log; how many. Its counts stay."""
    parameters = {"account_id": account_id, "age": age, "limit": limit}
    return (await conn.execute(_QUERIES["purge_requests"], parameters)).rowcount
