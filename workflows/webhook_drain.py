"""What an endpoint missed while it was disabled, sent after it was enabled again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import WebhookActivities
    from workflows import options


@dataclass(frozen=True)
class Drain:
    endpoint_id: str
    delivered: int = 0  # by the runs before this one
    deliveries_max: int = 500  # of one run: some 6,000 events of history, of 51,200 that a run may have


@dataclass(frozen=True)
class Drained:
    """For whoever looks at it in Temporal. Not completed: a delivery failed, and the rest is still queued."""

    delivered: int
    completed: bool


@workflow.defn
class WebhookDrainWorkflow:
    """Send the queue of one endpoint, oldest first, one after the other; the first that fails ends it."""

    @workflow.run
    async def run(self, drain: Drain) -> Drained:
        delivered = drain.delivered
        while (delivery_id := await self._take_queued(drain.endpoint_id)) is not None:
            if await self._deliver(delivery_id) != "delivered":
                return Drained(delivered, completed=False)
            delivered += 1
            if delivered - drain.delivered == drain.deliveries_max:
                workflow.continue_as_new(replace(drain, delivered=delivered))
        return Drained(delivered, completed=True)

    async def _take_queued(self, endpoint_id: str) -> str | None:
        return await workflow.execute_activity_method(WebhookActivities.take_queued, endpoint_id, **options.RECORD)

    async def _deliver(self, delivery_id: str) -> str:
        return await workflow.execute_activity_method(WebhookActivities.deliver_webhook, delivery_id, **options.DELIVER)
