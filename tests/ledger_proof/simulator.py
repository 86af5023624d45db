"""Whole generations through the real workflow, the real steps and a real PostgreSQL, crashing where a seed says.

A crash is the death of the process at a named point: what was committed stays, what was not is rolled back, no answer
arrives. Temporal repeats the step, as it does after a real death. Time is skipped, so no pause is waited for.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from psycopg import AsyncConnection
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.provider import (
    AbandonAttempt,
    AdoptJob,
    Attempt,
    Collected,
    CollectJob,
    ProviderActivities,
    ProviderTiming,
    Submitted,
)
from activities.records import RecordActivities
from domain.errors import ContentRefused, ProviderFailed
from domain.generation import Admission, Finished, GenerationRequest, GenerationStatus, JobRef, MediaType, Outcome
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission
from store import generations, ledger
from store.connection import Pool, single, transaction
from store.ledger_verification import verify
from tests.store.builders import CREDIT, an_account, an_endpoint
from tests.support.requests import a_request
from tests.support.staged_worker import StagedFetcher
from tests.workflows.conftest import Started
from workflows import names
from workflows.generation import GenerationWorkflow

POINTS = {  # where a process dies, and which item of the specification that is
    "before the hold commits": "K1",
    "after the hold commits": "K2",
    "before dispatch": "K3",
    "after the intent, before dispatch": "K3",
    "after dispatch, before the job id is stored": "K4",
    "after the job id is stored": "K4",
    "while adopting": "K4",
    "before the artifact is stored": "K5",
    "after the artifact is stored": "K6",
    "before the end": "K6",
    "while the end commits": "K9",
    "after the end commits": "K7",
    "before the webhook is rung": "K8",
    "after the webhook is rung": "K8",
    "while abandoning": "K4",
}
PLANS = ("succeeds",) * 6 + ("fails once",) * 2 + ("fails", "refused", "never ends", "canceled", "canceled", "too dear")
QUOTE = CREDIT // 10


def died(point: str) -> ApplicationError:
    return ApplicationError(f"the process died {point}", type="Died", next_retry_delay=timedelta(milliseconds=1))


@dataclass
class Play:
    """One generation: what its providers do, and where the process dies, how often."""

    plan: str
    deaths: Counter[str]
    rings: bool = True  # whether the provider's callback arrives
    happened: list[str] = field(default_factory=list)

    def at(self, point: str) -> None:
        if self.deaths[point] > 0:
            self.deaths[point] -= 1
            self.happened.append(point)
            raise died(point)


@dataclass
class World:
    """What lives outside of our processes, and so survives every death: providers, stored files, rung webhooks."""

    pool: Pool
    plays: dict[str, Play] = field(default_factory=dict)  # by generation
    jobs: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by attempt
    looks: Counter[str] = field(default_factory=Counter)
    stored: dict[str, int] = field(default_factory=dict)  # how often each key was written
    rung: set[str] = field(default_factory=set)

    def of(self, generation_id: str) -> Play:
        return self.plays[generation_id]


class SimulatedProvider:
    """Makes a job for every submit that reaches it: it knows no idempotency key."""

    limits = ProviderLimits(requests_per_second=None)

    def __init__(self, name: str, world: World, play_of: Mapping[str, str]) -> None:
        self.name = name
        self._world = world
        self._generation = play_of  # of each attempt

    async def submit(self, submission: Submission) -> Job:
        play = self._world.of(self._generation[submission.attempt_id])
        play.at("after the intent, before dispatch")
        if play.plan == "refused":
            raise ContentRefused("flagged")
        job_id = f"{submission.attempt_id}/{uuid.uuid4().hex[:8]}"
        self._world.jobs[submission.attempt_id].append(job_id)
        play.at("after dispatch, before the job id is stored")
        return Job(JobRef(job_id), JobState.QUEUED)

    async def read(self, ref: JobRef) -> Job:
        attempt_id = ref.job_id.split("/")[0]
        play = self._world.of(self._generation[attempt_id])
        self._world.looks[ref.job_id] += 1
        if play.plan == "never ends" or (play.plan == "canceled" and self.name == "replicate"):
            return Job(ref, JobState.RUNNING)
        if play.plan == "fails" or (play.plan == "fails once" and self.name == "replicate"):
            raise ProviderFailed("E6716")
        if self._world.looks[ref.job_id] < 2:
            return Job(ref, JobState.RUNNING)
        outputs = (Output("https://outputs.example/0.png"),)
        return Job(ref, JobState.SUCCEEDED, outputs, cost_microcredits=3_000, predict_time_s=0.25)

    async def cancel(self, ref: JobRef) -> bool:
        return True

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        self._world.of(self._generation[submission.attempt_id]).at("while adopting")
        return [JobRef(job_id) for job_id in self._world.jobs[submission.attempt_id]]

    def job_named(self, job_id: str, native_model: str) -> JobRef:
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        raise AssertionError("no callback is expected here")

    async def check(self) -> None: ...


class SimulatedStore:
    """Keeps no bytes, and says how often each key was written."""

    name = "simulated"

    def __init__(self, world: World) -> None:
        self._world = world

    async def put_once(self, key: str, file: BinaryIO, *, size_bytes: int, sha256: str, content_type: str) -> None:
        play = self._world.of(key.split("/")[2])
        play.at("before the artifact is stored")
        self._world.stored[key] = self._world.stored.get(key, 0) + 1
        play.at("after the artifact is stored")

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        return f"https://files.example/{key}"

    async def delete(self, key: str) -> bool:
        return self._world.stored.pop(key, None) is not None

    async def delete_folder(self, folder: str) -> int:
        return 0


class DyingSteps:
    """The real steps under their own names, with the points at which their process dies."""

    def __init__(self, world: World, records: RecordActivities, steps: ProviderActivities) -> None:
        self._world, self._records, self._steps = world, records, steps
        self.generation_of: dict[str, str] = {}

    @activity.defn
    async def admit_generation(self, request: GenerationRequest) -> Admission:
        play = self._world.of(request.generation_id)
        if play.deaths["before the hold commits"]:
            async with transaction(self._world.pool) as conn:
                with suppress(Exception):
                    await generations.admit(conn, request)
                play.at("before the hold commits")
        admission = await self._records.admit_generation(request)
        play.at("after the hold commits")
        return admission

    @activity.defn
    async def submit_job(self, attempt: Attempt) -> Submitted:
        play = self._begin(attempt)
        play.at("before dispatch")
        submitted = await self._steps.submit_job(attempt)
        play.at("after the job id is stored")
        return submitted

    @activity.defn
    async def adopt_job(self, lost: AdoptJob) -> Submitted:
        self._begin(lost.attempt)
        return await self._steps.adopt_job(lost)

    @activity.defn
    async def collect_job(self, collect: CollectJob) -> Collected:
        self._begin(collect.attempt)
        return await self._steps.collect_job(collect)

    @activity.defn
    async def abandon_attempt(self, abandon: AbandonAttempt) -> bool:
        play = self._begin(abandon.attempt)
        told = await self._steps.abandon_attempt(abandon)
        play.at("while abandoning")
        return told

    @activity.defn
    async def finish_generation(self, outcome: Outcome) -> Finished:
        play = self._world.of(outcome.generation_id)
        play.at("before the end")
        if play.deaths["while the end commits"]:
            async with transaction(self._world.pool) as conn:
                await generations.finish(conn, outcome)
                play.at("while the end commits")
        finished = await self._records.finish_generation(outcome)
        play.at("after the end commits")
        return finished

    @activity.defn
    async def ring_deliveries(self, delivery_ids: list[str]) -> None:
        play = self._world.of(await self._generation_told_of(delivery_ids[0]))
        play.at("before the webhook is rung")
        self._world.rung |= set(delivery_ids)
        play.at("after the webhook is rung")

    async def _generation_told_of(self, delivery_id: str) -> str:
        async with single(self._world.pool) as conn:
            cursor = await conn.execute(
                "SELECT generation_id::text FROM store.webhook_deliveries WHERE delivery_id = %s", [delivery_id]
            )
            row = await cursor.fetchone()
        assert row is not None
        return str(row[0])

    def _begin(self, attempt: Attempt) -> Play:
        self.generation_of[attempt.attempt_id] = attempt.generation_id
        return self._world.of(attempt.generation_id)


@dataclass
class Simulation:
    """A customer's generations, one after the other or side by side, on the workers of one world."""

    client: Client
    world: World
    account_id: str
    rng: random.Random
    ended: Counter[str] = field(default_factory=Counter)

    def a_play(self, death_rate: float) -> Play:
        plan = self.rng.choice(PLANS)
        deaths = Counter({point: self.rng.choice((1, 1, 2)) for point in POINTS if self.rng.random() < death_rate})
        if "while abandoning" in deaths or plan == "canceled":
            deaths["while abandoning"] = min(deaths["while abandoning"], 1)
        return Play(plan, deaths, rings=self.rng.random() < 0.5)

    async def generation(self, play: Play) -> GenerationRequest:
        """To its end, and then every invariant."""
        quote = 10**9 * CREDIT if play.plan == "too dear" else QUOTE
        request = a_request(account_id=self.account_id, quote_microcredits=quote, deadline_s=60)
        self.world.plays[request.generation_id] = play
        started = Started(self.client, request)
        with suppress(WorkflowUpdateFailedError):
            await started.admit()
            if play.plan == "canceled":
                with suppress(WorkflowUpdateFailedError):  # it may have ended by then
                    await started.handle.execute_update("cancel")
            elif play.rings:
                await started.ring()
        status = await started.ended()
        await self.check(request, play, status)
        self.ended[status or "refused"] += 1
        return request

    async def check(self, request: GenerationRequest, play: Play, status: GenerationStatus | None) -> None:
        """What must be true of a generation that has ended, however often its process died."""
        told = f"{request.generation_id} {play.plan}, died {play.happened}"
        async with single(self.world.pool) as conn:
            found = await verify(conn, account_id=self.account_id)
            record = await generations.get(conn, self.account_id, request.generation_id)
            hold = await ledger.hold(conn, account_id=self.account_id, work_id=request.generation_id)
            moves = await _operations(conn, self.account_id, request.generation_id)
            attempts = await _attempts(conn, request.generation_id)
            unrung = await _unrung(conn, request.generation_id, self.world.rung)
        assert found.violations == [], told
        kept = [key for key in self.world.stored if key.split("/")[2] == request.generation_id]
        if status is None:
            assert (record, hold, moves, kept, attempts) == (None, None, [], [], {}), told
            return
        assert record is not None, told
        assert hold is not None, told
        assert record.status == status, told
        assert status.terminal, told
        if status is GenerationStatus.SUCCEEDED:
            assert moves == ["reserve", "settle"], told
            assert hold.settled_micros == QUOTE, told
            assert kept, told
        else:
            assert moves == ["reserve", "release"], told
            assert hold.settled_micros == 0, told
        expected = {"succeeds": "succeeded", "fails": "failed", "refused": "failed", "never ends": "failed"}
        if play.plan in expected and not play.happened:
            assert status == expected[play.plan], told
        assert not unrung, told
        for attempt_id in attempts:
            assert len(self.world.jobs[attempt_id]) <= 1, f"bought twice: {told}"
            if self.world.jobs[attempt_id]:
                assert attempts[attempt_id] is not None, f"a job without a cost: {told}"


