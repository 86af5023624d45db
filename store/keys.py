"""API keys by their keyed hash. The key itself is never stored; `domain.keys` mints and hashes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation
from psycopg.rows import class_row

from domain import keys
from domain.errors import AccountNotFound, ResourceNotFound, StateConflict
from domain.keys import KeyState
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
    name: str
    prefix: str
    scopes: list[str]
    region: str
    ip_allowlist: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_at: datetime | None
    last_used_at: datetime | None
    account_plan: str
    account_closed: bool
    account_moderation_failover: bool


@dataclass(frozen=True)
class Successor:
    """The new key of a rotation; what it may do is as the old one's."""

    api_key_id: str
    prefix: str
    key_hash: bytes


async def insert(conn: AsyncConnection[Any], key: ApiKeyRow) -> None:
    """Raises AccountNotFound."""
    try:
        await conn.execute(_QUERIES["insert"], asdict(key))
    except ForeignKeyViolation as violation:
        raise AccountNotFound("There is no such account.") from violation


async def find(conn: AsyncConnection[Any], key_hash: bytes) -> KeyOwner | None:
    """One indexed query."""
    async with conn.cursor(row_factory=class_row(KeyOwner)) as cursor:
        await cursor.execute(_QUERIES["find"], {"key_hash": key_hash})
        return await cursor.fetchone()


async def get(conn: AsyncConnection[Any], api_key_id: str, *, account_id: str | None = None) -> KeyOwner:
    """One key; with an account, only if it is that account's. Raises ResourceNotFound."""
    return await _one(conn, "get", api_key_id, account_id)


async def of_account(conn: AsyncConnection[Any], account_id: str) -> list[KeyOwner]:
    """All keys of an account, revoked ones included, oldest first."""
    async with conn.cursor(row_factory=class_row(KeyOwner)) as cursor:
        await cursor.execute(_QUERIES["of_account"], {"account_id": account_id})
        return await cursor.fetchall()


async def touch(conn: AsyncConnection[Any], api_key_id: str) -> None:
    """Note that the key was used; writes at most once a minute."""
    await conn.execute(_QUERIES["touch"], {"api_key_id": api_key_id})


async def rotate(
    conn: AsyncConnection[Any],
    api_key_id: str,
    successor: Successor,
    *,
    account_id: str | None = None,
    grace: timedelta = keys.GRACE_DEFAULT,
) -> KeyOwner:
    """Give an active key a successor, and itself until the end of the grace period. Answers the new key.

    Inside the caller's transaction: of two at once, one waits and then finds the key rotated. Raises ResourceNotFound,
    StateConflict for a key that is not active, or has a successor already.
    """
    old = await _one(conn, "get_locked", api_key_id, account_id)
    now = await _now(conn)
    state = keys.state(
        now=now,
        region=old.region,
        key_region=old.region,
        expires_at=old.expires_at,
        revoked_at=old.revoked_at,
        rotated_at=old.rotated_at,
    )
    if state is not KeyState.ACTIVE:
        raise StateConflict(f"The key is {state.value}; only an active one is rotated.", details={"state": state.value})
    ends_at = now + grace
    await conn.execute(_QUERIES["rotated"], {"api_key_id": api_key_id, "rotated_at": now, "ends_at": ends_at})
    await conn.execute(
        _QUERIES["insert"],
        {
            **asdict(successor),
            "account_id": old.account_id,
            "name": old.name,
            "scopes": old.scopes,
            "region": old.region,
            "ip_allowlist": old.ip_allowlist,
            "expires_at": keys.expiry_after_rotation(old.expires_at, ends_at),
        },
    )
    inherited = {"api_key_id": api_key_id, "successor_id": successor.api_key_id}
    await conn.execute(_QUERIES["inherit_line"], inherited)
    return await get(conn, successor.api_key_id)


async def revoke(conn: AsyncConnection[Any], api_key_id: str, *, account_id: str | None = None) -> None:
    """At once and for good. Raises ResourceNotFound, StateConflict for the second time."""
    cursor = await conn.execute(_QUERIES["revoke"], {"api_key_id": api_key_id, "account_id": account_id})
    if cursor.rowcount == 0:
        await get(conn, api_key_id, account_id=account_id)
        raise StateConflict("The key is revoked already.", details={"state": KeyState.REVOKED.value})


async def delete(conn: AsyncConnection[Any], api_key_id: str, *, account_id: str | None = None) -> None:
    """Forget the key, and with it what it asked for. Its generations stay. Raises ResourceNotFound."""
    cursor = await conn.execute(_QUERIES["delete"], {"api_key_id": api_key_id, "account_id": account_id})
    if cursor.rowcount == 0:
        raise _not_found()


async def _one(conn: AsyncConnection[Any], query: str, api_key_id: str, account_id: str | None) -> KeyOwner:
    async with conn.cursor(row_factory=class_row(KeyOwner)) as cursor:
        await cursor.execute(_QUERIES[query], {"api_key_id": api_key_id, "account_id": account_id})
        found = await cursor.fetchone()
    if found is None:
        raise _not_found()
    return found


async def _now(conn: AsyncConnection[Any]) -> datetime:
    row = await (await conn.execute("SELECT clock_timestamp()")).fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _not_found() -> ResourceNotFound:
    return ResourceNotFound("There is no such key.")
