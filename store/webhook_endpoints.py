"""Where the webhooks of an account go. A deleted endpoint is gone, but for the log of what it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.errors import StateConflict
from store import sql

ENDPOINTS_MAX = 10  # per account, disabled ones included

_QUERIES = sql.load("webhook_endpoints")


@dataclass(frozen=True)
class Endpoint:
    endpoint_id: str
    account_id: str
    url: str
    secret_sealed: bytes
    events: list[str]
    enabled: bool
    consecutive_failures: int
    disabled_at: datetime | None  # by too many failures
    queued: int  # deliveries that wait for a drain
    created_at: datetime
    deleted_at: datetime | None


async def insert(
    conn: AsyncConnection[Any],
    *,
    endpoint_id: str,
    account_id: str,
    url: str,
    secret_sealed: bytes,
    events: Sequence[str],
) -> Endpoint:
    """Add an enabled endpoint.

    `secret_sealed` is the secret as `domain.sealing` seals it for `endpoint_id`; the database never sees it open.
    Raises StateConflict when the account has ENDPOINTS_MAX, however many are being added at once.
    """
    parameters = {
        "endpoint_id": endpoint_id,
        "account_id": account_id,
        "url": url,
        "secret_sealed": secret_sealed,
        "events": list(events),
        "endpoints_max": ENDPOINTS_MAX,
    }
    added = await (await conn.execute(_QUERIES["insert"], parameters)).fetchone()
    if added is None or added[0] is None:
        raise StateConflict(f"An account has at most {ENDPOINTS_MAX} webhook endpoints; delete one first.")
    made = await get(conn, account_id, endpoint_id)
    assert made is not None
    return made


async def get(conn: AsyncConnection[Any], account_id: str, endpoint_id: str) -> Endpoint | None:
    """Deleted ones included."""
    async with conn.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(_QUERIES["get"], {"account_id": account_id, "endpoint_id": endpoint_id})
        return await cursor.fetchone()


async def of_account(conn: AsyncConnection[Any], account_id: str) -> list[Endpoint]:
    """All that are not deleted, oldest first."""
    async with conn.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(_QUERIES["of_account"], {"account_id": account_id})
        return await cursor.fetchall()


async def change(
    conn: AsyncConnection[Any],
    account_id: str,
    endpoint_id: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> bool:
    """None leaves a thing as it is. Switching by hand, either way, begins the count of failures anew.

    False when there is no such endpoint.
    """
    parameters = {
        "account_id": account_id,
        "endpoint_id": endpoint_id,
        "url": url,
        "events": None if events is None else list(events),
        "enabled": enabled,
    }
    return (await conn.execute(_QUERIES["change"], parameters)).rowcount == 1


async def replace_secret(
    conn: AsyncConnection[Any], account_id: str, endpoint_id: str, *, secret_sealed: bytes
) -> bool:
    """The next attempt of whatever delivery is signed with the new one. False when there is no such endpoint."""
    parameters = {"account_id": account_id, "endpoint_id": endpoint_id, "secret_sealed": secret_sealed}
    return (await conn.execute(_QUERIES["replace_secret"], parameters)).rowcount == 1


async def delete(conn: AsyncConnection[Any], account_id: str, endpoint_id: str) -> bool:
    """For good: its secret is wiped and its queue expires; what was sent stays in the log. False when it was not there.

    A delivery under way ends as failed.
    """
    parameters = {"account_id": account_id, "endpoint_id": endpoint_id}
    deleted = await (await conn.execute(_QUERIES["delete"], parameters)).fetchone()
    assert deleted is not None
    return bool(deleted[0])
