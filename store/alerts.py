"""Low-balance alerts: the thresholds of an account and its runway, and what was told of them.

A threshold is armed while the balance is at or above it. The transfer that takes the balance below tells once, in its
own transaction; the threshold is armed again by a balance of a tenth more. A runway, the hours that the balance lasts
at the last hour's rate, is looked at by the sweep, and likewise. Amounts are whole micro-credits.
"""

from __future__ import annotations

import uuid
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
RUNWAY_HOURS_MAX = 720

_QUERIES = sql.load("alerts")
_BEFORE_ALL = str(uuid.UUID(int=0))


@dataclass(frozen=True)
class Threshold:
    microcredits: int
    armed: bool  # false: it has told, or the balance has not reached it yet


@dataclass(frozen=True)
class Runway:
    """Tells when the balance lasts less than these hours."""

    hours: int
    armed: bool = True  # false: it has told
    told_at: datetime | None = None  # last


@dataclass(frozen=True)
class Alerts:
    enabled: bool
    thresholds: list[Threshold]  # highest first
    runway: Runway | None = None


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
    enabled, thresholds, armed, hours, runway_armed, told_at = row
    return Alerts(
        enabled,
        [Threshold(*each) for each in zip(thresholds, armed, strict=True)],
        None if hours is None else Runway(hours, runway_armed, told_at),
    )


async def put(
    conn: AsyncConnection[Any],
    account_id: str,
    *,
    enabled: bool,
    thresholds: Sequence[int],
    runway_hours: int | None = None,
) -> None:
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
    if runway_hours is not None and not 1 <= runway_hours <= RUNWAY_HOURS_MAX:
        raise ParameterOutOfRange(f"A runway is of 1 to {RUNWAY_HOURS_MAX} hours.", details={"field": "runway_hours"})
    parameters = {"account_id": account_id, "enabled": enabled, "thresholds": wanted, "hours": runway_hours}
    await conn.execute(_QUERIES["set_runway"], parameters)
    await conn.execute(_QUERIES["set"], parameters)


async def latest(conn: AsyncConnection[Any], account_id: str, *, limit: int = 10) -> list[Alert]:
    """What was told last, newest first."""
    async with conn.cursor(row_factory=class_row(Alert)) as cursor:
        await cursor.execute(_QUERIES["latest"], {"account_id": account_id, "limit": limit})
        return await cursor.fetchall()


async def watched_runways(conn: AsyncConnection[Any], *, after: str | None, limit: int) -> list[str]:
    """The accounts with a rule, in the order of their ids."""
    parameters = {"after": after or _BEFORE_ALL, "limit": limit}
    return [row[0] for row in await (await conn.execute(_QUERIES["watched_runways"], parameters)).fetchall()]


async def watch_runway(conn: AsyncConnection[Any], account_id: str, *, at: datetime | None = None) -> list[str]:
    """Look at the rate of the last hour, and tell where the balance does not last. The deliveries to be rung."""
    row = await (await conn.execute(_QUERIES["watch_runway"], {"account_id": account_id, "at": at})).fetchone()
    assert row is not None
    return list(row[0])
