"""Automatic top-ups: an account's rule, and the payments that answer its low-balance alerts, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from store import sql

_QUERIES = sql.load("top_ups")


@dataclass(frozen=True)
class Rule:
    account_id: str
    enabled: bool
    amount_micros: int  # of one top-up
    daily_max: int  # top-ups in 24 hours
    payment_method_id: str | None
    stopped_because: str | None


@dataclass(frozen=True)
class Charging:
    """A top-up whose payment was not asked for yet, as far as is known."""

    top_up_id: str
    account_id: str
    amount_micros: int
    customer_id: str
    payment_method_id: str


async def rule(conn: AsyncConnection[Any], account_id: str) -> Rule | None:
    async with conn.cursor(row_factory=class_row(Rule)) as cursor:
        await cursor.execute(_QUERIES["rule"], {"account_id": account_id})
        return await cursor.fetchone()


async def set_rule(conn: AsyncConnection[Any], account_id: str, *, enabled: bool, amount: int, daily_max: int) -> None:
    """Also what starts it again after it was stopped."""
    parameters = {"account_id": account_id, "enabled": enabled, "amount": amount, "daily_max": daily_max}
    await conn.execute(_QUERIES["set_rule"], parameters)


async def save_method(conn: AsyncConnection[Any], account_id: str, payment_method_id: str) -> None:
    """The last one that was saved is the one that is charged."""
    parameters = {"account_id": account_id, "payment_method_id": payment_method_id}
    await conn.execute(_QUERIES["save_method"], parameters)


async def stop(conn: AsyncConnection[Any], account_id: str, *, because: str) -> None:
    await conn.execute(_QUERIES["stop"], {"account_id": account_id, "why": because})


async def take(conn: AsyncConnection[Any]) -> int:
    """Make a top-up for each account with an unanswered crossing that wants and may have one; how many were made."""
    return (await conn.execute(_QUERIES["take"])).rowcount


async def charging(conn: AsyncConnection[Any], *, limit: int = 100) -> list[Charging]:
    async with conn.cursor(row_factory=class_row(Charging)) as cursor:
        await cursor.execute(_QUERIES["charging"], {"limit": limit})
        return await cursor.fetchall()


async def charged(conn: AsyncConnection[Any], top_up: Charging, payment_intent_id: str, *, paid: bool | None) -> None:
    """What Stripe answered; None while the payment is under way: then no other begins, and an event ends it. Refused:
    the rule stops until somebody enables it again. The credits come with the event, as for every payment."""
    await ended(conn, top_up.top_up_id, payment_intent_id, paid=paid)


async def ended(
    conn: AsyncConnection[Any], top_up_id: str | None, payment_intent_id: str, *, paid: bool | None
) -> None:
    """What the payment came to, once."""
    state = "charging" if paid is None else "paid" if paid else "failed"
    parameters = {"top_up_id": top_up_id, "payment_intent_id": payment_intent_id, "state": state}
    row = await (await conn.execute(_QUERIES["ended"], parameters)).fetchone()
    if row is not None and paid is False:
        await stop(conn, row[0], because="The bank refused the payment.")
