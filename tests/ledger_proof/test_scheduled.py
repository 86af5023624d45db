"""The scheduled proof: a record that operators read, a log line for each violation, and a metric that alarms."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.ledger_verification import LedgerVerificationActivities, LedgerVerified
from embedded.ports import free_ports
from store import ledger_verifications
from store.connection import Pool
from tests.ledger_proof.conftest import damage, take_the_guards_down
from tests.store.builders import a_work_id, an_account, hold
from tests.support.temporal import dev_server
from worker import schedule_ledger_verification
from workflows import names
from workflows.ledger_verification import LedgerVerificationWorkflow

Conn = AsyncConnection[Any]


@pytest.fixture(scope="module")
async def metrics_and_engine() -> AsyncIterator[tuple[int, Client]]:
    (port,) = free_ports(1)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=f"127.0.0.1:{port}")))
    async with dev_server() as environment:
        address = environment.client.service_client.config.target_host
        yield port, await Client.connect(address, runtime=runtime)


async def verified(client: Client, pool: Pool) -> LedgerVerified:
    """As the schedule starts it, but now."""
    steps = LedgerVerificationActivities(pool=pool)
    queue = names.GENERATIONS_QUEUE
    async with Worker(
        client,
        task_queue=queue,
        workflows=[LedgerVerificationWorkflow],
        activities=[steps.verify_ledger],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        async with asyncio.timeout(60):
            return await client.execute_workflow(
                LedgerVerificationWorkflow.run, id=f"verify-{uuid.uuid4()}", task_queue=queue
            )


async def gauge(port: int, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    return float(line.rpartition(" ")[2])


async def test_good_books_are_a_record_and_a_gauge_of_zero(
    metrics_and_engine: tuple[int, Client], own_pool: Pool, conn: Conn, caplog: pytest.LogCaptureFixture
) -> None:
    """R1."""
    caplog.set_level(logging.INFO, "babysea.ledger")
    await hold(conn, await an_account(conn, credits=2), a_work_id())

    told = await verified(metrics_and_engine[1], own_pool)

    kept = await ledger_verifications.latest(conn)
    assert kept is not None
    assert (told.entries, told.holds, told.violations) == (kept.entries, kept.holds, kept.violations) == (4, 1, [])
    assert await gauge(metrics_and_engine[0], "babysea_ledger_violations") == 0
    assert any(line.startswith("ledger_verified entries=4 holds=1 violations=0") for line in caplog.messages)


async def test_a_violation_is_an_alarm_in_record_log_and_metric_and_stops_nothing(
    metrics_and_engine: tuple[int, Client], own_pool: Pool, conn: Conn, caplog: pytest.LogCaptureFixture
) -> None:
    """R1."""
    account = await an_account(conn, credits=2)
    await take_the_guards_down(conn)
    await damage(conn, "UPDATE ledger.grants SET amount_micros = 7 WHERE mine", account)

    told = await verified(metrics_and_engine[1], own_pool)

    kept = await ledger_verifications.latest(conn)
    assert kept is not None
    assert kept.violations == told.violations
    assert [violation.split(":")[0] for violation in told.violations] == ["INV-7/INV-14"]
    assert await gauge(metrics_and_engine[0], "babysea_ledger_violations") == 1
    (alarm,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert alarm.getMessage() == f"ledger_violation {told.violations[0]}"


async def test_only_the_latest_verifications_are_kept(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_verifications, "KEPT", 2)
    for entries in range(4):
        await ledger_verifications.keep(conn, ledger_verifications.Verification(entries=entries))

    cursor = await conn.execute("SELECT entries FROM ledger.verifications ORDER BY verification_id")
    assert await cursor.fetchall() == [(2,), (3,)]


async def test_the_proof_is_scheduled_once_however_often_a_worker_starts(
    metrics_and_engine: tuple[int, Client],
) -> None:
    client = metrics_and_engine[1]
    await schedule_ledger_verification(client)
    await schedule_ledger_verification(client)

    schedule = (await client.get_schedule_handle(names.LEDGER_VERIFICATION_ID).describe()).schedule
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert schedule.action.workflow == "LedgerVerificationWorkflow"
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(hours=1)]
