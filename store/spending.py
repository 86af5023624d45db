"""Spending limits: of an account or of one of its keys, for each day or month of UTC, hard or soft.

`store.generations.admit` counts each hold in the transaction that makes it. A period counts what its generations hold
and what was settled of them; a hold that was released gives back to the day on which it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection, Error
from psycopg.rows import class_row
from pydantic_core import from_json

from domain.errors import ParameterOutOfRange, ResourceNotFound, SpendingLimitReached
from domain.pricing import text_from_microcredits
from store import sql
from store.ledger import AMOUNT_MAX_MICROCREDITS

REACHED = "BSL01"  # the SQLSTATE of a reservation that a hard limit refuses

_QUERIES = sql.load("spending")


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True)
class Limit:
    limit_id: str
    account_id: str
    api_key_id: str | None  # None: of the whole account; else the first key of a line of rotations
    period: Period
    is_hard: bool  # refuses what would go beyond it; a soft one tells once per period
    limit_micros: int
    spent_micros: int  # in the period that is now
    ends_at: datetime  # when the next period begins

    def __post_init__(self) -> None:
        object.__setattr__(self, "period", Period(self.period))


async def of_account(conn: AsyncConnection[Any], account_id: str) -> list[Limit]:
    """What is allowed and what is spent of it, inside the caller's transaction: ended holds are given back first."""
    await conn.execute(_QUERIES["lock"], {"account_id": account_id})
    await conn.execute(_QUERIES["give_back"], {"account_id": account_id})
    async with conn.cursor(row_factory=class_row(Limit)) as cursor:
        await cursor.execute(_QUERIES["of_account"], {"account_id": account_id})
        return await cursor.fetchall()


async def put(
    conn: AsyncConnection[Any],
    account_id: str,
    *,
    api_key_id: str | None = None,
    period: Period,
    is_hard: bool,
    limit: int,
) -> Limit:
    """Make or change a limit, inside the caller's transaction. Zero is a limit, too: nothing that costs.

    Raises ParameterOutOfRange, ResourceNotFound for a key that the account does not have.
    """
    if not 0 <= limit <= AMOUNT_MAX_MICROCREDITS:
        raise ParameterOutOfRange("The amount is out of range.", details={"field": "amount"})
    scope_id = account_id if api_key_id is None else await _line(conn, account_id, api_key_id)
    facts = {
        "account_id": account_id,
        "scope_id": scope_id,
        "period": period.value,
        "is_hard": is_hard,
        "limit": limit,
    }
    made = await (await conn.execute(_QUERIES["set"], facts)).fetchone()
    assert made is not None
    return next(each for each in await of_account(conn, account_id) if each.limit_id == made[0])


async def remove(conn: AsyncConnection[Any], account_id: str, limit_id: str) -> Limit | None:
    """What was removed; None: there is no such limit. With its last one, counting for the account ends."""
    async with conn.cursor(row_factory=class_row(Limit)) as cursor:
        await cursor.execute(_QUERIES["remove"], {"account_id": account_id, "limit_id": limit_id})
        return await cursor.fetchone()


def reached(error: Error) -> SpendingLimitReached | None:
    """The refusal that a failed admission means, if it is one of a hard limit."""
    if error.sqlstate != REACHED:
        return None
    facts = from_json(error.diag.message_detail or "{}")
    period, ends_on = facts["period"], facts.pop("ends_on")
    limit = text_from_microcredits(facts["limit_microcredits"])
    spent = text_from_microcredits(facts["spent_microcredits"])
    whose = {"account": "The account", "key": "The key"}[facts["limited"]]
    return SpendingLimitReached(
        f"{whose} may spend {limit} credits a {period}, and has {spent} spent or held.",
        details={**facts, "resets_at": f"{ends_on}T00:00:00.000Z"},
    )


async def _line(conn: AsyncConnection[Any], account_id: str, api_key_id: str) -> str:
    parameters = {"account_id": account_id, "api_key_id": api_key_id}
    row = await (await conn.execute(_QUERIES["line"], parameters)).fetchone()
    if row is None:
        raise ResourceNotFound("There is no such key.")
    return str(row[0])
