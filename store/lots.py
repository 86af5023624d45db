"""Lots: promotions that expire. Spent from the one that expires first; what is left at its end goes back.

Neither a reservation nor a settlement knows of lots: what is left of one is derived from the transfers, by
`ledger.left_of_lots` (migration 0023), whose rules docs/money.md tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import CheckViolation
from psycopg.rows import class_row

from domain.errors import ParameterOutOfRange
from store import sql
from store.ledger import Granted, checked_amount, checked_key, keyed

_QUERIES = sql.load("lots")


class LotState(StrEnum):
    OPEN = "open"
    SPENT = "spent"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Lot:
    lot_id: str
    key: str  # of its grant
    note: str | None
    granted_micros: int
    granted_at: datetime
    expires_at: datetime
    ended_at: datetime | None  # when its end was booked; until then it is spent from
    left_micros: int
    held_micros: int  # taken from it for work that has not ended
    burned_micros: int

    @property
    def spent_micros(self) -> int:
        """Settled, owed before it was granted, or taken back otherwise."""
        return self.granted_micros - self.left_micros - self.held_micros - self.burned_micros

    @property
    def state(self) -> LotState:
        if self.ended_at is not None:
            return LotState.EXPIRED
        return LotState.OPEN if self.left_micros or self.held_micros else LotState.SPENT


async def grant(
    conn: AsyncConnection[Any],
    *,
    account_id: str,
    amount: int,
    key: str,
    expires_at: datetime,
    note: str | None = None,
) -> Granted:
    """Add a promotion's credits once per key, as `ledger.grant` does; another expiry is a conflict, too.

    Raises ParameterOutOfRange, AccountNotFound, InvalidInput.
    """
    parameters = {
        "account_id": account_id,
        "amount": checked_amount(amount, at_least=1),
        "key": checked_key(key),
        "note": note,
        "expires_at": expires_at,
    }
    try:
        async with conn.transaction():
            return Granted(await keyed(conn, _QUERIES["grant"], parameters))
    except CheckViolation as violation:
        raise ParameterOutOfRange("The balance would pass its limit.", details={"field": "amount"}) from violation


async def due(
    conn: AsyncConnection[Any], *, by: datetime | None = None, after: str | None = None, limit: int = 100
) -> list[str]:
    """Accounts whose lots `expire` has to look at, in the order of their ids; `by` is now unless it is given."""
    cursor = await conn.execute(_QUERIES["due"], {"by": by, "after": after, "limit": limit})
    return [row[0] for row in await cursor.fetchall()]


async def expire(conn: AsyncConnection[Any], account_id: str, *, by: datetime | None = None) -> int:
    """Burn what is left of the account's expired lots, and of what came back to them since. Micro-credits; a repeat
    burns nothing, and of two at once one waits for the other."""
    row = await (await conn.execute(_QUERIES["expire"], {"account_id": account_id, "by": by})).fetchone()
    assert row is not None
    return int(row[0])


async def of_account(
    conn: AsyncConnection[Any], account_id: str, *, limit: int = 100, offset: int = 0
) -> tuple[list[Lot], int]:
    """Newest first, and how many there are in all."""
    parameters = {"account_id": account_id, "limit": limit, "offset": offset}
    async with conn.cursor(row_factory=class_row(Lot)) as cursor:
        await cursor.execute(_QUERIES["of_account"], parameters)
        rows = await cursor.fetchall()
    counted = await (await conn.execute(_QUERIES["count_of_account"], parameters)).fetchone()
    assert counted is not None
    return rows, counted[0]
