"""Proof that the books balance: everything that the ledger keeps beside its entries, recomputed from the entries.

One snapshot, read in batches of the entries' own order: a pass over any number of them needs the memory of one batch,
and tells how far it is. Every pass names the first thing that it finds wrong.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection, OperationalError

from domain.errors import DatabaseUnavailable
from store import sql
from store.ledger_violations import (
    Violation,
    of_balance,
    of_entry,
    of_generation,
    of_grant,
    of_held,
    of_hold,
    of_limits,
    of_lot,
    of_operation,
    of_payment,
    of_sum,
    of_transfer,
)

BATCH_ROWS = 50_000  # transfers, or holds: a fifth of a second each, and a few megabytes
NOBODY = "00000000-0000-0000-0000-000000000000"
EVERYBODY = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LAST = 2**63 - 1
_LAST_TRY = 2**31 - 1

_QUERIES = sql.load("ledger_verification")

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Progress:
    """How far a verification is."""

    read: int  # rows
    expected: int  # rows, as the database estimates them; too low while its statistics are old
    seconds: float

    @property
    def rows_per_second(self) -> float:
        return self.read / self.seconds if self.seconds else 0.0


@dataclass
class Verification:
    """What was read, and what is wrong: the first violation of each pass, in the order of the passes."""

    is_full: bool = True  # everything was read; else what came after the checkpoint
    up_to_transfer: int = 0  # of a scheduled one: the border below which history is final
    entries: int = 0
    holds: int = 0
    grants: int = 0
    generations: int = 0
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.entries + self.holds + self.grants + self.generations

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0


def _no_progress(_: Progress) -> None:
    pass


async def verify(
    conn: AsyncConnection[Any],
    *,
    account_id: str | None = None,
    progress: Callable[[Progress], None] = _no_progress,
    batch_rows: int = BATCH_ROWS,
) -> Verification:
    """Recompute the whole ledger, or one account of it, in a transaction of its own that only reads.

    `conn` must not be in a transaction. `progress` is called after each batch.
    """
    async with conn.transaction():
        await conn.execute(_QUERIES["snapshot"])
        return await everything(conn, account_id=account_id, progress=progress, batch_rows=batch_rows)


async def everything(
    conn: AsyncConnection[Any],
    *,
    account_id: str | None = None,
    progress: Callable[[Progress], None] = _no_progress,
    batch_rows: int = BATCH_ROWS,
) -> Verification:
    """The same in the caller's transaction, which has a snapshot of its own."""
    await tune(conn)
    run = Run(conn, account_id, progress, batch_rows)
    await run.estimate()
    for one_pass in (run.entries, run.balances, run.holds, *run.rarer(), run.generations):
        found = await one_pass()
        if found is not None:
            run.done.violations.append(found)
    run.done.seconds = time.monotonic() - run.began
    return run.done


async def tune(conn: AsyncConnection[Any]) -> None:
    await conn.execute(_QUERIES["tuning"])


