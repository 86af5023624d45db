"""The worker: runs workflows and their steps. Composition root of everything that is not HTTP in."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import uvloop
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

import composition
from activities.billing import BillingActivities
from activities.input_files import InputFileActivities
from activities.ledger_verification import LedgerVerificationActivities
from activities.provider import Attempt, ProviderActivities, ProviderTiming
from activities.reconciliation import Execution, ReconciliationActivities
from activities.records import RecordActivities
from activities.retention import RetentionActivities
from activities.stripe_books import BooksActivities
from activities.webhooks import WebhookActivities, WebhookPoster
from adapters.guarded_http import GuardedFetcher
from adapters.webhook_http import WebhookSender
from catalog.packs import load_packs
from catalog.plans import load_plans
from domain import callback_token
from domain.assets import Fetcher, ObjectStore
from domain.billing import Payments
from domain.generation import MediaType, workflow_id
from domain.provider import Provider
from domain.sealing import Keys
from settings import Settings
from store.connection import Pool, open_pool
from store.webhooks import Overdue
from workflows import names, options
from workflows.billing import BillingWorkflow, StripeBooksWorkflow, StripeEventWorkflow
from workflows.generation import GenerationWorkflow
from workflows.ledger_verification import LedgerVerificationWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.retention import RetentionWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow
from workflows.webhook_drain import WebhookDrainWorkflow

log = logging.getLogger("babysea.worker")

SHUTDOWN_GRACE = timedelta(seconds=10)
SHUTDOWN_MAX = timedelta(seconds=15)
SWEEP_MAX = timedelta(hours=1)  # one that hangs must not keep the next ones from starting
ENGINE_TIMEOUT = timedelta(seconds=5)
HEARTBEAT_THROTTLE = timedelta(seconds=2)  # how soon a running step hears that it was canceled

_CLOSED = frozenset(
    {
        WorkflowExecutionStatus.COMPLETED,
        WorkflowExecutionStatus.FAILED,
        WorkflowExecutionStatus.CANCELED,
        WorkflowExecutionStatus.TERMINATED,
        WorkflowExecutionStatus.TIMED_OUT,
    }
)


@dataclass(frozen=True)
class Parts:
    """What the worker is made of; tests exchange single parts."""

    client: Client
    pool: Pool
    keys: Keys
    providers: dict[str, Provider]
    store: ObjectStore
    fetcher: Fetcher
    sender: WebhookPoster
    settings: Settings
    payments: Payments | None = None


def workers(parts: Parts, *, runner: WorkflowRunner | None = None) -> list[Worker]:
    """One worker per task queue: workflows with their records, webhooks, and one for each provider."""
    settings = parts.settings
    poller = PollerBehaviorAutoscaling(maximum=100)
    records = RecordActivities(
        pool=parts.pool, assets=parts.store, file_url_ttl=timedelta(seconds=settings.file_url_ttl_s)
    )
    webhooks = WebhookActivities(
        pool=parts.pool,
        sender=parts.sender,
        sealing_key=parts.keys.webhook_secrets,
        start_delivery=lambda delivery_id: composition.start_delivery(parts.client, delivery_id),
        timeout_s=settings.webhook_timeout_s,
    )
    reconciliation = ReconciliationActivities(
        pool=parts.pool,
        generation_execution=lambda generation_id: execution_of(parts.client, workflow_id(generation_id)),
        delivery_execution=lambda delivery: execution_of(parts.client, _sender_of(delivery)),
    )
    verification = LedgerVerificationActivities(
        pool=parts.pool, full_every=timedelta(hours=settings.ledger_full_verification_h)
    )
    copies = InputFileActivities(pool=parts.pool, assets=parts.store)
    retention = RetentionActivities(pool=parts.pool, assets=parts.store, plans=load_plans(settings.plans_file))
    provider_steps = ProviderActivities(
        pool=parts.pool,
        providers=parts.providers,
        fetcher=parts.fetcher,
        assets=parts.store,
        callback_url=lambda attempt: _callback_url(settings.public_url, parts.keys.callback_tokens, attempt),
        timing=ProviderTiming(
            callback_wait={
                MediaType.IMAGE: timedelta(seconds=settings.image_callback_grace_s),
                MediaType.VIDEO: timedelta(seconds=settings.video_callback_grace_s),
            },
            poll_interval=timedelta(seconds=settings.poll_interval_s),
            adoption_window=timedelta(seconds=settings.adoption_window_s),
        ),
    )
    return [
        Worker(
            parts.client,
            task_queue=names.GENERATIONS_QUEUE,
            workflows=[GenerationWorkflow, LedgerVerificationWorkflow, ReconciliationWorkflow, RetentionWorkflow],
            activities=[
                records.admit_generation,
                records.finish_generation,
                webhooks.ring_deliveries,
                reconciliation.end_lost_generations,
                reconciliation.find_lost_deliveries,
                reconciliation.purge_idempotency_keys,
                reconciliation.end_overdue_holds,
                reconciliation.watch_runways,
                reconciliation.report_overdue_holds,
                verification.verify_ledger,
                retention.sweep_accounts,
                retention.forget_request_writers,
                retention.expire_credits,
                copies.remove_input_files,
            ],
            # Determinism is checked by the sandboxed runner and by replaying recorded histories, in the tests.
            workflow_runner=runner or UnsandboxedWorkflowRunner(),
            workflow_task_poller_behavior=poller,
            activity_task_poller_behavior=poller,
            max_cached_workflows=2000,
            graceful_shutdown_timeout=SHUTDOWN_GRACE,
        ),
        Worker(
            parts.client,
            task_queue=names.WEBHOOKS_QUEUE,
            workflows=[WebhookDeliveryWorkflow, WebhookDrainWorkflow],
            activities=[webhooks.deliver_webhook, webhooks.take_queued],
            workflow_runner=runner or UnsandboxedWorkflowRunner(),
            graceful_shutdown_timeout=SHUTDOWN_GRACE,
        ),
        billing_worker(parts, runner=runner),
        *(
            Worker(
                parts.client,
                task_queue=names.provider_queue(name),
                activities=[
                    provider_steps.submit_job,
                    provider_steps.adopt_job,
                    provider_steps.collect_job,
                    provider_steps.abandon_attempt,
                ],
                activity_task_poller_behavior=poller,
                max_concurrent_activities=200,
                max_task_queue_activities_per_second=_rate(provider, settings.provider_rate_share),
                max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
                graceful_shutdown_timeout=SHUTDOWN_GRACE,
            )
            for name, provider in parts.providers.items()
        ),
    ]


def billing_worker(parts: Parts, *, runner: WorkflowRunner | None = None) -> Worker:
    """Payments. Without a key its steps find nothing to do."""
    settings = parts.settings
    offers = load_packs(load_plans(settings.plans_file), settings.packs_file)
    start_event = partial(composition.start_stripe_event, parts.client)
    billing = BillingActivities(
        pool=parts.pool,
        payments=parts.payments,
        offers=offers,
        livemode=settings.stripe_livemode,
        stripe_account=settings.stripe_account,
        start_event=start_event,
    )
    books = BooksActivities(
        pool=parts.pool,
        payments=parts.payments,
        offers=offers,
        livemode=settings.stripe_livemode,
        start_event=start_event,
    )
    return Worker(
        parts.client,
        task_queue=names.BILLING_QUEUE,
        workflows=[StripeEventWorkflow, BillingWorkflow, StripeBooksWorkflow],
        activities=[
            billing.process_event,
            billing.find_missed_events,
            billing.charge_top_ups,
            books.compare_books,
        ],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        graceful_shutdown_timeout=SHUTDOWN_GRACE,
    )


async def execution_of(client: Client, execution_id: str) -> Execution:
    """Of the latest run, so that what an operator has reset counts as running. Raises RPCError."""
    try:
        found = await client.get_workflow_handle(execution_id).describe(rpc_timeout=ENGINE_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return Execution.UNKNOWN
        raise
    return Execution.CLOSED if found.status in _CLOSED else Execution.RUNNING


async def schedule_reconciliation(client: Client) -> None:
    run = ReconciliationWorkflow.run
    await _schedule(client, names.RECONCILIATION_ID, run, every=options.RECONCILE_EVERY)


async def schedule_retention(client: Client) -> None:
    await _schedule(client, names.RETENTION_ID, RetentionWorkflow.run, every=options.RETAIN_EVERY)


async def schedule_ledger_verification(client: Client) -> None:
    run = LedgerVerificationWorkflow.run
    await _schedule(client, names.LEDGER_VERIFICATION_ID, run, every=options.VERIFY_EVERY)


async def schedule_billing(client: Client) -> None:
    """Missed events and top-ups, and the comparison of the books."""
    queue = names.BILLING_QUEUE
    await _schedule(client, names.BILLING_ID, BillingWorkflow.run, every=options.BILL_EVERY, queue=queue)
    books = StripeBooksWorkflow.run
    await _schedule(client, names.STRIPE_BOOKS_ID, books, every=options.COMPARE_BOOKS_EVERY, queue=queue)


async def _schedule(
    client: Client,
    schedule_id: str,
    run: Callable[..., Awaitable[Any]],
    *,
    every: timedelta,
    queue: str = names.GENERATIONS_QUEUE,
) -> None:
    """Create a schedule, once per namespace. Without it the worker still does all else, so it is only logged."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(run, args=[], id=schedule_id, task_queue=queue, execution_timeout=SWEEP_MAX),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=every),
    )
    try:
        await client.create_schedule(schedule_id, schedule, rpc_timeout=ENGINE_TIMEOUT)
    except ScheduleAlreadyRunningError:
        pass
    except RPCError:
        log.exception("%s_not_scheduled", schedule_id)


