"""Asking fal for a job, once."""

from datetime import timedelta

import httpx
import pytest

from adapters.providers.fal_addresses import rebuilt
from domain.errors import (
    ContentRefused,
    ProviderAtCapacity,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderFailed,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.provider import JobState
from tests.support.fal import ID, QUEUE, REF, SUBMISSION, a_receipt, a_status, complaint, provider
from tests.support.providers import EDGE_PAGE, Recorder, a_submission, answer


async def test_a_submit_is_one_post_of_the_bare_input_with_the_callback_in_the_query():
    recorder = Recorder(answer(200, a_receipt()))

    job = await provider(recorder).submit(SUBMISSION)

    assert (job.ref, job.state) == (REF, JobState.QUEUED)
    assert (recorder.last.method, recorder.last.url.path) == ("POST", "/fal-ai/flux/schnell")
    assert dict(recorder.last.url.params) == {"fal_webhook": SUBMISSION.callback_url}
    assert recorder.last.headers["authorization"] == "Key id:secret"
    assert recorder.last.headers["x-fal-request-timeout"] == "600"
    assert recorder.last.headers["x-fal-no-retry"] == "1"
    assert recorder.last_json == dict(SUBMISSION.native_input)


async def test_without_a_callback_address_none_is_sent():
    recorder = Recorder(answer(202, a_receipt()))

    await provider(recorder).submit(a_submission(callback_url=None))

    assert not recorder.last.url.query


@pytest.mark.parametrize(
    "elsewhere", ["https://queue.fal.example.evil.example/x", "http://queue.fal.example/x", None, "", 7]
)
async def test_addresses_that_lead_elsewhere_are_rebuilt_and_never_used(elsewhere):
    recorder = Recorder(answer(200, a_receipt(status_url=elsewhere)), a_status("IN_QUEUE"))
    adapter = provider(recorder)

    job = await adapter.submit(SUBMISSION)
    await adapter.read(job.ref)

    assert job.ref == REF
    assert recorder.last.url.host == "queue.fal.example"


@pytest.mark.parametrize(
    ("model", "short"),
    [
        ("fal-ai/flux", "fal-ai/flux"),
        ("fal-ai/bytedance/seedance/v1/lite/text-to-video", "fal-ai/bytedance"),
        ("wan/v2.6/text-to-video", "wan/v2.6"),
        ("workflows/acme/upscale/fast", "workflows/acme/upscale"),
        ("comfy/acme/paint/fast", "comfy/acme/paint"),
    ],
)
def test_addresses_are_rebuilt_from_the_first_segments_of_the_model(model, short):
    assert rebuilt(ID, model, QUEUE + "/").handle["response_url"] == f"{QUEUE}/{short}/requests/{ID}"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"detail": "Bad request"}, ProviderRejectedInput),
        (401, {"detail": "No user found for Key ID and Secret"}, ProviderAuthFailed),
        (403, {"detail": "User is locked. Reason: Exhausted balance. Top up."}, ProviderCreditsExhausted),
        (403, {"detail": "Key lacks the scope"}, ProviderAuthFailed),
        (404, {"detail": "Application 'x' not found"}, ProviderRejectedInput),
        (405, {"detail": "Method not allowed"}, ProviderRejectedInput),
        (422, complaint("missing"), ProviderRejectedInput),
        (422, complaint(["odd"]), ProviderRejectedInput),
        (422, complaint("content_policy_violation"), ContentRefused),
        (429, {"detail": "Too many requests"}, ProviderBusy),
        (500, {"detail": "Internal error", "error_type": "internal_error"}, ProviderFailed),
        (503, {"detail": "No runner", "error_type": "runner_scheduling_failure"}, ProviderAtCapacity),
        (503, {"detail": "Down"}, ProviderUnavailable),
        (504, {"detail": "Request timed out", "error_type": "request_timeout"}, ProviderTimedOut),
        (302, {}, ProviderFailed),
    ],
)
async def test_an_explicit_refusal_of_a_submit_is_named_and_shows_nothing_of_its_text(status, body, error):
    recorder = Recorder(answer(status, body))

    with pytest.raises(error) as refused:
        await provider(recorder).submit(SUBMISSION)

    assert type(refused.value) is error
    assert "customer" not in f"{refused.value} {refused.value.details}"
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateway_that_lost_the_answer_is_ambiguous_unless_fal_names_the_error(status):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(status, {"detail": "upstream"}))).submit(SUBMISSION)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_page_of_the_edge_leaves_a_submit_ambiguous(status):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(status, EDGE_PAGE))).submit(SUBMISSION)


@pytest.mark.parametrize("body", [{}, {"request_id": 7}, [], "ok"])
async def test_an_acceptance_without_an_id_is_ambiguous(body):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(200, body))).submit(SUBMISSION)


@pytest.mark.parametrize(
    ("loss", "error"),
    [(httpx.ConnectTimeout("tls"), ProviderUnavailable), (httpx.RemoteProtocolError("cut"), SubmitAmbiguous)],
)
async def test_a_lost_submit_is_never_repeated(loss, error):
    recorder = Recorder(loss)

    with pytest.raises(error):
        await provider(recorder).submit(SUBMISSION)

    assert len(recorder.requests) == 1


async def test_a_throttled_submit_says_when_to_come_back():
    with pytest.raises(ProviderBusy) as busy:
        await provider(Recorder(answer(429, {"detail": "slow"}, retry_after="3"))).submit(SUBMISSION)

    assert busy.value.retry_after == timedelta(seconds=3)


async def test_refused_parameters_are_named_without_their_values():
    with pytest.raises(ProviderRejectedInput) as refused:
        await provider(Recorder(answer(422, complaint("less_than", ("body", "images", 0, "width"))))).submit(SUBMISSION)

    assert refused.value.details == {"types": ["less_than"], "fields": ["images.0.width"]}