@asynccontextmanager
async def simulating(client: Client, pool: Pool, seed: int) -> AsyncIterator[Simulation]:
    """Workers on every queue, and a customer with credits and an endpoint."""
    world = World(pool)
    store = SimulatedStore(world)
    generation_of: dict[str, str] = {}
    providers = {name: SimulatedProvider(name, world, generation_of) for name in ("replicate", "fal")}
    timing = ProviderTiming(
        callback_wait=dict.fromkeys(MediaType, timedelta(seconds=5)),
        poll_interval=timedelta(seconds=1),
        adoption_window=timedelta(0),
    )
    steps = DyingSteps(
        world,
        RecordActivities(pool=pool, assets=store, file_url_ttl=timedelta(hours=1)),
        ProviderActivities(
            pool=pool,
            providers=providers,
            fetcher=StagedFetcher(),
            assets=store,
            callback_url=lambda attempt: f"https://api.example/{attempt.attempt_id}",
            timing=timing,
        ),
    )
    steps.generation_of = generation_of
    async with single(pool) as conn:
        account_id = await an_account(conn, credits=1000)
        await an_endpoint(conn, account_id)
    async with AsyncExitStack() as stack:
        queues: dict[str, list[Callable[..., Awaitable[Any]]]] = {
            names.GENERATIONS_QUEUE: [steps.admit_generation, steps.finish_generation, steps.ring_deliveries],
            **{
                names.provider_queue(name): [
                    steps.submit_job,
                    steps.adopt_job,
                    steps.collect_job,
                    steps.abandon_attempt,
                ]
                for name in providers
            },
        }
        for queue, activities in queues.items():
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=queue,
                    workflows=[GenerationWorkflow] if queue == names.GENERATIONS_QUEUE else [],
                    activities=activities,
                    workflow_runner=UnsandboxedWorkflowRunner(),
                )
            )
        yield Simulation(client, world, account_id, random.Random(seed))


async def _operations(conn: AsyncConnection[Any], account_id: str, work_id: str) -> list[str]:
    cursor = await conn.execute(
        "SELECT operation::text FROM ledger.transfers WHERE account_id = %s AND work_id = %s ORDER BY transfer_id",
        [account_id, work_id],
    )
    return [row[0] for row in await cursor.fetchall()]


async def _attempts(conn: AsyncConnection[Any], generation_id: str) -> dict[str, int | None]:
    """What each cost us."""
    cursor = await conn.execute(
        "SELECT attempt_id::text, cost_microcredits FROM store.attempts WHERE generation_id = %s", [generation_id]
    )
    return dict(await cursor.fetchall())


async def _unrung(conn: AsyncConnection[Any], generation_id: str, rung: set[str]) -> set[str]:
    cursor = await conn.execute(
        "SELECT delivery_id::text FROM store.webhook_deliveries WHERE generation_id = %s", [generation_id]
    )
    return {row[0] for row in await cursor.fetchall()} - rung
