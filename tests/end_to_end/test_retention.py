"""Section 13: a delivered generation loses its files and then its record, by the worker as it runs in production."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from domain.generation import CallbackReceived, GenerationStatus, attempt_id
from store import generations, usage
from store.connection import single
from tests.end_to_end.test_reconciliation import PATIENCE_S, Running, running
from tests.store.builders import CREDIT
from workflows import names
from workflows.generation import GenerationWorkflow
from workflows.retention import RetentionSweep, RetentionWorkflow

__all__ = ["running"]  # the fixture


async def sweep(running: Running) -> RetentionSweep:
    """As the schedule starts it, but now."""
    async with asyncio.timeout(PATIENCE_S):
        return await running.client.execute_workflow(
            RetentionWorkflow.run, id=names.RETENTION_ID, task_queue=names.GENERATIONS_QUEUE
        )


def pictures(folder: Path) -> list[Path]:
    return list(folder.rglob("*.png"))


async def age(running: Running, by: timedelta) -> None:
    async with single(running.pool) as conn:
        await conn.execute(
            "UPDATE store.generations SET created_at = created_at - %(by)s, completed_at = completed_at - %(by)s",
            {"by": by},
        )


async def test_13_files_go_after_an_hour_and_the_record_after_a_day_on_the_free_plan(
    running: Running, tmp_path: Path
) -> None:
    done, alive = await running.generation(), await running.generation()
    running.provider.finish(await running.provider.submitted(attempt_id(done.generation_id, 1)))
    handle = running.client.get_workflow_handle_for(GenerationWorkflow.run, done.workflow_id)
    await handle.signal(GenerationWorkflow.provider_callback, CallbackReceived(1, "done"))
    async with asyncio.timeout(PATIENCE_S):
        assert await handle.result() == GenerationStatus.SUCCEEDED
    assert await sweep(running) == RetentionSweep()
    assert len(pictures(tmp_path)) == 1

    await age(running, timedelta(hours=2))
    assert await sweep(running) == RetentionSweep(files=1)

    assert pictures(tmp_path) == []
    async with single(running.pool) as conn:
        kept = await generations.get(conn, done.account_id, done.generation_id)
        before = await usage.of_account(conn, done.account_id, days=7)
    assert kept is not None
    assert (kept.status, kept.files_removed) == (GenerationStatus.SUCCEEDED, True)

    await age(running, timedelta(hours=23))
    assert await sweep(running) == RetentionSweep(generations=1)

    async with single(running.pool) as conn:
        assert await generations.get(conn, done.account_id, done.generation_id) is None
        assert await usage.of_account(conn, done.account_id, days=7) == before
    assert await running.status(alive) == (GenerationStatus.PROCESSING, None)
    assert await running.standing() == (8 * CREDIT, CREDIT, 0)
