"""What an endpoint was sent, for people. It can be read until its retention ends, also of a deleted endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from store import sql
from store.webhooks import DeliveryState, Purpose

_QUERIES = sql.load("webhook_log")


@dataclass(frozen=True)
class LoggedAttempt:
    number: int
    status_code: int | None  # None: no answer
    error: str | None
    reply_head: str | None
    created_at: datetime


@dataclass(frozen=True)
class LoggedDelivery:
    delivery_id: str
    endpoint_id: str
    account_id: str
    generation_id: str | None
    event: str
    purpose: Purpose
    state: DeliveryState
    replay_of: str | None  # of a replay, and of what a drain sends: the delivery it repeats
    payload: dict[str, Any]
    created_at: datetime
    ended_at: datetime | None
    attempts: list[LoggedAttempt]


async def page(
    conn: AsyncConnection[Any],
    account_id: str,
    endpoint_id: str,
    *,
    state: DeliveryState | None,
    limit: int,
    offset: int,
) -> tuple[list[LoggedDelivery], int]:
    """Newest first, and how many there are in all."""
    parameters = {
        "account_id": account_id,
        "endpoint_id": endpoint_id,
        "state": state,
        "limit": limit,
        "offset": offset,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["page"], parameters)
        rows = await cursor.fetchall()
    counted = await (await conn.execute(_QUERIES["count"], parameters)).fetchone()
    assert counted is not None
    return [_logged(row) for row in rows], counted[0]


async def one(conn: AsyncConnection[Any], account_id: str, endpoint_id: str, delivery_id: str) -> LoggedDelivery | None:
    parameters = {"account_id": account_id, "endpoint_id": endpoint_id, "delivery_id": delivery_id}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["one"], parameters)
        row = await cursor.fetchone()
    return None if row is None else _logged(row)


def _logged(row: dict[str, Any]) -> LoggedDelivery:
    attempts = [
        LoggedAttempt(**{**attempt, "created_at": datetime.fromisoformat(attempt["created_at"])})
        for attempt in row.pop("attempts")
    ]
    payload = json.loads(row.pop("body"))
    purpose, state = Purpose(row.pop("purpose")), DeliveryState(row.pop("state"))
    return LoggedDelivery(**row, purpose=purpose, state=state, payload=payload, attempts=attempts)
