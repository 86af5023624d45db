"""A Temporal test server that skips time, and a worker with scripted steps on every queue."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.testservice.v1 import LockTimeSkippingRequest, UnlockTimeSkippingRequest
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from domain.generation import Admission, CallbackReceived, GenerationRequest, GenerationStatus
from tests.workflows.scripted_steps import (
    ScriptedBilling,
    ScriptedDrain,
    ScriptedReconciliation,
    ScriptedRetention,
    ScriptedSteps,
    ScriptedVerification,
)
from workflows import names
from workflows.billing import BillingWorkflow, StripeBooksWorkflow, StripeEventWorkflow
from workflows.generation import GenerationWorkflow
from workflows.ledger_verification import LedgerVerificationWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.retention import RetentionWorkflow
from workflows.webhook_drain import WebhookDrainWorkflow

BIN = Path(sys.executable).parent
SANDBOXED = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "activities", "domain", "store", "psycopg", "psycopg_pool", "workflows.names"
    )
)


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(BIN / "temporal-test-server")
    )
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=environment.client.namespace,
            search_attributes={
                key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for key in names.SEARCH_ATTRIBUTES
            },
        )
    )
    yield environment
    await environment.shutdown()


@asynccontextmanager
async def working(client: Client, steps: ScriptedSteps) -> AsyncIterator[None]:
    """Workers on every queue, with the workflow sandbox on: a nondeterministic call fails here."""
    async with AsyncExitStack() as stack:
        for queue in (names.GENERATIONS_QUEUE, names.provider_queue("replicate"), names.provider_queue("fal")):
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=queue,
                    workflows=[GenerationWorkflow] if queue == names.GENERATIONS_QUEUE else [],
                    activities=steps.all(),
                    workflow_runner=SANDBOXED,
                    max_cached_workflows=0,  # every task replays the whole history
                )
            )
        yield


def reconciling(client: Client, steps: ScriptedReconciliation) -> Worker:
    return Worker(
        client,
        task_queue=names.GENERATIONS_QUEUE,
        workflows=[ReconciliationWorkflow],
        activities=steps.all(),
        workflow_runner=SANDBOXED,
        max_cached_workflows=0,
    )


def billing(client: Client, steps: ScriptedBilling, *, cached: bool = False) -> Worker:
    return Worker(
        client,
        task_queue=names.BILLING_QUEUE,
        workflows=[BillingWorkflow, StripeBooksWorkflow, StripeEventWorkflow],
        activities=steps.all(),
        workflow_runner=SANDBOXED,
        max_cached_workflows=1 if cached else 0,
    )


def verifying(client: Client, steps: ScriptedVerification) -> Worker:
    return Worker(
        client,
        task_queue=names.GENERATIONS_QUEUE,
        workflows=[LedgerVerificationWorkflow],
        activities=steps.all(),
        workflow_runner=SANDBOXED,
        max_cached_workflows=0,
    )


def retaining(client: Client, steps: ScriptedRetention) -> Worker:
    return Worker(
        client,
        task_queue=names.GENERATIONS_QUEUE,
        workflows=[RetentionWorkflow],
        activities=steps.all(),
        workflow_runner=SANDBOXED,
        max_cached_workflows=0,
    )


def draining(client: Client, steps: ScriptedDrain) -> Worker:
    return Worker(
        client,
        task_queue=names.WEBHOOKS_QUEUE,
        workflows=[WebhookDrainWorkflow],
        activities=steps.all(),
        workflow_runner=SANDBOXED,
        max_cached_workflows=0,
    )


class Started:
    """One generation under way."""

    def __init__(self, client: Client, request: GenerationRequest) -> None:
        self.client = client
        self.request = request

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle_for(GenerationWorkflow.run, self.request.workflow_id)

    async def admit(self) -> Admission:
        start = WithStartWorkflowOperation(
            GenerationWorkflow.run,
            self.request,
            id=self.request.workflow_id,
            task_queue=names.GENERATIONS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        return await self.client.execute_update_with_start_workflow(
            GenerationWorkflow.admit, id=names.ADMIT_UPDATE_ID, start_workflow_operation=start
        )

    async def ended(self) -> GenerationStatus | None:
        """Its result, with time skipped up to there."""
        test_service = self.client.service_client.test_service
        await test_service.unlock_time_skipping(UnlockTimeSkippingRequest())
        try:
            return await self.handle.result()
        finally:
            await test_service.lock_time_skipping(LockTimeSkippingRequest())

    async def until(self, event_type: EventType.ValueType, *, within_s: float = 10) -> None:
        """Wait until its history holds such an event."""
        async with asyncio.timeout(within_s):
            while True:
                history = await self.handle.fetch_history()
                if any(event.event_type == event_type for event in history.events):
                    return
                await asyncio.sleep(0.02)

    async def update_received(self, update_id: str, *, within_s: float = 10) -> None:
        """Wait until the server has this update, whether or not the workflow has seen it."""
        look = PollWorkflowExecutionUpdateRequest(
            namespace=self.client.namespace,
            update_ref=UpdateRef(
                workflow_execution=WorkflowExecution(workflow_id=self.request.workflow_id), update_id=update_id
            ),
        )
        async with asyncio.timeout(within_s):
            while True:
                try:
                    await self.client.workflow_service.poll_workflow_execution_update(look)
                except RPCError as unknown:
                    if unknown.status is not RPCStatusCode.NOT_FOUND:
                        raise
                    await asyncio.sleep(0.02)
                else:
                    return

    async def ring(self, *, number: int = 1, event_id: str | None = None, job_id: str | None = None) -> None:
        await self.handle.signal(
            GenerationWorkflow.provider_callback, CallbackReceived(number, event_id or uuid.uuid4().hex, job_id)
        )
