"""The steps of payments: apply one event, find those that never came, charge top-ups. Each safe to repeat."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities.failures import named_failures
from activities.heartbeat import heartbeating
from domain.billing import MONEY_OBJECTS, Facts, Parked, Payments, Reason
from domain.offers import Offers
from store import billing, billing_effects, top_ups
from store.billing import Event, EventState
from store.billing_effects import LookedTooEarly
from store.connection import Pool, single, transaction

EVENT_AGE = timedelta(minutes=1)  # nobody asks about younger ones
OVERLAP = timedelta(hours=1)  # what is listed again, because what is listed may appear late
FIRST_LOOK_BACK = timedelta(days=30)  # as far as Stripe keeps its events
LOOKS_MAX = 5
PAGE_ROWS = 100
EVENTS = "events"  # the cursor

log = logging.getLogger("babysea.billing")


@dataclass(frozen=True)
class Processed:
    """`state` as in the records. A parked event is tried again by itself when its reason may pass."""

    state: str
    reason: str | None = None
    again: bool = False


class BillingActivities:
    def __init__(
        self,
        *,
        pool: Pool,
        payments: Payments | None,
        offers: Offers,
        livemode: bool,
        stripe_account: str | None,
        start_event: Callable[[str], Awaitable[None]],
        list_every: timedelta = timedelta(minutes=10),
    ) -> None:
        self._pool = pool
        self._payments = payments
        self._offers = offers
        self._livemode = livemode
        self._stripe_account = stripe_account
        self._start_event = start_event
        self._list_every = list_every

    @activity.defn
    async def process_event(self, event_id: str) -> Processed:
        """Read what the event is about afresh, and apply what is owed, in one transaction with the event's end.
        One that cannot be applied is parked, with the reason."""
        with named_failures(keep_trying=True), heartbeating():
            async with single(self._pool) as conn:
                event = await billing.known_event(conn, event_id)
            if event.ended:
                return Processed(event.state)
            try:
                return await self._applied(event)
            except Parked as parked:
                async with single(self._pool) as conn:
                    await billing.park(conn, event_id, parked)
                log.warning("stripe_event_parked event=%s type=%s reason=%s", event_id, event.type, parked.reason)
                return Processed(EventState.PARKED, parked.reason, parked.reason.passes)

    async def _applied(self, event: Event) -> Processed:
        assert self._payments is not None, "events are taken only where there is a key"
        if event.livemode is not self._livemode:
            raise billing.wrong_mode()
        if event.account not in {None, self._stripe_account}:
            raise Parked(Reason.STRIPE_ACCOUNT, "The event is of another Stripe account.")
        for _ in range(LOOKS_MAX):
            async with single(self._pool) as conn:
                looked_at = await billing.now(conn)
            facts = await self._payments.look(event.notice)
            if facts.livemode not in {None, self._livemode}:
                raise billing.wrong_mode()
            try:
                return await self._apply(event, facts, looked_at)
            except LookedTooEarly:
                continue
        raise Parked(Reason.OBJECT_UNKNOWN, "Others apply what this event is about all the time.")

    async def _apply(self, event: Event, facts: Facts, looked_at: datetime) -> Processed:
        concerns = any((facts.purchase, facts.subscription, facts.method, facts.customer_gone))
        state = EventState.APPLIED if concerns else EventState.IGNORED
        async with transaction(self._pool) as conn:
            await billing_effects.apply(conn, event.event_id, facts, looked_at=looked_at, offers=self._offers)
            await billing.end_event(conn, event.event_id, state)
        if facts.alarm:
            log.error("stripe_account_event event=%s type=%s", event.event_id, event.type)
        return Processed(state)

    @activity.defn
    async def find_missed_events(self) -> int:
        """Those that Stripe lists and that never came, and those that were kept and never looked at; how many of the
        first there were."""
        if self._payments is None:
            return 0
        with named_failures(), heartbeating():
            found = await self._list_events(self._payments)
            async with single(self._pool) as conn:
                older_than = timedelta(0) if found else EVENT_AGE
                waiting = await billing.unstarted(conn, older_than=older_than, limit=PAGE_ROWS)
            for event_id in waiting:
                await self._start_event(event_id)
        return found

    async def _list_events(self, payments: Payments) -> int:
        async with single(self._pool) as conn:
            began = await billing.now(conn)
            since = await billing.cursor_at(conn, EVENTS) or began - FIRST_LOOK_BACK
        if began - since < self._list_every:
            return 0
        found = 0
        async for notice in payments.events(since - OVERLAP):
            if notice.object_type not in MONEY_OBJECTS:
                continue
            async with single(self._pool) as conn:
                found += await billing.receive(conn, notice)
        async with single(self._pool) as conn:
            await billing.move_cursor(conn, EVENTS, began)
        if found:
            log.warning("stripe_events_missed count=%d", found)
        return found

    @activity.defn
    async def charge_top_ups(self) -> int:
        """Answer the low-balance alerts of accounts that want it: a top-up is written down first, and its id is the key
        under which Stripe is asked, however often."""
        if self._payments is None:
            return 0
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                await top_ups.take(conn)
                charging = await top_ups.charging(conn)
            currency = self._offers.currencies[self._offers.top_up_currency]
            for one in charging:
                charged = await self._payments.charge(
                    one.top_up_id,
                    one.account_id,
                    one.customer_id,
                    one.payment_method_id,
                    currency.minor(one.amount_micros),
                    self._offers.top_up_currency,
                )
                async with transaction(self._pool) as conn:
                    await top_ups.charged(conn, one, charged.payment_intent_id, paid=charged.paid)
        return len(charging)
