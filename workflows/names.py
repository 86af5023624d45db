"""Names that Temporal stores: task queues, workflow ids, search attributes."""

from __future__ import annotations

from temporalio.common import SearchAttributeKey

GENERATIONS_QUEUE = "generations"  # workflows and their database steps
WEBHOOKS_QUEUE = "webhooks"  # a slow customer endpoint delays other customers' webhooks, never a generation
BILLING_QUEUE = "billing"  # payments: what is slow at Stripe delays no generation

ACCOUNT_ID = SearchAttributeKey.for_keyword("AccountId")
MODEL = SearchAttributeKey.for_keyword("Model")
MEDIA_TYPE = SearchAttributeKey.for_keyword("MediaType")
REGION = SearchAttributeKey.for_keyword("Region")
GENERATION_STATUS = SearchAttributeKey.for_keyword("GenerationStatus")
PROVIDER_USED = SearchAttributeKey.for_keyword("ProviderUsed")
SEARCH_ATTRIBUTES = (ACCOUNT_ID, MODEL, MEDIA_TYPE, REGION, GENERATION_STATUS, PROVIDER_USED)

RECONCILIATION_ID = "reconciliation"  # of the schedule; its workflows' ids begin with it
RETENTION_ID = "retention"  # likewise
LEDGER_VERIFICATION_ID = "ledger-verification"  # likewise
BILLING_ID = "billing"  # likewise
STRIPE_BOOKS_ID = "stripe-books"  # likewise
ADMIT_UPDATE_ID = "admit"  # one per workflow, so that a repeated start joins the first admission


def provider_queue(provider: str) -> str:
    """One queue per provider: a bulkhead, and the place where its rate limit is kept."""
    return f"provider/{provider}"


def delivery_workflow_id(delivery_id: str) -> str:
    return f"webhook/{delivery_id}"


def stripe_event_workflow_id(event_id: str) -> str:
    return f"stripe-event/{event_id}"


def drain_workflow_id(endpoint_id: str) -> str:
    """One per endpoint: two drains of one queue would send everything twice."""
    return f"webhook-drain/{endpoint_id}"