class Run:
    """One verification under way: its passes."""

    def __init__(
        self,
        conn: AsyncConnection[Any],
        account_id: str | None = None,
        progress: Callable[[Progress], None] = _no_progress,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.done = Verification()
        self.began = time.monotonic()
        self._conn = conn
        self._progress = progress
        self._batch_rows = batch_rows
        self._bounds = {"first_account": account_id or NOBODY, "last_account": account_id or EVERYBODY}
        self._one_account = account_id is not None
        self._expected = 0

    def rarer(self) -> tuple[Callable[[], Awaitable[Violation | None]], ...]:
        """The passes over what happens seldom: cheap for one account, however long its history is."""
        return (self.grants, self.operations, self.payments, self.lots)

    async def estimate(self) -> None:
        if self._one_account:
            return
        rows = dict(await (await self._conn.execute(_QUERIES["extent"])).fetchall())
        self._expected = sum(rows.values()) + rows.get("transfers", 0)  # a transfer is two entries

    async def entries(self) -> Violation | None:
        """Numbers without a gap, balances that run, and stored balances that equal the sums (INV-3, 4, 20)."""
        after: Row = (self._before_the_first(), _LAST if self._one_account else 0)
        whole_after, carried_account, carried = after[0], NOBODY, list[list[Any]]()
        while True:
            until = await self._one("transfers_until", after_account=after[0], after_transfer=after[1])
            rest = until is None
            last: Row = (self._bounds["last_account"], _LAST) if until is None else until
            batch = {
                "after_account": after[0],
                "after_transfer": after[1],
                "until_account": last[0],
                "until_transfer": last[1],
            }
            unbalanced = await self._one("unbalanced", **batch)
            row = await self._one(
                "entries",
                **batch,
                whole_after=whole_after,
                rest=rest,
                carried_account=carried_account,
                carried_kinds=[one[0] for one in carried],
                carried_shards=[one[1] for one in carried],
                carried_numbers=[one[2] for one in carried],
                carried_balances=[one[3] for one in carried],
            )
            assert row is not None
            entries, broken, stored, carried = row
            self.done.entries += entries
            self._tell()
            found = [
                *([of_transfer(*unbalanced)] if unbalanced else []),
                *([of_entry(broken)] if broken else []),
                *([of_balance(stored)] if stored else []),
            ]
            if found:
                return min(found, key=lambda one: one.account_id)
            if rest:
                return None
            after, carried_account = last, last[0]
            whole_after = _just_before(carried_account)

    async def balances(self) -> Violation | None:
        """What no kind of ledger account may be, and the sum of them all (INV-1, 2, 6)."""
        row = await self._one("limits")
        assert row is not None
        beyond, uneven = row
        if beyond is not None:
            return of_limits(beyond)
        return None if uneven is None else of_sum(uneven)

    async def holds(self) -> Violation | None:
        """Each hold against its transfers, and what is held against the open holds (INV-5, 8, 10, 11, 15, 16, 17)."""
        after: Row = (self._before_the_first(), EVERYBODY if self._one_account else NOBODY, _LAST_TRY)
        while True:
            keys = {"after_account": after[0], "after_work": after[1], "after_try": after[2]}
            until = await self._one("holds_until", **keys)
            last: Row = (self._bounds["last_account"], EVERYBODY, _LAST_TRY) if until is None else until
            row = await self._one("holds", **keys, until_account=last[0], until_work=last[1], until_try=last[2])
            assert row is not None
            self.done.holds += row[0]
            self._tell()
            if row[1] is not None:
                return of_hold(row[1])
            if until is None:
                return await self.held()
            after = last

    async def one_hold(self, account_id: str, work_id: str, try_number: int) -> Violation | None:
        """One hold against all its transfers, whenever they happened."""
        after = {"after_account": account_id, "after_work": work_id, "after_try": try_number - 1}
        until = {"until_account": account_id, "until_work": work_id, "until_try": try_number}
        row = await self._one("holds", **after, **until)
        assert row is not None
        return None if row[1] is None else of_hold(row[1])

    async def held(self) -> Violation | None:
        """What is held against the open holds (INV-5)."""
        row = await self._one("held")
        return None if row is None else of_held(row[0])

    async def grants(self) -> Violation | None:
        """Every grant moved credits once, and nothing else entered under its key (INV-7, 14)."""
        row = await self._one("grants")
        assert row is not None
        self.done.grants = row[0]
        self._tell()
        return None if row[1] is None else of_grant(row[1])

    async def operations(self) -> Violation | None:
        """Refunds, clawbacks, disputes and adjustments moved what they say, once per key (INV-12, 14)."""
        row = await self._one("operations")
        return None if row is None else of_operation(row[0])

    async def payments(self) -> Violation | None:
        """No more was taken back of a payment than it granted (INV-18)."""
        row = await self._one("payments")
        return None if row is None else of_payment(row[0])

    async def lots(self) -> Violation | None:
        """Every lot is a promotion, and burned what its operations say (E16)."""
        row = await self._one("lots")
        return None if row is None else of_lot(row[0])

    async def generations(self) -> Violation | None:
        """Holds against work: what was delivered is settled, what failed is released (INV-28, 29)."""
        after = NOBODY
        while True:
            until = await self._one("generations_until", after=after)
            last = EVERYBODY if until is None else until[0]
            row = await self._one("generations", after=after, until=last)
            assert row is not None
            self.done.generations += row[0]
            self._tell()
            if row[1] is not None:
                return of_generation(row[1])
            if until is None:
                return None
            after = last

    def _before_the_first(self) -> str:
        return _just_before(self._bounds["first_account"])

    def _tell(self) -> None:
        read = self.done.rows
        self._progress(Progress(read, max(self._expected, read), time.monotonic() - self.began))

    async def _one(self, name: str, **parameters: Any) -> Row | None:
        cursor = await self._conn.execute(
            _QUERIES[name], {**self._bounds, "rows": self._batch_rows, **parameters}, prepare=False
        )
        row: Row | None = await cursor.fetchone()
        return row


def _just_before(account_id: str) -> str:
    """The greatest id below this one, so that `>` includes it; of the least id, itself."""
    number = int(account_id.replace("-", ""), 16)
    text = f"{max(number - 1, 0):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """A connection for one long verification: without the limits that guard the service's short statements.

    Raises DatabaseUnavailable.
    """
    try:
        async with await AsyncConnection.connect(url, autocommit=True) as conn:
            yield conn
    except OperationalError as error:
        raise DatabaseUnavailable("The database does not answer.") from error
