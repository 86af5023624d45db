"""Stripe's books against ours: its balance transactions, and the payments that are booked here."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import activity

from activities.failures import named_failures
from activities.heartbeat import heartbeating
from domain.billing import EventNotice, Movement, Parked, Payments, Purchase, Reason
from domain.offers import Offers
from store import billing, billing_effects
from store.billing_effects import MISSING_HERE
from store.connection import Pool, single

OVERLAP = timedelta(hours=1)  # what is listed again, because what is listed may appear late
FIRST_LOOK_BACK = timedelta(days=30)
SETTLED = timedelta(minutes=15)  # what is younger may still be on its way here
MOVEMENTS = "movements"  # the cursor

log = logging.getLogger("babysea.billing")


@dataclass(frozen=True)
class Compared:
    missing_here: int  # each of them is being applied now
    differences: int  # open ones, these included


@dataclass
class _Seen:
    """What one comparison has met so far."""

    purchases: set[str] = field(default_factory=set)
    charges: dict[str, str] = field(default_factory=dict)  # by purchase


class BooksActivities:
    """Every difference is of one of five classes. What is missing here is brought about by an event of our own that
    names the money object and goes the way of every other, with the same keys; the rest is for people."""

    def __init__(
        self,
        *,
        pool: Pool,
        payments: Payments | None,
        offers: Offers,
        livemode: bool,
        start_event: Callable[[str], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._payments = payments
        self._offers = offers
        self._livemode = livemode
        self._start_event = start_event

    @activity.defn
    async def compare_books(self) -> Compared:
        """Everything since the last comparison. Run again it gives the same report."""
        if self._payments is None:
            return Compared(0, 0)
        seen, missing = _Seen(), 0
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                began = await billing.now(conn)
                since = await billing.cursor_at(conn, MOVEMENTS) or began - FIRST_LOOK_BACK
            async for movement in self._payments.movements(since - OVERLAP):
                if movement.source_type:
                    missing += await self._compare(movement, seen)
                else:
                    await self._keep(movement, None)
            await self._missing_there(since, seen)
            async with single(self._pool) as conn:
                await billing.move_cursor(conn, MOVEMENTS, began - SETTLED)
                left = len(await billing.differences(conn))
        if left:
            log.error("stripe_differences count=%d", left)
        return Compared(missing, left)

    async def _compare(self, movement: Movement, seen: _Seen) -> bool:
        """One row of theirs; whether it had no counterpart here."""
        notice = self._notice(
            f"reconcile:{movement.movement_id}", movement.source_type, movement.source_id, movement.created
        )
        purchase = await self._purchase(notice)
        await self._keep(movement, purchase)
        if purchase is None:
            return False
        seen.purchases.add(purchase.key)
        kind = await self._classify(movement, purchase, seen)
        if kind == MISSING_HERE:
            async with single(self._pool) as conn:
                await billing.receive(conn, notice)
            await self._start_event(notice.event_id)
        return kind == MISSING_HERE

    async def _classify(self, movement: Movement, purchase: Purchase, seen: _Seen) -> str | None:
        first = seen.charges.setdefault(purchase.key, movement.source_id) if movement.source_type == "charge" else None
        async with single(self._pool) as conn:
            found = billing_effects.difference(
                movement,
                purchase,
                await billing.booked(conn, purchase.key),
                await billing.account_of(conn, purchase.customer_id),
                await billing_effects.recorded(conn, purchase.key),
                self._offers,
            )
            if first not in {None, movement.source_id}:
                found = ("duplicate", f"Paid twice: {first} and {movement.source_id}.")
            if found is None:
                await billing.agree(conn, movement.source_id)
                return None
            await billing.differ(conn, movement.source_id, *found)
        return found[0]

    async def _keep(self, movement: Movement, purchase: Purchase | None) -> None:
        async with single(self._pool) as conn:
            await billing_effects.keep_movement(conn, purchase.key if purchase else None, movement)

    async def _missing_there(self, since: datetime, seen: _Seen) -> None:
        """Grants of payments that Stripe does not list, and does not know when it is asked."""
        async with single(self._pool) as conn:
            booked = await billing.granted_since(conn, since)
        for key, intent_id in booked:
            if key in seen.purchases:
                continue
            known = await self._purchase(self._notice(f"reconcile:{intent_id}", "payment_intent", intent_id, 0))
            async with single(self._pool) as conn:
                if known is None:
                    await billing.differ(
                        conn, intent_id, "missing_there", f"Stripe does not know the payment of {key}."
                    )
                else:
                    await billing.agree(conn, intent_id)

    async def _purchase(self, notice: EventNotice) -> Purchase | None:
        assert self._payments is not None
        try:
            return (await self._payments.look(notice)).purchase
        except Parked as parked:
            if parked.reason is not Reason.OBJECT_UNKNOWN:
                raise
            return None

    def _notice(self, event_id: str, object_type: str, object_id: str, created: int) -> EventNotice:
        return EventNotice(event_id, f"reconcile.{object_type}", created, self._livemode, None, object_type, object_id)
