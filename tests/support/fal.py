"""fal as the adapter's tests see it: its addresses, its answers, and an adapter that hears them."""

from datetime import UTC, datetime, timedelta

import httpx

from adapters.providers import fal
from adapters.providers.fal import FalProvider
from domain.generation import JobRef
from tests.support.providers import Recorder, a_submission, answer

QUEUE, REST, PLATFORM = "https://queue.fal.example", "https://rest.fal.example", "https://api.fal.example/v1"
ID = "7f1c9b52-4e0d-4a53-9a6e-2b1d8f0c7e34"
SHORT = f"{QUEUE}/fal-ai/flux/requests/{ID}"
ADDRESSES = {"status_url": f"{SHORT}/status", "response_url": SHORT, "cancel_url": f"{SHORT}/cancel"}
REF = JobRef(ID, ADDRESSES)
URL = "https://v3b.fal.media/files/b/0a8d1f27/Jk2mQ9xWv7RtYpLzNcB4s.jpg"
SUBMITTED = datetime(2026, 11, 18, 9, 14, 2, tzinfo=UTC)
SUBMISSION = a_submission(
    native_model="fal-ai/flux/schnell", callback_url="https://api.example.com/v1/callbacks/fal/token"
)


def provider(recorder: Recorder, **options) -> FalProvider:
    http = fal.client(QUEUE, "id:secret\n", timedelta(seconds=10))
    http._transport = httpx.MockTransport(recorder)
    return FalProvider(http, **{"rest_url": REST, "platform_url": PLATFORM} | options)


def a_receipt(**changes):
    return {"status": "IN_QUEUE", "request_id": ID, "queue_position": 0} | ADDRESSES | changes


def a_status(status="COMPLETED", **changes):
    body = {"status": status, "request_id": ID, "logs": None, "metrics": {"inference_time": 0.8123}} | changes
    return answer(200 if status == "COMPLETED" else 202, body)


def a_result(status=200, body=None, **changes):
    image = {"url": URL, "width": 1024, "height": 768, "content_type": "image/jpeg"}
    return answer(status, body or {"images": [image], "seed": 1, "has_nsfw_concepts": [False]} | changes)


def complaint(kind, place=("body", "image_url")):
    return {"detail": [{"loc": list(place), "msg": "the customer's words", "type": kind, "input": "the prompt"}]}
