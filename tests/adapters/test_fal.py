import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import fal
from adapters.providers.fal import FalProvider, rebuilt
from adapters.providers.fal_signature import KEYS_LIFE_S, REFETCH_PAUSE_S, KeySet, keys_of, verified
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    InputFileRefused,
    InputFileTooBig,
    InputFileUnreachable,
    InputFormatUnsupported,
    InputImageTooLarge,
    InputImageTooSmall,
    JobNotFound,
    ProviderAtCapacity,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import JobState, Output
from tests.support.providers import DATA, EDGE_PAGE, Recorder, a_submission, answer

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


# --- submit -------------------------------------------------------------------------------------------------------


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


# --- read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [("IN_QUEUE", JobState.QUEUED), ("IN_PROGRESS", JobState.RUNNING), ("TOMORROW", JobState.RUNNING)],
)
async def test_a_request_that_has_not_ended_needs_one_look(status, state):
    recorder = Recorder(a_status(status, queue_position=3))

    job = await provider(recorder).read(REF)

    assert (job.state, job.ref) == (state, REF)
    assert [str(request.url) for request in recorder.requests] == [ADDRESSES["status_url"]]


async def test_a_completed_request_is_read_by_its_result():
    recorder = Recorder(a_status(), a_result())

    job = await provider(recorder).read(REF)

    assert (job.state, job.outputs) == (JobState.SUCCEEDED, (Output(URL, "image/jpeg"),))
    assert job.predict_time_s == 0.8123
    assert str(recorder.last.url) == ADDRESSES["response_url"]


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ({"video": {"url": URL, "content_type": "video/mp4"}}, (Output(URL, "video/mp4"),)),
        ({"image": {"url": URL, "content_type": None}}, (Output(URL),)),
        ({"images": [{"url": URL}, {"url": URL + "2"}]}, (Output(URL), Output(URL + "2"))),
        ({"images": [{"url": "data:image/png;base64,AAAA"}]}, (Output("data:image/png;base64,AAAA"),)),
    ],
)
async def test_files_are_found_under_each_of_their_names(body, outputs):
    assert (await provider(Recorder(a_status(metrics={}), a_result(body=body))).read(REF)).outputs == outputs


async def test_the_time_of_a_run_is_told_by_the_status_or_by_the_result():
    recorder = Recorder(a_status(metrics={}), a_result(timings={"inference": 0.5103}))

    assert (await provider(recorder).read(REF)).predict_time_s == 0.5103


@pytest.mark.parametrize(
    ("result", "error"),
    [
        pytest.param(a_result(has_nsfw_concepts=[False, True]), ContentRefused, id="a black image"),
        pytest.param(a_result(422, complaint("content_policy_violation")), ContentRefused, id="moderated"),
        pytest.param(a_result(422, complaint("no_media_generated")), ContentRefused, id="the model refused"),
        pytest.param(a_result(422, complaint("image_too_small")), InputImageTooSmall, id="too small"),
        pytest.param(a_result(422, complaint("image_too_large")), InputImageTooLarge, id="too large"),
        pytest.param(a_result(422, complaint("image_load_error")), InputFileRefused, id="unreadable"),
        pytest.param(a_result(422, complaint("file_too_large")), InputFileTooBig, id="too many bytes"),
        pytest.param(a_result(422, complaint("file_download_error")), InputFileUnreachable, id="unreachable"),
        pytest.param(a_result(422, complaint("unsupported_image_format")), InputFormatUnsupported, id="a format"),
        pytest.param(a_result(422, complaint("greater_than")), ProviderRejectedInput, id="a mapping of ours"),
        pytest.param(a_result(422, complaint("a_type_of_tomorrow")), ProviderRejectedInput, id="an unknown type"),
        pytest.param(a_result(422, {"detail": ["odd"]}), ProviderRejectedInput, id="an odd complaint"),
        pytest.param(a_result(400, complaint("downstream_service_error")), ProviderFailed, id="a partner"),
        pytest.param(a_result(500, {"detail": "Boom"}), ProviderFailed, id="a crash"),
        pytest.param(a_result(503, {"detail": "Boom"}), ProviderFailed, id="a model's own 503 is the job's end"),
        pytest.param(
            a_result(500, {"detail": "Boom", "error_type": "downstream_service_unavailable"}),
            ProviderFailed,
            id="a partner is down",
        ),
        pytest.param(
            answer(503, {"detail": "Gone"}, x_fal_error_type="runner_disconnected"), ProviderFailed, id="by header"
        ),
        pytest.param(
            a_result(504, {"detail": "Slow", "error_type": "generation_timeout"}), ProviderTimedOut, id="too slow"
        ),
        pytest.param(a_result(404, {"detail": "Not found"}), ProviderInvalidOutput, id="deleted after an hour"),
        pytest.param(a_result(200, {"seed": 1}), ProviderInvalidOutput, id="no files"),
        pytest.param(a_result(200, {"images": ["text", None]}), ProviderInvalidOutput, id="files of another form"),
        pytest.param(answer(200, "not json"), ProviderInvalidOutput, id="not JSON"),
        pytest.param(answer(502, EDGE_PAGE), ProviderUnavailable, id="a page of the edge"),
        pytest.param(httpx.ReadTimeout("slow"), ProviderUnavailable, id="no answer"),
        pytest.param(a_result(401, {"detail": "No user found"}), ProviderAuthFailed, id="our key"),
    ],
)
async def test_completed_does_not_mean_succeeded(result, error):
    with pytest.raises(error) as failure:
        await provider(Recorder(a_status(), result)).read(REF)

    assert type(failure.value) is error
    assert "customer" not in f"{failure.value} {failure.value.details}"


