"""Operators by the keyed hash of their key. The key itself is never stored; `domain.operators` mints it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from domain.errors import StateConflict
from domain.keys import MintedKey
from store import sql

_QUERIES = sql.load("operators")


@dataclass(frozen=True)
class Operator:
    """Who is asking: a person or a program with a key that works."""

    operator_id: str
    name: str


@dataclass(frozen=True)
class OperatorRow:
    operator_id: str
    name: str
    prefix: str  # the first nine characters of the key, for display
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


async def create(conn: AsyncConnection[Any], name: str, key: MintedKey) -> OperatorRow:
    """Raises StateConflict when an operator who is not revoked has this name."""
    parameters = {"name": name, "prefix": key.prefix, "key_hash": key.key_hash}
    try:
        async with conn.transaction(), conn.cursor(row_factory=class_row(OperatorRow)) as cursor:
            await cursor.execute(_QUERIES["insert"], parameters)
            created = await cursor.fetchone()
    except UniqueViolation as violation:
        raise StateConflict("An operator of this name exists already.", details={"field": "name"}) from violation
    assert created is not None
    return created


async def recognise(conn: AsyncConnection[Any], key_hash: bytes) -> Operator | None:
    """Whose key this is. None: nobody's, or a revoked one. One indexed query."""
    async with conn.cursor(row_factory=class_row(Operator)) as cursor:
        await cursor.execute(_QUERIES["recognise"], {"key_hash": key_hash})
        return await cursor.fetchone()


async def get(conn: AsyncConnection[Any], operator_id: str) -> OperatorRow | None:
    async with conn.cursor(row_factory=class_row(OperatorRow)) as cursor:
        await cursor.execute(_QUERIES["get"], {"operator_id": operator_id})
        return await cursor.fetchone()


async def named(conn: AsyncConnection[Any], name: str) -> OperatorRow | None:
    """The one who has this name now; not one who had it and was revoked."""
    async with conn.cursor(row_factory=class_row(OperatorRow)) as cursor:
        await cursor.execute(_QUERIES["named"], {"name": name})
        return await cursor.fetchone()


async def page(conn: AsyncConnection[Any], *, limit: int, offset: int) -> tuple[list[OperatorRow], int]:
    """Oldest first, revoked ones included, and how many there are in all."""
    async with conn.cursor(row_factory=class_row(OperatorRow)) as cursor:
        await cursor.execute(_QUERIES["page"], {"limit": limit, "offset": offset})
        rows = await cursor.fetchall()
    counted = await (await conn.execute(_QUERIES["count"])).fetchone()
    assert counted is not None
    return rows, counted[0]


async def revoke(conn: AsyncConnection[Any], operator_id: str) -> bool:
    """At once and for good. True when this call did it."""
    cursor = await conn.execute(_QUERIES["revoke"], {"operator_id": operator_id})
    return cursor.rowcount == 1
