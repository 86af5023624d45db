"""The scheduled proof: a record that operators read, a log line for each violation, and a metric that alarms."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg import AsyncConnection
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.ledger_verification import LedgerVerificationActivities, LedgerVerified
from embedded.ports import free_ports
from store import ledger_seals, ledger_verifications
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


async def test_the_next_run_reads_what_is_new_and_says_so_and_months_that_ended_are_sealed(
    metrics_and_engine: tuple[int, Client], own_pool: Pool, conn: Conn
) -> None:
    """R1, R5."""
    account = await an_account(conn, credits=2)
    await conn.execute("ALTER TABLE ledger.transfers DISABLE TRIGGER append_only")
    await conn.execute("UPDATE ledger.transfers SET created_at = '2026-01-31T23:00:00Z'")
    await conn.execute("ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER append_only")

    first = await verified(metrics_and_engine[1], own_pool)
    await hold(conn, account, a_work_id())
    second = await verified(metrics_and_engine[1], own_pool)

    assert (first.is_full, first.entries, first.sealed[0]) == (True, 2, "2026-01")
    assert (second.is_full, second.entries, second.sealed, second.violations) == (False, 2, [], [])
    assert second.up_to_transfer == first.up_to_transfer + 1
    assert await gauge(metrics_and_engine[0], "babysea_ledger_verification_is_full") == 0
    assert await gauge(metrics_and_engine[0], "babysea_ledger_verified_up_to_transfer") == second.up_to_transfer


async def test_a_changed_seal_is_an_alarm_of_each_run_until_it_is_mended(
    metrics_and_engine: tuple[int, Client], own_pool: Pool, conn: Conn
) -> None:
    """R5: a run that reads only what is new never ends the alarm of one that read everything."""
    await ledger_seals.close(conn, datetime(2026, 1, 1, tzinfo=UTC))
    await take_the_guards_down(conn)
    await conn.execute("UPDATE ledger.seals SET hash = repeat('a', 64)")

    runs = [await verified(metrics_and_engine[1], own_pool) for _ in range(2)]

    assert [(run.is_full, run.violations[0].split(":")[0], run.sealed) for run in runs] == [(True, "R5", [])] * 2
