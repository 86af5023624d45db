"""Webhook endpoints and the outbox of deliveries. What is queued is queued in the transaction that causes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.errors import InternalError
from domain.webhook_events import timestamp
from store import sql

FAILURES_MAX = 15  # consecutive failed deliveries after which an endpoint is disabled
REPLY_HEAD_CHARACTERS = 1024

_QUERIES = sql.load("webhooks")


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


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
    created_at: datetime


@dataclass(frozen=True)
class Delivery:
    delivery_id: str
    endpoint_id: str
    account_id: str
    url: str
    secret_sealed: bytes
    event: str
    body: str  # the exact text to be signed and sent, the same in every attempt
    created_at: datetime
    state: DeliveryState
    endpoint_enabled: bool
    attempts_made: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", DeliveryState(self.state))

    @property
    def timestamp(self) -> str:
        """As in the body."""
        return timestamp(self.created_at)


async def insert_endpoint(
    conn: AsyncConnection[Any],
    *,
    endpoint_id: str,
    account_id: str,
    url: str,
    secret_sealed: bytes,
    events: list[str],
) -> Endpoint:
    """`secret_sealed` is the secret as `domain.sealing` seals it for `endpoint_id`; the database never sees it open."""
    parameters = {
        "endpoint_id": endpoint_id,
        "account_id": account_id,
        "url": url,
        "secret_sealed": secret_sealed,
        "events": events,
    }
    async with conn.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(_QUERIES["insert_endpoint"], parameters)
        inserted = await cursor.fetchone()
    assert inserted is not None
    return inserted


async def endpoint(conn: AsyncConnection[Any], account_id: str, endpoint_id: str) -> Endpoint | None:
    async with conn.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(_QUERIES["endpoint"], {"account_id": account_id, "endpoint_id": endpoint_id})
        return await cursor.fetchone()


async def endpoints(conn: AsyncConnection[Any], account_id: str) -> list[Endpoint]:
    """All of the account's, oldest first."""
    async with conn.cursor(row_factory=class_row(Endpoint)) as cursor:
        await cursor.execute(_QUERIES["endpoints"], {"account_id": account_id})
        return await cursor.fetchall()


async def set_enabled(conn: AsyncConnection[Any], account_id: str, endpoint_id: str, *, enabled: bool) -> bool:
    """By hand; the count of failures begins anew. False when there is no such endpoint."""
    parameters = {"account_id": account_id, "endpoint_id": endpoint_id, "enabled": enabled}
    cursor = await conn.execute(_QUERIES["set_enabled"], parameters)
    return cursor.rowcount == 1


async def delivery(conn: AsyncConnection[Any], delivery_id: str) -> Delivery:
    """With its endpoint, as both are now. Raises InternalError for an id that was never queued."""
    async with conn.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(_QUERIES["delivery"], {"delivery_id": delivery_id})
        found = await cursor.fetchone()
    if found is None:
        raise InternalError("There is no such webhook delivery.")
    return found


async def enqueue(
    conn: AsyncConnection[Any],
    *,
    delivery_id: str,
    endpoint_id: str,
    account_id: str,
    event: str,
    body: str,
    at: datetime,
    generation_id: str | None = None,
    replay_of: str | None = None,
) -> None:
    """Queue one delivery by hand, once per id: a test, or a replay.

    `domain.webhook_events` makes the body, from the same id and time.
    """
    parameters = {
        "delivery_id": delivery_id,
        "endpoint_id": endpoint_id,
        "account_id": account_id,
        "generation_id": generation_id,
        "event": event,
        "body": body,
        "at": at,
        "replay_of": replay_of,
    }
    await conn.execute(_QUERIES["enqueue"], parameters)


async def record_attempt(
    conn: AsyncConnection[Any],
    delivery_id: str,
    *,
    number: int,
    status_code: int | None,
    error: str | None,
    reply_head: str | None,
    final: bool,
) -> DeliveryState:
    """Keep one attempt, once per number. A 2xx ends the delivery as delivered and clears the endpoint's count of
    failures; a final failure ends it as failed and counts, and at FAILURES_MAX disables the endpoint. One statement.
    """
    parameters = {
        "delivery_id": delivery_id,
        "number": number,
        "status_code": status_code,
        "error": None if error is None else error.replace("\x00", ""),
        "reply_head": None if reply_head is None else reply_head.replace("\x00", "")[:REPLY_HEAD_CHARACTERS],
        "final": final,
        "failures_max": FAILURES_MAX,
    }
    cursor = await conn.execute(_QUERIES["record_attempt"], parameters)
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        raise InternalError("There is no such webhook delivery.")
    return DeliveryState(row[0])


async def overdue(
    conn: AsyncConnection[Any], *, older_than: timedelta, after: str | None = None, limit: int = 100
) -> list[str]:
    """Ids of deliveries that were queued longer ago than this and have not ended, oldest first. `after` is the last one
    of the page before."""
    parameters = {"older_than": older_than, "after": after, "limit": limit}
    cursor = await conn.execute(_QUERIES["overdue"], parameters)
    return [row[0] for row in await cursor.fetchall()]


async def give_up(conn: AsyncConnection[Any], delivery_id: str) -> bool:
    """End a delivery that nobody tries any more; its endpoint is not to blame. False when it had ended already."""
    cursor = await conn.execute(_QUERIES["give_up"], {"delivery_id": delivery_id})
    return cursor.rowcount == 1
