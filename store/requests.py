"""The request log: one row per authenticated request until its key or its time is over, and hourly counts that stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.errors import DataError, IntegrityError, ProgrammingError
from psycopg.rows import class_row

from domain.errors import InternalError
from store import sql

PAGE_MAX = 500

_QUERIES = sql.load("requests")


class Entry(NamedTuple):
    """One authenticated request and its answer, as it is noted on the hot path. The statement reads it by position."""

    account_id: str
    came_at: float  # Unix seconds
    api_key_id: str
    request_id: str  # as answered: a replay has that of the first request
    key_state: str  # active | rotated
    method: str
    path: str
    endpoint: str  # the route's template
    query: str | None
    status: int
    code: str | None  # BSEdddd of a refusal
    replayed: bool
    client_ip_hash: str | None  # 64 hexadecimal digits
    user_agent: str | None
    sdk_name: str | None
    sdk_version: str | None
    sdk_runtime: str | None
    sdk_runtime_version: str | None
    duration_ms: int


@dataclass(frozen=True)
class Position:
    """Where a page ends: the time and number of its last row."""

    occurred_at: datetime
    log_id: int


@dataclass(frozen=True)
class RequestRecord:
    """One row as it is kept, with the name and the prefix of its key."""

    occurred_at: datetime
    log_id: int
    request_id: str
    api_key_id: str
    key_name: str
    key_prefix: str
    key_state: str
    method: str
    path: str
    endpoint: str
    query: str | None
    status: int
    code: str | None
    replayed: bool
    client_ip_hash: str | None
    user_agent: str | None
    sdk_name: str | None
    sdk_version: str | None
    sdk_runtime: str | None
    sdk_runtime_version: str | None
    duration_ms: int

    @property
    def position(self) -> Position:
        return Position(self.occurred_at, self.log_id)


async def add(conn: AsyncConnection[Any], writer_id: str, batch: int, entries: Sequence[Entry]) -> None:
    """Write one batch, rows and counts. One statement; safe to repeat as long as the batch stays the same.

    A writer numbers its batches upwards. Raises InternalError for what the database refuses to hold.
    """
    parameters = {"writer_id": writer_id, "batch": batch, "entries": json.dumps(entries)}
    try:
        await conn.execute(_QUERIES["add"], parameters)
    except (DataError, IntegrityError, ProgrammingError) as refused:
        raise InternalError("The request log does not take these entries.") from refused


async def forget_writers(conn: AsyncConnection[Any]) -> None:
    """Remove what is remembered of writers that are gone."""
    await conn.execute(_QUERIES["forget_writers"])


async def forget_deleted_keys(conn: AsyncConnection[Any]) -> None:
    """Go on removing the rows of deleted keys that had too many to be removed at once. Nobody is shown these."""
    await conn.execute(_QUERIES["forget_deleted_keys"])


async def page(
    conn: AsyncConnection[Any], account_id: str, *, limit: int, before: Position | None = None
) -> list[RequestRecord]:
    """Rows of the account, newest first, from the position on. At most PAGE_MAX."""
    parameters = {
        "account_id": account_id,
        "limit": min(limit, PAGE_MAX),
        "before_at": before.occurred_at if before else None,
        "before_id": before.log_id if before else None,
    }
    async with conn.cursor(row_factory=class_row(RequestRecord)) as cursor:
        await cursor.execute(_QUERIES["page"], parameters)
        return await cursor.fetchall()
