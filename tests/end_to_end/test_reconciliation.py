"""An operator terminates one of two generations: the sweep ends it, and leaves the other one alone."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy

import composition
from adapters.webhook_http import WebhookReply
from domain.generation import CallbackReceived, GenerationRequest, GenerationStatus, attempt_id
from domain.sealing import seal
from settings import Settings
from store import generations, ledger, webhook_endpoints
from store.connection import Pool, open_pool, single
from tests.store.builders import CREDIT, an_account, standing
from tests.support.postgres import fresh_database
from tests.support.requests import a_request
from tests.support.staged_worker import StagedFetcher, StagedProvider
from tests.support.temporal import dev_server
from worker import Parts, workers
from workflows import names
from workflows.generation import GenerationWorkflow
from workflows.reconciliation import ReconciliationWorkflow

PATIENCE_S = 30


class Customer:
    """Hears webhooks."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> WebhookReply:
        self.heard.put_nowait(json.loads(body))
        return WebhookReply(200)


@dataclass
class Running:
    """The workers as they run in production, with a provider that finishes when told."""

    client: Client
    pool: Pool
    provider: StagedProvider
    customer: Customer
    account_id: str

    async def generation(self) -> GenerationRequest:
        """Accepted by its provider, which works on it."""
        request = a_request("replicate", account_id=self.account_id, quote_microcredits=CREDIT)
        start = WithStartWorkflowOperation(
            GenerationWorkflow.run,
            request,
            id=request.workflow_id,
            task_queue=names.GENERATIONS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        await self.client.execute_update_with_start_workflow(GenerationWorkflow.admit, start_workflow_operation=start)
        await self.provider.submitted(attempt_id(request.generation_id, 1))
        return request

    async def age(self, by: timedelta) -> None:
        async with single(self.pool) as conn:
            await conn.execute("UPDATE store.generations SET created_at = created_at - %s", [by])

    async def sweep(self) -> None:
        """As the schedule starts it, but now."""
        async with asyncio.timeout(PATIENCE_S):
            await self.client.execute_workflow(
                ReconciliationWorkflow.run, id=names.RECONCILIATION_ID, task_queue=names.GENERATIONS_QUEUE
            )

    async def status(self, request: GenerationRequest) -> tuple[GenerationStatus, str | None]:
        async with single(self.pool) as conn:
            record = await generations.get(conn, request.account_id, request.generation_id)
        assert record is not None
        return record.status, record.error_code

    async def standing(self) -> tuple[int, int, int]:
        async with single(self.pool) as conn:
            assert await ledger.check(conn) == []
            return await standing(conn, self.account_id)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        client = (await stack.enter_async_context(dev_server())).client
        url = await fresh_database()
        pool = await open_pool(url, size_max=8)
        stack.push_async_callback(pool.close)
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            secret_key="a root secret of the tests, long enough",
            database_url=url,
            storage_path=tmp_path,
        )
        keys = composition.keys(settings)
        provider, customer = StagedProvider("replicate"), Customer()
        async with single(pool) as conn:
            account_id = await an_account(conn, credits=10)
            endpoint_id = str(uuid.uuid4())
            await webhook_endpoints.insert(
                conn,
                endpoint_id=endpoint_id,
                account_id=account_id,
                url="https://customer.example/hooks",
                secret_sealed=seal(keys.webhook_secrets, b"whsec", endpoint_id.encode()),
                events=["generation.failed", "generation.completed"],
            )
        parts = Parts(
            client=client,
            pool=pool,
            keys=keys,
            providers={"replicate": provider},
            store=composition.object_store(settings, file_urls_key=keys.file_urls),
            fetcher=StagedFetcher(),
            sender=customer,
            settings=settings,
        )
        for worker in workers(parts):
            await stack.enter_async_context(worker)
        yield Running(client, pool, provider, customer, account_id)


async def test_a_terminated_generation_fails_with_its_credits_back_and_a_running_one_goes_on(running: Running) -> None:
    """K12."""
    terminated, alive = await running.generation(), await running.generation()
    await running.age(timedelta(minutes=11))
    await running.client.get_workflow_handle(terminated.workflow_id).terminate("by an operator")

    await running.sweep()

    assert await running.status(terminated) == (GenerationStatus.FAILED, "BSE5006")
    assert await running.status(alive) == (GenerationStatus.PROCESSING, None)
    assert await running.standing() == (9 * CREDIT, CREDIT, 0)
    async with asyncio.timeout(PATIENCE_S):
        webhook = await running.customer.heard.get()
    assert webhook["webhook_event"] == "generation.failed"
    assert webhook["webhook_data"]["generation_id"] == terminated.generation_id

    running.provider.finish(await running.provider.submitted(attempt_id(alive.generation_id, 1)))
    handle = running.client.get_workflow_handle_for(GenerationWorkflow.run, alive.workflow_id)
    await handle.signal(GenerationWorkflow.provider_callback, CallbackReceived(1, "done"))
    async with asyncio.timeout(PATIENCE_S):
        assert await handle.result() == GenerationStatus.SUCCEEDED
    assert await running.standing() == (9 * CREDIT, 0, 0)
