"""What came from Stripe: events, the customers that accounts are linked to, subscriptions, and differences.

received ── applied | ignored | parked ── (tried again) applied | ignored
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from domain.billing import EventNotice, Parked, Reason
from domain.errors import InternalError, StateConflict
from store import sql

_QUERIES = sql.load("billing")


class EventState(StrEnum):
    RECEIVED = "received"
    APPLIED = "applied"
    IGNORED = "ignored"  # nobody's money
    PARKED = "parked"


@dataclass(frozen=True)
class Event:
    event_id: str
    type: str
    created: int  # Unix seconds
    livemode: bool
    account: str | None
    object_type: str
    object_id: str
    state: EventState
    reason: str | None
    message: str | None
    tries: int
    received_at: datetime
    tried_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", EventState(self.state))

    @property
    def ended(self) -> bool:
        return self.state in {EventState.APPLIED, EventState.IGNORED}

    @property
    def notice(self) -> EventNotice:
        return EventNotice(
            self.event_id, self.type, self.created, self.livemode, self.account, self.object_type, self.object_id
        )


@dataclass(frozen=True)
class SubscriptionRow:
    subscription_id: str
    plan: str
    status: str
    cancel_at_period_end: bool
    currency: str | None
    period_starts_at: datetime | None
    period_ends_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Difference:
    """Between this ledger and Stripe's books."""

    source_id: str
    difference: str
    message: str
    found_at: datetime


@dataclass(frozen=True)
class Booked:
    """A payment as it is known here."""

    payment_key: str
    currency: str
    paid_minor: int


async def receive(conn: AsyncConnection[Any], notice: EventNotice) -> bool:
    """Keep an event. False when its id is known."""
    cursor = await conn.execute(_QUERIES["receive"], notice.__dict__)
    return cursor.rowcount == 1


async def event(conn: AsyncConnection[Any], event_id: str) -> Event | None:
    async with conn.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(_QUERIES["event"], {"event_id": event_id})
        return await cursor.fetchone()


async def events(
    conn: AsyncConnection[Any], *, state: EventState | None, limit: int, offset: int
) -> tuple[list[Event], int]:
    """Newest first, and how many there are in all."""
    parameters = {"state": state, "limit": limit, "offset": offset}
    async with conn.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(_QUERIES["events"], parameters)
        rows = await cursor.fetchall()
    counted = await (await conn.execute(_QUERIES["count_events"], parameters)).fetchone()
    assert counted is not None
    return rows, counted[0]


async def unstarted(conn: AsyncConnection[Any], *, older_than: timedelta, limit: int) -> list[str]:
    """Events that were kept and that nobody has looked at since, oldest first."""
    cursor = await conn.execute(_QUERIES["unstarted"], {"older_than": older_than, "limit": limit})
    return [row[0] for row in await cursor.fetchall()]


async def end_event(conn: AsyncConnection[Any], event_id: str, state: EventState) -> None:
    """Applied or ignored: in the transaction of what was applied."""
    await conn.execute(_QUERIES["end_event"], {"event_id": event_id, "state": state, "reason": None, "message": None})


async def park(conn: AsyncConnection[Any], event_id: str, parked: Parked) -> None:
    """One that ended meanwhile stays as it is."""
    parameters = {"event_id": event_id, "state": EventState.PARKED, "reason": parked.reason, "message": parked.message}
    await conn.execute(_QUERIES["end_event"], parameters)


async def now(conn: AsyncConnection[Any]) -> datetime:
    """The time of the database, by which looks at Stripe are ordered."""
    row = await (await conn.execute(_QUERIES["now"])).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


async def customer_of(conn: AsyncConnection[Any], account_id: str) -> str | None:
    return await _text(conn, "customer_of", {"account_id": account_id})


async def account_of(conn: AsyncConnection[Any], customer_id: str | None) -> str | None:
    """The account that a customer is linked to; also after the customer was deleted there."""
    return None if customer_id is None else await _text(conn, "account_of", {"customer_id": customer_id})


async def link_customer(conn: AsyncConnection[Any], account_id: str, customer_id: str) -> str:
    """The customer of the account: this one, or the one that it had before. A link never changes.

    Raises StateConflict when the customer belongs to another account.
    """
    await conn.execute(_QUERIES["link_customer"], {"account_id": account_id, "customer_id": customer_id})
    linked = await account_of(conn, customer_id)
    if linked is not None and linked != account_id:
        raise StateConflict("This customer is linked to another account.", details={"field": "customer_id"})
    found = await customer_of(conn, account_id)
    if found is None:  # the customer is gone at Stripe, and was this account's before
        raise StateConflict("This customer was deleted at Stripe.", details={"field": "customer_id"})
    return found


async def customer_gone(conn: AsyncConnection[Any], customer_id: str) -> None:
    await conn.execute(_QUERIES["customer_gone"], {"customer_id": customer_id})


async def subscription_of(conn: AsyncConnection[Any], account_id: str) -> SubscriptionRow | None:
    """The one that counts: the newest that entitles, else the newest of all."""
    async with conn.cursor(row_factory=class_row(SubscriptionRow)) as cursor:
        await cursor.execute(_QUERIES["subscription_of"], {"account_id": account_id})
        return await cursor.fetchone()


async def cursor_at(conn: AsyncConnection[Any], name: str) -> datetime | None:
    row = await (await conn.execute(_QUERIES["cursor"], {"name": name})).fetchone()
    return None if row is None else row[0]


async def move_cursor(conn: AsyncConnection[Any], name: str, at: datetime) -> None:
    """Forward only."""
    await conn.execute(_QUERIES["move_cursor"], {"name": name, "at": at})


async def booked(conn: AsyncConnection[Any], payment_key: str) -> Booked | None:
    async with conn.cursor(row_factory=class_row(Booked)) as cursor:
        await cursor.execute(_QUERIES["booked"], {"payment_key": payment_key})
        return await cursor.fetchone()


async def granted_since(conn: AsyncConnection[Any], since: datetime) -> list[tuple[str, str]]:
    """Payment key and payment intent of the payments with a grant that were first seen since then."""
    return await (await conn.execute(_QUERIES["granted_since"], {"since": since})).fetchall()


async def differ(conn: AsyncConnection[Any], source_id: str, difference: str, message: str) -> None:
    await conn.execute(_QUERIES["differ"], {"source_id": source_id, "difference": difference, "message": message})


async def agree(conn: AsyncConnection[Any], source_id: str) -> None:
    await conn.execute(_QUERIES["agree"], {"source_id": source_id})


async def differences(conn: AsyncConnection[Any]) -> list[Difference]:
    """Oldest first, at most a thousand."""
    async with conn.cursor(row_factory=class_row(Difference)) as cursor:
        await cursor.execute(_QUERIES["differences"])
        return await cursor.fetchall()


async def known_event(conn: AsyncConnection[Any], event_id: str) -> Event:
    """Raises InternalError for an id that was never kept."""
    found = await event(conn, event_id)
    if found is None:
        raise InternalError("There is no such event of Stripe.")
    return found


def wrong_mode() -> Parked:
    return Parked(Reason.WRONG_MODE, "The event is of the other mode: test money never meets live accounts.")


async def _text(conn: AsyncConnection[Any], name: str, parameters: dict[str, Any]) -> str | None:
    row = await (await conn.execute(_QUERIES[name], parameters)).fetchone()
    return None if row is None else row[0]
