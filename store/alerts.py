"""Low-balance alerts: the thresholds of an account, and what was told of them.

A threshold is armed while the balance is at or above it. The transfer that takes the balance below tells once, in its
own transaction; the threshold is armed again by a balance of a tenth more. Amounts are whole micro-credits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.errors import AccountNotFound, InvalidInput, ParameterOutOfRange
from store import sql
from store.ledger import AMOUNT_MAX_MICROCREDITS

THRESHOLDS_MAX = 10
THRESHOLD_DEFAULT_MICROCREDITS = 500_000  # of a new account, as migration 0020 has it

_QUERIES = sql.load("alerts")


@dataclass(frozen=True)
class Threshold:
    microcredits: int
    armed: bool  # false: it has told, or the balance has not reached it yet


@dataclass(frozen=True)
class Alerts:
    enabled: bool
    thresholds: list[Threshold]  # highest first


@dataclass(frozen=True)
class Alert:
    """One crossing: a transfer took the balance below these thresholds."""

    alert_id: str
    balance_micros: int  # after the transfer
    thresholds_micros: list[int]  # highest first
    created_at: datetime


async def get(conn: AsyncConnection[Any], account_id: str) -> Alerts:
    """Raises AccountNotFound."""
    row = await (await conn.execute(_QUERIES["get"], {"account_id": account_id})).fetchone()
    if row is None:
        raise AccountNotFound("There is no such account.")
    enabled, thresholds, armed = row
    return Alerts(enabled, [Threshold(*each) for each in zip(thresholds, armed, strict=True)])


async def put(conn: AsyncConnection[Any], account_id: str, *, enabled: bool, thresholds: Sequence[int]) -> None:
    """These and no others, inside the caller's transaction. One that stays keeps its state, unless switched off.

    Raises InvalidInput for more than ten, ParameterOutOfRange.
    """
    wanted = sorted(set(thresholds), reverse=True)
    if len(wanted) > THRESHOLDS_MAX:
        raise InvalidInput(
            f"An account has at most {THRESHOLDS_MAX} thresholds.",
            details={"field": "thresholds", "limit": THRESHOLDS_MAX},
        )
    if any(not 1 <= each <= AMOUNT_MAX_MICROCREDITS for each in wanted):
        raise ParameterOutOfRange("A threshold is above zero.", details={"field": "thresholds"})
    await conn.execute(_QUERIES["set"], {"account_id": account_id, "enabled": enabled, "thresholds": wanted})


async def latest(conn: AsyncConnection[Any], account_id: str, *, limit: int = 10) -> list[Alert]:
    """What was told last, newest first."""
    async with conn.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(_QUERIES["latest"], {"account_id": account_id, "limit": limit})
        return await cursor.fetchall()
