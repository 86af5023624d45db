"""Scheduled: compares records with running workflows, and ends what was left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.reconciliation import ReconciliationActivities, SweptPage
    from activities.webhooks import WebhookActivities
    from workflows import options

_HOLDS_ARE_ENDED = "holds-are-ended"  # sweeps that began before this only reported them
_RUNWAYS_ARE_WATCHED = "runways-are-watched"


@dataclass(frozen=True)
class Reconciled:
    """What one sweep did, for whoever looks at it in Temporal."""

    generations_expired: int
    deliveries_rung: int  # of those that were never started
    deliveries_given_up: int
    holds_overdue: int  # left open: their workflow runs, or they could not be ended
    holds_released: int = 0  # those whose workflow was gone
    runways_told: int = 0


@workflow.defn
class ReconciliationWorkflow:
    """One sweep, page by page to the end. What it could not mend is logged, and met again by the next one."""

    @workflow.run
    async def run(self) -> Reconciled:
        expired = rung = given_up = 0
        async for page in _pages(self._end_lost_generations):
            await self._ring(page.deliveries)
            expired += page.ended
        async for page in _pages(self._find_lost_deliveries):
            await self._ring(page.deliveries)
            rung += len(page.deliveries)
            given_up += page.ended
        while await self._purge_idempotency_keys():
            pass
        if not workflow.patched(_HOLDS_ARE_ENDED):
            return Reconciled(expired, rung, given_up, await self._report_overdue_holds())
        overdue = released = 0
        async for page in _pages(self._end_overdue_holds):
            await self._ring(page.deliveries)
            released += page.ended
            overdue += page.still_open
        told = 0
        if workflow.patched(_RUNWAYS_ARE_WATCHED):
            async for page in _pages(self._watch_runways):
                await self._ring(page.deliveries)
                told += page.ended
        return Reconciled(expired, rung, given_up, overdue, released, told)

    async def _end_lost_generations(self, after: str | None) -> SweptPage:
        return await workflow.execute_activity_method(
            ReconciliationActivities.end_lost_generations, after, **options.SWEEP
        )

    async def _find_lost_deliveries(self, after: str | None) -> SweptPage:
        return await workflow.execute_activity_method(
            ReconciliationActivities.find_lost_deliveries, after, **options.SWEEP
        )

    async def _end_overdue_holds(self, after: str | None) -> SweptPage:
        return await workflow.execute_activity_method(
            ReconciliationActivities.end_overdue_holds, after, **options.SWEEP
        )

    async def _watch_runways(self, after: str | None) -> SweptPage:
        return await workflow.execute_activity_method(ReconciliationActivities.watch_runways, after, **options.SWEEP)

    async def _ring(self, deliveries: list[str]) -> None:
        if deliveries:
            await workflow.execute_activity_method(WebhookActivities.ring_deliveries, deliveries, **options.CHORE)

    async def _purge_idempotency_keys(self) -> bool:
        return await workflow.execute_activity_method(ReconciliationActivities.purge_idempotency_keys, **options.CHORE)

    async def _report_overdue_holds(self) -> int:
        return await workflow.execute_activity_method(ReconciliationActivities.report_overdue_holds, **options.CHORE)


async def _pages(step: Callable[[str | None], Awaitable[SweptPage]]) -> AsyncIterator[SweptPage]:
    page = await step(None)
    yield page
    while page.next_after is not None:
        page = await step(page.next_after)
        yield page
