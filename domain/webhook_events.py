"""The events a customer can be told of, and the exact text of the telling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class WebhookEvent(StrEnum):
    GENERATION_STARTED = "generation.started"
    GENERATION_COMPLETED = "generation.completed"
    GENERATION_FAILED = "generation.failed"
    GENERATION_CANCELED = "generation.canceled"
    CREDITS_LOW_BALANCE = "credits.low_balance"
    TEST = "webhook.test"  # sent by hand; not subscribable


SUBSCRIBABLE = tuple(event for event in WebhookEvent if event is not WebhookEvent.TEST)
SUBSCRIBED_BY_DEFAULT = tuple(event for event in SUBSCRIBABLE if event is not WebhookEvent.CREDITS_LOW_BALANCE)


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


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, the rest cut off: 2026-06-02T08:17:11.020Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
