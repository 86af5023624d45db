"""Providers that no new generation is sent to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from store import sql

_QUERIES = sql.load("paused_providers")


@dataclass(frozen=True)
class Pause:
    provider: str
    paused_at: datetime
    paused_by: str
    reason: str | None


async def by_provider(conn: AsyncConnection[Any]) -> dict[str, Pause]:
    async with conn.cursor(row_factory=class_row(Pause)) as cursor:
        await cursor.execute(_QUERIES["all"])
        return {pause.provider: pause for pause in await cursor.fetchall()}


async def pause(conn: AsyncConnection[Any], provider: str, *, paused_by: str, reason: str | None) -> bool:
    """True when this call did it."""
    parameters = {"provider": provider, "paused_by": paused_by, "reason": reason}
    return (await conn.execute(_QUERIES["pause"], parameters)).rowcount == 1


async def resume(conn: AsyncConnection[Any], provider: str) -> bool:
    """True when this call did it."""
    return (await conn.execute(_QUERIES["resume"], {"provider": provider})).rowcount == 1
