"""Accounts: who pays. Their ledger accounts are opened with them, by a trigger."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from domain.errors import StateConflict
from store import sql

_QUERIES = sql.load("accounts")


@dataclass(frozen=True)
class Account:
    account_id: str
    name: str
    email: str | None
    plan: str
    created_at: datetime
    frozen: bool  # new holds are refused; open ones may end
    is_personal: bool = True
    picture_url: str | None = None
    closed_at: datetime | None = None  # for good: its keys are revoked
    moderation_failover: bool = False  # content that one provider refuses is shown to another


async def create(
    conn: AsyncConnection[Any],
    name: str,
    *,
    email: str | None = None,
    plan: str = "free",
    is_personal: bool = True,
    picture_url: str | None = None,
) -> Account:
    """Open an account. Raises StateConflict when the name is taken."""
    parameters = {"name": name, "email": email, "plan": plan, "is_personal": is_personal, "picture_url": picture_url}
    created = await _named_once(conn, "create", parameters)
    assert created is not None
    return created


async def get(conn: AsyncConnection[Any], account_id: str) -> Account | None:
    async with conn.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(_QUERIES["get"], {"account_id": account_id})
        return await cursor.fetchone()


async def by_name(conn: AsyncConnection[Any], name: str) -> Account | None:
    async with conn.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(_QUERIES["by_name"], {"name": name})
        return await cursor.fetchone()


async def locked(conn: AsyncConnection[Any], account_id: str) -> Account | None:
    """The account, unchanged by anybody else until the end of the transaction."""
    async with conn.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(_QUERIES["locked"], {"account_id": account_id})
        return await cursor.fetchone()


async def page(conn: AsyncConnection[Any], *, name: str | None, limit: int, offset: int) -> tuple[list[Account], int]:
    """Newest first, closed ones included, and how many there are in all. With a name, only the one that has it."""
    parameters = {"name": name, "limit": limit, "offset": offset}
    async with conn.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(_QUERIES["page"], parameters)
        rows = await cursor.fetchall()
    counted = await (await conn.execute(_QUERIES["count"], parameters)).fetchone()
    assert counted is not None
    return rows, counted[0]


async def update(conn: AsyncConnection[Any], account: Account) -> Account:
    """Keep the name, email, plan, picture, policy and frozen flag as given. Raises StateConflict when the name is taken
    or the account closed."""
    updated = await _named_once(conn, "update", asdict(account))
    if updated is None:
        raise StateConflict("The account is closed.")
    return updated


async def close(conn: AsyncConnection[Any], account_id: str) -> None:
    """For good, and frozen with it: open holds may end, new ones are refused. Its keys find no account any more."""
    await conn.execute(_QUERIES["close"], {"account_id": account_id})


async def _named_once(conn: AsyncConnection[Any], name: str, parameters: dict[str, Any]) -> Account | None:
    try:
        async with conn.transaction(), conn.cursor(row_factory=class_row(Account)) as cursor:
            await cursor.execute(_QUERIES[name], parameters)
            return await cursor.fetchone()
    except UniqueViolation as violation:
        raise StateConflict("An account of this name exists already.", details={"field": "name"}) from violation
