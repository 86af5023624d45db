"""The order of a drain, and what ends it. Contract 12.6."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from tests.workflows.scenarios import drain
from tests.workflows.scripted_steps import ScriptedDrain
from workflows.webhook_drain import Drained, WebhookDrainWorkflow


async def drained(skipping: WorkflowEnvironment, steps: ScriptedDrain, **facts: int) -> tuple[Drained, str]:
    """How it ended, and the endpoint."""
    workflow_id = await drain(skipping.client, steps, **facts)
    handle: WorkflowHandle[Any, Drained] = skipping.client.get_workflow_handle_for(
        WebhookDrainWorkflow.run, workflow_id
    )
    return await handle.result(), workflow_id.partition("/")[2]


async def test_the_queue_is_sent_one_after_the_other_until_it_is_empty(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedDrain({"d-1": "delivered", "d-2": "delivered"})

    ended, endpoint_id = await drained(skipping, steps)

    assert ended == Drained(delivered=2, completed=True)
    assert steps.done == [
        ("take", endpoint_id),
        ("deliver", "d-1"),
        ("take", endpoint_id),
        ("deliver", "d-2"),
        ("take", endpoint_id),
    ]


@pytest.mark.parametrize("ending", ["failed", "queued"])
async def test_the_first_that_is_not_delivered_ends_it_and_the_rest_is_left(
    skipping: WorkflowEnvironment, ending: str
) -> None:
    steps = ScriptedDrain({"d-1": "delivered", "d-2": ending, "d-3": "delivered"})

    ended, _ = await drained(skipping, steps)

    assert ended == Drained(delivered=1, completed=False)
    assert ("deliver", "d-3") not in steps.done
    assert list(steps.endings) == ["d-3"]


async def test_an_empty_queue_is_a_drain_of_nothing(skipping: WorkflowEnvironment) -> None:
    ended, _ = await drained(skipping, ScriptedDrain({}))

    assert ended == Drained(delivered=0, completed=True)


async def test_a_long_queue_is_sent_by_several_runs_of_one_drain(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedDrain({f"d-{number}": "delivered" for number in range(5)})

    ended, _ = await drained(skipping, steps, deliveries_max=2)

    assert ended == Drained(delivered=5, completed=True)
    assert [what for step, what in steps.done if step == "deliver"] == [f"d-{number}" for number in range(5)]
