"""Activities with scripted answers, under the real names; they write down what was asked of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.billing import Processed
from activities.failures import JOB_RUNNING
from activities.heartbeat import heartbeating
from activities.ledger_verification import LedgerVerified
from activities.provider import AbandonAttempt, AdoptJob, Attempt, Collected, CollectJob, SubmitState, Submitted
from activities.reconciliation import SweptPage
from activities.retention import SweepAccounts, Swept
from activities.stripe_books import Compared
from domain.ending import failure_of
from domain.errors import ControlPlaneError
from domain.generation import Admission, Asset, Finished, GenerationRequest, GenerationStatus, JobRef, Outcome

AN_ASSET = Asset(key="us/a/g/1/0.png", content_type="image/png", size_bytes=10, sha256="00" * 32)


def accepted(job_id: str = "job-1", *, callback_wait_s: float = 30.0, deliveries: list[str] | None = None) -> Submitted:
    return Submitted(
        SubmitState.ACCEPTED, job=JobRef(job_id), deliveries=deliveries or [], callback_wait_s=callback_wait_s
    )


def answered_at_once() -> Submitted:
    """A synchronous provider's answer: the job has ended and its outputs are stored."""
    return Submitted(SubmitState.ACCEPTED, job=JobRef("job-1"), collected=delivered())


def refused(provider: str, error: ControlPlaneError) -> Submitted:
    return Submitted(SubmitState.REFUSED, failure=failure_of(provider, error))


def ambiguous() -> Submitted:
    return Submitted(SubmitState.AMBIGUOUS)


def delivered(count: int = 1) -> Collected:
    return Collected(assets=[AN_ASSET] * count, predict_time_s=1.5)


def job_failed(provider: str, error: ControlPlaneError) -> Collected:
    return Collected(failure=failure_of(provider, error))


Answer = Any  # a value, an exception to raise, or a function of the input


@dataclass
class ScriptedSteps:
    """Answers per step are taken in order; the last one repeats."""

    admit: list[Answer] = field(default_factory=list)
    submit: list[Answer] = field(default_factory=lambda: [accepted()])
    adopt: list[Answer] = field(default_factory=list)
    collect: list[Answer] = field(default_factory=lambda: [delivered()])
    abandon: list[Answer] = field(default_factory=lambda: [True])
    finish: list[Answer] = field(default_factory=list)
    asked: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    arrived: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def _answer(self, step: str, script: list[Answer], asked: Any, default: Callable[[Any], Any]) -> Any:
        self.asked[step].append(asked)
        self.arrived[step].set()
        if not script:
            return default(asked)
        answer = script.pop(0) if len(script) > 1 else script[0]
        if callable(answer):
            answer = answer(asked)
            if asyncio.iscoroutine(answer):
                answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @activity.defn
    async def admit_generation(self, request: GenerationRequest) -> Admission:
        def admitted(asked: GenerationRequest) -> Admission:
            return Admission(asked.generation_id, asked.model, asked.provider_order, "prediction-1")

        result: Admission = await self._answer("admit", self.admit, request, admitted)
        return result

    @activity.defn
    async def submit_job(self, attempt: Attempt) -> Submitted:
        result: Submitted = await self._answer("submit", self.submit, attempt, lambda _: accepted())
        return result

    @activity.defn
    async def adopt_job(self, lost: AdoptJob) -> Submitted:
        result: Submitted = await self._answer("adopt", self.adopt, lost, lambda asked: accepted(asked.job_id))
        return result

    @activity.defn
    async def collect_job(self, collect: CollectJob) -> Collected:
        result: Collected = await self._answer("collect", self.collect, collect, lambda _: delivered())
        return result

    @activity.defn
    async def abandon_attempt(self, abandon: AbandonAttempt) -> bool:
        result: bool = await self._answer("abandon", self.abandon, abandon, lambda _: True)
        return result

    @activity.defn
    async def finish_generation(self, outcome: Outcome) -> Finished:
        def finished(asked: Outcome) -> Finished:
            return Finished(asked.status, [], credits_released=asked.status is not GenerationStatus.SUCCEEDED)

        result: Finished = await self._answer("finish", self.finish, outcome, finished)
        return result

    @activity.defn
    async def ring_deliveries(self, delivery_ids: list[str]) -> None:
        self.asked["ring"].append(delivery_ids)

    def all(self) -> list[Callable[..., Any]]:
        return [
            self.admit_generation,
            self.submit_job,
            self.adopt_job,
            self.collect_job,
            self.abandon_attempt,
            self.finish_generation,
            self.ring_deliveries,
        ]


async def never_answered(_: object) -> None:
    """A submit whose line is held for ever; it hears of its cancellation as the real one does."""
    with heartbeating():
        await asyncio.Event().wait()


def still_running() -> ApplicationError:
    from datetime import timedelta

    from activities.failures import JOB_RUNNING, again

    return again(JOB_RUNNING, "still working", timedelta(seconds=5))


def gave_up() -> ApplicationError:
    """The answer to the last look at a job that still runs."""
    return ApplicationError("still working", type=JOB_RUNNING, non_retryable=True)


