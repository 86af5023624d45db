"""The sweep, page by page, with scripted steps."""

from __future__ import annotations

from temporalio.testing import WorkflowEnvironment

from activities.reconciliation import SweptPage
from tests.workflows.scenarios import reconcile
from tests.workflows.scripted_steps import ScriptedReconciliation
from workflows.reconciliation import Reconciled, ReconciliationWorkflow


async def swept(environment: WorkflowEnvironment, steps: ScriptedReconciliation) -> Reconciled:
    workflow_id = await reconcile(environment.client, steps)
    return await environment.client.get_workflow_handle_for(ReconciliationWorkflow.run, workflow_id).result()


async def test_a_sweep_that_finds_nothing_rings_nobody(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedReconciliation()

    done = await swept(skipping, steps)

    assert done == Reconciled(0, 0, 0, 0)
    assert steps.asked == [(step, None) for step in ("generations", "deliveries", "purge", "holds", "runways")]


async def test_a_sweep_walks_every_page_and_rings_what_each_one_found(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedReconciliation(
        generations=[SweptPage(2, ["d-1"], next_after="g-2"), SweptPage(1)],
        deliveries=[SweptPage(1, ["d-2", "d-3"], next_after="d-4"), SweptPage(0, ["d-5"])],
        holds=[SweptPage(2, ["d-6"], next_after="h-3", still_open=1), SweptPage(1, still_open=3)],
        runways=[SweptPage(1, ["d-7"], next_after="a-2"), SweptPage(0)],
    )

    done = await swept(skipping, steps)

    assert done == Reconciled(
        generations_expired=3,
        deliveries_rung=3,
        deliveries_given_up=1,
        holds_overdue=4,
        holds_released=3,
        runways_told=1,
    )
    assert steps.asked[:7] == [
        ("generations", None),
        ("ring", ["d-1"]),
        ("generations", "g-2"),
        ("deliveries", None),
        ("ring", ["d-2", "d-3"]),
        ("deliveries", "d-4"),
        ("ring", ["d-5"]),
    ]
    assert steps.asked[-6:] == [
        ("holds", None),
        ("ring", ["d-6"]),
        ("holds", "h-3"),
        ("runways", None),
        ("ring", ["d-7"]),
        ("runways", "a-2"),
    ]


async def test_a_sweep_purges_batch_by_batch_until_nothing_is_left(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedReconciliation(purges=[True, True, False])

    await swept(skipping, steps)

    assert [step for step, _ in steps.asked].count("purge") == 3
