"""What every provider adapter owes the rest of the system, shown on the simulated providers over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.guarded_http import GuardedFetcher
from adapters.providers import fal, replicate
from adapters.providers.fal import FalProvider
from adapters.providers.replicate import ReplicateProvider
from domain.addresses import AddressRules
from domain.assets import Download
from domain.errors import (
    AddressRefused,
    CallbackRefused,
    ContentRefused,
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.media import inspect
from domain.provider import Job, JobState, Provider, Submission
from sandbox.fal import credentials as fal_credentials
from sandbox.replicate import credentials as replicate_credentials
from tests.support.callback_ear import Call, Ear, listening_ear
from tests.support.sandbox import SandboxProcess, running_sandbox

PROVIDERS = ["replicate", "fal"]
TIMEOUT = timedelta(seconds=5)
ENDING_LIMIT_S = 10


@dataclass
class Bench:
    """One adapter, pointed at the sandbox."""

    name: str
    sandbox: SandboxProcess
    adapter: Provider
    http: httpx.AsyncClient

    def submission(self, fault: str = "", callback_url: str | None = None) -> Submission:
        prompt = f"a lighthouse, sketch {uuid.uuid4()}" + (f" [sandbox:{self.name}={fault}]" if fault else "")
        return Submission(
            attempt_id=str(uuid.uuid4()),
            native_model={"replicate": "black-forest-labs/flux-schnell", "fal": "fal-ai/flux/schnell"}[self.name],
            native_input={"prompt": prompt},
            callback_url=callback_url,
            deadline=timedelta(minutes=10),
        )

    async def ended(self, ref: JobRef) -> Job:
        """Looks until the job has ended, as the collecting activity does."""
        async with asyncio.timeout(ENDING_LIMIT_S):
            while True:
                try:
                    job = await self.adapter.read(ref)
                except ProviderUnavailable:
                    continue
                if job.state in (JobState.SUCCEEDED, JobState.CANCELED):
                    return job
                await asyncio.sleep(0.02)


def bench(name: str, sandbox: SandboxProcess, *, credential: str | None = None, timeout: timedelta = TIMEOUT) -> Bench:
    if name == "replicate":
        http = replicate.client(sandbox.replicate_url, credential or replicate_credentials.API_TOKEN, timeout)
        secret = replicate_credentials.WEBHOOK_SECRET
        return Bench(name, sandbox, ReplicateProvider(http, webhook_secret=secret), http)
    http = fal.client(sandbox.fal_queue_url, credential or fal_credentials.KEY, timeout)
    urls = {"rest_url": sandbox.fal_rest_url, "platform_url": sandbox.fal_platform_url}
    return Bench(name, sandbox, FalProvider(http, **urls), http)


@pytest.fixture(scope="module")
async def sandbox():
    async with running_sandbox() as running:
        yield running


@pytest.fixture(params=PROVIDERS)
async def at(request, sandbox):
    made = bench(request.param, sandbox)
    yield made
    await made.http.aclose()


@pytest.fixture
async def ear():
    async with listening_ear() as listening:
        yield listening


# --- the happy way ------------------------------------------------------------------------------------------------


async def test_a_job_is_submitted_read_to_its_end_and_its_output_fetched(at: Bench):
    job = await at.adapter.submit(at.submission())
    done = await at.ended(job.ref)
    file = io.BytesIO()
    download = await fetched(at, done.outputs[0].url, file)

    assert job.ref.job_id == done.ref.job_id
    assert (done.state, len(done.outputs)) == (JobState.SUCCEEDED, 1)
    assert inspect(file, download.size_bytes).content_type.startswith("image/")
    assert download.sha256 == hashlib.sha256(file.getvalue()).hexdigest()


async def fetched(at: Bench, url: str, file: io.BytesIO) -> Download:
    fetcher = GuardedFetcher(AddressRules(frozenset({at.sandbox.host})))
    try:
        return await fetcher.fetch(url, file, bytes_max=2**24, time_max=TIMEOUT)
    finally:
        await fetcher.aclose()


async def test_a_reference_that_went_through_storage_still_finds_its_job(at: Bench):
    job = await at.adapter.submit(at.submission())
    stored = JobRef(job.ref.job_id, dict(job.ref.handle))

    assert (await at.ended(stored)).state is JobState.SUCCEEDED


async def test_a_job_that_the_provider_never_heard_of_is_not_found(at: Bench):
    job = await at.adapter.submit(at.submission())
    unknown = str(uuid.uuid4())
    handle = {name: address.replace(job.ref.job_id, unknown) for name, address in job.ref.handle.items()}

    with pytest.raises(JobNotFound):
        await at.adapter.read(JobRef(unknown, handle))


# --- refusals and lost answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("submit_401", ProviderAuthFailed),
        ("submit_402", ProviderCreditsExhausted),
        ("submit_404", ProviderRejectedInput),
        ("submit_422", ProviderRejectedInput),
        ("submit_429_retry_3", ProviderBusy),
        ("submit_429_bare", ProviderBusy),
        ("submit_500", ProviderFailed),
        ("submit_503", ProviderError),
    ],
)
async def test_a_refusal_is_named_and_leaves_no_job(at: Bench, fault, error):
    submission, before = at.submission(fault), datetime.now(UTC)

    with pytest.raises(error) as refused:
        await at.adapter.submit(submission)

    assert type(refused.value) is not SubmitAmbiguous
    assert str(submission.native_input["prompt"]) not in f"{refused.value} {refused.value.details}"
    assert await at.adapter.find(submission, before) == []
    expected = {"submit_429_retry_3": timedelta(seconds=3)}
    assert refused.value.retry_after == expected.get(fault, refused.value.retry_after)


async def test_a_wrong_credential_is_ours(at: Bench):
    wrong = {"replicate": "r8_" + "x" * 37, "fal": f"{uuid.uuid4()}:wrong"}[at.name]
    stranger = bench(at.name, at.sandbox, credential=wrong)

    with pytest.raises(ProviderAuthFailed):
        await stranger.adapter.submit(at.submission())


async def test_a_provider_that_cannot_be_reached_has_no_job(at: Bench):
    nowhere = replace(at.sandbox, port=9, process=None)

    with pytest.raises(ProviderUnavailable):
        await bench(at.name, nowhere).adapter.submit(at.submission())


@pytest.mark.parametrize("fault", ["submit_502", "reset_before"])
async def test_a_lost_answer_is_ambiguous_even_where_no_job_is_left(at: Bench, fault):
    submission, before = at.submission(fault), datetime.now(UTC)

    with pytest.raises(SubmitAmbiguous):
        await at.adapter.submit(submission)

    assert await at.adapter.find(submission, before) == []


@pytest.mark.parametrize("fault", ["reset_after", "hang_after"])
async def test_a_job_behind_a_lost_answer_is_found_and_is_the_only_one(at: Bench, fault):
    impatient = bench(at.name, at.sandbox, timeout=timedelta(seconds=0.5))
    submission, before = at.submission(fault), datetime.now(UTC)

    with pytest.raises(SubmitAmbiguous):
        await impatient.adapter.submit(submission)
    found = await found_soon(at, submission, before)

    assert (await at.ended(found)).state is JobState.SUCCEEDED


async def found_soon(at: Bench, submission: Submission, before: datetime) -> JobRef:
    async with asyncio.timeout(ENDING_LIMIT_S):
        while True:
            found = await at.adapter.find(submission, before)
            if found:
                return found[0]
            await asyncio.sleep(0.05)


async def test_a_job_of_another_time_is_not_taken_for_the_lost_one(at: Bench):
    submission = at.submission()
    job = await at.adapter.submit(submission)
    await at.ended(job.ref)

    assert await at.adapter.find(submission, datetime.now(UTC) + timedelta(minutes=1)) == []


# --- how jobs end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("job_failed", ProviderFailed),
        ("job_failed_e6716", ProviderTimedOut),
        ("job_failed_e1000", ProviderFailed),
        ("job_failed_e1001", ProviderFailed),
        ("job_failed_oom", ProviderFailed),
        ("job_failed_interrupted", ProviderFailed),
        ("content_refused", ContentRefused),
        ("content_refused_nsfw", ContentRefused),
        ("output_none", ProviderError),
    ],
)
async def test_a_failed_job_is_named_and_never_taken_for_a_look_that_did_not_work(at: Bench, fault, error):
    with pytest.raises(error) as failure:
        await from_submit_to_end(at, fault)

    assert not isinstance(failure.value, ProviderUnavailable | ProviderBusy | JobNotFound)


async def from_submit_to_end(at: Bench, fault: str) -> Job:
    job = await at.adapter.submit(at.submission(fault))  # a provider may know the end at once
    return await at.ended(job.ref)


async def test_a_black_image_is_refused_where_the_provider_flags_it(sandbox):
    flagged = bench("fal", sandbox)

    with pytest.raises(ContentRefused):
        await flagged.ended((await flagged.adapter.submit(flagged.submission("black_image"))).ref)


async def test_a_look_that_fails_says_nothing_about_the_job(at: Bench):
    job = await at.adapter.submit(at.submission("poll_500"))

    with pytest.raises(ProviderUnavailable):
        await at.adapter.read(job.ref)
    assert (await at.ended(job.ref)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("fault", ["never_starts", "never_ends"])
async def test_a_canceled_job_is_canceled(at: Bench, fault):
    job = await at.adapter.submit(at.submission(fault))

    assert (await at.adapter.read(job.ref)).state in (JobState.QUEUED, JobState.RUNNING)
    assert await at.adapter.cancel(job.ref)
    assert (await at.ended(job.ref)).state is JobState.CANCELED


async def test_a_job_may_finish_in_spite_of_a_cancel(at: Bench):
    job = await at.adapter.submit(at.submission("latency_0.3,ignores_cancel"))

    assert await at.adapter.cancel(job.ref)
    assert (await at.ended(job.ref)).state is JobState.SUCCEEDED


async def test_a_cancel_of_a_finished_job_changes_nothing(at: Bench):
    job = await at.adapter.submit(at.submission())
    await at.ended(job.ref)

    await at.adapter.cancel(job.ref)

    assert (await at.ended(job.ref)).state is JobState.SUCCEEDED


# --- outputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["output_expired", "output_cut", "output_truncated", "output_wrong_type", "output_empty"]
)
async def test_an_output_that_is_not_a_whole_file_is_noticed(at: Bench, fault):
    done = await at.ended((await at.adapter.submit(at.submission(fault))).ref)
    file = io.BytesIO()

    with pytest.raises(ProviderInvalidOutput):
        inspect(file, (await fetched(at, done.outputs[0].url, file)).size_bytes)


async def test_an_output_at_a_private_address_is_not_fetched(at: Bench):
    done = await at.ended((await at.adapter.submit(at.submission("output_private"))).ref)

    with pytest.raises(AddressRefused):
        await fetched(at, done.outputs[0].url, io.BytesIO())


async def test_an_output_may_be_a_data_url(at: Bench):
    done = await at.ended((await at.adapter.submit(at.submission("output_data_url"))).ref)
    file = io.BytesIO()
    download = await fetched(at, done.outputs[0].url, file)

    assert done.outputs[0].url.startswith("data:")
    assert inspect(file, download.size_bytes).width > 0


# --- callbacks ----------------------------------------------------------------------------------------------------


async def rung(at: Bench, ear: Ear, fault: str, count: int) -> tuple[Submission, Job, list[Call]]:
    submission = at.submission(fault, ear.url())
    job = await at.adapter.submit(submission)
    return submission, job, await ear.heard(count)


async def test_a_callback_verifies_and_names_a_job_that_can_be_read(at: Bench, ear: Ear):
    submission, job, _ = await rung(at, ear, "", 1)
    await at.ended(job.ref)
    last = (await ear.heard(1))[-1]
    notice = await at.adapter.verify_callback(last.headers, last.body)

    assert notice.event_id
    assert notice.job_id == job.ref.job_id
    named = at.adapter.job_named(notice.job_id, submission.native_model)
    assert (await at.adapter.read(named)).state is JobState.SUCCEEDED


async def test_a_callback_adopts_a_job_whose_answer_was_lost(at: Bench, ear: Ear):
    submission = at.submission("reset_after", ear.url())
    with pytest.raises(SubmitAmbiguous):
        await at.adapter.submit(submission)

    first = (await ear.heard(1))[0]
    notice = await at.adapter.verify_callback(first.headers, first.body)

    assert notice.job_id is not None
    named = at.adapter.job_named(notice.job_id, submission.native_model)
    assert (await at.ended(named)).state is JobState.SUCCEEDED


async def test_a_changed_callback_is_refused(at: Bench, ear: Ear):
    _submission, _, calls = await rung(at, ear, "", 1)
    call = calls[0]

    for headers, body in [
        (call.headers, call.body + b" "),
        (call.headers, call.body.replace(b"lighthouse", b"lightHouse") + b"\n"),
        ({name: value for name, value in call.headers.items() if not name.endswith("signature")}, call.body),
        ({}, call.body),
    ]:
        with pytest.raises(CallbackRefused):
            await at.adapter.verify_callback(headers, body)


async def test_a_forged_callback_is_refused_and_the_real_one_believed(at: Bench, ear: Ear):
    _submission, _, calls = await rung(at, ear, "forged_callback", 2)
    verdicts = []
    for call in calls:
        try:
            await at.adapter.verify_callback(call.headers, call.body)
        except CallbackRefused:
            verdicts.append(False)
        else:
            verdicts.append(True)

    assert sorted(verdicts) == [False] + [True] * (len(calls) - 1)


async def test_repeats_of_a_callback_are_recognised_by_their_event(at: Bench, ear: Ear):
    _submission, _, calls = await rung(at, ear, "duplicate_callback", 2)
    notices = [await at.adapter.verify_callback(call.headers, call.body) for call in calls]

    assert len({notice.event_id for notice in notices}) == 1
