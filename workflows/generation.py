"""The life of one generation: admit, try providers until one delivers, keep, settle or release, announce."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    import asyncio

    from activities.failures import JOB_RUNNING
    from activities.provider import (
        AbandonAttempt,
        AdoptJob,
        Attempt,
        Collected,
        CollectJob,
        ProviderActivities,
        SubmitState,
        Submitted,
    )
    from activities.records import RecordActivities
    from activities.webhooks import WebhookActivities
    from domain import ending
    from domain.errors import (
        ControlPlaneError,
        GenerationNotCancelable,
        OutputPersistFailed,
        ProviderTimedOut,
        ProviderUnavailable,
        StorageUnavailable,
    )
    from domain.generation import (
        Admission,
        AttemptFailure,
        AttemptState,
        CallbackReceived,
        Cancellation,
        Candidate,
        Delivery,
        Finished,
        GenerationRequest,
        GenerationStatus,
        JobRef,
        Outcome,
        attempt_id,
    )
    from workflows import names, options


_T = TypeVar("_T")


@workflow.defn
class GenerationWorkflow:
    """Every way out settles or releases the hold, exactly once, together with the record of how it ended."""

    @workflow.init
    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._admission: Admission | None = None
        self._refusal: ApplicationError | None = None
        self._answered = False
        self._cancel_asked = False
        self._provider_told = False
        self._attempt_number = 0
        self._rung = False
        self._heard: set[str] = set()
        self._job_named: str | None = None
        self._failures: list[AttemptFailure] = []
        self._outcome: Outcome | None = None
        self._finished: Finished | None = None

    @workflow.run
    async def run(self, request: GenerationRequest) -> GenerationStatus | None:  # noqa: ARG002 - same as __init__
        life = asyncio.ensure_future(self._live())
        try:
            await asyncio.shield(life)
        except asyncio.CancelledError:  # an operator's cancel in the Temporal UI is a cancel like any other
            self._cancel_asked = True
        await life
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._outcome.status if self._outcome else None

    async def _live(self) -> None:
        if not await self._admitted():
            with suppress(TimeoutError):  # the refusal is the client's answer: stay until it has been given
                await workflow.wait_condition(lambda: self._answered, timeout=options.ANSWER_WAIT)
            return
        try:
            self._outcome = await self._generate()
        except FailureError:  # a step gave up that nobody foresaw: the hold and the customer must not wait for it
            self._outcome = ending.broken(self._request, self._failures)
        self._finished = await self._finish(self._outcome)
        await self._announce(self._finished.deliveries)

    # --- what the outside may say and ask -------------------------------------------------------------------------

    @workflow.update
    async def admit(self) -> Admission:
        """The answer to the client's request: admitted, or the refusal that ended it with nothing held."""
        await workflow.wait_condition(lambda: self._admission is not None or self._refusal is not None)
        self._answered = True
        if self._refusal is not None:
            raise ApplicationError(
                self._refusal.message,
                *self._refusal.details,
                type=self._refusal.type,
                next_retry_delay=self._refusal.next_retry_delay,  # for the client: when to come back
            )
        assert self._admission is not None
        return self._admission

    @workflow.update
    async def cancel(self) -> Cancellation:
        """Stop, if nothing has been delivered yet. The race with a completion is decided here and nowhere else."""
        self._cancel_asked = True
        await workflow.wait_condition(lambda: self._finished is not None or self._refusal is not None)
        if self._finished is None or self._finished.status is not GenerationStatus.CANCELED:
            raise _not_cancelable()
        return Cancellation(
            generation_id=self._request.generation_id,
            provider_cancel_sent=self._provider_told,
            credits_refunded=self._finished.credits_released,
        )

    @cancel.validator
    def _may_cancel(self) -> None:
        if self._outcome is not None or self._refusal is not None:
            raise _not_cancelable()

    @workflow.signal
    def provider_callback(self, callback: CallbackReceived) -> None:
        """A doorbell: it only ends a wait early. Late and repeated rings change nothing."""
        if callback.attempt_number != self._attempt_number or callback.event_id in self._heard:
            return
        self._heard.add(callback.event_id)
        self._job_named = callback.job_id
        self._rung = True

    @workflow.query
    def progress(self) -> dict[str, object]:
        """Where it is now, for operators: no prompt, no output."""
        return {
            "attempt": self._attempt_number,
            "provider": self._request.candidates[self._attempt_number - 1].provider if self._attempt_number else None,
            "cancel_asked": self._cancel_asked,
            "failures": [f"{failure.provider}: {failure.type}" for failure in self._failures],
            "status": self._outcome.status.value if self._outcome else None,
        }

    # --- the walk -------------------------------------------------------------------------------------------------

    async def _generate(self) -> Outcome:
        request = self._request
        for number, candidate in enumerate(request.candidates, start=1):
            if self._cancel_asked:
                break
            collected = await self._attempt(number, candidate)
            if collected.assets:
                return ending.succeeded(
                    request,
                    attempt_number=number,
                    provider=candidate.provider,
                    assets=collected.assets,
                    failures=self._failures,
                    cost_microcredits=collected.cost_microcredits,
                    predict_time_s=collected.predict_time_s,
                )
            if collected.failure is not None:
                self._failures.append(collected.failure)
                if ending.is_final(request, self._failures):
                    break
        if self._cancel_asked:
            return ending.canceled(request, self._failures)
        return ending.failed(request, self._failures)

    async def _attempt(self, number: int, candidate: Candidate) -> Collected:
        """Submit to one candidate and wait for what it makes. Empty when the customer canceled."""
        attempt = self._begin(number, candidate)
        try:
            submitted = await self._submit(attempt)
        except _Interrupted:  # nobody knows whether a provider that is not listened to goes on
            await self._abandon(attempt, None, AttemptState.DISCARDED)
            return Collected()
        if submitted.state is SubmitState.AMBIGUOUS:
            submitted = await self._adopt(attempt)
        if submitted.job is None:
            return Collected(failure=submitted.failure)
        await self._announce(submitted.deliveries)
        if submitted.collected is not None:
            return submitted.collected
        collected = await self._await_job(attempt, submitted.job, timedelta(seconds=submitted.callback_wait_s))
        if collected is not None:
            return collected
        self._provider_told = await self._abandon(attempt, submitted.job, AttemptState.CANCELED)
        return Collected()

    async def _await_job(self, attempt: Attempt, job: JobRef, callback_wait: timedelta) -> Collected | None:
        """Wait for the callback, then look until the job has ended. None when the customer canceled first."""
        ends_at = workflow.now() + timedelta(seconds=attempt.deadline_s)
        await self._doorbell(callback_wait)
        while not self._cancel_asked:
            self._rung = False
            look = self._collect(attempt, job, ends_at - workflow.now())
            try:
                return await self._unless(look, lambda: self._rung or self._cancel_asked)
            except _Interrupted:
                continue
            except ActivityError:
                return await self._last_look(attempt, job)
        return None

    async def _last_look(self, attempt: Attempt, job: JobRef) -> Collected | None:
        """The deadline passed. An outage of ours may have used it up, so a job that has ended by now still counts."""
        look = self._collect(attempt, job, options.LAST_LOOK, last=True)
        try:
            return await self._unless(look, lambda: self._cancel_asked)
        except _Interrupted:
            return None
        except ActivityError as ended:
            return await self._gave_up(attempt, job, ended)

    async def _gave_up(self, attempt: Attempt, job: JobRef, ended: ActivityError) -> Collected:
        """The deadline passed: the job never ended, or what it made could not be stored."""
        failure = ending.failure_of(attempt.candidate.provider, _why(ended))
        await self._abandon(attempt, job, AttemptState.FAILED, failure)
        return Collected(failure=failure)

    async def _adopt(self, attempt: Attempt) -> Submitted:
        """Find the job behind an ambiguous submit: our journal, the provider's listing, or a callback that names it."""
        failure = None
        try:
            if self._job_named is None:
                search = self._search(AdoptJob(attempt))
                with suppress(_Interrupted):
                    return await self._unless(search, lambda: self._job_named is not None or self._cancel_asked)
            if self._job_named is not None:
                return await self._search(AdoptJob(attempt, job_id=self._job_named))
        except ActivityError as ended:
            failure = ending.failure_of(attempt.candidate.provider, _why(ended))
        await self._abandon(attempt, None, AttemptState.DISCARDED, failure)
        return Submitted(SubmitState.REFUSED, failure=failure)

    async def _unless(self, step: workflow.ActivityHandle[_T], interrupted: Callable[[], bool]) -> _T:
        """The step's result, even if it came while the step was being interrupted; else raises _Interrupted."""
        await workflow.wait_condition(lambda: step.done() or interrupted())
        if step.done():
            return await step
        step.cancel()
        try:
            return await step
        except (ActivityError, asyncio.CancelledError) as ended:
            raise _Interrupted from ended

    def _begin(self, number: int, candidate: Candidate) -> Attempt:
        self._attempt_number = number
        self._rung = False
        self._job_named = None
        request = self._request
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
            candidate=candidate,
        )

    async def _doorbell(self, wait: timedelta) -> None:
        if wait and not self._rung:
            with suppress(TimeoutError):  # the callback is late or lost: polling begins
                await workflow.wait_condition(lambda: self._rung or self._cancel_asked, timeout=wait)

    # --- the steps ------------------------------------------------------------------------------------------------

    async def _admitted(self) -> bool:
        try:
            self._admission = await workflow.execute_local_activity_method(
                RecordActivities.admit_generation, self._request, **options.RECORD
            )
        except FailureError as refused:  # a local step's failure comes bare, or wrapped like an activity's
            refusal = refused.cause if isinstance(refused, ActivityError) else refused
            if not isinstance(refusal, ApplicationError):
                raise
            self._refusal = refusal
        return self._admission is not None

    async def _submit(self, attempt: Attempt) -> Submitted:
        """Raises _Interrupted when the customer cancels while a synchronous provider works; other submits are short."""
        try:
            if attempt.candidate.delivery is Delivery.SYNCHRONOUS:
                return await self._unless(self._submit_and_listen(attempt), lambda: self._cancel_asked)
            return await workflow.execute_activity_method(
                ProviderActivities.submit_job, attempt, task_queue=_queue(attempt), **options.SUBMIT
            )
        except ActivityError:  # five minutes of our own trouble: what the provider has is unknown
            return Submitted(SubmitState.AMBIGUOUS)

    def _submit_and_listen(self, attempt: Attempt) -> workflow.ActivityHandle[Submitted]:
        within = timedelta(seconds=attempt.deadline_s) + options.KEEPING
        return workflow.start_activity_method(
            ProviderActivities.submit_job,
            attempt,
            task_queue=_queue(attempt),
            start_to_close_timeout=within,
            schedule_to_close_timeout=within,
            **options.SUBMIT_SYNCHRONOUS,
        )

    def _search(self, lost: AdoptJob) -> workflow.ActivityHandle[Submitted]:
        return workflow.start_activity_method(
            ProviderActivities.adopt_job, lost, task_queue=_queue(lost.attempt), **options.ADOPT
        )

    def _collect(
        self, attempt: Attempt, job: JobRef, within: timedelta, *, last: bool = False
    ) -> workflow.ActivityHandle[Collected]:
        return workflow.start_activity_method(
            ProviderActivities.collect_job,
            CollectJob(attempt, job, last),
            task_queue=_queue(attempt),
            schedule_to_close_timeout=max(within, timedelta(seconds=1)),
            **options.COLLECT,
        )

    async def _abandon(
        self, attempt: Attempt, job: JobRef | None, state: AttemptState, failure: AttemptFailure | None = None
    ) -> bool:
        try:
            return await workflow.execute_activity_method(
                ProviderActivities.abandon_attempt,
                AbandonAttempt(attempt, job, state, failure),
                task_queue=_queue(attempt),
                **options.CANCEL,
            )
        except ActivityError:
            return False

    async def _finish(self, outcome: Outcome) -> Finished:
        workflow.upsert_search_attributes(
            [
                names.GENERATION_STATUS.value_set(outcome.status.value),
                *([names.PROVIDER_USED.value_set(outcome.provider_used)] if outcome.provider_used else []),
            ]
        )
        return await workflow.execute_local_activity_method(
            RecordActivities.finish_generation, outcome, **options.RECORD
        )

    async def _announce(self, deliveries: list[str]) -> None:
        if deliveries:
            await workflow.execute_local_activity_method(
                WebhookActivities.ring_deliveries, deliveries, **options.RECORD
            )


class _Interrupted(Exception):
    """A wait was ended early, on purpose."""


def _queue(attempt: Attempt) -> str:
    return names.provider_queue(attempt.candidate.provider)


def _not_cancelable() -> ApplicationError:
    return ApplicationError("The generation has already ended.", type=GenerationNotCancelable.type)


def _why(ended: BaseException) -> ControlPlaneError:
    """The last thing that the looks said before the deadline ended them."""
    cause: BaseException | None = ended
    while cause is not None:
        if isinstance(cause, ApplicationError):
            if cause.type == StorageUnavailable.type:
                return OutputPersistFailed("The output could not be stored.")
            if cause.type == JOB_RUNNING:
                break
            return ProviderUnavailable("The job could not be collected.")
        cause = cause.__cause__
    return ProviderTimedOut("The job did not end within its deadline.")
