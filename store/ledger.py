"""The credit ledger: thin functions over the operations of schema `ledger`, each one statement.

Amounts are whole micro-credits. A hold is named by account, work id and try number; that name is its idempotency key.
Every answer is a word, so that a repeat is told apart from a conflict, and a conflict from an alarm.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import CheckViolation
from psycopg.rows import class_row

from domain.errors import AccountNotFound, InvalidInput, ParameterOutOfRange
from store import sql
from store.connection import flushed_word

AMOUNT_MAX_MICROCREDITS = 10**15  # one billion credits; checked before any arithmetic
KEY_BYTES_MAX = 255
EXPIRED = "expired"  # the reason the sweeper gives to `release`

_QUERIES = sql.load("ledger")
_CHECK = sql.load("ledger_check")
_log = logging.getLogger(__name__)


class Reserved(StrEnum):
    HELD = "held"
    ALREADY_HELD = "already_held"  # a repeat
    INSUFFICIENT = "insufficient"
    CONFLICT = "conflict"  # held, but with another amount or price version
    CLOSED = "closed"  # this try has ended; a new one needs a new number
    FROZEN = "frozen"


class Settled(StrEnum):
    SETTLED = "settled"
    ALREADY_SETTLED = "already_settled"  # a repeat
    RECOLLECTED = "recollected"  # it had been released: taken again in full
    SHORTFALL = "shortfall"  # the same, and what was missing is debt now
    NO_HOLD = "no_hold"
    CONFLICT = "conflict"  # more than held, or settled before with another amount


class Released(StrEnum):
    RELEASED = "released"
    ALREADY_RELEASED = "already_released"  # a repeat
    ALREADY_SETTLED = "already_settled"
    NO_HOLD = "no_hold"


class Granted(StrEnum):
    GRANTED = "granted"
    ALREADY_GRANTED = "already_granted"  # a repeat
    CONFLICT = "conflict"  # the key was used for another account, amount or source


class Refunded(StrEnum):
    REFUNDED = "refunded"
    ALREADY_REFUNDED = "already_refunded"  # a repeat
    TOO_MUCH = "too_much"  # more than is left of what was settled
    CONFLICT = "conflict"  # nothing was settled, or the key was used for something else


class GrantSource(StrEnum):
    """The fact outside of the ledger that a grant stands on."""

    PAYMENT = "payment"
    PROMOTION = "promotion"
    ADJUSTMENT = "adjustment"


class AccountKind(StrEnum):
    AVAILABLE = "available"
    HELD = "held"
    REVENUE = "revenue"
    DEBT = "debt"
    PAYMENT = "payment"
    PROMOTION = "promotion"
    ADJUSTMENT = "adjustment"
    DISPUTED = "disputed"  # set aside until a bank has decided
    CLEARING = "clearing"  # taken back because its payment was


class Operation(StrEnum):
    RESERVE = "reserve"
    SETTLE = "settle"
    RELEASE = "release"
    EXPIRE = "expire"
    RECOLLECT = "recollect"
    SHORTFALL = "shortfall"
    GRANT = "grant"
    REFUND = "refund"
    CLAW_BACK = "claw_back"
    DISPUTE = "dispute"
    RESTORE = "restore"
    LOSE = "lose"
    ADJUST = "adjust"
    REPAY = "repay"
    BURN = "burn"  # what was left of a promotion when it expired


class HoldState(StrEnum):
    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Balance:
    """What an account has, in micro-credits, as of one entry number of its available balance."""

    available: int
    held: int
    debt: int  # zero or above: what is owed
    entry_number: int
    disputed: int = 0


@dataclass(frozen=True)
class Entry:
    """One signed leg of a transfer, as the account sees it."""

    transfer_id: int  # the cursor of `entries`
    number: int  # gapless per account and kind (and shard, where it has several), in commit order
    amount_micros: int  # negative: taken from the account
    balance_micros: int  # afterwards
    operation: Operation
    work_id: str | None
    try_number: int | None
    key: str | None
    cause: str | None
    created_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "operation", Operation(self.operation))


@dataclass(frozen=True)
class Hold:
    account_id: str
    work_id: str
    try_number: int
    amount_micros: int
    state: HoldState
    settled_micros: int
    released_micros: int
    shortfall_micros: int  # the part of the settled amount that became debt
    price_version: str
    opened_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    corrected_at: datetime | None
    reason: str | None
    refunded_micros: int  # the part of the settled amount that was given back later
    shard: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", HoldState(self.state))


async def reserve(
    conn: AsyncConnection[Any],
    *,
    account_id: str,
    work_id: str,
    try_number: int = 1,
    amount: int,
    price_version: str,
    expires_at: datetime,
    key: str | None = None,
) -> Reserved:
    """Take credits out of the spendable balance for one try at one work, at most once. Zero is held, too.

    Raises ParameterOutOfRange for an amount no ledger row can have, AccountNotFound.
    """
    parameters = {
        "account_id": account_id,
        "work_id": work_id,
        "try_number": try_number,
        "amount": checked_amount(amount, at_least=0),
        "price_version": price_version,
        "expires_at": expires_at,
        "key": None if key is None else checked_key(key),
    }
    word = await flushed_word(conn, _QUERIES["reserve"], parameters)
    if word == "no_account":
        raise AccountNotFound("There is no such account.")
    return Reserved(word)


async def settle(
    conn: AsyncConnection[Any], *, account_id: str, work_id: str, try_number: int = 1, amount: int
) -> Settled:
    """Turn a hold into revenue; what `amount` leaves of it goes back in the same go.

    After a release it is taken again, and what is missing then is booked as debt: the work was delivered.
    """
    parameters = {
        "account_id": account_id,
        "work_id": work_id,
        "try_number": try_number,
        "amount": checked_amount(amount, at_least=0),
    }
    return Settled(await flushed_word(conn, _QUERIES["settle"], parameters))


async def release(
    conn: AsyncConnection[Any], *, account_id: str, work_id: str, try_number: int = 1, reason: str
) -> Released:
    """Give a hold back whole. The reason `EXPIRED` marks it as expired."""
    parameters = {"account_id": account_id, "work_id": work_id, "try_number": try_number, "reason": reason}
    row = await (await conn.execute(_QUERIES["release"], parameters)).fetchone()
    assert row is not None
    return Released(row[0])


async def grant(
    conn: AsyncConnection[Any], *, account_id: str, amount: int, source: GrantSource, key: str, note: str | None = None
) -> Granted:
    """Add credits once per key, whichever account the key is sent for.

    Raises ParameterOutOfRange when the amount, or the balance it would lead to, is beyond every limit;
    AccountNotFound; InvalidInput for an impossible key.
    """
    parameters = {
        "account_id": account_id,
        "amount": checked_amount(amount, at_least=1),
        "source": source,
        "key": checked_key(key),
        "note": note,
    }
    try:
        async with conn.transaction():
            return Granted(await keyed(conn, _QUERIES["grant"], parameters))
    except CheckViolation as violation:
        raise ParameterOutOfRange("The balance would pass its limit.", details={"field": "amount"}) from violation


async def refund_settled(
    conn: AsyncConnection[Any],
    *,
    account_id: str,
    work_id: str,
    try_number: int = 1,
    amount: int,
    actor: str,
    reason: str,
    key: str,
) -> Refunded:
    """Give back a part or all of what a work was charged; several times, each under its own key within the account.

    Like all that comes in, it pays debt first. Raises ParameterOutOfRange, AccountNotFound, InvalidInput.
    """
    parameters = {
        "account_id": account_id,
        "work_id": work_id,
        "try_number": try_number,
        "amount": checked_amount(amount, at_least=1),
        "actor": checked_text(actor, "actor", 100),
        "reason": checked_text(reason, "reason", 500),
        "key": checked_key(key),
    }
    return Refunded(await keyed(conn, _QUERIES["refund_settled"], parameters))


async def balance(conn: AsyncConnection[Any], account_id: str, *, at: datetime | None = None) -> Balance:
    """What the account has now or, recomputed from history, had at an instant. Raises AccountNotFound."""
    name = "balance" if at is None else "balance_at"
    async with conn.cursor() as cursor:
        await cursor.execute(_QUERIES[name], {"account_id": account_id, "at": at})
        row = await cursor.fetchone()
    if row is None or row[0] is None:
        raise AccountNotFound("There is no such account.")
    return Balance(*row)


async def entries(
    conn: AsyncConnection[Any],
    account_id: str,
    *,
    kind: AccountKind = AccountKind.AVAILABLE,
    operation: Operation | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Entry]:
    """A page of history, newest first. `before` is the `transfer_id` of the last row of the page above."""
    parameters = {"account_id": account_id, "kind": kind, "operation": operation, "before": before, "limit": limit}
    async with conn.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(_QUERIES["entries"], parameters)
        return await cursor.fetchall()


async def page(conn: AsyncConnection[Any], account_id: str, *, limit: int, offset: int) -> tuple[list[Entry], int]:
    """A part of the history of the available balance, newest first, and how many entries there are in all."""
    parameters = {"account_id": account_id, "limit": limit, "offset": offset}
    async with conn.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(_QUERIES["page"], parameters)
        rows = await cursor.fetchall()
    return rows, (await balance(conn, account_id)).entry_number


async def hold(conn: AsyncConnection[Any], *, account_id: str, work_id: str, try_number: int = 1) -> Hold | None:
    parameters = {"account_id": account_id, "work_id": work_id, "try_number": try_number}
    async with conn.cursor(row_factory=class_row(Hold)) as cursor:
        await cursor.execute(_QUERIES["hold"], parameters)
        return await cursor.fetchone()


async def overdue(conn: AsyncConnection[Any], *, after: Hold | None = None, limit: int = 100) -> list[Hold]:
    """Open holds past their deadline, oldest first. `after` is the last one of the page before."""
    parameters = {
        "after_expires_at": after.expires_at if after else None,
        "after_work_id": after.work_id if after else None,
        "after_try_number": after.try_number if after else None,
        "limit": limit,
    }
    async with conn.cursor(row_factory=class_row(Hold)) as cursor:
        await cursor.execute(_QUERIES["overdue"], parameters)
        return await cursor.fetchall()


async def check(conn: AsyncConnection[Any]) -> list[str]:
    """Recompute every invariant from the rows; one line per violation, empty when the books balance."""
    cursor = await conn.execute(_CHECK["violations"])
    return [row[0] for row in await cursor.fetchall()]


async def keyed(conn: AsyncConnection[Any], query: bytes, parameters: dict[str, Any]) -> str:
    """Run an operation that is named by a key and answer its word; a conflict is logged with what differs."""
    row = await (await conn.execute(query, parameters)).fetchone()
    assert row is not None
    word, differs = row
    if word == "no_account":
        raise AccountNotFound("There is no such account.")
    if word == "conflict":
        _log.warning("ledger_conflict", extra={"account_id": parameters["account_id"], "differs": differs})
    return str(word)


def checked_amount(amount: int, *, at_least: int) -> int:
    """Raises InvalidInput for what is not a whole number, ParameterOutOfRange for one that no transfer can have."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise InvalidInput("An amount is a whole number of micro-credits.", details={"field": "amount"})
    if not at_least <= amount <= AMOUNT_MAX_MICROCREDITS:
        raise ParameterOutOfRange("The amount is out of range.", details={"field": "amount"})
    return amount


def checked_key(key: str, field: str = "key") -> str:
    """Opaque and compared exactly: no trimming, no folding, no normalisation. Raises InvalidInput."""
    if not 1 <= len(key.encode()) <= KEY_BYTES_MAX or "\x00" in key:
        raise InvalidInput("A key has 1 to 255 bytes.", details={"field": field})
    return key


def checked_text(text: str, field: str, length_max: int) -> str:
    """For a name or a reason that a person gives. Raises InvalidInput."""
    if not 1 <= len(text) <= length_max or "\x00" in text:
        raise InvalidInput(f"The {field} has 1 to {length_max} characters.", details={"field": field})
    return text
