"""A worker with the real workflow and the real steps, whose providers only finish a job when a test says so."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.provider import ProviderActivities, ProviderTiming
from activities.records import RecordActivities
from domain.assets import Download, ObjectStore
from domain.errors import ProviderError
from domain.generation import JobRef, MediaType
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission
from store.connection import Pool
from workflows import names
from workflows.generation import GenerationWorkflow


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


A_PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\x80\x40\x20"))
    + _chunk(b"IEND", b"")
)


class StagedProvider:
    """Accepts every job at once and lets it run until `finish`."""

    limits = ProviderLimits(requests_per_second=None)

    def __init__(self, name: str) -> None:
        self.name = name
        self.callback_urls: dict[str, str | None] = {}
        self.native_inputs: dict[str, Mapping[str, Any]] = {}
        self._submitted: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._finished: set[str] = set()
        self._refused: dict[str, ProviderError] = {}

    async def submitted(self, attempt_id: str) -> JobRef:
        """Wait until the attempt has been submitted here."""
        async with asyncio.timeout(20):
            await self._submitted[attempt_id].wait()
        return JobRef(f"job-{attempt_id}")

    def finish(self, job: JobRef) -> None:
        self._finished.add(job.job_id)

    def refuse(self, prompt: str, error: ProviderError) -> None:
        """Answer every submit of that prompt with the error."""
        self._refused[prompt] = error

    async def submit(self, submission: Submission) -> Job:
        refusal = self._refused.get(submission.native_input.get("prompt", ""))
        if refusal is not None:
            raise refusal
        self.callback_urls[submission.attempt_id] = submission.callback_url
        self.native_inputs[submission.attempt_id] = submission.native_input
        self._submitted[submission.attempt_id].set()
        return Job(JobRef(f"job-{submission.attempt_id}"), JobState.QUEUED)

    async def read(self, ref: JobRef) -> Job:
        if ref.job_id not in self._finished:
            return Job(ref, JobState.RUNNING)
        return Job(ref, JobState.SUCCEEDED, outputs=(Output("https://outputs.example/0.png"),), predict_time_s=0.25)

    async def cancel(self, ref: JobRef) -> bool:
        return True

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        return []

    def job_named(self, job_id: str, native_model: str) -> JobRef:
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        raise AssertionError("no callback is expected here")


class StagedFetcher:
    """Every output is the same small picture."""

    async def fetch(
        self,
        url: str,
        into: BinaryIO,
        *,
        bytes_max: int,
        time_max: timedelta,
        headers: Mapping[str, str] | None = None,
    ) -> Download:
        into.write(A_PNG)
        return Download(len(A_PNG), hashlib.sha256(A_PNG).hexdigest(), "image/png")


@asynccontextmanager
async def staged_worker(
    client: Client,
    pool: Pool,
    assets: ObjectStore,
    providers: Mapping[str, StagedProvider],
    *,
    poll_interval: timedelta = timedelta(milliseconds=100),
) -> AsyncIterator[None]:
    records = RecordActivities(pool=pool, assets=assets, file_url_ttl=timedelta(hours=1))
    steps = ProviderActivities(
        pool=pool,
        providers=providers,
        fetcher=StagedFetcher(),
        assets=assets,
        callback_url=lambda attempt: f"https://api.example/{attempt.attempt_id}",
        timing=ProviderTiming(
            callback_wait=dict.fromkeys(MediaType, timedelta(hours=1)),  # jobs that no test ends cost nothing
            poll_interval=poll_interval,
            adoption_window=timedelta(seconds=5),
        ),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=names.GENERATIONS_QUEUE,
                workflows=[GenerationWorkflow],
                activities=[records.admit_generation, records.finish_generation],
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
        )
        for name in providers:
            await stack.enter_async_context(
                Worker(
                    client,
                    task_queue=names.provider_queue(name),
                    activities=[steps.submit_job, steps.adopt_job, steps.collect_job, steps.abandon_attempt],
                )
            )
        yield
