"""Every path through the workflows, as short plays: recorded once, replayed against every later version of the code."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.billing import Processed
from activities.ledger_verification import LedgerVerified
from activities.reconciliation import SweptPage
from activities.retention import Swept
from domain.errors import ContentRefused, InsufficientCredits, ProviderFailed, ProviderTimedOut, StorageUnavailable
from domain.generation import Finished, GenerationRequest, GenerationStatus
from tests.support.requests import a_request, a_synchronous_request
from tests.workflows.conftest import Started, billing, draining, reconciling, retaining, verifying, working
from tests.workflows.scripted_steps import (
    ScriptedBilling,
    ScriptedDelivery,
    ScriptedDrain,
    ScriptedReconciliation,
    ScriptedRetention,
    ScriptedSteps,
    ScriptedVerification,
    accepted,
    ambiguous,
    answered_at_once,
    delivered,
    gave_up,
    job_failed,
    never_answered,
    refused,
    still_running,
)
from workflows import names
from workflows.billing import BillingWorkflow, StripeBooksWorkflow, StripeEventWorkflow
from workflows.ledger_verification import LedgerVerificationWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.retention import RetentionSweep, RetentionWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow
from workflows.webhook_drain import Drain, WebhookDrainWorkflow

Scenario = Callable[[Client], Awaitable[str]]  # plays on a server; answers the workflow's id
SCENARIOS: dict[str, Scenario] = {}


def scenario(play: Scenario) -> Scenario:
    SCENARIOS[play.__name__] = play
    return play


async def _play(
    client: Client,
    steps: ScriptedSteps,
    *providers: str,
    deadline_s: int = 60,
    then: Callable[[Started], Awaitable[object]] | None = None,
    request: GenerationRequest | None = None,
) -> str:
    generation = Started(client, request or a_request(*providers, deadline_s=deadline_s))
    async with working(client, steps):
        with suppress(WorkflowUpdateFailedError):
            await generation.admit()
        if then is not None:
            await then(generation)
        await generation.handle.result()
    return generation.request.workflow_id


@scenario
async def completed_by_callback(client: Client) -> str:
    steps = ScriptedSteps(finish=[Finished(GenerationStatus.SUCCEEDED, ["d-1"])])

    async def ring(generation: Started) -> None:
        await generation.until(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)  # the submit's answer, as in ordinary life
        await generation.ring()

    return await _play(client, steps, then=ring)


@scenario
async def callback_before_the_submits_answer(client: Client) -> str:
    rung = asyncio.Event()

    async def late(_: object) -> object:
        await rung.wait()
        return accepted()

    steps = ScriptedSteps(submit=[late])

    async def ring(generation: Started) -> None:
        await steps.arrived["submit"].wait()
        await generation.ring()
        rung.set()

    return await _play(client, steps, then=ring)


@scenario
async def callback_lost_and_polled(client: Client) -> str:
    return await _play(client, ScriptedSteps(submit=[accepted(callback_wait_s=0.2)], collect=[delivered()]))


@scenario
async def polled(client: Client) -> str:
    return await _play(client, ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[delivered()]))


@scenario
async def repeated_and_late_callbacks(client: Client) -> str:
    steps = ScriptedSteps(collect=[still_running(), delivered()])

    async def ring(generation: Started) -> None:
        await steps.arrived["submit"].wait()
        await generation.ring(number=7)
        await generation.ring(event_id="once")
        await generation.ring(event_id="once")
        await steps.arrived["collect"].wait()
        await generation.ring(event_id="again")

    return await _play(client, steps, then=ring)


@scenario
async def failover_after_a_refused_submit(client: Client) -> str:
    return await _play(
        client, ScriptedSteps(submit=[refused("replicate", ProviderFailed("HTTP 500")), accepted(callback_wait_s=0)])
    )


@scenario
async def failover_after_a_failed_job(client: Client) -> str:
    steps = ScriptedSteps(
        submit=[accepted(callback_wait_s=0)], collect=[job_failed("replicate", ProviderFailed("E6716")), delivered()]
    )
    return await _play(client, steps)


@scenario
async def every_provider_failed(client: Client) -> str:
    steps = ScriptedSteps(submit=[refused("replicate", ProviderFailed("a")), refused("fal", ProviderFailed("b"))])
    return await _play(client, steps)


@scenario
async def content_refused(client: Client) -> str:
    steps = ScriptedSteps(
        submit=[accepted(callback_wait_s=0)], collect=[job_failed("replicate", ContentRefused("flagged"))]
    )
    return await _play(client, steps)


@scenario
async def refused_content_shown_to_another_provider(client: Client) -> str:
    steps = ScriptedSteps(
        submit=[accepted(callback_wait_s=0)],
        collect=[job_failed("replicate", ContentRefused("flagged")), delivered()],
    )
    return await _play(client, steps, request=a_request(moderation_failover=True))


@scenario
async def content_refused_by_two_providers(client: Client) -> str:
    steps = ScriptedSteps(
        submit=[refused("replicate", ContentRefused("flagged")), accepted(callback_wait_s=0)],
        collect=[job_failed("fal", ContentRefused("flagged, too"))],
    )
    return await _play(client, steps, request=a_request(moderation_failover=True))


@scenario
async def credits_missing(client: Client) -> str:
    refusal = ApplicationError("too little", type=InsufficientCredits.type, non_retryable=True)
    return await _play(client, ScriptedSteps(admit=[refusal]))


@scenario
async def canceled_while_waiting(client: Client) -> str:
    steps = ScriptedSteps()

    async def cancel(generation: Started) -> None:
        await steps.arrived["submit"].wait()
        await generation.handle.execute_update("cancel")

    return await _play(client, steps, then=cancel)


@scenario
async def canceled_while_polling(client: Client) -> str:
    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[still_running()])

    async def cancel(generation: Started) -> None:
        await steps.arrived["collect"].wait()
        await generation.handle.execute_update("cancel")

    return await _play(client, steps, then=cancel)


@scenario
async def canceled_by_an_operator(client: Client) -> str:
    steps = ScriptedSteps()

    async def cancel(generation: Started) -> None:
        await steps.arrived["submit"].wait()
        await generation.handle.cancel()

    return await _play(client, steps, then=cancel)


@scenario
async def ambiguous_and_found_by_listing(client: Client) -> str:
    steps = ScriptedSteps(submit=[ambiguous()], adopt=[accepted("found", callback_wait_s=0)])
    return await _play(client, steps)


@scenario
async def ambiguous_and_named_by_callback(client: Client) -> str:
    def when_named(lost: object) -> object:
        named = getattr(lost, "job_id", None)
        return accepted(named, callback_wait_s=0) if named else still_running()

    steps = ScriptedSteps(submit=[ambiguous()], adopt=[when_named])

    async def ring(generation: Started) -> None:
        await steps.arrived["adopt"].wait()
        await generation.ring(job_id="named")

    return await _play(client, steps, then=ring)


@scenario
async def ambiguous_and_written_off(client: Client) -> str:
    steps = ScriptedSteps(
        submit=[ambiguous(), accepted(callback_wait_s=0)],
        adopt=[refused("replicate", ProviderTimedOut("no job was found"))],
    )
    return await _play(client, steps)


@scenario
async def ambiguous_and_canceled(client: Client) -> str:
    steps = ScriptedSteps(submit=[ambiguous()], adopt=[still_running()])

    async def cancel(generation: Started) -> None:
        await steps.arrived["adopt"].wait()
        await generation.handle.execute_update("cancel")

    return await _play(client, steps, then=cancel)


@scenario
async def synchronous_answer(client: Client) -> str:
    return await _play(client, ScriptedSteps(submit=[answered_at_once()]), request=a_synchronous_request())


@scenario
async def synchronous_answer_by_address(client: Client) -> str:
    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[delivered()])
    return await _play(client, steps, request=a_synchronous_request())


@scenario
async def synchronous_answer_lost(client: Client) -> str:
    steps = ScriptedSteps(
        submit=[ambiguous(), accepted(callback_wait_s=0)], adopt=[refused("replicate", ProviderTimedOut("lost"))]
    )
    return await _play(client, steps, request=a_synchronous_request())


@scenario
async def synchronous_submit_canceled(client: Client) -> str:
    steps = ScriptedSteps(submit=[never_answered])

    async def cancel(generation: Started) -> None:
        await steps.arrived["submit"].wait()
        await generation.handle.execute_update("cancel")

    return await _play(client, steps, then=cancel, request=a_synchronous_request())


@scenario
async def deadline_passed(client: Client) -> str:
    def never_at_the_first(collect: object) -> object:
        if collect.attempt.number == 2:  # type: ignore[attr-defined]
            return delivered()
        return gave_up() if collect.last else still_running()  # type: ignore[attr-defined]

    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[never_at_the_first])
    return await _play(client, steps, deadline_s=1)


@scenario
async def output_not_stored(client: Client) -> str:
    no_storage = ApplicationError("disk full", type=StorageUnavailable.type)
    return await _play(client, ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[no_storage]), deadline_s=1)


@scenario
async def webhook_delivered(client: Client) -> str:
    return await _deliver(client, ScriptedDelivery(["delivered"]))


@scenario
async def webhook_delivered_at_the_third_attempt(client: Client) -> str:
    return await _deliver(
        client, ScriptedDelivery([ScriptedDelivery.refused(), ScriptedDelivery.refused(), "delivered"])
    )


@scenario
async def webhook_queue_drained(client: Client) -> str:
    return await drain(client, ScriptedDrain({"d-1": "delivered", "d-2": "delivered"}))


@scenario
async def webhook_drain_stopped_by_a_failure(client: Client) -> str:
    return await drain(client, ScriptedDrain({"d-1": "delivered", "d-2": "failed", "d-3": "delivered"}))


@scenario
async def reconciliation_with_nothing_to_do(client: Client) -> str:
    return await reconcile(client, ScriptedReconciliation())


@scenario
async def reconciliation_over_several_pages(client: Client) -> str:
    steps = ScriptedReconciliation(
        generations=[SweptPage(2, ["d-1"], next_after="g-2"), SweptPage(1)],
        deliveries=[SweptPage(1, ["d-2", "d-3"], next_after="d-4"), SweptPage(0, ["d-5"])],
        purges=[True, False],
        holds=[SweptPage(0, still_open=1)],
    )
    return await reconcile(client, steps)


@scenario
async def reconciliation_ends_overdue_holds(client: Client) -> str:
    steps = ScriptedReconciliation(
        holds=[SweptPage(1, ["d-1"], next_after="h-1", still_open=1), SweptPage(2)],
    )
    return await reconcile(client, steps)


@scenario
async def reconciliation_tells_of_short_runways(client: Client) -> str:
    steps = ScriptedReconciliation(runways=[SweptPage(1, ["d-1"], next_after="a-1"), SweptPage(0)])
    return await reconcile(client, steps)


async def reconcile(client: Client, steps: ScriptedReconciliation) -> str:
    workflow_id = f"{names.RECONCILIATION_ID}-{uuid.uuid4()}"
    async with reconciling(client, steps):
        await client.execute_workflow(ReconciliationWorkflow.run, id=workflow_id, task_queue=names.GENERATIONS_QUEUE)
    return workflow_id


@scenario
async def ledger_verified(client: Client) -> str:
    steps = ScriptedVerification(LedgerVerified(8, 3, 1, 2, 0.5, ["INV-4: The held balance of an account is wrong."]))
    workflow_id = f"{names.LEDGER_VERIFICATION_ID}-{uuid.uuid4()}"
    async with verifying(client, steps):
        await client.execute_workflow(
            LedgerVerificationWorkflow.run, id=workflow_id, task_queue=names.GENERATIONS_QUEUE
        )
    return workflow_id


@scenario
async def stripe_event_applied(client: Client) -> str:
    return await apply_event(client, ScriptedBilling())


@scenario
async def stripe_event_left_to_people(client: Client) -> str:
    return await apply_event(client, ScriptedBilling([Processed("parked", "conflict")]))


@scenario
async def stripe_event_parked_and_retried_by_hand(client: Client) -> str:
    steps = ScriptedBilling([Processed("parked", "customer_unknown", again=True), Processed("applied")])
    return await apply_event(client, steps, rung=True)


async def apply_event(client: Client, steps: ScriptedBilling, *, rung: bool = False, cached: bool = False) -> str:
    event_id = f"evt_{uuid.uuid4().hex}"
    workflow_id = names.stripe_event_workflow_id(event_id)
    async with billing(client, steps, cached=cached):
        await client.execute_workflow(
            StripeEventWorkflow.run,
            event_id,
            id=workflow_id,
            task_queue=names.BILLING_QUEUE,
            start_signal="retry" if rung else None,
        )
    return workflow_id


@scenario
async def billing_swept(client: Client) -> str:
    return await _billed(client, BillingWorkflow.run, names.BILLING_ID)


@scenario
async def stripe_books_compared(client: Client) -> str:
    return await _billed(client, StripeBooksWorkflow.run, names.STRIPE_BOOKS_ID)


async def _billed(client: Client, run: Callable[..., Awaitable[object]], name: str) -> str:
    workflow_id = f"{name}-{uuid.uuid4()}"
    async with billing(client, ScriptedBilling()):
        await client.execute_workflow(run, args=[], id=workflow_id, task_queue=names.BILLING_QUEUE)
    return workflow_id


@scenario
async def retention_with_nothing_to_do(client: Client) -> str:
    return await retain(client, ScriptedRetention())


@scenario
async def retention_over_several_pages_twice(client: Client) -> str:
    return await retain(client, ScriptedRetention([Swept(files=2, more=True, next_after="a-1"), Swept(), Swept()]))


@scenario
async def retention_expires_credits(client: Client) -> str:
    return await retain(client, ScriptedRetention(expiries=["a-1", None]))


async def retain(client: Client, steps: ScriptedRetention, **facts: int) -> str:
    workflow_id = f"{names.RETENTION_ID}-{uuid.uuid4()}"
    async with retaining(client, steps):
        await client.execute_workflow(
            RetentionWorkflow.run, RetentionSweep(**facts), id=workflow_id, task_queue=names.GENERATIONS_QUEUE
        )
    return workflow_id


async def drain(client: Client, steps: ScriptedDrain, **facts: int) -> str:
    endpoint_id = str(uuid.uuid4())
    workflow_id = names.drain_workflow_id(endpoint_id)
    async with draining(client, steps):
        await client.execute_workflow(
            WebhookDrainWorkflow.run, Drain(endpoint_id, **facts), id=workflow_id, task_queue=names.WEBHOOKS_QUEUE
        )
    return workflow_id


async def _deliver(client: Client, steps: ScriptedDelivery) -> str:
    workflow_id = names.delivery_workflow_id(str(uuid.uuid4()))
    async with Worker(
        client,
        task_queue=names.WEBHOOKS_QUEUE,
        workflows=[WebhookDeliveryWorkflow],
        activities=[steps.deliver_webhook],
    ):
        await client.execute_workflow(
            WebhookDeliveryWorkflow.run, workflow_id, id=workflow_id, task_queue=names.WEBHOOKS_QUEUE
        )
    return workflow_id
