"""Section 13: files first, then records, by each account's plan; from any point at which a sweep was broken off."""

from __future__ import annotations

import hashlib
import io
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
import pytest
from moto.server import ThreadedMotoServer
from psycopg import AsyncConnection
from temporalio.client import Client, ScheduleActionStartWorkflow, ScheduleOverlapPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.retention import RetentionActivities, SweepAccounts, Swept, terms_of
from adapters.local_store import LocalStore
from adapters.s3_store import S3Store
from catalog.plans import load_plans
from domain.assets import ObjectStore, generation_folder
from domain.errors import DatabaseUnavailable, GenerationNotFound, StorageUnavailable
from domain.generation import GenerationRequest, GenerationStatus
from domain.plans import Retention
from store import generations, idempotency, ledger, lots, retention, usage, webhooks
from store.connection import Pool, open_pool, single
from store.generation_record import GenerationRecord
from store.timeline import timeline
from tests.store.builders import (
    a_processing,
    an_account,
    an_admitted,
    an_asset,
    an_endpoint,
    cancellation,
    failure,
    success,
)
from tests.support.postgres import fresh_database
from tests.support.temporal import dev_server
from worker import schedule_retention
from workflows import names

Conn = AsyncConnection[Any]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
A_MOMENT = timedelta(minutes=1)
FROM_THE_FIRST = SweepAccounts()
PLANS = load_plans()


@pytest.fixture
async def own_pool() -> AsyncIterator[Pool]:
    """A sweep looks at the whole database."""
    pool = await open_pool(await fresh_database(), size_max=4)
    yield pool
    await pool.close()


@pytest.fixture
async def conn(own_pool: Pool) -> AsyncIterator[Conn]:
    """The books must balance when the test has ended: nothing here touches them."""
    async with single(own_pool) as conn:
        yield conn
        assert await ledger.check(conn) == []