async def test_several_complaints_with_a_refusal_among_them_are_a_refusal():
    both = {"detail": complaint("image_load_error")["detail"] + complaint("content_policy_violation")["detail"]}

    with pytest.raises(ContentRefused):
        await provider(Recorder(a_status(), a_result(422, both))).read(REF)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("startup_timeout", ProviderTimedOut),
        ("runner_scheduling_failure", ProviderAtCapacity),
        ("content_policy_violation", ContentRefused),
        ("a_type_of_tomorrow", ProviderFailed),
    ],
)
async def test_a_failure_named_by_the_status_needs_no_result(kind, error):
    recorder = Recorder(a_status(error="text", error_type=kind))

    with pytest.raises(error):
        await provider(recorder).read(REF)

    assert len(recorder.requests) == 1


async def test_an_error_without_a_type_beside_a_good_result_is_a_failure():
    with pytest.raises(ProviderFailed):
        await provider(Recorder(a_status(error="text"), a_result())).read(REF)


@pytest.mark.parametrize(
    "answers",
    [
        [a_status(error="Request was cancelled by the client", error_type="client_cancelled")],
        [a_status(), a_result(499, {"detail": "Cancelled", "error_type": "client_cancelled"})],
    ],
)
async def test_a_canceled_request_is_canceled(answers):
    assert (await provider(Recorder(*answers)).read(REF)).state is JobState.CANCELED


async def test_a_result_that_is_not_there_yet_is_a_running_job():
    recorder = Recorder(a_status(), a_result(400, {"detail": "Request is still in progress"}))

    assert (await provider(recorder).read(REF)).state is JobState.RUNNING


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(404, {"detail": "Not found"}), JobNotFound),
        (answer(401, {"detail": "No user found"}), ProviderAuthFailed),
        (answer(429, {"detail": "slow"}), ProviderBusy),
        (answer(500, {"detail": "Boom"}), ProviderUnavailable),
        (answer(502, EDGE_PAGE), ProviderUnavailable),
        (answer(200, "not json"), ProviderUnavailable),
        (httpx.ConnectError("dns"), ProviderUnavailable),
    ],
)
async def test_a_look_that_did_not_work_is_not_a_failed_job(reply, error):
    with pytest.raises(error):
        await provider(Recorder(reply)).read(REF)


@pytest.mark.parametrize("handle", [{}, {"status_url": "https://evil.example/status"}])
async def test_a_job_without_an_address_of_the_queue_is_not_looked_for(handle):
    with pytest.raises(JobNotFound):
        await provider(Recorder()).read(JobRef(ID, handle))


