"""What providers cost us: by model against what it brought in, and attempt by attempt. Whole micro-credits."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.generation import AttemptState
from domain.periods import Period
from store import sql

PAGE_MAX = 1000

_QUERIES = sql.load("costs")
_FIRST_ID = str(uuid.UUID(int=0))


@dataclass(frozen=True)
class Margin:
    """Of one model at one provider; what was refunded is not revenue."""

    provider: str
    model: str
    revenue_micros: int
    cost_micros: int  # also for attempts that failed, or that nobody waited for


@dataclass(frozen=True)
class Position:
    """Where a page ended."""

    begun_at: datetime
    attempt_id: str


@dataclass(frozen=True)
class RecordedCost:
    attempt_id: str
    generation_id: str
    model: str
    native_model: str
    job_id: str | None
    state: AttemptState
    cost_microcredits: int  # of one that is under way, what is expected
    begun_at: datetime

    @property
    def position(self) -> Position:
        return Position(self.begun_at, self.attempt_id)


async def margins(conn: AsyncConnection[Any], period: Period) -> list[Margin]:
    """Of the whole days (UTC) from its first to before its last, by provider and model."""
    async with conn.cursor(row_factory=class_row(Margin)) as cursor:
        await cursor.execute(_QUERIES["margins"], {"start": period.start, "end": period.end})
        return await cursor.fetchall()


async def recorded(
    conn: AsyncConnection[Any], provider: str, period: Period, *, after: Position | None = None, limit: int = PAGE_MAX
) -> list[RecordedCost]:
    """Attempts that began in the period, oldest first, also those whose records retention has removed."""
    position = after or Position(period.start, _FIRST_ID)
    parameters = {
        "provider": provider,
        "start": period.start,
        "end": period.end,
        "after_at": position.begun_at,
        "after_id": position.attempt_id,
        "limit": limit,
    }
    async with conn.cursor(row_factory=class_row(RecordedCost)) as cursor:
        await cursor.execute(_QUERIES["recorded"], parameters)
        return await cursor.fetchall()
