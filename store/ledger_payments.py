"""The ledger after the fact: payments that are reversed or disputed, and corrections by hand.

As in `store.ledger`: each is one statement, answers a word, and repeated with the same arguments changes nothing more.
Keys are unique in the whole ledger, because what they name is outside of it; that of an adjustment is unique within
its account. Credits that come back pay debt first.

All raise AccountNotFound, ParameterOutOfRange for an impossible amount, InvalidInput for an impossible key or text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import CheckViolation

from domain.errors import InvalidInput, ParameterOutOfRange
from store import sql
from store.ledger import AMOUNT_MAX_MICROCREDITS, checked_amount, checked_key, checked_text, keyed

_QUERIES = sql.load("ledger_payments")


class Clawed(StrEnum):
    CLAWED = "clawed"
    PARTLY_DEBT = "partly_debt"  # what was not there any more is owed now
    ALREADY_CLAWED = "already_clawed"  # a repeat
    CONFLICT = "conflict"  # another body, an unknown payment, or more than it still stands for: park it


class Restored(StrEnum):
    RESTORED = "restored"
    ALREADY = "already"  # a repeat
    CONFLICT = "conflict"  # another body, an unknown clawback, or one that was restored under another key


class Disputed(StrEnum):
    HELD = "held"
    RESTORED = "restored"
    LOST = "lost"
    ALREADY = "already"  # a repeat, or a beginning that comes after the end
    CONFLICT = "conflict"  # another body, account, payment or outcome


class DisputeOutcome(StrEnum):
    RESTORED = "restored"
    LOST = "lost"


class Adjusted(StrEnum):
    ADJUSTED = "adjusted"
    ALREADY = "already"  # a repeat
    CONFLICT = "conflict"  # another body, or more than there is to take


async def claw_back(conn: AsyncConnection[Any], *, account_id: str, amount: int, payment_key: str, key: str) -> Clawed:
    """Take back credits whose payment was reversed: what is available, and the rest as debt.

    `payment_key` is the key of the grant. Clawbacks and disputes of a payment never exceed what it granted.
    """
    parameters = {
        "account_id": account_id,
        "amount": checked_amount(amount, at_least=1),
        "payment_key": checked_key(payment_key, "payment_key"),
        "key": checked_key(key),
    }
    return Clawed(await keyed(conn, _QUERIES["claw_back"], parameters))


async def restore_clawback(conn: AsyncConnection[Any], *, account_id: str, clawback_key: str, key: str) -> Restored:
    """Undo a clawback, once: the refund behind it failed, or its credit note was voided."""
    parameters = {
        "account_id": account_id,
        "clawback_key": checked_key(clawback_key, "clawback_key"),
        "key": checked_key(key),
    }
    return Restored(await keyed(conn, _QUERIES["restore_clawback"], parameters))


async def dispute_hold(
    conn: AsyncConnection[Any], *, account_id: str, amount: int, dispute: str, payment_key: str, key: str
) -> Disputed:
    """Set the disputed credits aside, as far as they are there; what is missing becomes debt only when it is lost."""
    parameters = {
        "account_id": account_id,
        "amount": checked_amount(amount, at_least=1),
        "dispute": checked_key(dispute, "dispute"),
        "payment_key": checked_key(payment_key, "payment_key"),
        "key": checked_key(key),
    }
    return Disputed(await keyed(conn, _QUERIES["dispute_hold"], parameters))


async def dispute_end(
    conn: AsyncConnection[Any], *, account_id: str, dispute: str, outcome: DisputeOutcome, key: str
) -> Disputed:
    """Give the disputed credits back, or lose them: what was missing is taken from available, then it is debt.

    The end of a dispute that was never held is recorded when it is `restored`, so that its beginning, which comes
    late, changes nothing; when it is `lost` it is a conflict, for a loss needs the amount.
    """
    parameters = {
        "account_id": account_id,
        "dispute": checked_key(dispute, "dispute"),
        "outcome": outcome,
        "key": checked_key(key),
    }
    return Disputed(await keyed(conn, _QUERIES["dispute_end"], parameters))


async def adjust(
    conn: AsyncConnection[Any], *, account_id: str, amount: int, actor_one: str, actor_two: str, reason: str, key: str
) -> Adjusted:
    """Correct a balance by hand, up or down, never below zero. Two different people answer for it."""
    if actor_one == actor_two:
        raise InvalidInput("An adjustment needs two different people.", details={"field": "actor_two"})
    if checked_amount(amount, at_least=-AMOUNT_MAX_MICROCREDITS) == 0:
        raise ParameterOutOfRange("The amount is out of range.", details={"field": "amount"})
    parameters = {
        "account_id": account_id,
        "amount": amount,
        "actor_one": checked_text(actor_one, "actor_one", 100),
        "actor_two": checked_text(actor_two, "actor_two", 100),
        "reason": checked_text(reason, "reason", 500),
        "key": checked_key(key),
    }
    try:
        async with conn.transaction():
            return Adjusted(await keyed(conn, _QUERIES["adjust"], parameters))
    except CheckViolation as violation:
        raise ParameterOutOfRange("The balance would pass its limit.", details={"field": "amount"}) from violation