# --- cancel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (answer(200, {"status": "OK"}), True),
        (answer(202, {"status": "CANCELLATION_REQUESTED"}), True),
        (answer(400, {"status": "ALREADY_COMPLETED"}), False),
        (answer(404, {"status": "NOT_FOUND"}), False),
    ],
)
async def test_a_cancel_is_told_once(reply, told):
    recorder = Recorder(reply)

    assert await provider(recorder).cancel(REF) is told
    assert (recorder.last.method, str(recorder.last.url)) == ("PUT", ADDRESSES["cancel_url"])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(401, {"detail": "No user found"}), ProviderAuthFailed),
        (answer(503, EDGE_PAGE), ProviderUnavailable),
        (httpx.ReadError("reset"), ProviderUnavailable),
    ],
)
async def test_a_cancel_that_did_not_arrive_can_be_repeated(reply, error):
    with pytest.raises(error):
        await provider(Recorder(reply)).cancel(REF)


# --- find ---------------------------------------------------------------------------------------------------------


def an_item(request_id=ID, **changes):
    return {
        "request_id": request_id,
        "endpoint_id": SUBMISSION.native_model,
        "sent_at": "2026-11-18T09:14:02.300Z",
        "ended_at": "2026-11-18T09:14:10Z",
        "status_code": 200,
        "json_input": dict(SUBMISSION.native_input),
    } | changes


def a_history(*items, cursor=None):
    return answer(200, {"items": list(items), "next_cursor": cursor, "has_more": cursor is not None})


async def test_a_lost_request_is_found_in_the_history_once_it_has_ended():
    recorder = Recorder(
        a_history(
            an_item("other-input", json_input={"prompt": "another"}),
            an_item("other-model", endpoint_id="fal-ai/flux/dev"),
            an_item("too-old", sent_at="2026-11-18T09:13:56Z"),
            an_item("timeless", sent_at=None),
            "odd",
            an_item("later", sent_at="2026-11-18T09:14:12Z"),
            an_item(),
        )
    )

    assert await provider(recorder).find(SUBMISSION, SUBMITTED) == [
        REF,
        rebuilt("later", SUBMISSION.native_model, QUEUE + "/"),
    ]
    assert str(recorder.last.url).startswith(f"{PLATFORM}/models/requests/by-endpoint?")
    assert dict(recorder.last.url.params) == {
        "endpoint_id": "fal-ai/flux/schnell",
        "start": "2026-11-18T09:13:57Z",
        "expand": "payloads",
        "limit": "100",
    }


async def test_the_history_is_read_page_by_page():
    recorder = Recorder(a_history(cursor="Mg=="), a_history(an_item()))

    assert await provider(recorder).find(SUBMISSION, SUBMITTED) == [REF]
    assert recorder.last.url.params["cursor"] == "Mg=="


async def test_reading_the_history_has_an_end():
    recorder = Recorder(*[a_history(cursor="x") for _ in range(20)])

    assert await provider(recorder).find(SUBMISSION, SUBMITTED) == []
    assert len(recorder.requests) == fal.PAGES_MAX


async def test_a_search_that_did_not_work_is_no_answer():
    with pytest.raises(ProviderUnavailable):
        await provider(Recorder(answer(500, {"detail": "Boom"}))).find(SUBMISSION, SUBMITTED)


# --- callbacks ----------------------------------------------------------------------------------------------------

RECORDED = json.loads((DATA / "fal_callbacks.json").read_text())
VECTORS = RECORDED["cases"]
A_CALLBACK = next(case for case in VECTORS if case["name"] == "valid_ok")


def lower(case) -> dict[str, str]:
    return {name.lower(): value for name, value in case["headers"].items()}


def jwks(name):
    return answer(200, RECORDED["jwks"][name])


async def ring(adapter, case=A_CALLBACK):
    return await adapter.verify_callback(lower(case), base64.b64decode(case["body_b64"]))


class Clock:
    def __init__(self, now=A_CALLBACK["now"]):
        self.now = now

    def __call__(self):
        return self.now


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
async def test_the_signature_vectors_are_judged_as_written(case):
    recorder = Recorder(*[jwks(case["jwks"])] * 2)

    try:
        notice = await ring(provider(recorder, clock=Clock(case["now"])), case)
    except CallbackRefused:
        assert case["expect"] == "invalid"
    else:
        assert case["expect"] == "valid"
        assert (notice.event_id, notice.job_id) == (ID, ID)


async def test_the_keys_are_public_and_fetched_without_our_credential():
    recorder = Recorder(jwks("one"))

    await ring(provider(recorder, clock=Clock()))

    assert str(recorder.last.url) == f"{REST}/.well-known/jwks.json"
    assert "authorization" not in recorder.last.headers


