"""What the worker, the API and the command line build alike from the settings, and what several of them start."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from adapters.counters import InProcessCounters
from adapters.engine import connect
from adapters.guarded_http import GuardedFetcher
from adapters.input_files import FileReader
from adapters.local_store import LocalStore
from adapters.providers import registry
from adapters.stripe_late import LateStripe
from adapters.stripe_webhooks import StripeWebhooks
from domain.addresses import AddressRules
from domain.assets import ObjectStore
from domain.billing import Payments, WebhookVerifier
from domain.generation import MediaType
from domain.limits import Counters
from domain.provider import Provider, Tools
from domain.sealing import Keys
from settings import Settings
from workflows import names
from workflows.billing import StripeEventWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow
from workflows.webhook_drain import Drain, WebhookDrainWorkflow


def keys(settings: Settings) -> Keys:
    return Keys.derived_from(settings.secret_key.get_secret_value())


def deadlines(settings: Settings) -> dict[MediaType, int]:
    return {MediaType.IMAGE: settings.image_deadline_s, MediaType.VIDEO: settings.video_deadline_s}


def providers(settings: Settings) -> dict[str, Provider]:
    """The providers that have a key. The others are unavailable and are never routed to."""
    read_file = FileReader(GuardedFetcher(addresses(settings)))
    return registry.available(
        settings.providers, Tools(timeout=timedelta(seconds=settings.submit_timeout_s), read_file=read_file)
    )


def object_store(settings: Settings, *, file_urls_key: bytes) -> ObjectStore:
    """The bucket when one is set, else the folder. Raises ValueError when neither is."""
    if settings.storage_bucket:
        from adapters.s3_store import S3Store  # its client takes a while to load, and most deployments do without

        return S3Store(
            settings.storage_bucket,
            endpoint=settings.storage_endpoint,
            access_key=settings.storage_access_key,
            secret_key=settings.storage_secret_key.get_secret_value() if settings.storage_secret_key else None,
            region=settings.storage_region,
        )
    if settings.storage_path is None:
        raise ValueError("Set BABYSEA_STORAGE_BUCKET or BABYSEA_STORAGE_PATH: artifacts need a home.")
    return LocalStore(settings.storage_path, settings.public_url, file_urls_key)


def counters(settings: Settings) -> Counters:
    """Shared ones when their server is named. Without it each API process counts for itself."""
    if settings.counters_url is None:
        return InProcessCounters()
    from adapters.shared_counters import SharedCounters

    return SharedCounters(settings.counters_url.get_secret_value())


def addresses(settings: Settings) -> AddressRules:
    """What may be fetched that comes from providers and customers."""
    return AddressRules(frozenset(host.strip() for host in settings.private_hosts.split(",") if host.strip()))


async def engine(settings: Settings, *, lazy: bool = False, metrics_port: int | None = None) -> Client:
    """The Temporal client. Raises RuntimeError when the engine does not answer and `lazy` is off."""
    return await connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None,
        payload_key=settings.temporal_payload_key.get_secret_value() if settings.temporal_payload_key else None,
        metrics_port=metrics_port,
        lazy=lazy,
    )


def payments(settings: Settings) -> Payments | None:
    """The payment service, where there is a key for it."""
    if settings.stripe_key is None:
        return None
    return LateStripe(settings.stripe_key.get_secret_value(), base_url=settings.stripe_base_url)


def stripe_webhooks(settings: Settings) -> WebhookVerifier | None:
    """What verifies its events, where there is a key and a secret to do it with."""
    given = settings.stripe_webhook_secrets.get_secret_value() if settings.stripe_webhook_secrets else ""
    secrets = [secret.strip() for secret in given.split(",") if secret.strip()]
    return StripeWebhooks(secrets) if settings.stripe_key and secrets else None


async def start_stripe_event(client: Client, event_id: str, *, retry: bool = False) -> None:
    """Start what applies an event of Stripe, or leave it to the execution that runs; `retry` wakes one that waits.
    Raises RPCError."""
    await client.start_workflow(
        StripeEventWorkflow.run,
        event_id,
        id=names.stripe_event_workflow_id(event_id),
        task_queue=names.BILLING_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="retry" if retry else None,
    )


async def start_delivery(client: Client, delivery_id: str) -> None:
    """Start the sending of one delivery; starting it twice starts it once. Raises RPCError."""
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            WebhookDeliveryWorkflow.run,
            delivery_id,
            id=names.delivery_workflow_id(delivery_id),
            task_queue=names.WEBHOOKS_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )


async def start_drain(client: Client, endpoint_id: str) -> None:
    """Start the drain of an endpoint's queue, or join the one that is running. Raises RPCError."""
    await client.start_workflow(
        WebhookDrainWorkflow.run,
        Drain(endpoint_id),
        id=names.drain_workflow_id(endpoint_id),
        task_queue=names.WEBHOOKS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
