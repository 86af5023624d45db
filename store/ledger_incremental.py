"""The scheduled proof: what came after the checkpoint, and now and then everything.

The checkpoint is where a clean verification left off. Damage to what was read before it is found by the next full
verification, and in sealed periods by their hashes.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from store import sql
from store.ledger_border import border
from store.ledger_verification import Run, Verification, everything, tune
from store.ledger_violations import Violation, of_balance, of_entry, of_generation, of_hold, of_transfer

# What is found by its time, and not by a transfer, is looked for from this long before the checkpoint on: a clock may
# be set back, and a time is taken a moment before its row is written.
OVERLAP = timedelta(minutes=5)

_QUERIES = sql.load("ledger_incremental")


class Checkpoint(NamedTuple):
    border: int  # a transfer's id: everything up to it is final and was read
    taken_at: datetime
    full_at: datetime


async def verify_scheduled(conn: AsyncConnection[Any], *, full_every: timedelta) -> Verification:
    """Read what is new, or everything if that was `full_every` ago; leave a checkpoint when nothing is wrong.

    After a violation there is none, so that everything is read until it is clean again. `conn` must not be in a
    transaction. Raises DatabaseUnavailable.
    """
    now = await border(conn)
    async with conn.transaction():
        await conn.execute(_QUERIES["snapshot"])
        known = await _checkpoint(conn)
        if known is None or now.taken_at - known.full_at >= full_every:
            done = await everything(conn)
        else:
            done = await _since(conn, known)
        done.up_to_transfer = now.transfer_id
        if done.violations:
            await forget_checkpoint(conn)
        else:
            parameters = {"border": now.transfer_id, "taken_at": now.taken_at, "is_full": done.is_full}
            await conn.execute(_QUERIES["keep_checkpoint"], parameters)
    return done


async def forget_checkpoint(conn: AsyncConnection[Any]) -> None:
    """Have the next verification read everything."""
    await conn.execute(_QUERIES["drop_checkpoint"])


async def verify_new(conn: AsyncConnection[Any]) -> Verification:
    """Read what is new, or everything when there is no checkpoint, and leave all as it is."""
    async with conn.transaction():
        await conn.execute(_QUERIES["snapshot"])
        known = await _checkpoint(conn)
        return await (everything(conn) if known is None else _since(conn, known))


async def _checkpoint(conn: AsyncConnection[Any]) -> Checkpoint | None:
    row = await (await conn.execute(_QUERIES["checkpoint"])).fetchone()
    return None if row is None else Checkpoint(*row)


async def _since(conn: AsyncConnection[Any], known: Checkpoint) -> Verification:
    began = time.monotonic()
    await tune(conn)
    news = _News(conn, known)
    for one_pass in (news.entries, news.balances, news.holds, news.rarer, news.generations):
        news.done.violations += [found for found in await one_pass() if found is not None]
    news.done.seconds = time.monotonic() - began
    return news.done


class _News:
    """What came after the checkpoint, pass by pass as a full verification has them."""

    def __init__(self, conn: AsyncConnection[Any], known: Checkpoint) -> None:
        self.done = Verification(is_full=False)
        self._conn = conn
        self._parameters = {"border": known.border, "since": known.taken_at - OVERLAP}

    async def entries(self) -> list[Violation | None]:
        """As in a full verification, from the checkpoint on; and each balance of each account (INV-3, 4, 20)."""
        (row,) = await self._rows("entries")
        self.done.entries, unbalanced, broken, stored = row
        found = [
            *([of_transfer(**unbalanced)] if unbalanced else []),
            *([of_entry(broken)] if broken else []),
            *([of_balance(stored)] if stored else []),
        ]
        return [min(found, key=lambda one: one.account_id)] if found else []

    async def balances(self) -> list[Violation | None]:
        """Of all accounts, as in a full verification (INV-1, 2, 6)."""
        return [await Run(self._conn).balances()]

    async def holds(self) -> list[Violation | None]:
        """Holds under way, and those that moved (INV-5, 8, 10, 11, 15, 16, 17)."""
        (row,) = await self._rows("holds")
        self.done.holds, broken, older = row
        run = Run(self._conn)
        found = [of_hold(broken)] if broken else []
        for hold in older:
            differs = await run.one_hold(*hold)
            if differs is not None:
                found.append(differs)
                break
        if found:
            return [min(found, key=lambda one: (one.account_id, one.work_id or ""))]
        return [await run.held()]

    async def rarer(self) -> list[Violation | None]:
        """Grants, operations and payments of the accounts that had some (INV-7, 12, 14, 18)."""
        first: dict[int, Violation] = {}
        for (account_id,) in await self._rows("accounts_with_rarer_operations"):
            run = Run(self._conn, account_id)
            for position, one_pass in enumerate(run.rarer()):
                found = await one_pass()
                if found is not None:
                    first.setdefault(position, found)
            self.done.grants += run.done.grants
        return [first[position] for position in sorted(first)]

    async def generations(self) -> list[Violation | None]:
        """Holds against work that is under way or ended since (INV-28, 29)."""
        (row,) = await self._rows("generations")
        self.done.generations, broken = row
        return [of_generation(broken)] if broken else []

    async def _rows(self, name: str) -> list[tuple[Any, ...]]:
        cursor = await self._conn.execute(_QUERIES[name], self._parameters, prepare=False)
        return await cursor.fetchall()
