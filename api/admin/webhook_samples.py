"""Answers about webhooks as the reference shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from api.samples import ACCOUNT_ID, success
from domain.webhook_events import SUBSCRIBED_BY_DEFAULT, WebhookEvent, webhook_test_body

_ENDPOINT_ID = "7e1f0a42-5b3c-4d68-9a10-c2b8d4e6f135"
_DELIVERY_ID = "c7a0f1de-3a55-4c86-bb14-90cf3dd0a2e1"
_MOMENT = datetime(2026, 6, 2, 8, 15, 30, 412_000, tzinfo=UTC)
_AT = "2026-06-02T08:15:30.412Z"

_ENDPOINT: dict[str, Any] = {
    "endpoint_id": _ENDPOINT_ID,
    "account_id": ACCOUNT_ID,
    "url": "https://customer.example.com/hooks",
    "events": [event.value for event in SUBSCRIBED_BY_DEFAULT],
    "enabled": True,
    "consecutive_failures": 0,
    "disabled_at": None,
    "queued": 0,
    "created_at": _AT,
    "deleted_at": None,
}
_SECRET = {"secret": "whsec_..."}
ENDPOINT_BODY = {"url": "https://customer.example.com/hooks", "events": _ENDPOINT["events"]}
ENDPOINT_CHANGE = {"enabled": True}
CREATED = success("Webhook created", _ENDPOINT | _SECRET)
LISTED = success("Webhooks", {"webhooks": [_ENDPOINT]}, total=1, limit=50, offset=0)
READ = success("Webhook", _ENDPOINT)
UPDATED = success("Webhook updated", _ENDPOINT)
ROTATED = success("Webhook secret rotated", _ENDPOINT | _SECRET)
DELETED = success("Webhook deleted", _ENDPOINT | {"enabled": False, "deleted_at": _AT})
DRAINING = success("Drain started", {"endpoint_id": _ENDPOINT_ID, "queued": 3})

_PENDING: dict[str, Any] = {
    "delivery_id": _DELIVERY_ID,
    "endpoint_id": _ENDPOINT_ID,
    "account_id": ACCOUNT_ID,
    "generation_id": None,
    "event": WebhookEvent.TEST.value,
    "purpose": "test",
    "state": "pending",
    "replay_of": None,
    "payload": json.loads(webhook_test_body(ACCOUNT_ID, _DELIVERY_ID, _MOMENT)),
    "status_code": None,
    "error": None,
    "attempts": [],
    "created_at": _AT,
    "ended_at": None,
}
_ATTEMPT = {"number": 1, "status_code": 204, "error": None, "reply_head": "", "created_at": _AT}
_DELIVERED = _PENDING | {"state": "delivered", "status_code": 204, "attempts": [_ATTEMPT], "ended_at": _AT}
TESTING = success("Test delivery started", _PENDING)
REPLAYING = success("Replay started", _PENDING | {"purpose": "replay", "replay_of": _DELIVERY_ID})
DELIVERIES = success("Webhook deliveries", {"deliveries": [_DELIVERED]}, total=1, limit=50, offset=0)
DELIVERY = success("Webhook delivery", _DELIVERED)