class AFolder(LocalStore):
    """The embedded default, and what can go wrong with it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "https://api.example.com", bytes(32))
        self.down = False
        self.stuck: set[str] = set()  # folders
        self.asked: list[str] = []

    async def delete_folder(self, folder: str) -> int:
        self.asked.append(folder)
        if self.down or folder in self.stuck:
            raise StorageUnavailable("The artifact folder cannot be written.")
        return await super().delete_folder(folder)

    async def check(self) -> None:
        if self.down:
            raise StorageUnavailable("The artifact folder cannot be written.")


@pytest.fixture
def folder(tmp_path: Path) -> AFolder:
    return AFolder(tmp_path / "artifacts")


@pytest.fixture
def bucket() -> Iterator[S3Store]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = S3Store("artifacts", f"http://{host}:{port}", access_key="key", secret_key="secret", region="us-east-1")
    store._s3.create_bucket(Bucket="artifacts")
    yield store
    store.close()
    server.stop()


@dataclass
class Sweeper:
    pool: Pool
    store: ObjectStore
    limits: dict[str, int] = field(default_factory=dict)

    async def step(self, sweep: SweepAccounts = FROM_THE_FIRST) -> Swept:
        steps = RetentionActivities(pool=self.pool, assets=self.store, plans=PLANS, **self.limits)
        swept: Swept = await ActivityEnvironment().run(steps.sweep_accounts, sweep)
        return swept


@pytest.fixture
def sweeper(own_pool: Pool, folder: AFolder) -> Sweeper:
    return Sweeper(own_pool, folder)


async def of_plan(conn: Conn, plan: str) -> str:
    """An account with ten credits."""
    account_id = await an_account(conn, credits=10)
    await conn.execute("UPDATE store.accounts SET plan = %s WHERE account_id = %s", [plan, account_id])
    return account_id


async def age(conn: Conn, request: GenerationRequest, by: timedelta) -> None:
    await conn.execute(
        "UPDATE store.generations SET created_at = created_at - %s, completed_at = completed_at - %s"
        " WHERE generation_id = %s",
        [by, by, request.generation_id],
    )


async def stored(store: ObjectStore, key: str, body: bytes = b"a picture") -> None:
    file: BinaryIO = io.BytesIO(body)
    digest = hashlib.sha256(body).hexdigest()
    await store.put_once(key, file, size_bytes=len(body), sha256=digest, content_type="image/png")


async def ended(conn: Conn, account_id: str, ago: timedelta, store: ObjectStore) -> GenerationRequest:
    """One that succeeded that long ago, with its file."""
    request = await a_processing(conn, account_id)
    await stored(store, an_asset(request).key)
    await generations.finish(conn, success(request))
    await age(conn, request, ago)
    return request


async def record(conn: Conn, request: GenerationRequest) -> GenerationRecord | None:
    return await generations.get(conn, request.account_id, request.generation_id)


async def files_removed(conn: Conn, request: GenerationRequest) -> bool:
    found = await record(conn, request)
    assert found is not None
    return found.files_removed


# --- the table of section 13 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "files", "records"),
    [
        ("free", HOUR, DAY),
        ("starter", 12 * HOUR, 7 * DAY),
        ("pro", DAY, 30 * DAY),
        ("scale", 5 * DAY, 180 * DAY),
        ("enterprise", 7 * DAY, 365 * DAY),
        ("Pro Yearly", DAY, 30 * DAY),
    ],
)
async def test_13_every_plan_keeps_files_and_records_for_its_time_and_no_longer(
    conn: Conn, sweeper: Sweeper, folder: AFolder, plan: str, files: timedelta, records: timedelta
):
    account_id = await of_plan(conn, plan)
    fresh = await ended(conn, account_id, files - A_MOMENT, folder)
    aged = await ended(conn, account_id, files + A_MOMENT, folder)
    old = await ended(conn, account_id, records - A_MOMENT, folder)
    past = await ended(conn, account_id, records + A_MOMENT, folder)

    swept = await sweeper.step()

    assert swept == Swept(files=3, generations=1)
    assert not await files_removed(conn, fresh)
    assert await files_removed(conn, aged)
    assert await files_removed(conn, old)
    assert await record(conn, past) is None
    assert [folder.path(an_asset(one).key).exists() for one in (fresh, aged, old, past)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("plan", "kept"),
    [("free", DAY), ("starter", 7 * DAY), ("pro", 30 * DAY), ("scale", 180 * DAY), ("enterprise", 365 * DAY)],
)
async def test_13_every_plan_keeps_deliveries_and_requests_for_its_time_and_no_longer(
    conn: Conn, sweeper: Sweeper, plan: str, kept: timedelta
):
    account_id = await of_plan(conn, plan)
    deliveries = [await a_delivery(conn, account_id, kept + more) for more in (-A_MOMENT, A_MOMENT)]
    for more in (-A_MOMENT, A_MOMENT):
        await a_logged_request(conn, account_id, kept + more)

    swept = await sweeper.step()

    assert swept == Swept(deliveries=1, requests=1)
    assert await column(conn, "SELECT delivery_id::text FROM store.webhook_deliveries") == deliveries[:1]
    assert await column(conn, "SELECT number FROM store.webhook_attempts") == [1]
    assert await column(conn, "SELECT count(*) FROM store.request_log") == [1]


async def a_delivery(conn: Conn, account_id: str, ago: timedelta, **facts: Any) -> str:
    """One that was delivered that long ago, at the first attempt."""
    delivery_id = str(uuid.uuid4())
    endpoint = await an_endpoint(conn, account_id)
    at = datetime.now(UTC)
    await conn.execute(
        "INSERT INTO store.webhook_deliveries (delivery_id, endpoint_id, account_id, generation_id, replay_of, purpose,"
        " event, body) VALUES (%s, %s, %s, %s, %s, %s, 'generation.completed', '{}')",
        [
            delivery_id,
            endpoint.endpoint_id,
            account_id,
            facts.get("generation_id"),
            facts.get("replay_of"),
            "replay" if "replay_of" in facts else "event",
        ],
    )
    await webhooks.record_attempt(
        conn, delivery_id, number=1, status_code=200, error=None, reply_head=None, final=False
    )
    await conn.execute(
        "UPDATE store.webhook_deliveries SET created_at = %s, ended_at = %s WHERE delivery_id = %s",
        [at - ago, at - ago, delivery_id],
    )
    return delivery_id


async def a_logged_request(conn: Conn, account_id: str, ago: timedelta) -> None:
    await conn.execute(
        "INSERT INTO store.request_log (account_id, occurred_at, api_key_id, request_id, key_state, method, path,"
        " endpoint, status, replayed, duration_ms)"
        " VALUES (%s, clock_timestamp() - %s, %s, 'req_1', 'active', 'GET', '/v1/status', '/v1/status', 200, false, 1)",
        [account_id, ago, str(uuid.uuid4())],
    )


async def column(conn: Conn, statement: str, *parameters: Any) -> list[Any]:
    return [row[0] for row in await (await conn.execute(statement, parameters)).fetchall()]


async def test_13_a_plan_change_applies_to_what_is_there_at_the_next_sweep(
    conn: Conn, sweeper: Sweeper, folder: AFolder
):
    account_id = await of_plan(conn, "scale")
    request = await ended(conn, account_id, 2 * DAY, folder)
    before = await sweeper.step()
    await conn.execute("UPDATE store.accounts SET plan = 'pro' WHERE account_id = %s", [account_id])

    assert before == Swept()
    assert await sweeper.step() == Swept(files=1)
    assert await files_removed(conn, request)


async def test_13_a_generation_that_has_not_ended_is_never_touched(conn: Conn, sweeper: Sweeper, folder: AFolder):
    account_id = await of_plan(conn, "free")
    waiting, running = await an_admitted(conn, account_id), await a_processing(conn, account_id)
    await stored(folder, an_asset(running).key)
    for request in (waiting, running):
        await age(conn, request, 400 * DAY)

    assert await sweeper.step() == Swept()
    assert [found.status for request in (waiting, running) if (found := await record(conn, request))] == [
        GenerationStatus.PENDING,
        GenerationStatus.PROCESSING,
    ]
    assert folder.path(an_asset(running).key).exists()
    with pytest.raises(psycopg.errors.CheckViolation):
        await conn.execute("UPDATE store.generations SET files_removed_at = now()")


async def test_13_what_failed_attempts_left_behind_goes_as_well(conn: Conn, sweeper: Sweeper, folder: AFolder):
    account_id = await of_plan(conn, "free")
    ends = [failure, cancellation]
    for end in ends:
        request = await a_processing(conn, account_id)
        await stored(folder, an_asset(request).key)
        await generations.finish(conn, end(request))
        await age(conn, request, HOUR + A_MOMENT)

    assert await sweeper.step() == Swept(files=2)
    assert list(folder.path(account_id).parent.rglob("*.png")) == []


async def test_13_a_deleted_generation_goes_with_its_age(conn: Conn, sweeper: Sweeper, folder: AFolder):
    account_id = await of_plan(conn, "free")
    request = await ended(conn, account_id, timedelta(0), folder)
    await generations.mark_deleted(conn, account_id, request.generation_id)
    await age(conn, request, DAY + A_MOMENT)

    assert await sweeper.step() == Swept(generations=1)
    with pytest.raises(GenerationNotFound):
        await timeline(conn, request.generation_id)


async def test_13_usage_and_ledger_survive_the_records(conn: Conn, sweeper: Sweeper, folder: AFolder):
    account_id = await of_plan(conn, "free")
    await ended(conn, account_id, DAY + A_MOMENT, folder)
    counted = await usage.of_account(conn, account_id, days=7)
    transfers = await column(conn, "SELECT count(*) FROM ledger.transfers")

    assert await sweeper.step() == Swept(files=1, generations=1)

    assert await usage.of_account(conn, account_id, days=7) == counted
    assert (counted.generations, [each.used for each in counted.providers]) == (1, [1])
    assert await column(conn, "SELECT count(*) FROM ledger.transfers") == transfers
    for table in ("generations", "attempts", "assets"):
        assert await column(conn, f"SELECT count(*) FROM store.{table}") == [0]


async def test_13_a_delivery_outlives_the_record_it_tells_of_and_a_replay_its_first(
    conn: Conn, sweeper: Sweeper, folder: AFolder
):
    account_id = await of_plan(conn, "free")
    request = await ended(conn, account_id, DAY + A_MOMENT, folder)
    first = await a_delivery(conn, account_id, DAY + A_MOMENT, generation_id=request.generation_id)
    replay = await a_delivery(conn, account_id, HOUR, generation_id=request.generation_id, replay_of=first)

    assert await sweeper.step() == Swept(files=1, generations=1, deliveries=1)
    left = await (
        await conn.execute("SELECT delivery_id::text, generation_id::text FROM store.webhook_deliveries")
    ).fetchall()
    assert left == [(replay, request.generation_id)]


async def test_13_a_delivery_that_has_not_ended_stays(conn: Conn, sweeper: Sweeper):
    account_id = await of_plan(conn, "free")
    delivery_id = await a_delivery(conn, account_id, 9 * DAY)
    await conn.execute("UPDATE store.webhook_deliveries SET state = 'pending', ended_at = NULL")

    assert await sweeper.step() == Swept()
    assert await column(conn, "SELECT delivery_id::text FROM store.webhook_deliveries") == [delivery_id]


def test_8_a_record_outlives_an_unanswered_idempotency_key_whatever_the_plan_says():
    short = Retention(output_files=9 * DAY, generation_records=HOUR, request_log=HOUR, webhook_deliveries=HOUR)

    terms = terms_of(short)

    assert terms.generations == idempotency.LIFE == DAY
    assert terms.files == DAY, "and no file outlives its record"
    assert (terms.requests, terms.deliveries) == (HOUR, HOUR)


async def test_a_step_repeated_after_its_record_went_still_learns_how_it_ended(
    conn: Conn, sweeper: Sweeper, folder: AFolder
):
    """A worker that was away for a day, between the transaction that ended the generation and its answer."""
    account_id = await of_plan(conn, "free")
    outcomes = []
    for end in (success, failure, cancellation):
        request = await a_processing(conn, account_id)
        outcomes.append(end(request))
        await generations.finish(conn, outcomes[-1])
        await age(conn, request, DAY + A_MOMENT)
    assert await sweeper.step() == Swept(files=3, generations=3)

    again = [await generations.finish(conn, outcome) for outcome in outcomes]

    assert [(one.status, one.deliveries, one.credits_released) for one in again] == [
        (GenerationStatus.SUCCEEDED, [], False),
        (GenerationStatus.FAILED, [], True),
        (GenerationStatus.CANCELED, [], True),
    ]


# --- broken off anywhere ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "bucket"])
async def test_a_sweep_that_died_between_the_files_and_the_mark_is_finished_by_the_next_one(
    conn: Conn, own_pool: Pool, request: pytest.FixtureRequest, kind: str
):
    store: ObjectStore = request.getfixturevalue(kind)
    account_id = await of_plan(conn, "free")
    generation = await ended(conn, account_id, HOUR + A_MOMENT, store)
    await stored(store, an_asset(generation, 1).key)
    other = await ended(conn, account_id, timedelta(0), store)
    assert await store.delete_folder(generation_folder("us", account_id, generation.generation_id)) == 2

    swept = await Sweeper(own_pool, store).step()

    assert swept == Swept(files=1)
    assert await files_removed(conn, generation)
    assert not await store.delete(an_asset(generation).key)
    assert await store.delete(an_asset(other).key), "the neighbour kept its own"


async def test_a_sweep_that_died_between_the_mark_and_the_purge_is_finished_by_the_next_one(
    conn: Conn, sweeper: Sweeper, folder: AFolder
):
    account_id = await of_plan(conn, "free")
    request = await ended(conn, account_id, DAY + A_MOMENT, folder)
    await retention.mark_files_removed(conn, [request.generation_id])
    folder.down = True  # not asked any more

    assert await sweeper.step() == Swept(generations=1)


async def test_a_purge_keeps_usage_and_removes_rows_together_or_not_at_all(
    conn: Conn, sweeper: Sweeper, folder: AFolder
):
    account_id = await of_plan(conn, "free")
    request = await ended(conn, account_id, DAY + A_MOMENT, folder)
    counted = await usage.of_account(conn, account_id, days=7)
    await conn.execute("CREATE TABLE keeps_it (id uuid REFERENCES store.generations)")
    await conn.execute("INSERT INTO keeps_it VALUES (%s)", [request.generation_id])

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await sweeper.step()

    assert await usage.of_account(conn, account_id, days=7) == counted
    await conn.execute("DROP TABLE keeps_it")
    await sweeper.step()
    assert await usage.of_account(conn, account_id, days=7) == counted


async def test_nothing_is_marked_while_the_object_store_is_down_but_the_rest_goes_on(
    conn: Conn, sweeper: Sweeper, folder: AFolder, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, "babysea.retention")
    account_id, other_id = await of_plan(conn, "free"), await of_plan(conn, "free")
    request = await ended(conn, account_id, 2 * DAY, folder)
    other = await ended(conn, other_id, 2 * DAY, folder)
    await a_logged_request(conn, account_id, 2 * DAY)
    folder.down = True

    down = await sweeper.step()

    assert down == Swept(requests=1, storage_down=True)
    assert not await files_removed(conn, request)
    assert not await files_removed(conn, other)
    assert len([line for line in caplog.messages if line.startswith("retention_storage_unavailable")]) == 1
    folder.down = False
    assert await sweeper.step(SweepAccounts(files=False)) == Swept(storage_down=True)
    assert await sweeper.step() == Swept(files=2, generations=2)


async def test_files_that_cannot_be_removed_keep_their_record_and_hide_none_behind_them(
    conn: Conn, sweeper: Sweeper, folder: AFolder, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, "babysea.retention")
    account_id = await of_plan(conn, "free")
    stuck = await ended(conn, account_id, 3 * DAY, folder)
    others = [await ended(conn, account_id, 2 * DAY, folder) for _ in range(20)]
    folder.stuck = {generation_folder("us", account_id, stuck.generation_id)}

    assert await sweeper.step() == Swept(files=20, generations=20)
    assert not await files_removed(conn, stuck)
    assert [await record(conn, one) for one in others] == [None] * 20
    assert any(f"generation={stuck.generation_id}" in line for line in caplog.messages)


async def test_a_database_that_is_down_is_waited_for(own_pool: Pool, folder: AFolder):
    class Unreachable:
        def connection(self) -> Any:
            raise psycopg.OperationalError

        getconn = connection

    with pytest.raises(ApplicationError) as failed:
        await Sweeper(Unreachable(), folder).step()  # type: ignore[arg-type]

    assert (failed.value.type, failed.value.non_retryable) == (DatabaseUnavailable.type, False)


# --- batches and pages --------------------------------------------------------------------------------------------


async def test_a_step_takes_a_batch_of_each_kind_and_says_that_there_is_more(
    conn: Conn, sweeper: Sweeper, folder: AFolder
):
    account_id = await of_plan(conn, "free")
    for _ in range(5):
        await ended(conn, account_id, 2 * DAY, folder)
        await a_delivery(conn, account_id, 2 * DAY)
        await a_logged_request(conn, account_id, 2 * DAY)
    sweeper.limits = {"batch_rows": 2}

    steps = [await sweeper.step() for _ in range(4)]

    assert [(one.files, one.generations, one.deliveries, one.requests) for one in steps] == [
        (2, 2, 2, 2),
        (2, 2, 2, 2),
        (1, 1, 1, 1),
        (0, 0, 0, 0),
    ]
    assert [one.more for one in steps] == [True, True, False, False]


async def test_a_batch_of_which_nothing_can_be_removed_is_not_tried_for_ever(
    conn: Conn, sweeper: Sweeper, folder: AFolder
):
    account_id = await of_plan(conn, "free")
    requests = [await ended(conn, account_id, 2 * DAY, folder) for _ in range(2)]
    folder.stuck = {generation_folder("us", account_id, one.generation_id) for one in requests}
    sweeper.limits = {"batch_rows": 2}

    assert await sweeper.step() == Swept()


async def test_steps_walk_over_all_accounts(conn: Conn, sweeper: Sweeper, folder: AFolder):
    """Four have something due, in pages of three of which one is worked on at a time; three have nothing."""
    account_ids = [await of_plan(conn, "free") for _ in range(7)]
    for account_id in sorted(account_ids)[::2]:
        await ended(conn, account_id, HOUR + A_MOMENT, folder)
    sweeper.limits = {"page_accounts": 3, "due_accounts": 1}

    after, steps = None, []
    while not steps or after is not None:
        steps.append(await sweeper.step(SweepAccounts(after)))
        after = steps[-1].next_after

    assert sum(one.files for one in steps) == 4
    assert await sweeper.step() == Swept(next_after=sorted(account_ids)[2])


async def test_the_cost_grows_with_what_is_due_and_not_with_what_is_kept(conn: Conn):
    """Every look is one into an index by account and age: among many that are kept, it reads a handful of pages."""
    account_id = await of_plan(conn, "enterprise")
    await conn.execute(
        "INSERT INTO store.generations (generation_id, account_id, status, region, model, media_type, params,"
        " output_count, output_format, provider_order, price_version, quote_microcredits, prediction_id, error_code,"
        " completed_at, files_removed_at)"
        " SELECT gen_random_uuid(), %s, 'failed', 'us', 'm', 'image', '{}', 1, 'png', '{fal}', 'v', 0,"
        " gen_random_uuid(), 'BSE4003', now() - number * interval '1 minute',"
        " CASE WHEN number > 10000 THEN now() END FROM generate_series(1, 20000) AS number",
        [account_id],
    )
    await conn.execute("UPDATE store.generations SET abandoned = true")  # nothing was ever held
    await conn.execute("ANALYZE store.generations")
    terms = {account_id: terms_of(PLANS.of("enterprise").retention)}
    before = await read_rows(conn)

    found = await retention.due(conn, terms, limit=10)
    batch = await retention.files_due(conn, account_id, 7 * DAY, limit=10)
    purged = await retention.purge_generations(conn, account_id, 365 * DAY, limit=10)

    assert (found, batch, purged) == ([], [], 0)
    assert await read_rows(conn) - before < 20


async def read_rows(conn: Conn) -> int:
    """Rows of generations read so far, in this database, whichever way."""
    await conn.execute("SELECT pg_stat_force_next_flush()")
    (read,) = await column(
        conn,
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"
        " WHERE schemaname = 'store' AND relname = 'generations'",
    )
    return int(read)


# --- the schedule -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Client]:
    async with dev_server() as environment:
        yield environment.client


async def test_13_the_sweep_is_scheduled_every_ten_minutes_once_however_often_a_worker_starts(engine: Client):
    await schedule_retention(engine)
    await schedule_retention(engine)

    schedule = (await engine.get_schedule_handle(names.RETENTION_ID).describe()).schedule
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert (schedule.action.workflow, schedule.action.task_queue) == ("RetentionWorkflow", names.GENERATIONS_QUEUE)
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(minutes=10)]
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP


# --- credits ------------------------------------------------------------------------------------------------------


async def test_e16_credits_of_every_account_expire_once_page_by_page(
    own_pool: Pool,
    conn: Conn,
    folder: AFolder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E16: an account that fails blocks none behind it."""
    steps = RetentionActivities(pool=own_pool, assets=folder, plans=PLANS, due_accounts=2)
    accounts = sorted([await an_account(conn) for _ in range(3)])
    for account_id in accounts:
        await lots.grant(conn, account_id=account_id, amount=5, key=account_id, expires_at=datetime.now(UTC) - A_MOMENT)

    expire = lots.expire

    async def failing_once(conn: Conn, account_id: str) -> int:
        if account_id == accounts[0]:
            raise DatabaseUnavailable("The database does not answer.")
        return await expire(conn, account_id)

    with monkeypatch.context() as patched, caplog.at_level(logging.INFO, "babysea.retention"):
        patched.setattr(lots, "expire", failing_once)
        after = await ActivityEnvironment().run(steps.expire_credits, None)
        last = await ActivityEnvironment().run(steps.expire_credits, after)
    again = await ActivityEnvironment().run(steps.expire_credits, None)

    assert (after, last, again) == (accounts[1], None, None)
    left = [(await ledger.balance(conn, account_id)).available for account_id in accounts]
    assert left == [0, 0, 0]
    expired = [message.split()[:2] for message in caplog.messages if message.startswith("credits_expired")]
    assert expired == [["credits_expired", f"account={account_id}"] for account_id in accounts[1:]]
