"""Executions that began under earlier code must go on under this one."""

from __future__ import annotations

import json

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from domain.generation import GenerationRequest, GenerationStatus
from tests.workflows.record_histories import FOLDER
from tests.workflows.scenarios import SCENARIOS
from workflows.billing import BillingWorkflow, StripeBooksWorkflow, StripeEventWorkflow
from workflows.generation import GenerationWorkflow
from workflows.ledger_verification import LedgerVerificationWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.retention import RetentionWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow
from workflows.webhook_drain import WebhookDrainWorkflow

RECORDED = sorted(FOLDER.glob("*.json"))


def history(name: str) -> WorkflowHistory:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    return WorkflowHistory.from_json(document["workflow_id"], document["history"])


@pytest.mark.parametrize("name", [path.stem for path in RECORDED])
async def test_a_recorded_history_replays(name: str) -> None:
    replayer = Replayer(
        workflows=[
            BillingWorkflow,
            GenerationWorkflow,
            LedgerVerificationWorkflow,
            ReconciliationWorkflow,
            RetentionWorkflow,
            StripeBooksWorkflow,
            StripeEventWorkflow,
            WebhookDeliveryWorkflow,
            WebhookDrainWorkflow,
        ]
    )

    result = await replayer.replay_workflow(history(name), raise_on_replay_failure=False)

    assert result.replay_failure is None


def test_every_scenario_is_recorded() -> None:
    assert {path.stem for path in RECORDED} == set(SCENARIOS)


async def test_the_callback_path_is_recorded_with_at_most_thirty_events() -> None:
    assert len(history("completed_by_callback").events) <= 30


@workflow.defn(name="GenerationWorkflow")
class _Edited:
    """An edit that would strand running generations: it forgets to hold credits."""

    @workflow.run
    async def run(self, request: GenerationRequest) -> GenerationStatus | None:
        await workflow.sleep(1)
        return None

    @workflow.update
    async def admit(self) -> None: ...

    @workflow.update
    async def cancel(self) -> None: ...


async def test_an_edit_that_would_strand_running_generations_is_found_here() -> None:
    replayer = Replayer(workflows=[_Edited], workflow_runner=UnsandboxedWorkflowRunner())

    result = await replayer.replay_workflow(history("completed_by_callback"), raise_on_replay_failure=False)

    assert isinstance(result.replay_failure, NondeterminismError)
