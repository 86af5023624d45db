"""What the reference explains beside the routes: the way in, errors, files and webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from api import errors, samples
from domain import input_files
from domain.signature import TOLERANCE_S, sign_webhook
from domain.webhook_events import TEST_GENERATION_ID, WebhookEvent, event_body
from store.webhook_endpoints import ENDPOINTS_MAX
from store.webhooks import FAILURES_MAX, QUEUE_LIFE

# The contract's schedule, and the limits of one request; activities/webhooks.py keeps it.
RETRY_SCHEDULE = "0, 0.5, 1.5, 3 and 5 seconds"
QUEUE_LIFE_HOURS = round(QUEUE_LIFE.total_seconds() / 3600)

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
    """A table. `ids`: what a link to each row is called."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ids: tuple[str, ...] = ()


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
    yield _errors()
    yield Guide(
        "files",
        (
            "A model whose `schema.generation_input_file` is true takes pictures: to change, to combine, or as the "
            "first frame of a video. One whose `specific_schema` lists `generation_input_file_last_content` takes a "
            "last frame as well. The address of an output may be used as it is:",
            Code(
                f"curl {base_url}/v1/generate/video/google/veo-3.1-fast -H 'Content-Type: application/json' \\\n"
                '  -H "Authorization: Bearer $BABYSEA_KEY" -d \'{"generation_prompt": "The lamp goes on", '
                '"generation_duration": 4,\n'
                '  "generation_input_file": ["https://files.example.com/dusk.png"],\n'
                '  "generation_input_file_last_content": "https://files.example.com/night.png"}\''
            ),
            f"A file is JPEG, PNG or WebP by its content, at most {input_files.BYTES_MAX // 2**20} MB, with "
            f"{input_files.SIDE_MIN} to {input_files.SIDE_MAX} pixels on each side. Its address is public https on "
            "port 443, without credentials, and answers within ten seconds and three redirects. Every file is looked "
            "at before credits are held; an error names the `field` and the `index` of the first that cannot be used.",
            "Providers never see your address: they get a copy, which is removed once the generation has ended. The "
            "record keeps the address that you gave.",
        ),
    )
    body = _completed()
    yield Guide(
        "webhooks",
        (
            "An account's endpoints are told of its generations: one POST for each event, whose body is JSON and never "
            "changes between attempts. Any 2xx is a receipt; answer first, work later. A delivery may come twice, and "
            "they may come in any order. The operator adds an endpoint, whose secret is shown once, and tests it:",
            Code(
                "babysea webhooks add --account studio --url https://customer.example.com/hooks\n"
                "babysea webhooks test --account studio ENDPOINT_ID"
            ),
            f"An account has {ENDPOINTS_MAX} endpoints at most. Each is at a public https address, port 443, without "
            "credentials in it; a host name must lead to public addresses only. That is looked at when it is added and "
            "again at every attempt.",
            Rows(
                ("Event", "When", "In webhook_data, beside account, generation and model"),
                (
                    (
                        WebhookEvent.GENERATION_STARTED,
                        "a provider accepted a job",
                        "`generation_provider_initialize`, `generation_prediction_id`",
                    ),
                    (
                        WebhookEvent.GENERATION_COMPLETED,
                        "the files are kept and paid for",
                        "`generation_provider_used`, `generation_prediction_id`, `generation_output_file`",
                    ),
                    (
                        WebhookEvent.GENERATION_FAILED,
                        "it ended without files; nothing is charged",
                        "`generation_error`, `generation_error_code`",
                    ),
                    (
                        WebhookEvent.GENERATION_CANCELED,
                        "it was canceled",
                        "`generation_prediction_id`, `credits_refunded`",
                    ),
                    (
                        WebhookEvent.TEST,
                        "the operator sends a test",
                        f"nothing; `generation_id` is `{TEST_GENERATION_ID}`",
                    ),
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
            "`babysea webhooks rotate-secret` makes another secret. It signs the very next attempt, and the old one "
            "signs nothing more: let your receiver accept both for a moment.",
            f"A delivery is tried five times, after pauses of {RETRY_SCHEDULE}, counted from the end of the attempt "
            "before. Redirects are not followed. No answer within ten seconds is a failure, and so is anything but a "
            f"2xx. After {FAILURES_MAX} deliveries in a row that failed, the endpoint is disabled; any 2xx begins the "
            "count anew.",
            "While an endpoint is disabled, by failures or by hand, nothing is sent there. What happens meanwhile is "
            f"queued for it, for {QUEUE_LIFE_HOURS} hours. When the endpoint works again, the operator enables it and "
            "has the queue sent, oldest first, one after the other; the first that fails stops it, and the rest stays "
            "queued:",
            Code(
                "babysea webhooks enable --account studio ENDPOINT_ID\n"
                "babysea webhooks drain --account studio ENDPOINT_ID"
            ),
            "Whatever was sent can be looked at and sent once more: `babysea webhooks deliveries` lists each with its "
            "payload, the attempts and your answers, and `babysea webhooks replay` repeats one. What comes out of the "
            "queue or a replay has the `webhook_data` of the first, and an `X-BabySea-Delivery-Id`, a timestamp and a "
            "signature of its own. Tests and replays are tried once, and do not count as failures.",
        ),
    )


def _errors() -> Guide:
    table = errors.rows()
    flags = {True: "yes", False: "no", None: "it depends"}
    return Guide(
        "errors",
        (
            "Every error has the same envelope. Decide by `error.retryable` alone, not by the status: when it is true, "
            "nothing was started and nothing is held, and the same request may work later. Wait for the seconds in "
            "`Retry-After` where it is present, else longer after each attempt. `error.details` has facts for "
            "programs, such as the `field` that is wrong; `error.provider_errors` says why no provider was left. "
            "A generation that failed has its code in `generation_error_code`.",
            Rows(
                ("Code", "Type", "Status", "Retry", "Meaning"),
                tuple((row.code, f"`{row.type}`", str(row.status), flags[row.retryable], row.meaning) for row in table),
                tuple(row.code for row in table),
            ),
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
