"""What a generation does at one provider: submit once, adopt, look, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import TypeAdapter
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import JOB_NOT_FOUND_YET, JOB_RUNNING, again, named_failures
from activities.heartbeat import heartbeating
from activities.outputs import OutputKeeper, Place
from domain.assets import Fetcher, ObjectStore
from domain.ending import failure_of
from domain.errors import (
    AddressRefused,
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderInvalidOutput,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import Asset, AttemptFailure, AttemptState, Candidate, Delivery, JobRef, MediaType
from domain.patience import pause_after_failed_look, pause_before_resubmit, poll_pause
from domain.provider import Job, JobState, Provider, Submission
from store import attempts
from store.attempts import BeginState, Begun, Intent, JobClaimed
from store.connection import Pool, single

LISTING_TIME_MAX_S = 20.0  # below the step's own time limit, so that a slow listing does not hide the window's end
LOOK_FAILED = (ProviderUnavailable, ProviderBusy, ProviderAuthFailed, ProviderCreditsExhausted)


@dataclass(frozen=True)
class Attempt:
    """One candidate being tried for one generation."""

    attempt_id: str
    number: int
    generation_id: str
    account_id: str
    region: str
    media_type: MediaType
    output_format: str
    output_count: int
    deadline_s: int
    candidate: Candidate


class SubmitState(StrEnum):
    ACCEPTED = "accepted"
    AMBIGUOUS = "ambiguous"
    REFUSED = "refused"


@dataclass(frozen=True)
class AdoptJob:
    attempt: Attempt
    job_id: str | None = None  # when a verified callback has named it


@dataclass(frozen=True)
class CollectJob:
    attempt: Attempt
    job: JobRef
    last: bool = False  # the deadline has passed: a job that still runs is not looked at again


@dataclass(frozen=True)
class Collected:
    """A job's end: its outputs in our store, or why there are none."""

    assets: list[Asset] = field(default_factory=list)
    failure: AttemptFailure | None = None
    cost_microcredits: int | None = None  # what the provider says it charged; None: silent
    predict_time_s: float | None = None


@dataclass(frozen=True)
class Submitted:
    """What came of a submit."""

    state: SubmitState
    job: JobRef | None = None
    failure: AttemptFailure | None = None
    deliveries: list[str] = field(default_factory=list)  # webhooks that say: started
    callback_wait_s: float = 0.0  # how long the provider's callback is waited for before polling begins
    collected: Collected | None = None  # of a synchronous provider: the answer was the end


@dataclass(frozen=True)
class AbandonAttempt:
    """Leave an attempt behind: tell the provider, and write down how it is counted."""

    attempt: Attempt
    job: JobRef | None
    state: AttemptState
    failure: AttemptFailure | None = None


@dataclass(frozen=True)
class ProviderTiming:
    """How patient we are; from the settings."""

    callback_wait: Mapping[MediaType, timedelta]
    poll_interval: timedelta
    adoption_window: timedelta


