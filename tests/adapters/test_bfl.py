import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.providers import bfl
from adapters.providers.bfl import BflProvider, may_have_key, named_in, ref_of, to_job, to_wire
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import JobState, Output
from tests.support.providers import EDGE_PAGE, Recorder, a_submission, answer

BASE = "https://api.bfl.ai"
ID = "5f0c7a52-3a0e-4f0b-9d35-1f6f4f6f7a10"
POLLING_URL = f"https://api.eu1.bfl.ai/v1/get_result?id={ID}"
SAMPLE = "https://delivery-eu1.bfl.ai/results/8a/5f0c7a523a0e4f0b/sample.jpeg?se=2026-11-20T10%3A22%3A07Z&sig=Zm9v"
HOOK = "https://api.example.com/v1/callbacks/bfl/token"
SECRET = "a secret of ours"
ACCEPTED = {"id": ID, "polling_url": POLLING_URL, "cost": 4.5, "input_mp": 1.05, "output_mp": 1.05}
WITH_HOOK = {"id": ID, "status": "Pending", "webhook_url": HOOK, "cost": 4.5, "input_mp": None, "output_mp": 1.05}
REF = JobRef(ID, {"polling_url": POLLING_URL, "cost_microcredits": "45000"})
INPUT = {"prompt": "a copper kettle", "width": 1344, "height": 768}


def a_task(status="Pending", **changes):
    return {"id": ID, "status": status, "result": None, "progress": None, "details": None, "preview": None} | changes


def a_result(**changes):
    return {
        "sample": SAMPLE,
        "prompt": "a copper kettle on a slate counter, soft window light",
        "seed": 1483920117,
        "start_time": 1795170118.412,
        "end_time": 1795170125.087,
        "duration": 6.675,
    } | changes


def a_generation(**changes):
    return a_submission(**{"native_model": "flux-pro-1.1", "native_input": INPUT, "callback_url": None} | changes)


def provider(recorder: Recorder, *, secret: str | None = None) -> BflProvider:
    http = bfl.client(BASE, "the-key\n", timedelta(seconds=10))
    http._transport = httpx.MockTransport(recorder)
    return BflProvider(http, webhook_secret=secret)


# --- submit -------------------------------------------------------------------------------------------------------


async def test_a_submit_is_one_post_at_the_path_of_the_model():
    recorder = Recorder(answer(200, ACCEPTED))

    job = await provider(recorder).submit(a_generation())

    assert (job.ref, job.state) == (REF, JobState.QUEUED)
    assert (recorder.last.method, str(recorder.last.url)) == ("POST", f"{BASE}/v1/flux-pro-1.1")
    assert recorder.last.headers["x-key"] == "the-key"
    assert "authorization" not in recorder.last.headers
    assert recorder.last_json == INPUT


@pytest.mark.parametrize(
    ("secret", "sent"),
    [
        pytest.param(None, {"webhook_url": HOOK}, id="without a secret"),
        pytest.param(SECRET, {"webhook_url": HOOK, "webhook_secret": SECRET}, id="with a secret"),
    ],
)
def test_a_callback_address_goes_along_with_our_secret(secret, sent):
    _, body = to_wire(a_generation(callback_url=HOOK), secret)

    assert body == INPUT | sent


async def test_with_a_callback_no_address_is_told_and_the_cost_is_kept():
    job = await provider(Recorder(answer(200, WITH_HOOK))).submit(a_generation(callback_url=HOOK))

    assert job.ref == JobRef(ID, {"cost_microcredits": "45000"})


@pytest.mark.parametrize("address", ["https://evil.example/v1/get_result?id=1", None, "http://[", SAMPLE])
def test_an_address_where_the_key_may_not_go_is_not_kept(address):
    assert ref_of({"id": ID, "polling_url": address}, f"{BASE}/") == JobRef(ID)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        (f"{BASE}/v1/get_result?id=1", True),
        ("https://api.eu.bfl.ai/v1/get_result?id=1", True),
        ("https://api.us1.bfl.ai/v1/get_result?id=1", True),
        (SAMPLE, False),
        ("https://delivery-us1.bfl.ai/v1/get_result?id=1", False),
        ("http://api.eu1.bfl.ai/v1/get_result?id=1", False),
        ("https://api.eu1.bfl.ai:8443/v1/get_result?id=1", False),
        ("https://api.eu1.bfl.ai@evil.example/v1/get_result?id=1", False),
        ("https://user@api.eu1.bfl.ai/v1/get_result?id=1", False),
        ("https://api.eu1.bfl.ai.evil.example/v1/get_result?id=1", False),
        (f"{BASE}.evil.example/v1/get_result?id=1", False),
        ("", False),
    ],
)
def test_the_key_goes_to_the_api_and_its_clusters_only(address, allowed):
    assert may_have_key(address, f"{BASE}/") is allowed


