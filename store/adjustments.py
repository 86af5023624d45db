"""Adjustments: credits that an operator adds or takes on no outside fact, once a second operator has approved.

proposed ── approved | rejected | expired     only `approved` has moved anything
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.errors import ResourceNotFound, StateConflict
from store import ledger_payments, sql
from store.operators import Operator

LIFE = timedelta(days=7)  # then nobody can approve it any more

_QUERIES = sql.load("adjustments")


class AdjustmentState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Adjustment:
    adjustment_id: str
    account_id: str
    amount_micros: int  # negative: taken from the account
    reason: str
    key: str
    state: AdjustmentState
    proposed_by_id: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", AdjustmentState(self.state))


async def propose(
    conn: AsyncConnection[Any],
    operator: Operator,
    *,
    account_id: str,
    amount: int,
    reason: str,
    key: str,
    life: timedelta = LIFE,
) -> tuple[Adjustment, bool]:
    """The proposal, and whether it is new: the same one under its key is answered again.

    Raises StateConflict when the key names another one.
    """
    facts = {"account_id": account_id, "amount": amount, "reason": reason, "key": key}
    cursor = await conn.execute(_QUERIES["propose"], {**facts, "operator_id": operator.operator_id, "life": life})
    made = await cursor.fetchone()
    known = made or await (await conn.execute(_QUERIES["by_key"], {"key": key})).fetchone()
    assert known is not None
    found = await get(conn, known[0])
    if (found.account_id, found.amount_micros, found.reason) != (account_id, amount, reason):
        raise StateConflict("This key was used for another adjustment.", details={"field": "key"})
    return found, made is not None


async def get(conn: AsyncConnection[Any], adjustment_id: str) -> Adjustment:
    """Raises ResourceNotFound."""
    async with conn.cursor(row_factory=class_row(Adjustment)) as cursor:
        await cursor.execute(_QUERIES["get"], {"adjustment_id": adjustment_id})
        found = await cursor.fetchone()
    if found is None:
        raise ResourceNotFound("There is no such adjustment.")
    return found


async def page(
    conn: AsyncConnection[Any], *, account_id: str | None, open_only: bool, limit: int, offset: int
) -> tuple[list[Adjustment], int]:
    """Newest first, and how many there are in all. Open ones are those that can be approved."""
    parameters = {"account_id": account_id, "open_only": open_only, "limit": limit, "offset": offset}
    async with conn.cursor(row_factory=class_row(Adjustment)) as cursor:
        await cursor.execute(_QUERIES["page"], parameters)
        rows = await cursor.fetchall()
    counted = await (await conn.execute(_QUERIES["count"], parameters)).fetchone()
    assert counted is not None
    return rows, counted[0]


async def approve(conn: AsyncConnection[Any], operator: Operator, adjustment_id: str) -> Adjustment:
    """Move the credits, inside the caller's transaction: of two who approve at once, one finds it approved.

    Raises ResourceNotFound; StateConflict when it is decided or expired, when the operator proposed it, or when the
    books refuse it.
    """
    proposal = await _still_open(conn, adjustment_id)
    if proposal.proposed_by_id == operator.operator_id or proposal.proposed_by == operator.name:
        raise StateConflict("An adjustment is approved by another operator than the one who proposed it.")
    word = await ledger_payments.adjust(
        conn,
        account_id=proposal.account_id,
        amount=proposal.amount_micros,
        actor_one=proposal.proposed_by,
        actor_two=operator.name,
        reason=proposal.reason,
        key=proposal.key,
    )
    if word is not ledger_payments.Adjusted.ADJUSTED:
        raise StateConflict(f"The books refuse the adjustment: {word.value}.", details={"word": word.value})
    return await _decide(conn, operator, adjustment_id, AdjustmentState.APPROVED)


async def reject(conn: AsyncConnection[Any], operator: Operator, adjustment_id: str) -> Adjustment:
    """Nothing moves; whoever proposed it may withdraw it like this, too. Raises as `approve` does."""
    await _still_open(conn, adjustment_id)
    return await _decide(conn, operator, adjustment_id, AdjustmentState.REJECTED)


async def _still_open(conn: AsyncConnection[Any], adjustment_id: str) -> Adjustment:
    await conn.execute(_QUERIES["lock"], {"adjustment_id": adjustment_id})
    proposal = await get(conn, adjustment_id)
    if proposal.state is not AdjustmentState.PROPOSED:
        raise StateConflict(f"The adjustment is {proposal.state.value}.", details={"state": proposal.state.value})
    return proposal


async def _decide(
    conn: AsyncConnection[Any], operator: Operator, adjustment_id: str, state: AdjustmentState
) -> Adjustment:
    parameters = {"adjustment_id": adjustment_id, "operator_id": operator.operator_id, "state": state.value}
    await conn.execute(_QUERIES["decide"], parameters)
    return await get(conn, adjustment_id)
