"""One event of Stripe from its first try to its end, with scripted steps and skipped time."""

from __future__ import annotations

from temporalio.testing import WorkflowEnvironment

from activities.billing import Processed
from tests.workflows.scenarios import apply_event
from tests.workflows.scripted_steps import ScriptedBilling
from workflows.billing import PAUSES, StripeEventWorkflow

WAITING = Processed("parked", "customer_unknown", again=True)


async def ended(
    environment: WorkflowEnvironment, steps: ScriptedBilling, *, rung: bool = False, cached: bool = False
) -> str:
    workflow_id = await apply_event(environment.client, steps, rung=rung, cached=cached)
    return await environment.client.get_workflow_handle_for(StripeEventWorkflow.run, workflow_id).result()


async def test_s5_a_parked_event_is_tried_again_until_it_applies(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedBilling([WAITING, WAITING, Processed("applied")])

    assert await ended(skipping, steps) == "applied"
    assert len(steps.asked) == 3
    assert len(set(steps.asked)) == 1


async def test_an_event_that_stays_parked_for_a_month_is_left_to_people(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedBilling([WAITING] * (len(PAUSES) + 1))

    assert await ended(skipping, steps, cached=True) == "parked"  # eighty replays of the whole history tell no more
    assert steps.processed == []


async def test_what_only_a_person_can_mend_is_not_tried_again_by_itself(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedBilling([Processed("parked", "conflict"), Processed("applied")])

    assert await ended(skipping, steps) == "parked"
    assert len(steps.asked) == 1


async def test_an_operators_retry_tries_at_once(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedBilling([Processed("parked", "conflict"), Processed("applied")])

    assert await ended(skipping, steps, rung=True) == "applied"
