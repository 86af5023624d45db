"""Webhook deliveries: the outbox, and the queue of what an endpoint misses while it is disabled.

    pending ── delivered | failed          being sent: at once, or by a test, a replay or a drain
    queued ─── delivered | expired         the endpoint was disabled; a drain sends it as a delivery of its own

What is written down is written in the transaction that causes it, by `store.enqueue_event`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.errors import InternalError
from domain.webhook_events import WebhookEvent, timestamp
from store import sql

FAILURES_MAX = 15  # consecutive failed deliveries after which an endpoint is disabled
REPLY_HEAD_CHARACTERS = 1024
QUEUE_LIFE = timedelta(hours=72)  # from the event on

_QUERIES = sql.load("webhooks")


class DeliveryState(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"


class Purpose(StrEnum):
    """Why a delivery is sent."""

    EVENT = "event"  # it happened
    TEST = "test"  # by hand
    REPLAY = "replay"  # by hand, of any delivery in the log
    DRAIN = "drain"  # of one that was queued

    @property
    def by_hand(self) -> bool:
        """A single attempt that tells nothing about the endpoint."""
        return self in {Purpose.TEST, Purpose.REPLAY}


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
    purpose: Purpose
    endpoint_enabled: bool
    attempts_made: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", DeliveryState(self.state))
        object.__setattr__(self, "purpose", Purpose(self.purpose))

    @property
    def timestamp(self) -> str:
        """As in the body."""
        return timestamp(self.created_at)


@dataclass(frozen=True)
class Overdue:
    delivery_id: str
    endpoint_id: str
    purpose: str

    @property
    def drained(self) -> bool:
        """Sent by the drain of its endpoint; the others have an execution of their own."""
        return self.purpose == Purpose.DRAIN


async def delivery(conn: AsyncConnection[Any], delivery_id: str) -> Delivery:
    """With its endpoint, as both are now. Raises InternalError for an id that was never written down."""
    async with conn.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(_QUERIES["delivery"], {"delivery_id": delivery_id})
        found = await cursor.fetchone()
    if found is None:
        raise InternalError("There is no such webhook delivery.")
    return found


async def insert_test(
    conn: AsyncConnection[Any], *, delivery_id: str, endpoint_id: str, account_id: str, body: str, at: datetime
) -> None:
    """Write a `webhook.test` down, once per id. `domain.webhook_events` makes the body, from the same id and time."""
    parameters = {
        "delivery_id": delivery_id,
        "endpoint_id": endpoint_id,
        "account_id": account_id,
        "event": WebhookEvent.TEST.value,
        "body": body,
        "at": at,
    }
    await conn.execute(_QUERIES["insert_test"], parameters)


async def replay(conn: AsyncConnection[Any], delivery_id: str) -> str:
    """Write the same event down once more, with an id and a time of its own; the new id. Raises InternalError for an
    unknown delivery."""
    replayed = await (await conn.execute(_QUERIES["replay"], {"delivery_id": delivery_id})).fetchone()
    if replayed is None or replayed[0] is None:
        raise InternalError("There is no such webhook delivery.")
    return str(replayed[0])


async def take_queued(conn: AsyncConnection[Any], endpoint_id: str) -> str | None:
    """What a drain sends next: a fresh delivery of the oldest in the queue, the same one until that has ended.

    None: the queue is empty, or the endpoint is disabled.
    """
    taken = await (await conn.execute(_QUERIES["take_queued"], {"endpoint_id": endpoint_id})).fetchone()
    return None if taken is None else taken[0]


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
    """Keep one attempt, once per number. A 2xx ends the delivery as delivered, with the queued one that it was made
    from, and clears the endpoint's count of failures; a final failure ends it as failed and counts, and at FAILURES_MAX
    disables the endpoint. Tests and replays leave the count alone. One statement.
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


async def set_aside(conn: AsyncConnection[Any], delivery_id: str) -> DeliveryState | None:
    """The endpoint is disabled: an event goes into its queue, all else has failed. The state it has now; None when the
    endpoint is enabled again, or the delivery has ended."""
    row = await (await conn.execute(_QUERIES["set_aside"], {"delivery_id": delivery_id})).fetchone()
    return None if row is None else DeliveryState(row[0])


async def overdue(
    conn: AsyncConnection[Any], *, older_than: timedelta, after: str | None = None, limit: int = 100
) -> list[Overdue]:
    """Deliveries that were to be sent longer ago than this and have not ended, oldest first. `after` is the id of the
    last one of the page before."""
    async with conn.cursor(row_factory=class_row(Overdue)) as cursor:
        await cursor.execute(_QUERIES["overdue"], {"older_than": older_than, "after": after, "limit": limit})
        return await cursor.fetchall()


async def give_up(conn: AsyncConnection[Any], delivery_id: str) -> bool:
    """End a delivery that nobody tries any more; its endpoint is not to blame. False when it had ended already."""
    cursor = await conn.execute(_QUERIES["give_up"], {"delivery_id": delivery_id})
    return cursor.rowcount == 1


async def expire_queued(conn: AsyncConnection[Any], *, older_than: timedelta = QUEUE_LIFE, limit: int = 1000) -> int:
    """End what has waited in a queue for too long, a batch at a time; how many it were."""
    cursor = await conn.execute(_QUERIES["expire_queued"], {"older_than": older_than, "limit": limit})
    return cursor.rowcount
