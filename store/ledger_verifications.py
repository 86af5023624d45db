"""The results of the scheduled verifications: the latest ones are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from store import sql
from store.ledger_verification import Verification

KEPT = 1000  # of one each hour: six weeks

_QUERIES = sql.load("ledger_verifications")


@dataclass(frozen=True)
class KeptVerification:
    began_at: datetime
    seconds: float
    entries: int
    holds: int
    grants: int
    generations: int
    violations: list[str]  # in words; empty: the books balance


async def keep(conn: AsyncConnection[Any], done: Verification) -> None:
    await conn.execute(
        _QUERIES["keep"],
        {
            "seconds": done.seconds,
            "entries": done.entries,
            "holds": done.holds,
            "grants": done.grants,
            "generations": done.generations,
            "violations": [str(violation) for violation in done.violations],
        },
    )
    await conn.execute(_QUERIES["forget"], {"kept": KEPT})


async def latest(conn: AsyncConnection[Any]) -> KeptVerification | None:
    async with conn.cursor(row_factory=class_row(KeptVerification)) as cursor:
        await cursor.execute(_QUERIES["latest"])
        return await cursor.fetchone()
