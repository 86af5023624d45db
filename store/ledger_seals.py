"""Seals: periods of the ledger that are closed, each with a hash over its transfers and over the seal before it.

The text that is hashed (SHA-256): the hash of the seal before, a line; the period's two ends in microseconds since
1970, a line; and each transfer, a line as `ledger_seals.sql` says. Whoever keeps the last hash elsewhere can prove all.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection, errors
from psycopg.rows import class_row

from domain.errors import StateConflict
from domain.periods import Period, month_after, month_of, name_of
from store import sql
from store.ledger_border import border
from store.ledger_verification import tune
from store.ledger_violations import Violation, of_backdated, of_seal

# After the end of a period: by then no clock of the database says otherwise. What was open at the end is waited for.
GRACE = timedelta(minutes=5)
NO_HASH = "0" * 64  # before the first seal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRANSFER_ID, _DEBIT, _CREDIT, _AMOUNT = 1, 3, 4, 5  # columns of a line

_QUERIES = sql.load("ledger_seals")


@dataclass(frozen=True)
class Seal:
    seal_number: int
    period_start: datetime
    period_end: datetime
    sealed_at: datetime
    up_to_transfer: int
    transfers: int
    moved_micros: str  # it may be more than an amount holds
    balances: dict[str, int]  # of all accounts together at the end, by kind
    previous_hash: str
    hash: str

    @property
    def name(self) -> str:
        return name_of(Period(self.period_start.astimezone(UTC), self.period_end.astimezone(UTC)))


@dataclass(frozen=True)
class SealsVerified:
    seals: int
    transfers: int
    seconds: float
    violation: Violation | None  # the first


async def close(conn: AsyncConnection[Any], until: datetime) -> list[Seal]:
    """Seal what is not sealed before this instant, month by month, and answer the seals that were made.

    Again, or from two places at once: each period is sealed once. `conn` is in no transaction. Raises StateConflict
    when it is too early.
    """
    now: datetime = await _value(conn, "now")
    if now < until + GRACE:
        raise StateConflict(
            f"A period is sealed {GRACE.total_seconds() / 60:.0f} minutes after its end; {until:%Y-%m-%d %H:%M} UTC is "
            "not so long ago."
        )
    made: list[Seal] = []
    while (await _next_period(conn, await _last(conn), until)) is not None:
        try:
            sealed = await _seal_next(conn, until)
        except (errors.UniqueViolation, errors.SerializationFailure):
            continue  # somebody else has just sealed it
        made += [sealed] if sealed is not None else []
    return made


async def close_months(conn: AsyncConnection[Any]) -> list[Seal]:
    """Seal all months that have ended. Nothing to seal before the first transfer."""
    now: datetime = await _value(conn, "now")
    until = month_of((now - GRACE).astimezone(UTC))
    begun: datetime | None = await _value(conn, "first_transfer")
    return [] if begun is None or begun >= until else await close(conn, until)


async def page(conn: AsyncConnection[Any], *, limit: int, offset: int) -> tuple[list[Seal], int]:
    """Newest first, and how many there are."""
    async with conn.cursor(row_factory=class_row(Seal)) as cursor:
        await cursor.execute(_QUERIES["page"], {"limit": limit, "offset": offset})
        return await cursor.fetchall(), await _value(conn, "count")


async def verify_seals(conn: AsyncConnection[Any]) -> SealsVerified:
    """Recompute every hash and every sealed balance, oldest first, and stop at the first seal that differs.

    `conn` must not be in a transaction.
    """
    began, transfers = time.monotonic(), 0
    async with conn.transaction():
        await conn.execute(_QUERIES["snapshot"])
        await tune(conn)
        async with conn.cursor(row_factory=class_row(Seal)) as cursor:
            seals = await (await cursor.execute(_QUERIES["seals"])).fetchall()
        violation, before = None, None
        for seal in seals:
            violation = await _differs(conn, seal, before)
            if violation is not None:
                break
            transfers, before = transfers + seal.transfers, seal
        if violation is None and before is not None:
            late = await _row(conn, "backdated", period_end=before.period_end)
            violation = None if late is None else of_backdated(before.name, *late)
    return SealsVerified(len(seals), transfers, time.monotonic() - began, violation)


async def _seal_next(conn: AsyncConnection[Any], until: datetime) -> Seal | None:
    """One seal, in one transaction whose snapshot sees all that the period will ever have. None: there is nothing."""
    final = await border(conn)
    async with conn.transaction():
        await conn.execute(_QUERIES["snapshot"])
        await tune(conn)
        before = await _last(conn)
        period = await _next_period(conn, before, until)
        if period is None:
            return None
        number = 1 if before is None else before.seal_number + 1
        await _row(conn, "balances", seal_number=number, period_end=period.end, border=final.transfer_id)
        content = await _content(conn, number, period, before)
        await _row(
            conn,
            "write",
            seal_number=number,
            period_start=period.start,
            period_end=period.end,
            up_to_transfer=content.up_to_transfer,
            transfers=content.transfers,
            moved_micros=content.moved_micros,
            balances=json.dumps(content.balances),
            previous_hash=NO_HASH if before is None else before.hash,
            hash=content.hash,
        )
        return await _last(conn)


async def _next_period(conn: AsyncConnection[Any], before: Seal | None, until: datetime) -> Period | None:
    """What is sealed next: the rest of a month, or what of it is before this instant."""
    if before is not None:
        start = before.period_end.astimezone(UTC)
    else:
        begun: datetime | None = await _value(conn, "first_transfer")
        start = month_of(min(begun or until, until - timedelta(microseconds=1)).astimezone(UTC))
    return Period(start, min(month_after(start), until)) if start < until else None


@dataclass
class _Content:
    """What a seal is of, from its transfers and the seal before it."""

    up_to_transfer: int
    balances: dict[str, int]
    transfers: int = 0
    moved_micros: int = 0
    hash: str = ""


async def _content(conn: AsyncConnection[Any], number: int, period: Period, before: Seal | None) -> _Content:
    found = _Content(0, {}) if before is None else _Content(before.up_to_transfer, dict(before.balances))
    previous = NO_HASH if before is None else before.hash
    digest = hashlib.sha256(f"{previous}\n{_micros(period.start)} {_micros(period.end)}\n".encode())
    async with conn.cursor() as cursor, cursor.copy(_QUERIES["lines"], {"seal_number": number}) as lines:
        async for line in lines:  # one transfer each
            digest.update(line)
            columns = bytes(line).decode().split("\t", _AMOUNT + 1)
            amount, debit, credit = int(columns[_AMOUNT]), columns[_DEBIT], columns[_CREDIT]
            found.balances[debit] = found.balances.get(debit, 0) - amount
            found.balances[credit] = found.balances.get(credit, 0) + amount
            found.up_to_transfer = max(found.up_to_transfer, int(columns[_TRANSFER_ID]))
            found.transfers += 1
            found.moved_micros += amount
    found.hash = digest.hexdigest()
    return found


async def _differs(conn: AsyncConnection[Any], seal: Seal, before: Seal | None) -> Violation | None:
    first = (1, NO_HASH, seal.period_start)
    expected = first if before is None else (before.seal_number + 1, before.hash, before.period_end)
    if (seal.seal_number, seal.previous_hash, seal.period_start) != expected:
        return of_seal(seal.name, "it does not go on from the seal before it")
    found = await _content(conn, seal.seal_number, Period(seal.period_start, seal.period_end), before)
    difference = None
    if (found.transfers, found.moved_micros) != (seal.transfers, int(seal.moved_micros)):
        difference = (
            f"it has {found.transfers:,} transfers of {found.moved_micros:,} micro-credits in all; sealed were "
            f"{seal.transfers:,} of {int(seal.moved_micros):,}"
        )
    elif found.hash != seal.hash:
        difference = f"its hash is {found.hash}; sealed was {seal.hash}"
    elif (found.up_to_transfer, found.balances) != (seal.up_to_transfer, seal.balances):
        difference = "its last transfer, or what all accounts had at its end, was changed"
    else:
        balance = await _row(conn, "differing_balance", seal_number=seal.seal_number)
        if balance is not None:
            difference = f"the sealed {balance[1]} balance of account {balance[0]} is not that of its entry"
    return None if difference is None else of_seal(seal.name, difference)


async def _last(conn: AsyncConnection[Any]) -> Seal | None:
    async with conn.cursor(row_factory=class_row(Seal)) as cursor:
        await cursor.execute(_QUERIES["last"])
        return await cursor.fetchone()


async def _row(conn: AsyncConnection[Any], name: str, **parameters: Any) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = await (await conn.execute(_QUERIES[name], parameters)).fetchone()
    return row


async def _value(conn: AsyncConnection[Any], name: str) -> Any:
    row = await _row(conn, name)
    assert row is not None
    return row[0]


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
