"""One customer notification until it is delivered or given up."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.webhooks import WebhookActivities
    from workflows import options


@workflow.defn
class WebhookDeliveryWorkflow:
    """Deliver one outbox row. The schedule is the activity's; a slow endpoint holds up nothing but itself."""

    @workflow.run
    async def run(self, delivery_id: str) -> str:
        return await workflow.execute_activity_method(WebhookActivities.deliver_webhook, delivery_id, **options.DELIVER)
