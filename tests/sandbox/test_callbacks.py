from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sandbox.replicate import credentials as replicate_credentials
from tests.support.submits import completed, ended, predict, queue


def replicate_signature_is_good(call):
    key = base64.b64decode(replicate_credentials.WEBHOOK_SECRET.removeprefix("whsec_"))
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return call.headers["webhook-signature"] == f"v1,{mac}"


def fal_signature_is_good(call, jwks, number=0):
    x = jwks["keys"][number]["x"]
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))
    names = ("x-fal-webhook-request-id", "x-fal-webhook-user-id", "x-fal-webhook-timestamp")
    message = "\n".join([*(call.headers[name] for name in names), hashlib.sha256(call.body).hexdigest()])
    try:
        key.verify(bytes.fromhex(call.headers["x-fal-webhook-signature"]), message.encode())
    except InvalidSignature:
        return False
    return True


@pytest.fixture
async def jwks(sandbox, fal):
    return (await fal.get(f"{sandbox.fal_rest_url}/.well-known/jwks.json")).json()


async def callbacks_of(control, text):
    """What the simulator says it sent for this prompt."""
    (job,) = (await control.get("/jobs", params={"prompt": text})).json()["jobs"]
    return [(call["event"], call["kind"], call["status"]) for call in job["callbacks"]]


async def settled(control, text, count):
    """The same, once `count` callbacks are recorded."""
    for _ in range(200):
        if len(sent := await callbacks_of(control, text)) >= count:
            return sent
        await asyncio.sleep(0.02)
    raise TimeoutError("too few callbacks")


async def test_the_final_callback_carries_the_prediction(replicate, prompt, ear):
    filtered = {"webhook": ear.url("/cb?token=a%20b"), "webhook_events_filter": ["completed"]}
    created = (await predict(replicate, prompt(), **filtered)).json()

    (call,) = await ear.heard(1, "/cb?token=a%20b")

    assert replicate_signature_is_good(call)
    assert abs(int(call.headers["webhook-timestamp"]) - time.time()) < 10
    assert json.loads(call.body) == await ended(replicate, created)


async def test_the_events_come_in_order_as_filtered(replicate, prompt, ear):
    text = prompt("replicate=latency_0.3")
    await predict(replicate, text, webhook=ear.url(), webhook_events_filter=["completed", "output", "start"])

    calls = await ear.heard(3)

    bodies = [json.loads(call.body) for call in calls]
    assert [(body["status"], bool(body["output"])) for body in bodies] == [
        ("processing", False),
        ("processing", True),
        ("succeeded", True),
    ]
    assert calls[0].at < calls[1].at
    assert len({call.headers["webhook-id"] for call in calls}) == 3


async def test_without_a_filter_output_and_completion_are_told(replicate, control, prompt, ear):
    text = prompt()
    await predict(replicate, text, webhook=ear.url())

    await ear.heard(2)

    assert [event for event, _, _ in await settled(control, text, 2)] == ["output", "completed"]


async def test_a_failed_prediction_has_no_output_callback(replicate, prompt, ear):
    await predict(replicate, prompt("replicate=job_failed"), webhook=ear.url())

    (call,) = await ear.heard(1)

    assert json.loads(call.body)["status"] == "failed"


async def test_the_final_callback_may_come_first(replicate, prompt, ear):
    events = ["start", "output", "completed"]
    await predict(replicate, prompt("replicate=callback_order"), webhook=ear.url(), webhook_events_filter=events)

    calls = await ear.heard(3)

    assert [json.loads(call.body)["status"] for call in calls] == ["succeeded", "processing", "processing"]
    assert [bool(json.loads(call.body)["output"]) for call in calls] == [True, True, False]


async def test_only_the_final_callback_is_repeated_until_it_is_accepted(replicate, control, prompt, ear):
    ear.statuses = [500, 503, 404, 200]
    text = prompt()
    await predict(replicate, text, webhook=ear.url(), webhook_events_filter=["start", "completed"])

    calls = await ear.heard(4)

    ids = [call.headers["webhook-id"] for call in calls]
    assert (ids[0] != ids[1], len(set(ids[1:]))) == (True, 1)
    assert await settled(control, text, 4) == [
        ("start", "real", 500),
        ("completed", "real", 503),
        ("completed", "real", 404),
        ("completed", "real", 200),
    ]


async def test_the_final_callback_is_given_up_after_seven_attempts(replicate, control, prompt):
    text = prompt()
    nobody = {"webhook": "http://127.0.0.1:9/", "webhook_events_filter": ["completed"]}
    await predict(replicate, text, **nobody)

    assert await settled(control, text, 7) == [("completed", "real", None)] * 7


async def test_a_cancel_is_told_at_once(replicate, prompt, ear):
    filtered = {"webhook": ear.url(), "webhook_events_filter": ["start", "completed"]}
    created = (await predict(replicate, prompt("replicate=latency_0,never_ends"), **filtered)).json()
    await ear.heard(1)

    await replicate.post(created["urls"]["cancel"])
    calls = await ear.heard(2)

    assert [json.loads(call.body)["status"] for call in calls] == ["processing", "canceled"]


async def test_a_cancel_is_told_although_an_output_was_awaited(replicate, prompt, ear):
    filtered = {"webhook": ear.url(), "webhook_events_filter": ["start", "output", "completed"]}
    created = (await predict(replicate, prompt("replicate=never_ends"), **filtered)).json()
    await ear.heard(1)

    await replicate.post(created["urls"]["cancel"])
    calls = await ear.heard(2)

    assert [json.loads(call.body)["status"] for call in calls] == ["processing", "canceled"]