class ScriptedDelivery:
    """The webhook step with scripted answers."""

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.attempts = 0

    @staticmethod
    def refused() -> ApplicationError:
        from datetime import timedelta

        from activities.failures import WEBHOOK_NOT_DELIVERED, again

        return again(WEBHOOK_NOT_DELIVERED, "the endpoint answered 500", timedelta(milliseconds=200))

    @activity.defn
    async def deliver_webhook(self, delivery_id: str) -> str:
        answer = self.script[min(self.attempts, len(self.script) - 1)]
        self.attempts += 1
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)


@dataclass
class ScriptedDrain:
    """A queue, and how the delivery of each in it ends."""

    endings: dict[str, str]
    done: list[tuple[str, str]] = field(default_factory=list)

    @activity.defn
    async def take_queued(self, endpoint_id: str) -> str | None:
        self.done.append(("take", endpoint_id))
        return next(iter(self.endings), None)

    @activity.defn
    async def deliver_webhook(self, delivery_id: str) -> str:
        self.done.append(("deliver", delivery_id))
        return self.endings.pop(delivery_id)

    def all(self) -> list[Callable[..., Any]]:
        return [self.take_queued, self.deliver_webhook]


@dataclass
class ScriptedReconciliation:
    """The steps of a sweep with scripted pages, and what was asked of them in order."""

    generations: list[SweptPage] = field(default_factory=lambda: [SweptPage(0)])
    deliveries: list[SweptPage] = field(default_factory=lambda: [SweptPage(0)])
    purges: list[bool] = field(default_factory=lambda: [False])
    holds: list[SweptPage] = field(default_factory=lambda: [SweptPage(0)])
    runways: list[SweptPage] = field(default_factory=lambda: [SweptPage(0)])
    asked: list[tuple[str, Any]] = field(default_factory=list)

    @activity.defn
    async def end_lost_generations(self, after: str | None) -> SweptPage:
        self.asked.append(("generations", after))
        return self.generations.pop(0)

    @activity.defn
    async def find_lost_deliveries(self, after: str | None) -> SweptPage:
        self.asked.append(("deliveries", after))
        return self.deliveries.pop(0)

    @activity.defn
    async def ring_deliveries(self, delivery_ids: list[str]) -> None:
        self.asked.append(("ring", delivery_ids))

    @activity.defn
    async def purge_idempotency_keys(self) -> bool:
        self.asked.append(("purge", None))
        return self.purges.pop(0)

    @activity.defn
    async def end_overdue_holds(self, after: str | None) -> SweptPage:
        self.asked.append(("holds", after))
        return self.holds.pop(0)

    @activity.defn
    async def watch_runways(self, after: str | None) -> SweptPage:
        self.asked.append(("runways", after))
        return self.runways.pop(0)

    def all(self) -> list[Callable[..., Any]]:
        return [
            self.end_lost_generations,
            self.find_lost_deliveries,
            self.ring_deliveries,
            self.purge_idempotency_keys,
            self.end_overdue_holds,
            self.watch_runways,
        ]


@dataclass
class ScriptedVerification:
    """One verification with a scripted answer."""

    answer: LedgerVerified

    @activity.defn
    async def verify_ledger(self) -> LedgerVerified:
        return self.answer

    def all(self) -> list[Callable[..., Any]]:
        return [self.verify_ledger]


@dataclass
class ScriptedBilling:
    """The steps of payments with scripted answers, and what was asked of them in order."""

    processed: list[Processed] = field(default_factory=lambda: [Processed("applied")])
    asked: list[str] = field(default_factory=list)

    @activity.defn
    async def process_event(self, event_id: str) -> Processed:
        self.asked.append(event_id)
        return self.processed.pop(0)

    @activity.defn
    async def find_missed_events(self) -> int:
        self.asked.append("missed")
        return 2

    @activity.defn
    async def charge_top_ups(self) -> int:
        self.asked.append("top-ups")
        return 1

    @activity.defn
    async def compare_books(self) -> Compared:
        return Compared(1, 3)

    def all(self) -> list[Callable[..., Any]]:
        return [self.process_event, self.find_missed_events, self.charge_top_ups, self.compare_books]


@dataclass
class ScriptedRetention:
    """The steps of a retention sweep with scripted answers, and what was asked of them in order."""

    steps: list[Swept] = field(default_factory=lambda: [Swept()])
    asked: list[SweepAccounts] = field(default_factory=list)
    writers_forgotten: int = 0
    copies: list[str | None] = field(default_factory=lambda: [None])
    copies_after: list[str | None] = field(default_factory=list)
    expiries: list[str | None] = field(default_factory=lambda: [None])
    expiries_after: list[str | None] = field(default_factory=list)

    @activity.defn
    async def sweep_accounts(self, sweep: SweepAccounts) -> Swept:
        self.asked.append(sweep)
        return self.steps.pop(0)

    @activity.defn
    async def forget_request_writers(self) -> None:
        self.writers_forgotten += 1

    @activity.defn
    async def remove_input_files(self, after: str | None) -> str | None:
        self.copies_after.append(after)
        return self.copies.pop(0)

    @activity.defn
    async def expire_credits(self, after: str | None) -> str | None:
        self.expiries_after.append(after)
        return self.expiries.pop(0)

    def all(self) -> list[Callable[..., Any]]:
        return [self.sweep_accounts, self.forget_request_writers, self.remove_input_files, self.expire_credits]
