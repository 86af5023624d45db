"""An operator resets a workflow, or terminates it: what is played again meets the same keys, and nobody pays twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client

from adapters.local_store import LocalStore
from domain.generation import GenerationRequest, GenerationStatus, attempt_id
from store import generations, ledger
from store.connection import Pool
from store.ledger_verification import verify
from tests.store.builders import CREDIT, an_account, standing
from tests.support.requests import a_request
from tests.support.staged_worker import StagedProvider, staged_worker
from tests.support.temporal import dev_server
from tests.workflows.conftest import Started

Conn = AsyncConnection[Any]
PATIENCE_S = 30


@dataclass
class Running:
    client: Client
    provider: StagedProvider
    account_id: str

    async def delivered(self) -> GenerationRequest:
        """One generation to its end."""
        request = a_request("replicate", account_id=self.account_id, quote_microcredits=CREDIT)
        started = Started(self.client, request)
        await started.admit()
        self.provider.finish(await self.provider.submitted(attempt_id(request.generation_id, 1)))
        await started.ring()
        async with asyncio.timeout(PATIENCE_S):
            assert await started.handle.result() == GenerationStatus.SUCCEEDED
        return request


@pytest.fixture
async def running(own_pool: Pool, conn: Conn, tmp_path: Path) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        client = (await stack.enter_async_context(dev_server())).client
        provider = StagedProvider("replicate")
        store = LocalStore(tmp_path, "https://api.example", b"k" * 32)
        await stack.enter_async_context(staged_worker(client, own_pool, store, {"replicate": provider}))
        yield Running(client, provider, await an_account(conn, credits=10))


async def test_a_workflow_that_is_reset_to_its_beginning_charges_nothing_more(running: Running, conn: Conn) -> None:
    """K11."""
    request = await running.delivered()
    before = await ledger.entries(conn, running.account_id)
    handle = running.client.get_workflow_handle(request.workflow_id)
    history = await handle.fetch_history()
    first_task = next(
        event.event_id for event in history.events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    )

    await running.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=running.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=request.workflow_id, run_id=history.run_id),
            reason="an operator looks again",
            workflow_task_finish_event_id=first_task,
            request_id=request.generation_id,
        )
    )
    async with asyncio.timeout(PATIENCE_S):
        await running.client.get_workflow_handle(request.workflow_id).result()

    record = await generations.get(conn, running.account_id, request.generation_id)
    assert record is not None
    assert record.status is GenerationStatus.SUCCEEDED
    assert await ledger.entries(conn, running.account_id) == before
    assert await standing(conn, running.account_id) == (9 * CREDIT, 0, 0)
    assert (await verify(conn)).violations == []
