"""The events a customer can be told of, and the exact text of the telling."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from domain.errors import InvalidInput
from domain.problems import clip


class WebhookEvent(StrEnum):
    GENERATION_STARTED = "generation.started"
    GENERATION_COMPLETED = "generation.completed"
    GENERATION_FAILED = "generation.failed"
    GENERATION_CANCELED = "generation.canceled"
    CREDITS_LOW_BALANCE = "credits.low_balance"
    CREDITS_SPENDING_LIMIT = "credits.spending_limit"  # a soft limit was passed; ours, beside the contract's
    CREDITS_LOW_RUNWAY = "credits.low_runway"  # empty soon at the last hour's rate; likewise
    TEST = "webhook.test"  # sent by hand; not subscribable


TEST_GENERATION_ID = "00000000-0000-0000-0000-000000000000"  # as everywhere: no generation has it
TEST_MODEL = "bfl/flux-schnell"

SUBSCRIBABLE = tuple(event for event in WebhookEvent if event is not WebhookEvent.TEST)
SUBSCRIBED_BY_DEFAULT = tuple(event for event in SUBSCRIBABLE if not event.startswith("credits."))


def subscription(names: Sequence[str]) -> list[str]:
    """The events of an endpoint, each once. Raises InvalidInput for none, and for what cannot be subscribed to."""
    for name in names:
        if name not in SUBSCRIBABLE:
            known = [event.value for event in SUBSCRIBABLE]
            raise InvalidInput(
                f"{clip(name)} is no event to subscribe to; known are {', '.join(known)}.",
                details={"field": "events", "allowed": known},
            )
    if not names:
        raise InvalidInput("An endpoint needs at least one event.", details={"field": "events"})
    return list(dict.fromkeys(names))


def event_body(event: WebhookEvent | str, delivery_id: str, at: datetime, data: Mapping[str, Any]) -> str:
    """Compact JSON, fields in this order; what is None does not apply and is left out.

    The text is signed and sent as it is, so it is built once per delivery. The database builds the bodies of the
    generation events in the transaction that causes them, in the same form.
    """
    envelope = {
        "webhook_event": str(event),
        "webhook_timestamp": timestamp(at),
        "webhook_delivery_id": delivery_id,
        "webhook_data": {name: value for name, value in data.items() if value is not None},
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


def webhook_test_body(account_id: str, delivery_id: str, at: datetime) -> str:
    """What a test says: the fields that every generation event has."""
    data = {
        "account_id": account_id,
        "model_identifier": TEST_MODEL,
        "generation_status": "succeeded",
        "generation_id": TEST_GENERATION_ID,
    }
    return event_body(WebhookEvent.TEST, delivery_id, at, data)


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, the rest cut off: 2026-06-02T08:17:11.020Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
