"""What the reference explains beside the routes: the way in, and webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from api import samples
from domain.signature import TOLERANCE_S, sign_webhook
from domain.webhook_events import WebhookEvent, event_body
from store.webhooks import FAILURES_MAX

# The contract's schedule, and the limits of one request; activities/webhooks.py keeps it.
RETRY_SCHEDULE = "0, 0.5, 1.5, 3 and 5 seconds"

VERIFY_SNIPPET = f'''\
import hashlib, hmac, time

def is_from_babysea(secret: str, header: str, raw_body: bytes) -> bool:
    """`secret` is the whole text, whsec_ included; `raw_body` the bytes as they came, before any parsing."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    sent_at = next((value for name, _, value in parts if name == "t"), "")
    if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > {TOLERANCE_S}:
        return False
    expected = hmac.new(secret.encode(), sent_at.encode() + b"." + raw_body, hashlib.sha256).hexdigest()
    return any(name == "v1" and hmac.compare_digest(value.encode(), expected.encode()) for name, _, value in parts)
'''

_DELIVERY_ID = "c7a0f1de-3a55-4c86-bb14-90cf3dd0a2e1"
_AT = datetime(2026, 6, 2, 8, 15, 29, 861_000, tzinfo=UTC)
_SECRET = "whsec_example"  # noqa: S105


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Rows:
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Guide:
    """One section. A text may hold paragraphs and `code`."""

    title: str
    parts: tuple[str | Code | Rows, ...]


def guides(base_url: str) -> Iterator[Guide]:
    yield Guide(
        "start",
        (
            f"Base URL: `{base_url}`",
            "A key belongs to an account and is shown once, when the operator of this deployment makes it. "
            "`generate_only`, `read_only` and `monitor_only` are narrower presets than `full_access`:",
            Code(
                "export BABYSEA_KEY=$(babysea keys create --account studio --preset full_access)\n"
                "babysea credits grant --account studio --amount 25"
            ),
            "Send it with every request as `Authorization: Bearer bye_...`. A generation is asked for with one request "
            "and answered at once; read it until its `generation_status` is `succeeded`, `failed` or `canceled`, or "
            "let a webhook tell.",
        ),
    )
    body = _completed()
    yield Guide(
        "webhooks",
        (
            "An account's endpoints are told of its generations: one POST for each event, whose body is JSON and never "
            "changes between attempts. Any 2xx is a receipt; answer first, work later. The operator adds an endpoint, "
            "whose secret is shown once:",
            Code("babysea webhooks add --account studio --url https://customer.example.com/hooks"),
            Rows(
                ("Event", "When", "In webhook_data, beside account, generation and model"),
                (
                    (WebhookEvent.GENERATION_STARTED, "a provider accepted a job", "`generation_provider_initialize`"),
                    (
                        WebhookEvent.GENERATION_COMPLETED,
                        "the files are kept and paid for",
                        "`generation_provider_used`, `generation_output_file`",
                    ),
                    (
                        WebhookEvent.GENERATION_FAILED,
                        "it ended without files; nothing is charged",
                        "`generation_error`, `generation_error_code`",
                    ),
                    (WebhookEvent.GENERATION_CANCELED, "it was canceled", "`credits_refunded`"),
                ),
            ),
            Rows(
                ("Header", "Meaning"),
                (
                    ("X-BabySea-Signature", "`t=<unix seconds>,v1=<hex HMAC-SHA256>`; see below"),
                    ("X-BabySea-Event", "the event's name"),
                    ("X-BabySea-Timestamp", "when it happened; the same in every attempt"),
                    ("X-BabySea-Delivery-Id", "the same in every attempt: drop what you have seen"),
                ),
            ),
            Code(
                "POST /hooks HTTP/1.1\nContent-Type: application/json\n"
                f"X-BabySea-Signature: {sign_webhook(_SECRET, body.encode(), int(_AT.timestamp()))}\n"
                f"X-BabySea-Event: {WebhookEvent.GENERATION_COMPLETED}\n"
                f"X-BabySea-Timestamp: {json.loads(body)['webhook_timestamp']}\n"
                f"X-BabySea-Delivery-Id: {_DELIVERY_ID}\n\n{body}"
            ),
            "The signature is the HMAC-SHA256 of `<t>.<raw body>` in hexadecimal; its key is the endpoint's whole "
            f"secret as text, `whsec_` included. Refuse what is older or newer than {TOLERANCE_S} seconds. Every "
            f"attempt is signed anew. The sample above is signed with `{_SECRET}`. In Python:",
            Code(VERIFY_SNIPPET),
            f"A delivery is tried five times, after pauses of {RETRY_SCHEDULE}. After {FAILURES_MAX} deliveries in a "
            "row that failed, the endpoint is disabled.",
        ),
    )


def _completed() -> str:
    data = {
        "account_id": samples.ACCOUNT_ID,
        "model_identifier": samples.IMAGE_MODEL,
        "generation_status": "succeeded",
        "generation_id": samples.IMAGE_ID,
        "generation_provider_used": "replicate",
        "generation_prediction_id": "0b6f6a2e-3f59-5a53-9a3e-7d1a53b9c0f1",
        "generation_output_file": [samples.FILE_URL],
    }
    return event_body(WebhookEvent.GENERATION_COMPLETED, _DELIVERY_ID, _AT, data)
