"""The retention sweep, step by step, with scripted steps. Contract 13."""

from __future__ import annotations

from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.retention import SweepAccounts, Swept
from tests.workflows.scenarios import retain
from tests.workflows.scripted_steps import ScriptedRetention
from workflows.retention import RetentionSweep, RetentionWorkflow


async def swept(environment: WorkflowEnvironment, steps: ScriptedRetention, **facts: int) -> RetentionSweep:
    workflow_id = await retain(environment.client, steps, **facts)
    handle: WorkflowHandle[Any, RetentionSweep] = environment.client.get_workflow_handle_for(
        RetentionWorkflow.run, workflow_id
    )
    return await handle.result()


async def test_a_sweep_that_finds_nothing_looks_once(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedRetention()

    done = await swept(skipping, steps)

    assert done == RetentionSweep()
    assert steps.asked == [SweepAccounts()]
    assert steps.writers_forgotten == 1


async def test_a_sweep_walks_every_page_and_adds_up_what_was_removed(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedRetention([Swept(1, 2, 3, 4, next_after="a-1"), Swept(10, 20, 30, 40)])

    done = await swept(skipping, steps)

    assert done == RetentionSweep(files=11, generations=22, deliveries=33, requests=44)
    assert steps.asked == [SweepAccounts(), SweepAccounts(after="a-1")]


async def test_a_sweep_begins_again_while_an_account_has_more_than_a_batch(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedRetention([Swept(more=True, next_after="a-1"), Swept(), Swept(next_after="a-1"), Swept()])

    await swept(skipping, steps)

    assert steps.asked == [SweepAccounts(), SweepAccounts(after="a-1")] * 2


async def test_copies_of_input_files_are_removed_page_by_page(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedRetention(copies=["inputs/a/0.png", "inputs/b/0.png", None])

    await swept(skipping, steps)

    assert steps.copies_after == [None, "inputs/a/0.png", "inputs/b/0.png"]


async def test_credits_expire_page_by_page(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedRetention(expiries=["a-1", None])

    await swept(skipping, steps)

    assert steps.expiries_after == [None, "a-1"]


async def test_an_object_store_that_is_down_is_not_asked_again_by_the_same_sweep(skipping: WorkflowEnvironment) -> None:
    down = Swept(storage_down=True)
    steps = ScriptedRetention([Swept(storage_down=True, next_after="a-1"), down])

    done = await swept(skipping, steps)

    assert done == RetentionSweep(storage_down=True)
    assert steps.asked == [SweepAccounts(), SweepAccounts(after="a-1", files=False)]


async def test_a_long_sweep_goes_on_in_another_run(skipping: WorkflowEnvironment) -> None:
    pages = [Swept(files=1, next_after=f"a-{number}") for number in range(4)]
    steps = ScriptedRetention([*pages, Swept(files=1)])

    done = await swept(skipping, steps, steps_max=2)

    assert done == RetentionSweep(files=5, steps_max=2)
    assert [sweep.after for sweep in steps.asked] == [None, "a-0", "a-1", "a-2", "a-3"]
