"""What is left behind is ended, what is alive is left alone: the steps of a sweep on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection
from temporalio.client import Client, ScheduleActionStartWorkflow, ScheduleOverlapPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.reconciliation import Execution, ReconciliationActivities, SweptPage
from domain.errors import DatabaseUnavailable, GenerationExpired
from domain.generation import GenerationRequest, GenerationStatus, workflow_id
from store import alerts, generations, idempotency, ledger, webhook_endpoints, webhooks
from store.connection import Pool, open_pool, single
from store.idempotency import ClaimState
from store.webhook_endpoints import Endpoint
from tests.store.builders import (
    CREDIT,
    a_test_delivery,
    an_account,
    an_admitted,
    an_endpoint,
    an_event,
    hold,
    settle,
    standing,
)
from tests.support.postgres import fresh_database
from tests.support.temporal import dev_server
from worker import execution_of, schedule_reconciliation
from workflows import names

Conn = AsyncConnection[Any]


@pytest.fixture
async def own_pool() -> AsyncIterator[Pool]:
    """A sweep looks at the whole database."""
    pool = await open_pool(await fresh_database(), size_max=4)
    yield pool
    await pool.close()


@pytest.fixture
async def conn(own_pool: Pool) -> AsyncIterator[Conn]:
    async with single(own_pool) as conn:
        yield conn


@pytest.fixture
async def account_id(conn: Conn) -> str:
    """An account with ten credits."""
    return await an_account(conn, credits=10)


class Sweeper:
    """The steps, and what Temporal would say about each execution: unknown unless told otherwise."""

    def __init__(self, pool: Pool, *, page_rows: int = 100) -> None:
        self.executions: dict[str, Execution | RPCError] = {}
        self._steps = ReconciliationActivities(
            pool=pool,
            generation_execution=self._ask,
            delivery_execution=lambda delivery: self._ask(delivery.delivery_id),
            page_rows=page_rows,
        )

    async def _ask(self, row_id: str) -> Execution:
        answer = self.executions.get(row_id, Execution.UNKNOWN)
        if isinstance(answer, RPCError):
            raise answer
        return answer

    async def generations(self, after: str | None = None) -> SweptPage:
        page: SweptPage = await ActivityEnvironment().run(self._steps.end_lost_generations, after)
        return page

    async def deliveries(self, after: str | None = None) -> SweptPage:
        page: SweptPage = await ActivityEnvironment().run(self._steps.find_lost_deliveries, after)
        return page

    async def purge(self) -> bool:
        return bool(await ActivityEnvironment().run(self._steps.purge_idempotency_keys))

    async def holds(self, after: str | None = None) -> SweptPage:
        page: SweptPage = await ActivityEnvironment().run(self._steps.end_overdue_holds, after)
        return page

    async def runways(self, after: str | None = None) -> SweptPage:
        page: SweptPage = await ActivityEnvironment().run(self._steps.watch_runways, after)
        return page

    async def report(self) -> int:
        return int(await ActivityEnvironment().run(self._steps.report_overdue_holds))


@pytest.fixture
def sweeper(own_pool: Pool) -> Sweeper:
    return Sweeper(own_pool)


def does_not_answer() -> RPCError:
    return RPCError("no answer", RPCStatusCode.DEADLINE_EXCEEDED, b"")


# --- generations -------------------------------------------------------------------------------------------------


async def one_of_minutes(conn: Conn, account_id: str, minutes: float) -> GenerationRequest:
    """Admitted that many minutes ago."""
    request = await an_admitted(conn, account_id, quote_microcredits=CREDIT)
    await conn.execute(
        "UPDATE store.generations SET created_at = created_at - %s WHERE generation_id = %s",
        [timedelta(minutes=minutes), request.generation_id],
    )
    return request


async def ending(conn: Conn, request: GenerationRequest) -> tuple[GenerationStatus, str | None]:
    record = await generations.get(conn, request.account_id, request.generation_id)
    assert record is not None
    return record.status, record.error_code


@pytest.mark.parametrize("execution", [Execution.CLOSED, Execution.UNKNOWN])
async def test_a_generation_whose_workflow_is_gone_fails_and_its_credits_come_back(
    conn: Conn, account_id: str, sweeper: Sweeper, execution: Execution
) -> None:
    """K12."""
    await an_endpoint(conn, account_id, "generation.failed")
    lost = await one_of_minutes(conn, account_id, 11)
    sweeper.executions[lost.generation_id] = execution

    page = await sweeper.generations()

    assert await ending(conn, lost) == (GenerationStatus.FAILED, GenerationExpired.code)
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    (delivery_id,) = page.deliveries
    assert '"generation_error_code":"BSE5006"' in (await webhooks.delivery(conn, delivery_id)).body.replace(" ", "")
    assert page == SweptPage(1, [delivery_id], None)
    assert await ledger.check(conn) == []


async def test_a_running_workflow_is_never_overtaken(conn: Conn, account_id: str, sweeper: Sweeper) -> None:
    slow = await one_of_minutes(conn, account_id, 600)
    sweeper.executions[slow.generation_id] = Execution.RUNNING

    page = await sweeper.generations()

    assert page == SweptPage(0)
    assert await ending(conn, slow) == (GenerationStatus.PENDING, None)
    assert await standing(conn, account_id) == (9 * CREDIT, CREDIT, 0)


async def test_a_young_generation_is_not_even_looked_at(conn: Conn, account_id: str, sweeper: Sweeper) -> None:
    await one_of_minutes(conn, account_id, 9)

    assert await sweeper.generations() == SweptPage(0)


async def test_a_second_sweep_finds_nothing_left(conn: Conn, account_id: str, sweeper: Sweeper) -> None:
    await one_of_minutes(conn, account_id, 11)

    pages = [await sweeper.generations(), await sweeper.generations()]

    assert pages == [SweptPage(1), SweptPage(0)]


async def test_one_that_cannot_end_does_not_block_those_behind_it(
    conn: Conn, account_id: str, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    """K13."""
    bad = await one_of_minutes(conn, account_id, 20)
    await settle(conn, account_id, bad.generation_id)  # by hand: the books refuse to release it now
    unasked = await one_of_minutes(conn, account_id, 19)
    sweeper.executions[unasked.generation_id] = does_not_answer()
    behind = await one_of_minutes(conn, account_id, 18)

    page = await sweeper.generations()

    assert page == SweptPage(1)
    assert [(await ending(conn, each))[0] for each in (bad, unasked, behind)] == ["pending", "pending", "failed"]
    skipped = [line for line in caplog.messages if line.startswith("reconciliation_skipped")]
    assert [line.split()[1] for line in skipped] == [f"generation={each.generation_id}" for each in (bad, unasked)]


async def test_the_cursor_passes_those_that_are_left_alone(conn: Conn, account_id: str, own_pool: Pool) -> None:
    """K13."""
    sweeper = Sweeper(own_pool, page_rows=2)
    rows = [await one_of_minutes(conn, account_id, 30 - number) for number in range(3)]
    for alive in rows[:2]:
        sweeper.executions[alive.generation_id] = Execution.RUNNING

    first = await sweeper.generations()
    second = await sweeper.generations(first.next_after)

    assert first == SweptPage(0, [], rows[1].generation_id)
    assert second == SweptPage(1)
    assert await ending(conn, rows[2]) == (GenerationStatus.FAILED, GenerationExpired.code)


async def test_without_a_database_the_page_is_repeated_later(own_pool: Pool, sweeper: Sweeper) -> None:
    await own_pool.close()

    with pytest.raises(ApplicationError) as failed:
        await sweeper.generations()

    assert failed.value.type == DatabaseUnavailable.type
    assert not failed.value.non_retryable


# --- deliveries --------------------------------------------------------------------------------------------------


async def a_delivery(conn: Conn, endpoint: Endpoint, *, minutes: float) -> str:
    """To be sent since that many minutes."""
    return await a_test_delivery(conn, endpoint, age=timedelta(minutes=minutes))


async def test_a_delivery_that_was_never_started_is_named_to_be_rung(
    conn: Conn, account_id: str, sweeper: Sweeper
) -> None:
    lost = await a_delivery(conn, await an_endpoint(conn, account_id), minutes=3)

    page = await sweeper.deliveries()

    assert page == SweptPage(0, [lost])
    assert (await webhooks.delivery(conn, lost)).state == "pending"


async def test_a_delivery_whose_workflow_closed_without_an_end_is_given_up_and_its_endpoint_not_blamed(
    conn: Conn, account_id: str, sweeper: Sweeper
) -> None:
    endpoint = await an_endpoint(conn, account_id)
    stopped = await a_delivery(conn, endpoint, minutes=3)
    sweeper.executions[stopped] = Execution.CLOSED

    page = await sweeper.deliveries()

    assert page == SweptPage(1)
    assert (await webhooks.delivery(conn, stopped)).state == "failed"
    assert await webhook_endpoints.get(conn, account_id, endpoint.endpoint_id) == endpoint


async def test_a_delivery_that_has_ended_meanwhile_keeps_its_end(conn: Conn, account_id: str) -> None:
    delivered = await a_delivery(conn, await an_endpoint(conn, account_id), minutes=3)
    await webhooks.record_attempt(conn, delivered, number=1, status_code=200, error=None, reply_head=None, final=False)

    assert await webhooks.give_up(conn, delivered) is False
    assert (await webhooks.delivery(conn, delivered)).state == "delivered"


@pytest.mark.parametrize(
    ("minutes", "execution"),
    [
        pytest.param(60, Execution.RUNNING, id="still tried, however long"),
        pytest.param(1, Execution.UNKNOWN, id="queued a minute ago"),
    ],
)
async def test_a_delivery_under_way_is_left_alone(
    conn: Conn, account_id: str, sweeper: Sweeper, minutes: float, execution: Execution
) -> None:
    delivery_id = await a_delivery(conn, await an_endpoint(conn, account_id), minutes=minutes)
    sweeper.executions[delivery_id] = execution

    assert await sweeper.deliveries() == SweptPage(0)
    assert (await webhooks.delivery(conn, delivery_id)).state == "pending"


async def test_deliveries_are_walked_past_those_that_are_tried_or_cannot_be_asked_about(
    conn: Conn, account_id: str, own_pool: Pool
) -> None:
    sweeper = Sweeper(own_pool, page_rows=2)
    endpoint = await an_endpoint(conn, account_id)
    tried, unasked, lost = [await a_delivery(conn, endpoint, minutes=minutes) for minutes in (30, 20, 10)]
    sweeper.executions |= {tried: Execution.RUNNING, unasked: does_not_answer()}

    first = await sweeper.deliveries()
    second = await sweeper.deliveries(first.next_after)

    assert first == SweptPage(0, [], unasked)
    assert second == SweptPage(0, [lost])


async def queued(conn: Conn, account_id: str, *ages: timedelta) -> tuple[Endpoint, list[str]]:
    """An endpoint that was disabled while these happened, and is enabled again."""
    endpoint = await an_endpoint(conn, account_id, "generation.canceled")
    await webhook_endpoints.change(conn, account_id, endpoint.endpoint_id, enabled=False)
    waiting = [await an_event(conn, endpoint, age=age) for age in ages]
    await webhook_endpoints.change(conn, account_id, endpoint.endpoint_id, enabled=True)
    return endpoint, waiting


async def test_what_a_stopped_drain_was_sending_is_given_up_and_still_queued(
    conn: Conn, account_id: str, sweeper: Sweeper
) -> None:
    """12.6."""
    endpoint, [waiting] = await queued(conn, account_id, timedelta(hours=1))
    sent = await webhooks.take_queued(conn, endpoint.endpoint_id)
    assert sent is not None
    await conn.execute(
        "UPDATE store.webhook_deliveries SET created_at = created_at - interval '3 min' WHERE delivery_id = %s", [sent]
    )

    sweeper.executions[sent] = Execution.RUNNING
    while_it_runs = await sweeper.deliveries()
    sweeper.executions[sent] = Execution.UNKNOWN
    afterwards = await sweeper.deliveries()

    assert (while_it_runs, afterwards) == (SweptPage(0), SweptPage(1))
    assert (await webhooks.delivery(conn, sent)).state == "failed"
    assert (await webhooks.delivery(conn, waiting)).state == "queued"
    assert await webhooks.take_queued(conn, endpoint.endpoint_id) not in {None, sent}


async def test_what_waits_longer_than_72_hours_expires_but_for_what_is_being_sent(
    conn: Conn, account_id: str, sweeper: Sweeper
) -> None:
    """12.6."""
    hours = [timedelta(hours=number) for number in (74, 73, 71)]
    endpoint, [sending, old, young] = await queued(conn, account_id, *hours)
    await webhooks.take_queued(conn, endpoint.endpoint_id)

    page = await sweeper.deliveries()

    assert page == SweptPage(1)
    states = [(await webhooks.delivery(conn, one)).state for one in (sending, old, young)]
    assert states == ["queued", "expired", "queued"]


# --- keys and holds ----------------------------------------------------------------------------------------------


async def test_expired_idempotency_keys_are_purged_and_the_others_stay(
    conn: Conn, account_id: str, sweeper: Sweeper
) -> None:
    first = str(uuid.uuid4())
    await idempotency.claim(conn, account_id, "old", "p", first, life=timedelta(0))
    await idempotency.claim(conn, account_id, "new", "p", first)

    more = await sweeper.purge()

    assert more is False
    assert (await idempotency.claim(conn, account_id, "new", "p", first)).state is ClaimState.IN_PROGRESS
    cursor = await conn.execute("SELECT key FROM store.idempotency_keys")
    assert await cursor.fetchall() == [("new",)]


async def test_a_key_that_is_claimed_anew_during_the_purge_stays(
    conn: Conn, account_id: str, own_pool: Pool, sweeper: Sweeper
) -> None:
    await idempotency.claim(conn, account_id, "order:7", "p", str(uuid.uuid4()), life=timedelta(0))
    other = str(uuid.uuid4())

    async with single(own_pool) as second, second.transaction():
        await idempotency.claim(second, account_id, "order:7", "p", other)  # holds the row until it commits
        purge = asyncio.ensure_future(sweeper.purge())
        await someone_waits_for_a_lock(conn)
    await purge

    assert (await idempotency.claim(conn, account_id, "order:7", "p", str(uuid.uuid4()))).generation_id == other


async def someone_waits_for_a_lock(conn: Conn) -> None:
    async with asyncio.timeout(5):
        while True:
            cursor = await conn.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if await cursor.fetchone():
                return


async def an_overdue_hold(conn: Conn, account_id: str, minutes: float = 1) -> str:
    work = str(uuid.uuid4())
    await hold(conn, account_id, work, expires_at=datetime.now(UTC) - timedelta(minutes=minutes))
    return work


async def an_overdue_generation(conn: Conn, account_id: str) -> GenerationRequest:
    """Younger than what `end_lost_generations` asks about."""
    request = await an_admitted(conn, account_id, quote_microcredits=CREDIT)
    await conn.execute("ALTER TABLE ledger.holds DISABLE TRIGGER USER")
    await conn.execute("UPDATE ledger.holds SET expires_at = now() WHERE work_id = %s", [request.generation_id])
    await conn.execute("ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER rules")
    return request


@pytest.mark.parametrize("execution", [Execution.CLOSED, Execution.UNKNOWN])
async def test_an_overdue_hold_whose_workflow_is_gone_is_released_and_others_stay(
    conn: Conn, account_id: str, sweeper: Sweeper, execution: Execution
) -> None:
    """K12, E2."""
    overdue, open_work = await an_overdue_hold(conn, account_id), str(uuid.uuid4())
    await hold(conn, account_id, open_work)
    sweeper.executions[overdue] = execution

    pages = [await sweeper.holds(), await sweeper.holds()]

    assert pages == [SweptPage(1), SweptPage(0)]
    assert await standing(conn, account_id) == (9 * CREDIT, CREDIT, 0)
    released = await ledger.hold(conn, account_id=account_id, work_id=overdue)
    assert released is not None
    assert released.state is ledger.HoldState.EXPIRED


async def test_an_overdue_hold_of_a_running_workflow_is_left_to_it_and_an_alarm(
    conn: Conn, account_id: str, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    overdue = await an_overdue_hold(conn, account_id)
    sweeper.executions[overdue] = Execution.RUNNING

    page = await sweeper.holds()

    assert page == SweptPage(0, still_open=1)
    assert await standing(conn, account_id) == (9 * CREDIT, CREDIT, 0)
    (alarm,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert alarm.getMessage().startswith(f"hold_overdue work={overdue} account={account_id}")


async def test_with_an_overdue_hold_its_generation_ends_and_the_customer_hears_of_it(
    conn: Conn, account_id: str, sweeper: Sweeper
) -> None:
    """K12, INV-29."""
    await an_endpoint(conn, account_id, "generation.failed")
    lost = await an_overdue_generation(conn, account_id)

    page = await sweeper.holds()

    assert (page.ended, page.still_open, len(page.deliveries)) == (1, 0, 1)
    assert await ending(conn, lost) == (GenerationStatus.FAILED, GenerationExpired.code)
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    assert await ledger.check(conn) == []


async def test_an_overdue_hold_that_cannot_be_asked_about_blocks_none_behind_it(
    conn: Conn, account_id: str, own_pool: Pool
) -> None:
    """K13: page by page, and the next sweep goes on with what this one left."""
    sweeper = Sweeper(own_pool, page_rows=2)
    bad, alive, behind = [await an_overdue_hold(conn, account_id, 9 - number) for number in range(3)]
    sweeper.executions |= {bad: does_not_answer(), alive: Execution.RUNNING}

    first = await sweeper.holds()
    second = await sweeper.holds(first.next_after)
    sweeper.executions.clear()
    later = await sweeper.holds()

    assert first == SweptPage(0, next_after=f"{account_id} {alive} 1", still_open=2)
    assert second == SweptPage(1)
    assert later == SweptPage(2, next_after=f"{account_id} {alive} 1")
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    assert [(await ledger.release(conn, account_id=account_id, work_id=behind, reason="again"))] == [
        ledger.Released.ALREADY_RELEASED
    ]


async def test_sweeps_that_began_before_still_report_overdue_holds(
    conn: Conn, account_id: str, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    overdue = await an_overdue_hold(conn, account_id)

    assert await sweeper.report() == 1
    assert any(line.startswith(f"hold_overdue work={overdue}") for line in caplog.messages)


# --- what Temporal knows -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Client]:
    async with dev_server() as environment:
        yield environment.client


async def test_an_execution_is_running_until_it_is_closed_and_unknown_before(engine: Client) -> None:
    execution_id = workflow_id(str(uuid.uuid4()))
    known = [await execution_of(engine, execution_id)]
    handle = await engine.start_workflow("Anything", id=execution_id, task_queue="nobody")
    known.append(await execution_of(engine, execution_id))
    await handle.terminate()
    known.append(await execution_of(engine, execution_id))

    assert known == [Execution.UNKNOWN, Execution.RUNNING, Execution.CLOSED]


async def test_a_question_that_temporal_cannot_answer_is_no_answer(engine: Client) -> None:
    with pytest.raises(RPCError):
        await execution_of(engine, "")


async def test_the_sweep_is_scheduled_once_however_often_a_worker_starts(engine: Client) -> None:
    await schedule_reconciliation(engine)
    await schedule_reconciliation(engine)

    schedule = (await engine.get_schedule_handle(names.RECONCILIATION_ID).describe()).schedule
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert (schedule.action.workflow, schedule.action.task_queue) == ("ReconciliationWorkflow", names.GENERATIONS_QUEUE)
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(minutes=5)]
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP


async def test_a_schedule_that_cannot_be_created_does_not_stop_the_worker(
    engine: Client, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Client(engine.service_client, namespace="no-such-namespace")

    await schedule_reconciliation(nowhere)

    assert "reconciliation_not_scheduled" in caplog.messages


# --- runways -----------------------------------------------------------------------------------------------------


async def test_a7_every_account_with_a_rule_is_looked_at_and_one_that_spends_too_fast_is_told(
    own_pool: Pool, conn: Conn
) -> None:
    told = []
    for spends in (True, False, True):
        account_id = await an_account(conn, credits=10)
        await an_endpoint(conn, account_id, "credits.low_runway")
        await alerts.put(conn, account_id, enabled=True, thresholds=[], runway_hours=24)
        if spends:
            await hold(conn, account_id, str(uuid.uuid4()), CREDIT)
            told.append(account_id)
    sweeper = Sweeper(own_pool, page_rows=2)

    first = await sweeper.runways()
    last = await sweeper.runways(first.next_after)

    rows = await conn.execute(
        "SELECT account_id::text FROM store.webhook_deliveries WHERE delivery_id = ANY (%s::uuid[])",
        [first.deliveries + last.deliveries],
    )
    assert sorted(row[0] for row in await rows.fetchall()) == sorted(told)
    assert (first.ended + last.ended, last.next_after) == (2, None)