class ProviderActivities:
    """Built in worker.py with the adapters by name."""

    def __init__(
        self,
        *,
        pool: Pool,
        providers: Mapping[str, Provider],
        fetcher: Fetcher,
        assets: ObjectStore,
        callback_url: Callable[[Attempt], str],
        timing: ProviderTiming,
    ) -> None:
        self._pool = pool
        self._providers = providers
        self._outputs = OutputKeeper(fetcher, assets)
        self._callback_url = callback_url
        self._timing = timing

    @activity.defn
    async def submit_job(self, attempt: Attempt) -> Submitted:
        """Ask one provider to start, once. The intent is written before the request and the job id after it, so a
        repeat after a crash finds either the job or an intent without an end, and then does not ask again.

        Repeated by Temporal only after a refusal that certainly left no job behind.
        """
        with named_failures(), heartbeating():
            return await self._submit(attempt)

    @activity.defn
    async def adopt_job(self, lost: AdoptJob) -> Submitted:
        """Look for the job that an ambiguous submit may have left: in our own journal, named by a callback, or listed
        by the provider.

        Repeated by Temporal until it is found or the window closes; then the attempt is written off as discarded,
        with its expected cost.
        """
        with named_failures():
            return await self._adopt(lost.attempt, lost.job_id)

    @activity.defn
    async def collect_job(self, collect: CollectJob) -> Collected:
        """Look at the job; once it has succeeded, stream its outputs into our store in the same step, because the
        provider deletes them within the hour. Keys are fixed by attempt and index, so a repeat stores nothing twice.

        A job that still runs is looked at again by the server's retry, after a pause that grows.
        """
        with named_failures(), heartbeating():
            return await self._collect(collect.attempt, collect.job, last=collect.last)

    @activity.defn
    async def abandon_attempt(self, abandon: AbandonAttempt) -> bool:
        """Tell the provider to stop, then close the attempt. True when the provider was told."""
        attempt = abandon.attempt
        told = False
        with named_failures():
            if abandon.job is not None:
                try:
                    told = await self._provider(attempt).cancel(abandon.job)
                except ProviderError as error:
                    if activity.info().attempt < 2:
                        raise again("provider_not_told", error.message, timedelta(milliseconds=500)) from error
            await self._close(attempt, abandon.state, abandon.failure)
        return told

    async def _submit(self, attempt: Attempt) -> Submitted:
        async with single(self._pool) as conn:
            begun = await attempts.begin(conn, _intent(attempt))
        if begun.state not in (BeginState.NEW, BeginState.RESUBMIT):
            return await self._begun_before(attempt, begun)
        try:
            job = await self._provider(attempt).submit(self._submission(attempt))
        except SubmitAmbiguous:
            return Submitted(SubmitState.AMBIGUOUS)
        except ProviderError as error:
            return await self._refused(attempt, error)
        if attempt.candidate.delivery is Delivery.SYNCHRONOUS and job.state is JobState.SUCCEEDED:
            return await self._answered_at_once(attempt, job)
        return await self._accepted(attempt, job.ref, adopted=False)

    async def _begun_before(self, attempt: Attempt, begun: Begun) -> Submitted:
        if begun.state is BeginState.ACCEPTED and begun.job is not None:
            return await self._accepted(attempt, begun.job, adopted=False)  # again, for the webhooks not yet rung
        if begun.state is BeginState.AMBIGUOUS:
            return Submitted(SubmitState.AMBIGUOUS)
        return await self._closed_before(attempt)

    async def _answered_at_once(self, attempt: Attempt, job: Job) -> Submitted:
        """Of a synchronous provider. Where the answer holds the outputs themselves, nobody else does: they are stored
        before anything is written down, and a store that does not answer is waited for. There is no job to be found
        again, so the attempt lends it its name: what the provider calls the call need not be unique."""
        ref = JobRef(attempt.attempt_id, {**job.ref.handle, "request_id": job.ref.job_id})
        if not any(output.inline for output in job.outputs):
            return await self._accepted(attempt, ref, adopted=False)
        outputs = job.outputs[: attempt.output_count]
        try:
            assets = await self._outputs.keep(outputs, _place(attempt), patience=timedelta(seconds=attempt.deadline_s))
        except ProviderInvalidOutput as error:
            failed = await self._failed(attempt, error)
            return Submitted(SubmitState.REFUSED, failure=failed.failure)
        done = Collected(assets, cost_microcredits=job.cost_microcredits, predict_time_s=job.predict_time_s)
        return await self._accepted(attempt, kept_job(ref, done), adopted=False)

    async def _refused(self, attempt: Attempt, error: ProviderError) -> Submitted:
        failure = failure_of(attempt.candidate.provider, error)
        pause = pause_before_resubmit(error, activity.info().attempt)
        async with single(self._pool) as conn:
            if pause is None:
                await attempts.close(conn, attempt.attempt_id, AttemptState.FAILED, failure=failure)
            else:
                await attempts.refused(conn, attempt.attempt_id, failure)
        if pause is not None:
            raise again(error.type, error.message, pause) from error
        return Submitted(SubmitState.REFUSED, failure=failure)

    async def _adopt(self, attempt: Attempt, job_id: str | None) -> Submitted:
        """The journal first: it may know the job, or that nothing was ever asked."""
        async with single(self._pool) as conn:
            begun = await attempts.begin(conn, _intent(attempt))
        if begun.state is BeginState.ACCEPTED and begun.job is not None:
            return await self._accepted(attempt, begun.job, adopted=False)
        if begun.state is BeginState.CLOSED:
            return await self._closed_before(attempt)
        if begun.state is not BeginState.AMBIGUOUS or begun.intended_at is None:
            return await self._written_off(attempt, AttemptState.FAILED, ProviderUnavailable("It was never asked."))
        for job in await self._found(attempt, job_id, begun.intended_at):
            with suppress(JobClaimed):  # by another attempt with the same input
                return await self._accepted(attempt, job, adopted=True)
        may_appear = attempt.candidate.delivery is not Delivery.SYNCHRONOUS
        if may_appear and datetime.now(UTC) < begun.intended_at + self._timing.adoption_window:
            raise again(JOB_NOT_FOUND_YET, "the provider does not list the job yet", self._timing.poll_interval)
        lost = SubmitAmbiguous("The answer to the submit was lost, and no job was found.")
        return await self._written_off(attempt, AttemptState.DISCARDED, lost)

    async def _written_off(self, attempt: Attempt, state: AttemptState, error: ProviderError) -> Submitted:
        failure = failure_of(attempt.candidate.provider, error)
        await self._close(attempt, state, failure)
        return Submitted(SubmitState.REFUSED, failure=failure)

    async def _closed_before(self, attempt: Attempt) -> Submitted:
        """What an earlier run of this step wrote; a refusal of the content must stay one."""
        async with single(self._pool) as conn:
            known = await attempts.get(conn, attempt.attempt_id)
        ended = failure_of(attempt.candidate.provider, ProviderUnavailable("The generation had already ended."))
        return Submitted(SubmitState.REFUSED, failure=known.failure if known and known.failure else ended)

    async def _accepted(self, attempt: Attempt, job: JobRef, *, adopted: bool) -> Submitted:
        async with single(self._pool) as conn:
            deliveries = await attempts.accepted(conn, attempt.attempt_id, job, adopted=adopted)
        by_callback = attempt.candidate.delivery is Delivery.CALLBACK
        wait = self._timing.callback_wait[attempt.media_type].total_seconds() if by_callback else 0.0
        return Submitted(
            SubmitState.ACCEPTED,
            job=JobRef(job.job_id) if is_kept(job) else job,
            deliveries=deliveries,
            callback_wait_s=wait,
            collected=what_was_kept(job),
        )

    async def _found(self, attempt: Attempt, job_id: str | None, submitted_at: datetime) -> list[JobRef]:
        provider = self._provider(attempt)
        if job_id is not None:
            return [provider.job_named(job_id, attempt.candidate.native_model)]
        try:
            async with asyncio.timeout(LISTING_TIME_MAX_S):
                return await provider.find(self._submission(attempt), submitted_at)
        except (ProviderError, TimeoutError):
            return []  # the listing did not answer; the window decides how long we go on

    async def _collect(self, attempt: Attempt, ref: JobRef, *, last: bool) -> Collected:
        provider = attempt.candidate.provider
        try:
            job = await self._provider(attempt).read(ref)
        except LOOK_FAILED as error:  # it says nothing about the job
            raise again(JOB_RUNNING, error.message, pause_after_failed_look(error, self._pause())) from error
        except ProviderError as error:
            return await self._failed(attempt, error)
        if job.state is JobState.CANCELED:
            return await self._failed(attempt, JobNotFound("The provider canceled the job."))
        if job.state is not JobState.SUCCEEDED:
            if last:
                raise ApplicationError(f"{provider} is still working on it", type=JOB_RUNNING, non_retryable=True)
            raise again(JOB_RUNNING, f"{provider} is still working on it", self._pause())
        try:
            kept = await self._outputs.keep(job.outputs[: attempt.output_count], _place(attempt))
        except ProviderInvalidOutput as error:
            return await self._failed(attempt, error)
        except AddressRefused:
            return await self._failed(attempt, ProviderInvalidOutput("The output's address must not be fetched."))
        return Collected(assets=kept, cost_microcredits=job.cost_microcredits, predict_time_s=job.predict_time_s)

    async def _failed(self, attempt: Attempt, error: ProviderError) -> Collected:
        failure = failure_of(attempt.candidate.provider, error)
        await self._close(attempt, AttemptState.FAILED, failure)
        return Collected(failure=failure)

    async def _close(self, attempt: Attempt, state: AttemptState, failure: AttemptFailure | None) -> None:
        async with single(self._pool) as conn:
            await attempts.close(conn, attempt.attempt_id, state, failure=failure)

    def _pause(self) -> timedelta:
        return poll_pause(self._timing.poll_interval, activity.info().attempt)

    def _provider(self, attempt: Attempt) -> Provider:
        return self._providers[attempt.candidate.provider]

    def _submission(self, attempt: Attempt) -> Submission:
        by_callback = attempt.candidate.delivery is Delivery.CALLBACK
        return Submission(
            attempt_id=attempt.attempt_id,
            native_model=attempt.candidate.native_model,
            native_input=attempt.candidate.native_input,
            callback_url=self._callback_url(attempt) if by_callback else None,
            deadline=timedelta(seconds=attempt.deadline_s),
            endpoint=attempt.candidate.endpoint,
        )


_KEPT = "collected"  # the member of a job's handle that says what was stored at once


def kept_job(ref: JobRef, collected: Collected) -> JobRef:
    """The reference under which the journal remembers a job whose outputs are already ours."""
    return JobRef(ref.job_id, {**ref.handle, _KEPT: _COLLECTED.dump_json(collected).decode()})


def is_kept(ref: JobRef) -> bool:
    return _KEPT in ref.handle


def what_was_kept(ref: JobRef) -> Collected | None:
    return _COLLECTED.validate_json(ref.handle[_KEPT]) if is_kept(ref) else None


_COLLECTED = TypeAdapter(Collected)


def _place(attempt: Attempt) -> Place:
    return Place(
        media_type=attempt.media_type,
        region=attempt.region,
        account_id=attempt.account_id,
        generation_id=attempt.generation_id,
        attempt_id=attempt.attempt_id,
    )


def _intent(attempt: Attempt) -> Intent:
    return Intent(
        attempt_id=attempt.attempt_id,
        generation_id=attempt.generation_id,
        account_id=attempt.account_id,
        number=attempt.number,
        provider=attempt.candidate.provider,
        native_model=attempt.candidate.native_model,
        cost_microcredits=attempt.candidate.cost_microcredits,
    )
