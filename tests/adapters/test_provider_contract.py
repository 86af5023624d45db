"""What every provider adapter owes the rest of the system, shown on the simulated providers over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from adapters.guarded_http import GuardedFetcher
from adapters.input_files import FileReader
from adapters.providers.registry import KINDS
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
from domain.provider import Job, JobState, Output, Provider, Submission, Tools
from tests.adapters.provider_cases import CASES, Case
from tests.support.callback_ear import Call, Ear, listening_ear
from tests.support.sandbox import SandboxProcess, running_sandbox

TIMEOUT = timedelta(seconds=5)
ENDING_LIMIT_S = 10

ADDRESSES = [case for case in CASES if case.outputs == "addresses"]
CANCELING = [case for case in CASES if case.cancels]
LISTING = [case for case in CASES if case.lists]
NOT_LISTING = [case for case in CASES if not case.lists]
POLLED = [case for case in CASES if not case.synchronous]
RINGING = [case for case in CASES if case.rings != "no"]
SIGNING = [case for case in CASES if case.rings == "signed"]


def each(cases: list[Case], *faults: tuple[str, object] | str) -> pytest.MarkDecorator:
    """One test for each of these cases; with faults, for each of those that the case can show."""
    rows = [
        (case, *(fault if isinstance(fault, tuple) else (fault,)))
        for case in cases
        for fault in faults
        if (fault[0] if isinstance(fault, tuple) else fault).partition("_retry")[0] not in case.cannot
    ]
    if not faults:
        return pytest.mark.parametrize("at", cases, indirect=True, ids=lambda case: case.name)
    names = ("at", "fault", "error") if isinstance(faults[0], tuple) else ("at", "fault")
    ids = [f"{row[0].name}-{row[1]}" for row in rows]
    return pytest.mark.parametrize(names, rows, indirect=["at"], ids=ids)


@dataclass
class Bench:
    """One adapter, pointed at the sandbox."""

    case: Case
    sandbox: SandboxProcess
    adapter: Provider

    def submission(self, fault: str = "", callback_url: str | None = None) -> Submission:
        prompt = f"a lighthouse, sketch {uuid.uuid4()}" + (f" [sandbox:{self.case.provider}={fault}]" if fault else "")
        return Submission(
            attempt_id=str(uuid.uuid4()),
            native_model=self.case.native_model,
            native_input=self.case.native_input(prompt),
            callback_url=callback_url,
            deadline=timedelta(minutes=10),
            endpoint=self.case.endpoint,
        )

    async def made(self, fault: str = "") -> Job:
        """From the submit to the end."""
        job = await self.adapter.submit(self.submission(fault))  # a provider may know the end at once
        return job if job.state is JobState.SUCCEEDED else await self.ended(job.ref)

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


@cache
def fetcher_of(host: str) -> GuardedFetcher:
    """One for all: each reads the certificate authorities anew."""
    return GuardedFetcher(AddressRules(frozenset({host})))


def bench(case: Case, sandbox: SandboxProcess, *, credential: str | None = None, timeout: timedelta = TIMEOUT) -> Bench:
    tools = Tools(timeout, FileReader(fetcher_of(sandbox.host)))
    adapter = KINDS[case.provider].build(case.settings(sandbox.url, credential), tools)
    assert adapter is not None
    return Bench(case, sandbox, adapter)


@pytest.fixture(scope="module")
async def sandbox():
    async with running_sandbox() as running:
        yield running


@pytest.fixture
def at(request, sandbox):
    return bench(request.param, sandbox)


@pytest.fixture
async def ear():
    async with listening_ear() as listening:
        yield listening


def test_every_provider_has_a_case():
    assert {case.provider for case in CASES} == set(KINDS)


# --- the happy way ------------------------------------------------------------------------------------------------


@each(CASES)
async def test_a_job_is_submitted_read_to_its_end_and_its_output_fetched(at: Bench):
    done = await at.made()
    file = io.BytesIO()
    download = await fetched(at, done.outputs[0], file)

    assert done.ref.job_id
    assert (done.state, len(done.outputs)) == (JobState.SUCCEEDED, 1)
    assert inspect(file, download.size_bytes).content_type.startswith(("image/", "video/"))
    assert download.sha256 == hashlib.sha256(file.getvalue()).hexdigest()


@each(CASES)
async def test_a_synchronous_provider_answers_with_the_end_and_the_others_without(at: Bench):
    job = await at.adapter.submit(at.submission("latency_0.2"))

    assert (job.state is JobState.SUCCEEDED) == at.case.synchronous


async def fetched(at: Bench, output: Output, file: io.BytesIO) -> Download:
    fetcher = fetcher_of(at.sandbox.host)
    return await fetcher.fetch(output.url, file, bytes_max=2**24, time_max=TIMEOUT, headers=output.headers)


@each(ADDRESSES)
async def test_a_reference_that_went_through_storage_still_finds_its_job(at: Bench):
    job = await at.adapter.submit(at.submission())
    stored = JobRef(job.ref.job_id, dict(job.ref.handle))

    assert (await at.ended(stored)).state is JobState.SUCCEEDED


@each(CASES)
async def test_a_job_that_the_provider_never_heard_of_is_not_found(at: Bench):
    job = await at.adapter.submit(at.submission())
    unknown = str(uuid.uuid4())
    handle = {name: address.replace(job.ref.job_id, unknown) for name, address in job.ref.handle.items()}
    handle = {} if at.case.synchronous else handle

    with pytest.raises(JobNotFound):
        await at.adapter.read(JobRef(unknown, handle))


# --- refusals and lost answers ------------------------------------------------------------------------------------


@each(
    CASES,
    ("submit_401", ProviderAuthFailed),
    ("submit_402", ProviderCreditsExhausted),
    ("submit_404", ProviderRejectedInput),
    ("submit_422", ProviderRejectedInput),
    ("submit_429_retry_3", ProviderBusy),
    ("submit_429_bare", ProviderBusy),
    ("submit_500", ProviderFailed),
    ("submit_503", ProviderError),
)
async def test_a_refusal_is_named_and_leaves_no_job(at: Bench, fault, error):
    submission, before = at.submission(fault), datetime.now(UTC)

    with pytest.raises((at.case.errors or {}).get(fault, error)) as refused:
        await at.adapter.submit(submission)

    assert type(refused.value) is not SubmitAmbiguous
    assert "a lighthouse" not in f"{refused.value} {refused.value.details}"
    assert await at.adapter.find(submission, before) == []
    expected = {"submit_429_retry_3": timedelta(seconds=3)}
    assert refused.value.retry_after == expected.get(fault, refused.value.retry_after)


@each(CASES)
async def test_a_wrong_credential_is_ours(at: Bench):
    stranger = bench(at.case, at.sandbox, credential=at.case.wrong_credential)

    with pytest.raises(ProviderAuthFailed):
        await stranger.adapter.submit(at.submission())


@each(CASES)
async def test_a_credential_can_be_checked_without_a_job(at: Bench):
    await at.adapter.check()

    with pytest.raises(ProviderAuthFailed):
        await bench(at.case, at.sandbox, credential=at.case.wrong_credential).adapter.check()


@each(CASES)
async def test_a_provider_that_cannot_be_reached_has_no_job(at: Bench):
    nowhere = replace(at.sandbox, port=9, process=None)

    with pytest.raises(ProviderUnavailable):
        await bench(at.case, nowhere).adapter.submit(at.submission())


@each(CASES, "submit_502", "reset_before")
async def test_a_lost_answer_is_ambiguous_even_where_no_job_is_left(at: Bench, fault):
    submission, before = at.submission(fault), datetime.now(UTC)

    with pytest.raises(SubmitAmbiguous):
        await at.adapter.submit(submission)

    assert await at.adapter.find(submission, before) == []


@each(LISTING, "reset_after", "hang_after")
async def test_a_job_behind_a_lost_answer_is_found_and_is_the_only_one(at: Bench, fault):
    impatient = bench(at.case, at.sandbox, timeout=timedelta(seconds=0.5))
    submission, before = at.submission(fault), datetime.now(UTC)

    with pytest.raises(SubmitAmbiguous):
        await impatient.adapter.submit(submission)
    found = await found_soon(at, submission, before)

    assert (await at.ended(found)).state is JobState.SUCCEEDED


@each(NOT_LISTING, "reset_after", "hang_after")
async def test_a_job_behind_a_lost_answer_cannot_be_found_where_the_provider_lists_none(at: Bench, fault):
    impatient = bench(at.case, at.sandbox, timeout=timedelta(seconds=0.5))
    submission, before = replace(at.submission(fault), deadline=timedelta(seconds=0.5)), datetime.now(UTC)

    with pytest.raises(SubmitAmbiguous):
        await impatient.adapter.submit(submission)
    assert await at.adapter.find(submission, before) == []


async def found_soon(at: Bench, submission: Submission, before: datetime) -> JobRef:
    async with asyncio.timeout(ENDING_LIMIT_S):
        while True:
            found = await at.adapter.find(submission, before)
            if found:
                return found[0]
            await asyncio.sleep(0.05)


@each(LISTING)
async def test_a_job_of_another_time_is_not_taken_for_the_lost_one(at: Bench):
    submission = at.submission()
    job = await at.adapter.submit(submission)
    await at.ended(job.ref)

    assert await at.adapter.find(submission, datetime.now(UTC) + timedelta(minutes=1)) == []


# --- how jobs end -------------------------------------------------------------------------------------------------


@each(
    CASES,
    ("job_failed", ProviderFailed),
    ("job_failed_e6716", ProviderTimedOut),
    ("job_failed_e1000", ProviderFailed),
    ("job_failed_e1001", ProviderFailed),
    ("job_failed_oom", ProviderFailed),
    ("job_failed_interrupted", ProviderFailed),
    ("content_refused", ContentRefused),
    ("content_refused_nsfw", ContentRefused),
    ("output_none", ProviderError),
)
async def test_a_failed_job_is_named_and_never_taken_for_a_look_that_did_not_work(at: Bench, fault, error):
    with pytest.raises((at.case.errors or {}).get(fault, error)) as failure:
        await at.made(fault)

    assert not isinstance(failure.value, ProviderUnavailable | ProviderBusy | JobNotFound)


@each([case for case in CASES if case.provider == "fal"])
async def test_a_black_image_is_refused_where_the_provider_flags_it(at: Bench):
    with pytest.raises(ContentRefused):
        await at.made("black_image")


@each(POLLED)
async def test_a_look_that_fails_says_nothing_about_the_job(at: Bench):
    job = await at.adapter.submit(at.submission("poll_500"))

    with pytest.raises(ProviderUnavailable):
        await at.adapter.read(job.ref)
    assert (await at.ended(job.ref)).state is JobState.SUCCEEDED


@each(CANCELING, "never_starts", "never_ends")
async def test_a_canceled_job_is_canceled(at: Bench, fault):
    job = await at.adapter.submit(at.submission(fault))

    assert (await at.adapter.read(job.ref)).state in (JobState.QUEUED, JobState.RUNNING)
    assert await at.adapter.cancel(job.ref) == (fault in at.case.cancels)
    if fault not in at.case.cancels:
        assert (await at.adapter.read(job.ref)).state is JobState.RUNNING
    elif at.case.canceled_is_gone:
        with pytest.raises(JobNotFound):
            await at.adapter.read(job.ref)
    else:
        assert (await at.ended(job.ref)).state is JobState.CANCELED


@each([case for case in POLLED if not case.cancels], "never_starts", "never_ends")
async def test_a_provider_that_cannot_cancel_was_not_told(at: Bench, fault):
    job = await at.adapter.submit(at.submission(fault))

    assert not await at.adapter.cancel(job.ref)


@each([case for case in CANCELING if "never_ends" in case.cancels and not case.canceled_is_gone])
async def test_a_job_may_finish_in_spite_of_a_cancel(at: Bench):
    job = await at.adapter.submit(at.submission("latency_0.3,ignores_cancel"))

    assert await at.adapter.cancel(job.ref)
    assert (await at.ended(job.ref)).state is JobState.SUCCEEDED


@each([case for case in POLLED if not case.canceled_is_gone])
async def test_a_cancel_of_a_finished_job_changes_nothing(at: Bench):
    job = await at.adapter.submit(at.submission())
    await at.ended(job.ref)

    await at.adapter.cancel(job.ref)

    assert (await at.ended(job.ref)).state is JobState.SUCCEEDED


# --- outputs ------------------------------------------------------------------------------------------------------


@each(ADDRESSES, "output_expired", "output_cut", "output_truncated", "output_wrong_type", "output_empty")
async def test_an_output_that_is_not_a_whole_file_is_noticed(at: Bench, fault):
    done = await at.made(fault)
    file = io.BytesIO()

    with pytest.raises(ProviderInvalidOutput):
        inspect(file, (await fetched(at, done.outputs[0], file)).size_bytes)


@each(ADDRESSES)
async def test_an_output_at_a_private_address_is_not_fetched(at: Bench):
    done = await at.made("output_private")

    with pytest.raises(AddressRefused):
        await fetched(at, done.outputs[0], io.BytesIO())


@each([case for case in CASES if "output_data_url" not in case.cannot])
async def test_an_output_may_be_a_data_url(at: Bench):
    done = await at.made("output_data_url")
    file = io.BytesIO()
    download = await fetched(at, done.outputs[0], file)

    assert done.outputs[0].url.startswith("data:")
    assert inspect(file, download.size_bytes).width > 0


# --- callbacks ----------------------------------------------------------------------------------------------------


async def rung(at: Bench, ear: Ear, fault: str, count: int) -> tuple[Submission, Job, list[Call]]:
    submission = at.submission(fault, ear.url())
    job = await at.adapter.submit(submission)
    return submission, job, await ear.heard(count)


@each(SIGNING)
async def test_a_callback_verifies_and_names_a_job_that_can_be_read(at: Bench, ear: Ear):
    submission, job, _ = await rung(at, ear, "", 1)
    await at.ended(job.ref)
    last = (await ear.heard(1))[-1]
    notice = await at.adapter.verify_callback(last.headers, last.body)

    assert notice.event_id
    assert notice.job_id == job.ref.job_id
    named = at.adapter.job_named(notice.job_id, submission.native_model)
    assert (await at.adapter.read(named)).state is JobState.SUCCEEDED


@each(SIGNING)
async def test_a_callback_adopts_a_job_whose_answer_was_lost(at: Bench, ear: Ear):
    submission = at.submission("reset_after", ear.url())
    with pytest.raises(SubmitAmbiguous):
        await at.adapter.submit(submission)

    first = (await ear.heard(1))[0]
    notice = await at.adapter.verify_callback(first.headers, first.body)

    assert notice.job_id is not None
    named = at.adapter.job_named(notice.job_id, submission.native_model)
    assert (await at.ended(named)).state is JobState.SUCCEEDED


@each(SIGNING)
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


@each(SIGNING)
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


@each(RINGING)
async def test_repeats_of_a_callback_are_recognised_by_their_event(at: Bench, ear: Ear):
    _submission, _, calls = await rung(at, ear, "duplicate_callback", at.case.calls + 1)
    notices = [await at.adapter.verify_callback(call.headers, call.body) for call in calls[-2:]]

    assert len({notice.event_id for notice in notices}) == 1