@pytest.mark.parametrize(
    ("status", "body", "error", "details"),
    [
        (400, {"detail": "malformed"}, ProviderRejectedInput, {}),
        (401, {"detail": "?"}, ProviderAuthFailed, {}),
        (402, {"detail": "Insufficient credits"}, ProviderCreditsExhausted, {}),
        (403, {"detail": "Not authenticated"}, ProviderAuthFailed, {}),
        (403, {"detail": "Not authenticated - Invalid Authentication"}, ProviderAuthFailed, {}),
        (404, {"detail": "Not Found"}, ProviderRejectedInput, {}),
        (422, {"detail": "Invalid API key format"}, ProviderAuthFailed, {}),
        (
            422,
            {"detail": [{"loc": ["body", "width"], "msg": "Input should be a multiple of 32", "type": "multiple_of"}]},
            ProviderRejectedInput,
            {"fields": ["width"]},
        ),
        (422, {"detail": [{"loc": "odd"}, "odd", {"loc": ["body", "a customer's"]}]}, ProviderRejectedInput, {}),
        (429, {"detail": "too many active tasks"}, ProviderBusy, {}),
        (500, {"detail": "Internal Server Error"}, ProviderFailed, {}),
        (503, {"detail": "Service Unavailable"}, ProviderUnavailable, {}),
        (302, {"detail": "elsewhere"}, ProviderFailed, {}),
    ],
)  # fmt: skip
async def test_a_refusal_is_named(status, body, error, details):
    with pytest.raises(error) as refused:
        await provider(Recorder(answer(status, body))).submit(a_generation())

    assert type(refused.value) is error
    assert refused.value.details == details


async def test_a_pause_that_was_named_is_kept():
    with pytest.raises(ProviderBusy) as refused:
        await provider(Recorder(answer(429, {"detail": "?"}, retry_after="7"))).submit(a_generation())

    assert refused.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    "said",
    [
        answer(200, {"polling_url": POLLING_URL}),
        answer(200, EDGE_PAGE),
        answer(502, {"detail": "Bad Gateway"}),
        answer(504, EDGE_PAGE),
        answer(500, EDGE_PAGE),
        answer(503, {"message": "the edge's own"}),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("late"),
    ],
    ids=["no id", "no JSON", "502", "504", "500 of the edge", "503 of the edge", "reset", "late"],
)
async def test_a_lost_answer_is_ambiguous(said):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(said)).submit(a_generation())


# --- read ---------------------------------------------------------------------------------------------------------


async def test_a_look_goes_to_the_address_that_the_submit_named():
    recorder = Recorder(answer(200, a_task(progress=0.5)))

    job = await provider(recorder).read(REF)

    assert (job.ref, job.state) == (REF, JobState.QUEUED)
    assert str(recorder.last.url) == POLLING_URL
    assert recorder.last.headers["x-key"] == "the-key"


@pytest.mark.parametrize("address", [None, "https://evil.example/v1/get_result"])
async def test_without_an_address_for_the_key_the_base_is_asked(address):
    recorder = Recorder(answer(200, a_task()))
    handle = {"polling_url": address} if address else {}

    await provider(recorder).read(JobRef(ID, handle))

    assert str(recorder.last.url) == f"{BASE}/v1/get_result?id={ID}"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Pending", JobState.QUEUED),
        ("Reasoning", JobState.RUNNING),
        ("Generating", JobState.RUNNING),
        ("Something new", JobState.RUNNING),
    ],
)
def test_an_unfinished_task_is_still_ours(status, state):
    assert to_job(REF, a_task(status)).state is state


def test_a_ready_task_has_its_file_its_time_and_the_cost_of_its_submit():
    job = to_job(REF, a_task("Ready", result=a_result()))

    assert job.outputs == (Output(SAMPLE),)
    assert (job.state, job.cost_microcredits, job.predict_time_s) == (JobState.SUCCEEDED, 45_000, 6.675)


@pytest.mark.parametrize(
    ("ref", "settled", "cost"),
    [
        pytest.param(REF, 4.0, 40_000, id="settled at the end"),
        pytest.param(REF, 0, 0, id="settled at nothing"),
        pytest.param(JobRef(ID), 1.4, 14_000, id="settled only"),
        pytest.param(JobRef(ID), None, None, id="never told"),
        pytest.param(JobRef(ID), "4", None, id="told as a text"),
    ],
)
def test_a_settled_cost_counts_more_than_the_one_of_the_submit(ref, settled, cost):
    assert to_job(ref, a_task("Ready", result=a_result(), cost=settled)).cost_microcredits == cost


