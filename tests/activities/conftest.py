"""Provider steps on a real PostgreSQL, with a scripted provider, a fetcher that serves bytes, and a store in memory."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO

import pytest
from PIL import Image

from activities.provider import Attempt, ProviderActivities, ProviderTiming
from activities.records import RecordActivities
from domain.assets import Download
from domain.errors import StorageUnavailable
from domain.generation import GenerationRequest, JobRef, MediaType, attempt_id
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission
from store import accounts, ledger
from store.connection import Pool, open_pool, transaction
from tests.support.postgres import fresh_database
from tests.support.requests import a_request

CREDITS = 1_000_000


def png(width: int = 8, height: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


@dataclass
class ScriptedProvider:
    """Answers are taken in order, the last one repeats; exceptions are raised."""

    name: str = "replicate"
    limits: ProviderLimits = field(default_factory=lambda: ProviderLimits(None))
    submits: list[Any] = field(default_factory=lambda: [Job(JobRef(uuid.uuid4().hex), JobState.QUEUED)])
    reads: list[Any] = field(
        default_factory=lambda: [Job(JobRef("job-1"), JobState.SUCCEEDED, (Output("https://out/0.png"),))]
    )
    finds: list[Any] = field(default_factory=lambda: [[]])
    cancels: list[Any] = field(default_factory=lambda: [True])
    asked: list[str] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)

    def _next(self, what: str, script: list[Any]) -> Any:
        self.asked.append(what)
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def submit(self, submission: Submission) -> Any:
        self.submissions.append(submission)
        return self._next("submit", self.submits)

    async def read(self, ref: JobRef) -> Any:
        return self._next("read", self.reads)

    async def cancel(self, ref: JobRef) -> Any:
        return self._next("cancel", self.cancels)

    async def find(self, submission: Submission, submitted_after: datetime) -> Any:
        return self._next("find", self.finds)

    def job_named(self, job_id: str, native_model: str) -> JobRef:
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        raise AssertionError("not asked here")


@dataclass
class ScriptedFetcher:
    bodies: list[bytes | BaseException] = field(default_factory=lambda: [png()])
    fetched: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def fetch(self, url: str, into: BinaryIO, *, bytes_max: int, time_max: timedelta, headers=None) -> Download:
        self.fetched.append(url)
        self.headers.append(dict(headers or {}))
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        if isinstance(body, BaseException):
            raise body
        into.write(body)
        return Download(len(body), hashlib.sha256(body).hexdigest(), "image/png")


@dataclass
class MemoryStore:
    name: str = "memory"
    objects: dict[str, bytes] = field(default_factory=dict)
    down: bool = False

    async def put_once(self, key: str, file: BinaryIO, *, size_bytes: int, sha256: str, content_type: str) -> None:
        if self.down:
            raise StorageUnavailable("the store does not answer")
        self.objects.setdefault(key, file.read())

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        return f"https://files.example.com/{key}"

    async def delete(self, key: str) -> bool:
        return self.objects.pop(key, None) is not None

    async def delete_folder(self, folder: str) -> int:
        return sum([await self.delete(key) for key in list(self.objects) if key.startswith(f"{folder}/")])

    async def check(self) -> None: ...


@dataclass
class Bench:
    """The steps and what they work with."""

    pool: Pool
    account_id: str
    provider: ScriptedProvider = field(default_factory=ScriptedProvider)
    fetcher: ScriptedFetcher = field(default_factory=ScriptedFetcher)
    store: MemoryStore = field(default_factory=MemoryStore)
    adoption_window: timedelta = timedelta(seconds=30)

    @property
    def steps(self) -> ProviderActivities:
        return ProviderActivities(
            pool=self.pool,
            providers={"replicate": self.provider, "fal": self.provider},
            fetcher=self.fetcher,
            assets=self.store,
            callback_url=lambda attempt: f"https://api.example.com/v1/callbacks/{attempt.candidate.provider}/token",
            timing=ProviderTiming(
                callback_wait={MediaType.IMAGE: timedelta(seconds=20), MediaType.VIDEO: timedelta(seconds=120)},
                poll_interval=timedelta(seconds=2),
                adoption_window=self.adoption_window,
            ),
        )

    @property
    def records(self) -> RecordActivities:
        return RecordActivities(pool=self.pool, assets=self.store, file_url_ttl=timedelta(hours=1))

    async def admitted(self, **changes: Any) -> tuple[GenerationRequest, Attempt]:
        request = a_request(account_id=self.account_id, **changes)
        await self.records.admit_generation(request)
        return request, attempt_of(request)

    async def balance(self) -> ledger.Balance:
        async with transaction(self.pool) as conn:
            return await ledger.balance(conn, self.account_id)


def attempt_of(request: GenerationRequest, number: int = 1) -> Attempt:
    return Attempt(
        attempt_id=attempt_id(request.generation_id, number),
        number=number,
        generation_id=request.generation_id,
        account_id=request.account_id,
        region=request.region,
        media_type=request.media_type,
        output_format=request.output_format,
        output_count=request.output_count,
        deadline_s=request.deadline_s,
        candidate=request.candidates[number - 1],
    )


@pytest.fixture(scope="session")
async def pool() -> AsyncIterator[Pool]:
    opened = await open_pool(await fresh_database(), size_max=4)
    yield opened
    await opened.close()


@pytest.fixture
async def bench(pool: Pool) -> Bench:
    async with transaction(pool) as conn:
        name = f"studio-{id(object())}-{datetime.now().timestamp()}"
        account = await accounts.create(conn, name)
        await ledger.grant(
            conn,
            account_id=account.account_id,
            amount=CREDITS,
            source=ledger.GrantSource.PROMOTION,
            key=f"welcome:{account.account_id}",
        )
    return Bench(pool, account.account_id)