def _sender_of(delivery: Overdue) -> str:
    """The id of the execution that sends it."""
    if delivery.drained:
        return names.drain_workflow_id(delivery.endpoint_id)
    return names.delivery_workflow_id(delivery.delivery_id)


def _rate(provider: Provider, share: float) -> float | None:
    published = provider.limits.requests_per_second
    return None if published is None else published * share


def _callback_url(public_url: str, key: bytes, attempt: Attempt) -> str:
    token = callback_token.mint(key, attempt.region, attempt.candidate.provider, attempt.generation_id, attempt.number)
    return f"{public_url}/v1/callbacks/{attempt.candidate.provider}/{token}"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop`; then finish what is running, at most `SHUTDOWN_MAX` long."""
    async with AsyncExitStack() as stack:
        client = await composition.engine(settings, metrics_port=settings.metrics_port)
        pool = await open_pool(settings.database_url.get_secret_value(), size_max=settings.database_pool_max)
        stack.push_async_callback(pool.close)
        keys = composition.keys(settings)
        parts = Parts(
            client=client,
            pool=pool,
            keys=keys,
            providers=composition.providers(settings),
            store=composition.object_store(settings, file_urls_key=keys.file_urls),
            fetcher=GuardedFetcher(composition.addresses(settings)),
            sender=WebhookSender(allow_private=settings.webhook_private_addresses),
            settings=settings,
            payments=composition.payments(settings),
        )
        for worker in workers(parts):
            await stack.enter_async_context(worker)
        await schedule_reconciliation(client)
        await schedule_retention(client)
        if parts.payments is not None:
            await schedule_billing(client)
        await schedule_ledger_verification(client)
        log.info("worker_ready providers=%s", ",".join(parts.providers) or "none")
        await stop.wait()
        log.info("worker_stopping")
        # Whatever hangs then, a database that is down say, is as safe to kill as at any other moment.
        asyncio.get_running_loop().call_later(SHUTDOWN_MAX.total_seconds(), os._exit, 1)


async def _main() -> None:
    settings = Settings()  # type: ignore[call-arg]  # the required ones come from the environment
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would write every address, and those carry tokens
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


def main() -> None:
    uvloop.run(_main())  # a generation here is mostly HTTP and PostgreSQL: a tenth less CPU
    sys.stdout.flush()
    os._exit(0)  # a process that held a Temporal client may abort while the interpreter is torn down


if __name__ == "__main__":
    main()
