"""Accounts: who pays. Their ledger accounts are opened with them, by a trigger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from domain.errors import AccountNotFound, InvalidInput
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


async def create(
    conn: AsyncConnection[Any], name: str, *, email: str | None = None, plan: str = "free", is_personal: bool = True
) -> Account:
    """Open an account. Raises InvalidInput when the name is taken."""
    parameters = {"name": name, "email": email, "plan": plan, "is_personal": is_personal}
    try:
        async with conn.transaction(), conn.cursor(row_factory=class_row(Account)) as cursor:
            await cursor.execute(_QUERIES["create"], parameters)
            created = await cursor.fetchone()
    except UniqueViolation as violation:
        raise InvalidInput("An account of this name exists already.", details={"field": "name"}) from violation
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


async def set_frozen(conn: AsyncConnection[Any], account_id: str, *, frozen: bool) -> None:
    """Refuse, or allow again, new holds. Raises AccountNotFound."""
    cursor = await conn.execute(_QUERIES["freeze"], {"account_id": account_id, "frozen": frozen})
    if cursor.rowcount == 0:
        raise AccountNotFound("There is no such account.")
