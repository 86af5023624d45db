"""The statement of an account over a period: what it had, every movement of its spendable balance, what it has.

The bounds are entry numbers, not clocks: the last entry before each end of the period. So periods that meet share a
bound, and no entry is in both or in none of them, even if the clock was set back meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.periods import Period
from store import ledger, sql
from store.connection import Pool, single
from store.ledger import Balance, Entry

PAGE = 1000
_RESOLUTION = timedelta(microseconds=1)  # of the database's clock: this much before an instant is just before it

_QUERIES = sql.load("statement")


@dataclass(frozen=True)
class Statement:
    """`closing.available` is `opening.available` and all entries in between; those that lead to it may still follow
    when the period has not ended."""

    account_id: str
    period: Period
    opening: Balance
    closing: Balance


async def of_account(conn: AsyncConnection[Any], account_id: str, period: Period) -> Statement:
    """Its frame; `entries` reads what is in it. Raises AccountNotFound."""
    opening = await ledger.balance(conn, account_id, at=period.start - _RESOLUTION)
    closing = await ledger.balance(conn, account_id, at=period.end - _RESOLUTION)
    return Statement(account_id, period, opening, closing)


async def entries(pool: Pool, statement: Statement, *, page: int = PAGE) -> AsyncIterator[Entry]:
    """Oldest first, read as they are asked for: a long history is never in memory as a whole."""
    after = 0
    while True:
        parameters = {
            "account_id": statement.account_id,
            "after": after,
            "above": statement.opening.entry_number,
            "up_to": statement.closing.entry_number,
            "limit": page,
        }
        async with single(pool) as conn, conn.cursor(row_factory=class_row(Entry)) as cursor:
            await cursor.execute(_QUERIES["entries"], parameters)
            found = await cursor.fetchall()
        for entry in found:
            yield entry
        if len(found) < page:
            return
        after = found[-1].transfer_id
