"""Generations as their owner is shown them: only what is shown, because this is read more often than all else.

Deleted generations, and those of other accounts, are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from domain.generation import GenerationStatus, MediaType
from store import sql

_QUERIES = sql.load("shown")


class ShownGeneration(NamedTuple):
    """The columns of the statements, in their order."""

    status: GenerationStatus
    media_type: MediaType
    generation_id: str
    account_id: str
    region: str
    model: str
    provider_order: list[str]
    provider_used: str | None
    prediction_id: str  # our id of the attempt accepted last; until then of the first
    params: dict[str, Any]  # the normal form
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    predict_time_s: float | None
    error_code: str | None
    error_message: str | None
    files_removed: bool  # nothing is stored for it any more
    asset_keys: list[str]

    @property
    def total_time_s(self) -> float | None:
        """From acceptance to the end."""
        return (self.completed_at - self.created_at).total_seconds() if self.completed_at else None


async def get(conn: AsyncConnection[Any], account_id: str, generation_id: str) -> ShownGeneration | None:
    cursor = await conn.execute(_QUERIES["get"], {"account_id": account_id, "generation_id": generation_id})
    row = await cursor.fetchone()
    return _shown(row) if row else None


async def page(
    conn: AsyncConnection[Any], account_id: str, *, limit: int, offset: int
) -> tuple[list[ShownGeneration], int]:
    """The account's generations, newest first, and how many there are in all."""
    cursor = await conn.execute(_QUERIES["page"], {"account_id": account_id, "limit": limit, "offset": offset})
    rows = await cursor.fetchall()
    if not rows:  # nor is there one to carry the number
        counted = await (await conn.execute(_QUERIES["count"], {"account_id": account_id})).fetchone()
        return [], counted[0] if counted else 0
    return [_shown(row[1:]) for row in rows], rows[0][0]


def _shown(row: Sequence[Any]) -> ShownGeneration:
    status, media_type, *others = row
    return ShownGeneration(GenerationStatus(status), MediaType(media_type), *others)