@pytest.mark.parametrize(
    ("task", "error"),
    [
        (a_task("Request Moderated", details={"Moderation Reasons": ["Sexual Content"]}), ContentRefused),
        (a_task("Content Moderated", details="a bare text, as of the video model"), ContentRefused),
        (a_task("Error", details={"error": "?"}), ProviderFailed),
        (a_task("Failed"), ProviderFailed),
        (a_task("Task not found"), JobNotFound),
        (a_task("Ready"), ProviderInvalidOutput),
        (a_task("Ready", result={"sample": None}), ProviderInvalidOutput),
        (a_task("Ready", result="text"), ProviderInvalidOutput),
    ],
    ids=["input moderated", "output moderated", "error", "failed", "unknown", "no result", "no file", "odd result"],
)
def test_an_end_without_a_file_is_named(task, error):
    with pytest.raises(error) as ended:
        to_job(REF, task)

    assert type(ended.value) is error


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(404, {"detail": "Not Found"}), JobNotFound),
        (answer(404, a_task("Task not found")), JobNotFound),
        (answer(403, {"detail": "Not authenticated"}), ProviderAuthFailed),
        (answer(429, {"detail": "?"}), ProviderBusy),
        (answer(422, {"detail": [{"loc": ["query", "id"]}]}), ProviderUnavailable),
        (answer(500, EDGE_PAGE), ProviderUnavailable),
        (answer(200, EDGE_PAGE), ProviderUnavailable),
        (answer(200, {"id": ID}), ProviderUnavailable),
        (httpx.ReadError("reset"), ProviderUnavailable),
    ],
    ids=["404", "404 with a status", "403", "429", "422", "500", "no JSON", "no status", "reset"],
)
async def test_a_look_that_does_not_work_is_named(said, error):
    with pytest.raises(error) as failed:
        await provider(Recorder(said)).read(REF)

    assert type(failed.value) is error


async def test_that_the_global_address_does_not_know_a_task_says_nothing_about_it():
    with pytest.raises(ProviderUnavailable):
        await provider(Recorder(answer(200, a_task("Task not found")))).read(JobRef(ID))


# --- what it cannot do --------------------------------------------------------------------------------------------


async def test_there_is_no_cancel_and_no_list_and_nothing_is_asked():
    silent = provider(Recorder())

    assert await silent.cancel(REF) is False
    assert await silent.find(a_generation(), datetime.now(UTC)) == []
    assert silent.job_named(ID, "flux-dev") == JobRef(ID)


# --- callbacks ----------------------------------------------------------------------------------------------------

CALLBACK = json.dumps({"id": ID, "status": "Ready", "result": a_result(), "timestamp": "2026-11-20T10:12:07Z"}).encode()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"x-bfl-signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


async def test_a_signed_callback_names_its_task():
    notice = await provider(Recorder(), secret=SECRET).verify_callback(signed(CALLBACK), CALLBACK)

    assert (notice.event_id, notice.job_id) == (hashlib.sha256(CALLBACK).hexdigest(), ID)


@pytest.mark.parametrize(
    "headers",
    [{}, signed(CALLBACK, "another"), signed(CALLBACK + b" "), {"x-bfl-signature": "sha256=\xe9"}],
    ids=["unsigned", "another secret", "another body", "not ASCII"],
)
async def test_with_a_secret_every_other_callback_is_refused(headers):
    with pytest.raises(CallbackRefused):
        await provider(Recorder(), secret=SECRET).verify_callback(headers, CALLBACK)


async def test_without_a_secret_a_callback_is_a_doorbell_that_names_nothing():
    notice = await provider(Recorder()).verify_callback({}, CALLBACK)

    assert (notice.event_id, notice.job_id) == (hashlib.sha256(CALLBACK).hexdigest(), None)


@pytest.mark.parametrize(
    ("body", "job_id"),
    [
        (CALLBACK, ID),
        (json.dumps({"task_id": ID, "status": "SUCCESS"}).encode(), ID),
        (b'{"id": 7}', None),
        (b"[]", None),
        (b"not JSON", None),
    ],
)
def test_a_callback_may_name_its_task_in_two_ways(body, job_id):
    assert named_in(body) == job_id


# --- check and build ----------------------------------------------------------------------------------------------


async def test_a_check_asks_for_the_balance():
    recorder = Recorder(answer(200, {"credits": 812.5}))

    await provider(recorder).check()

    assert str(recorder.last.url) == f"{BASE}/v1/credits"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(200, {"credits": 0}), ProviderCreditsExhausted),
        (answer(200, {"credits": -2.5}), ProviderCreditsExhausted),
        (answer(403, {"detail": "Not authenticated - Invalid Authentication"}), ProviderAuthFailed),
        (answer(422, {"detail": "Invalid API key format"}), ProviderAuthFailed),
        (answer(404, {"detail": "Not Found"}), ProviderRejectedInput),
        (httpx.ConnectError("nobody there"), ProviderUnavailable),
    ],
    ids=["nothing left", "less than nothing", "wrong key", "malformed key", "no such path", "unreachable"],
)
async def test_a_check_says_what_is_wrong(said, error):
    with pytest.raises(error):
        await provider(Recorder(said)).check()