async def test_the_keys_are_fetched_once():
    recorder = Recorder(jwks("one"))
    adapter = provider(recorder, clock=Clock())

    await ring(adapter)
    await ring(adapter)

    assert len(recorder.requests) == 1


async def test_the_keys_are_fetched_again_after_a_day():
    clock = Clock()
    fetched = []

    async def fetch():
        fetched.append(clock.now)
        return RECORDED["jwks"]["one"]

    keys = KeySet(fetch, clock)
    headers, body = lower(A_CALLBACK), base64.b64decode(A_CALLBACK["body_b64"])
    for seconds in (0, KEYS_LIFE_S - 1, KEYS_LIFE_S):
        clock.now = A_CALLBACK["now"] + seconds
        assert await verified(keys, headers, body, now=A_CALLBACK["now"]) == ID

    assert fetched == [A_CALLBACK["now"], A_CALLBACK["now"] + KEYS_LIFE_S]


async def _document(name):
    return RECORDED["jwks"][name]


async def test_a_key_that_is_not_known_yet_is_looked_for_once_a_minute():
    clock = Clock()
    served = ["after_rotation", "after_rotation", "two"]
    fetched = []

    async def fetch():
        fetched.append(served[len(fetched)])
        return RECORDED["jwks"][fetched[-1]]

    keys = KeySet(fetch, clock)
    headers, body = lower(A_CALLBACK), base64.b64decode(A_CALLBACK["body_b64"])

    for seconds, expected in [(0, 1), (30, 1), (REFETCH_PAUSE_S, 2), (REFETCH_PAUSE_S + 30, 2)]:
        clock.now = A_CALLBACK["now"] + seconds
        with pytest.raises(CallbackRefused):
            await verified(keys, headers, body, now=clock.now)
        assert len(fetched) == expected

    clock.now = A_CALLBACK["now"] + 2 * REFETCH_PAUSE_S
    assert await verified(keys, headers, body, now=clock.now) == ID


async def test_keys_older_than_a_day_verify_nothing_when_they_cannot_be_renewed():
    clock = Clock()
    served = [RECORDED["jwks"]["one"], None]

    async def fetch():
        return served.pop(0)

    keys = KeySet(fetch, clock)
    headers, body = lower(A_CALLBACK), base64.b64decode(A_CALLBACK["body_b64"])
    await verified(keys, headers, body, now=A_CALLBACK["now"])
    clock.now += KEYS_LIFE_S

    with pytest.raises(CallbackRefused):
        await verified(keys, headers, body, now=A_CALLBACK["now"])


@pytest.mark.parametrize("reply", [answer(500, {}), answer(200, "not json"), httpx.ConnectError("dns")])
async def test_without_keys_every_callback_is_refused_and_the_server_is_not_hammered(reply):
    recorder = Recorder(reply)
    adapter = provider(recorder, clock=Clock())

    for _ in range(3):
        with pytest.raises(CallbackRefused):
            await ring(adapter)

    assert len(recorder.requests) == 1


@pytest.mark.parametrize("body", [b'{"request_id":"another"}', b"[]", b"not json"])
async def test_a_signed_body_must_name_the_request_of_its_header(body):
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    message = f"{ID}\nuser\n1000\n{hashlib.sha256(body).hexdigest()}".encode()
    headers = {
        "x-fal-webhook-request-id": ID,
        "x-fal-webhook-user-id": "user",
        "x-fal-webhook-timestamp": "1000",
        "x-fal-webhook-signature": key.sign(message).hex(),
    }

    async def fetch():
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public}]}

    with pytest.raises(CallbackRefused, match="another request"):
        await verified(KeySet(fetch, lambda: 1000), headers, body, now=1000)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"keys": None},
        {"keys": ["odd", {"kty": "OKP", "crv": "Ed25519"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": 7}, {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "é?"}, {"kty": "OKP", "crv": "X25519", "x": "A" * 43}]},
    ],
)
def test_a_key_set_without_usable_keys_is_empty(document):
    assert keys_of(document) == []


HEADERS = [f"x-fal-webhook-{name}" for name in ("request-id", "user-id", "timestamp", "signature")]


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=20) | st.just("0" * 128) | st.just("0")), st.binary())
async def test_random_callbacks_are_refused(headers, body):
    with pytest.raises(CallbackRefused):
        await verified(KeySet(lambda: _document("one"), lambda: 0), headers, body, now=0)
