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
    is_full: bool  # everything was read; else what came after the checkpoint
    up_to_transfer: int
    seconds: float
    entries: int
    holds: int
    grants: int
    generations: int
    violations: list[str]  # in words; empty: the books balance

    @property
    def rows_per_second(self) -> int:
        rows = self.entries + self.holds + self.grants + self.generations
        return round(rows / self.seconds) if self.seconds else 0


async def keep(conn: AsyncConnection[Any], done: Verification) -> None:
    await conn.execute(
        _QUERIES["keep"],
        {
            "is_full": done.is_full,
            "up_to_transfer": done.up_to_transfer,
            "seconds": done.seconds,
            "entries": done.entries,
            "holds": done.holds,
            "grants": done.grants,
            "generations": done.generations,
            "violations": [str(violation) for violation in done.violations],
            "kept": KEPT,
        },
    )


async def latest(conn: AsyncConnection[Any]) -> KeptVerification | None:
    async with conn.cursor(row_factory=class_row(KeptVerification)) as cursor:
        await cursor.execute(_QUERIES["latest"])
        return await cursor.fetchone()
