"""The border below which the ledger's history is final: no transfer with such an id is still on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from domain.errors import DatabaseUnavailable
from store import sql

PATIENCE = timedelta(minutes=1)  # with a transaction that was open already; the service's own are over in far less
_LOOK_EVERY_S = 0.05

_QUERIES = sql.load("ledger_border")


class Border(NamedTuple):
    transfer_id: int  # this one and all below it have happened, or never will
    taken_at: datetime  # by the database's clock


async def _pause() -> None:
    await asyncio.sleep(_LOOK_EVERY_S)


async def border(conn: AsyncConnection[Any], *, pause: Callable[[], Awaitable[None]] = _pause) -> Border:
    """Where the history is final now. `conn` is in no transaction, and begins the one that reads afterwards.

    Whoever took an id up to the border has had an id for its transaction by then, and that is below the one taken here:
    so it has ended when the oldest open transaction is a later one. Nobody else waits. Raises DatabaseUnavailable.
    """
    transfer_id, taken_at = await _one(conn, "last_transfer")
    (mine,) = await _one(conn, "transaction")
    for _ in range(int(PATIENCE.total_seconds() / _LOOK_EVERY_S)):
        (has_passed,) = await _one(conn, "has_passed", transaction=mine)
        if has_passed:
            return Border(transfer_id, taken_at)
        await pause()
    raise DatabaseUnavailable("A transaction that began earlier is still open; it may add to the ledger's history.")


async def _one(conn: AsyncConnection[Any], name: str, **parameters: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = await (await conn.execute(_QUERIES[name], parameters)).fetchone()
    assert row is not None
    return row
