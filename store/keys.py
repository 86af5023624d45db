"""API keys by their keyed hash. The key itself is never stored; `domain.keys` mints and hashes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from store import sql

_QUERIES = sql.load("keys")


@dataclass(frozen=True)
class ApiKeyRow:
    """A key to be kept."""

    api_key_id: str
    account_id: str
    name: str
    prefix: str  # the first nine characters, for display
    key_hash: bytes
    scopes: list[str]
    region: str
    ip_allowlist: list[str] = field(default_factory=list)  # empty: any address
    expires_at: datetime | None = None


@dataclass(frozen=True)
class KeyOwner:
    """A key and the account it acts for. Whether it may still be used is for the caller to judge."""

    api_key_id: str
    account_id: str
    account_name: str
    name: str
    prefix: str
    scopes: list[str]
    region: str
    ip_allowlist: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    account_plan: str
    account_frozen: bool


async def insert(conn: AsyncConnection[Any], key: ApiKeyRow) -> None:
    await conn.execute(_QUERIES["insert"], asdict(key))


async def find(conn: AsyncConnection[Any], key_hash: bytes) -> KeyOwner | None:
    """One indexed query."""
    async with conn.cursor(row_factory=class_row(KeyOwner)) as cursor:
        await cursor.execute(_QUERIES["find"], {"key_hash": key_hash})
        return await cursor.fetchone()


async def touch(conn: AsyncConnection[Any], api_key_id: str) -> None:
    """Note that the key was used; writes at most once a minute."""
    await conn.execute(_QUERIES["touch"], {"api_key_id": api_key_id})


async def revoke(conn: AsyncConnection[Any], api_key_id: str) -> bool:
    """At once and for good. True when this call did it."""
    cursor = await conn.execute(_QUERIES["revoke"], {"api_key_id": api_key_id})
    return cursor.rowcount == 1


async def of_account(conn: AsyncConnection[Any], account_id: str) -> list[KeyOwner]:
    """All keys of an account, revoked ones included, oldest first."""
    async with conn.cursor(row_factory=class_row(KeyOwner)) as cursor:
        await cursor.execute(_QUERIES["of_account"], {"account_id": account_id})
        return await cursor.fetchall()