async def test_a_job_canceled_in_the_queue_never_started(replicate, prompt, ear):
    filtered = {"webhook": ear.url(), "webhook_events_filter": ["start", "completed"]}
    created = (await predict(replicate, prompt("replicate=never_starts"), **filtered)).json()

    await replicate.post(created["urls"]["cancel"])
    (call,) = await ear.heard(1)

    assert json.loads(call.body)["status"] == "canceled"


# fal


async def test_fals_callback_carries_the_result(fal, prompt, ear, jwks):
    queued = (await queue(fal, prompt(), webhook=ear.url("/cb?a=b&c=d"))).json()

    (call,) = await ear.heard(1, "/cb?a=b&c=d")

    assert fal_signature_is_good(call, jwks)
    assert call.headers["x-fal-webhook-request-id"] == queued["request_id"]
    assert json.loads(call.body) == {
        "request_id": queued["request_id"],
        "gateway_request_id": queued["request_id"],
        "status": "OK",
        "payload": (await completed(fal, queued)).json(),
    }


async def test_fals_callback_carries_the_error(fal, prompt, ear, jwks):
    queued = (await queue(fal, prompt("fal=content_refused"), webhook=ear.url())).json()

    (call,) = await ear.heard(1)

    body = json.loads(call.body)
    assert fal_signature_is_good(call, jwks)
    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 422")
    assert body["payload"] == (await completed(fal, queued)).json()


async def test_fals_callback_is_repeated_until_it_is_accepted(fal, control, prompt, ear):
    ear.statuses = [500, 200]
    text = prompt()
    await queue(fal, text, webhook=ear.url())

    first, second = await ear.heard(2)

    assert first.body == second.body
    assert await settled(control, text, 2) == [("completed", "real", 500), ("completed", "real", 200)]


async def test_fal_publishes_a_new_key_once_it_signed_with_it(sandbox, fal, prompt, ear, jwks):
    await queue(fal, prompt("fal=callback_new_key"), webhook=ear.url())

    (call,) = await ear.heard(1)

    published = (await fal.get(f"{sandbox.fal_rest_url}/.well-known/jwks.json")).json()
    assert published["keys"][0] == jwks["keys"][0]
    assert not fal_signature_is_good(call, jwks)
    assert fal_signature_is_good(call, published, 1)


async def test_fals_callback_may_leave_the_result_to_be_fetched(fal, prompt, ear, jwks):
    queued = (await queue(fal, prompt("fal=callback_without_payload"), webhook=ear.url())).json()

    (call,) = await ear.heard(1)

    body = json.loads(call.body)
    assert fal_signature_is_good(call, jwks)
    assert (body["status"], body["payload"]) == ("OK", None)
    assert body["payload_error"].startswith("Response payload is not JSON serializable.")
    assert (await completed(fal, queued)).json()["images"]


# faults, at both providers


@pytest.fixture(params=["replicate", "fal"])
def submit(request, replicate, fal, ear):
    """Submits with a callback for the end only."""

    async def at_replicate(text):
        return await predict(replicate, text, webhook=ear.url(), webhook_events_filter=["completed"])

    async def at_fal(text):
        return await queue(fal, text, webhook=ear.url())

    made = at_replicate if request.param == "replicate" else at_fal
    made.provider = request.param
    return made


def is_good(call, jwks):
    return replicate_signature_is_good(call) if "webhook-id" in call.headers else fal_signature_is_good(call, jwks)


async def test_no_callback_is_sent(submit, control, prompt, ear):
    text = prompt(f"{submit.provider}=no_callback")
    silent, told = await submit(text), await submit(prompt())

    await ear.heard(1)

    assert (silent.is_success, told.is_success, len(ear.calls)) == (True, True, 1)
    assert await callbacks_of(control, text) == []


async def test_the_callback_is_sent_twice(submit, control, prompt, ear, jwks):
    text = prompt(f"{submit.provider}=duplicate_callback")
    await submit(text)

    first, second = await ear.heard(2)

    assert first.body == second.body
    assert is_good(first, jwks)
    assert is_good(second, jwks)
    assert [kind for _, kind, _ in await settled(control, text, 2)] == ["real", "duplicate"]


async def test_the_callback_comes_before_the_answer(submit, prompt, ear):
    answer = await submit(prompt(f"{submit.provider}=callback_first"))

    assert answer.is_success
    assert len(ear.calls) == 1


async def test_a_forged_callback_comes_before_the_real_one(submit, prompt, ear, jwks):
    await submit(prompt(f"{submit.provider}=forged_callback"))

    forged, real = await ear.heard(2)

    assert (is_good(forged, jwks), is_good(real, jwks)) == (False, True)


async def test_a_callback_is_replayed_byte_for_byte(submit, prompt, ear):
    await submit(prompt(f"{submit.provider}=replayed_callback_0.2"))

    first, second = await ear.heard(2)

    assert (first.headers, first.body) == (second.headers, second.body)
    assert second.at - first.at >= 0.2


async def test_a_callback_comes_late(submit, control, prompt, ear):
    text = prompt(f"{submit.provider}=callback_late_0.4")
    began = time.time()
    await submit(text)

    (call,) = await ear.heard(1)

    assert call.at - began >= 0.4
