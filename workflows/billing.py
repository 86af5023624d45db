"""Payments: one execution for each event of Stripe, and the comparison with Stripe's books."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.billing import BillingActivities, Processed
    from activities.stripe_books import BooksActivities, Compared
    from workflows import options

# When a parked event is tried again: soon at first, then for a month, as long as Stripe would show the event.
PAUSES = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)),
    *(timedelta(hours=6) for _ in range(8)),
    *(timedelta(days=1) for _ in range(28)),
)


@workflow.defn
class StripeEventWorkflow:
    """Apply one event. A parked one waits for its time, or for an operator who says that it may work now."""

    def __init__(self) -> None:
        self._again = False

    @workflow.run
    async def run(self, event_id: str) -> str:
        processed = await self._process(event_id)
        for pause in PAUSES:
            if processed.state != "parked":
                break
            if not await self._rung(pause, waits_for_people=not processed.again):
                break
            processed = await self._process(event_id)
        return processed.state

    @workflow.signal
    def retry(self) -> None:
        """An operator's doorbell."""
        self._again = True

    async def _rung(self, pause: timedelta, *, waits_for_people: bool) -> bool:
        """Wait for the time or the doorbell. False: only a person can mend it, and the doorbell starts a new run."""
        if waits_for_people and not self._again:
            return False
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._again, timeout=pause)
        self._again = False
        return True

    async def _process(self, event_id: str) -> Processed:
        return await workflow.execute_activity_method(
            BillingActivities.process_event, event_id, **options.PAYMENT_EVENT
        )


@workflow.defn
class BillingWorkflow:
    """Every minute: events that never came, and automatic top-ups that low balances ask for."""

    @workflow.run
    async def run(self) -> int:
        await workflow.execute_activity_method(BillingActivities.find_missed_events, **options.SWEEP)
        return await workflow.execute_activity_method(BillingActivities.charge_top_ups, **options.SWEEP)


@workflow.defn
class StripeBooksWorkflow:
    """Once a day: Stripe's books against ours."""

    @workflow.run
    async def run(self) -> Compared:
        return await workflow.execute_activity_method(BooksActivities.compare_books, **options.SWEEP)
