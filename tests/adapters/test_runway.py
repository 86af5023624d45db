from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.providers import runway
from adapters.providers.runway import RunwayProvider, to_job, to_wire
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    InputFileRefused,
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

BASE = "https://api.dev.runwayml.com"
ID = "c3e9a7d4-82b1-4f56-9d0e-64a1f7b25c80"
REF = JobRef(ID)
TASK_URL = f"{BASE}/v1/tasks/{ID}"
FILE = "https://dnznrvs05pmza.cloudfront.net/0c4e2b9a-1f0e.mp4?_jwt=eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln"
ACCEPTED = {"id": ID, "estimatedCost": {"credits": 25}}
INPUT = {
    "promptImage": [{"uri": "https://cdn.example.test/frame.png", "position": "first"}],
    "promptText": "the curtain lifts in the wind",
    "ratio": "1280:720",
    "duration": 5,
    "seed": 4294967,
}


def a_task(status: str, **changes):
    return {"id": ID, "status": status, "createdAt": "2026-11-20T10:30:02.114Z"} | changes


SUCCEEDED = a_task("SUCCEEDED", cost={"credits": 25}, output=[FILE])


def a_generation(**changes):
    facts = {"native_model": "gen4_turbo", "native_input": INPUT, "endpoint": "/v1/image_to_video"}
    return a_submission(**facts | {"callback_url": None} | changes)


def provider(recorder: Recorder) -> RunwayProvider:
    http = runway.client(BASE, "key_fake\n", timedelta(seconds=10))
    http._transport = httpx.MockTransport(recorder)
    return RunwayProvider(http)


# --- submit -------------------------------------------------------------------------------------------------------


async def test_a_submit_is_one_post_to_the_endpoint_with_the_model_in_the_body():
    recorder = Recorder(answer(200, ACCEPTED))

    job = await provider(recorder).submit(a_generation())

    assert (job.ref, job.state, job.cost_microcredits) == (REF, JobState.QUEUED, None)
    assert (recorder.last.method, str(recorder.last.url)) == ("POST", f"{BASE}/v1/image_to_video")
    assert recorder.last.headers["authorization"] == "Bearer key_fake"
    assert recorder.last.headers["x-runway-version"] == "2024-11-06"
    assert recorder.last_json == {"model": "gen4_turbo", **INPUT}


def test_the_endpoint_is_the_one_of_the_submission():
    path, body = to_wire(a_generation(endpoint="/v1/text_to_video", native_model="gen4.5"))

    assert (path, body["model"]) == ("/v1/text_to_video", "gen4.5")


async def test_an_estimate_is_not_needed():
    assert (await provider(Recorder(answer(200, {"id": ID}))).submit(a_generation())).ref == REF


ISSUES = {
    "error": "Validation of body failed",
    "issues": [
        {"code": "invalid_value", "values": ["1280:720"], "path": ["ratio"], "message": "Invalid option"},
        {"code": "too_big", "maximum": 1000, "origin": "string", "path": ["promptText"], "message": "Too big"},
        {"code": "custom", "path": ["promptImage", 0, "uri"], "message": "Asset duration must be at most 30 seconds"},
    ],
    "docUrl": "https://docs.dev.runwayml.com/api",
}


@pytest.mark.parametrize(
    ("status", "body", "error", "details"),
    [
        (400, ISSUES, ProviderRejectedInput, {"fields": ["ratio", "promptText", "promptImage.0.uri"]}),
        (400, {"error": "Validation of body failed", "issues": [{"path": ["a prompt of a customer"]}, "odd"]},
         ProviderRejectedInput, {}),
        (400, {"error": "You do not have enough credits to run this task."}, ProviderCreditsExhausted, {}),
        (400, {"error": "The version header is missing."}, ProviderRejectedInput, {}),
        (401, {"error": "?"}, ProviderAuthFailed, {}),
        (403, {"error": "?"}, ProviderAuthFailed, {}),
        (404, {"error": "Not found"}, ProviderRejectedInput, {}),
        (405, {"error": "?"}, ProviderRejectedInput, {}),
        (429, {"error": "?"}, ProviderBusy, {}),
        (500, {"error": "Internal server error"}, ProviderFailed, {}),
        (503, {"error": "?"}, ProviderUnavailable, {}),
        (302, {"error": "elsewhere"}, ProviderFailed, {}),
    ],
)  # fmt: skip
async def test_a_refusal_is_named(status, body, error, details):
    with pytest.raises(error) as refused:
        await provider(Recorder(answer(status, body))).submit(a_generation())

    assert type(refused.value) is error
    assert refused.value.details == details


async def test_a_pause_that_was_named_is_kept():
    with pytest.raises(ProviderBusy) as refused:
        await provider(Recorder(answer(429, {"error": "?"}, retry_after="60"))).submit(a_generation())

    assert refused.value.retry_after == timedelta(minutes=1)


@pytest.mark.parametrize(
    "said",
    [
        answer(200, {"estimatedCost": {"credits": 25}}),
        answer(200, EDGE_PAGE),
        answer(502, {"error": "Bad Gateway"}),
        answer(504, EDGE_PAGE),
        answer(500, EDGE_PAGE),
        answer(503, EDGE_PAGE),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("late"),
    ],
    ids=["no id", "no JSON", "502", "504", "500 of the edge", "503 of the edge", "reset", "late"],
)
async def test_a_lost_answer_is_ambiguous(said):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(said)).submit(a_generation())


# --- read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "state"),
    [
        (a_task("PENDING", estimatedCost={"credits": 25}), JobState.QUEUED),
        (a_task("THROTTLED", estimatedCost={"credits": 25}), JobState.QUEUED),
        (a_task("RUNNING", progress=0.42, estimatedCost={"credits": 25}), JobState.RUNNING),
        (a_task("SOMETHING_NEW"), JobState.RUNNING),
    ],
    ids=lambda value: value["status"] if isinstance(value, dict) else value.value,
)
def test_an_unfinished_task_is_still_ours(task, state):
    job = to_job(task)

    assert (job.ref, job.state, job.cost_microcredits) == (REF, state, None)


async def test_a_finished_task_has_its_files_and_what_was_charged():
    recorder = Recorder(answer(200, SUCCEEDED))

    job = await provider(recorder).read(REF)

    assert str(recorder.last.url) == TASK_URL
    assert job.outputs == (Output(FILE),)
    assert (job.state, job.cost_microcredits) == (JobState.SUCCEEDED, 250_000)


@pytest.mark.parametrize("cost", [None, {}, {"credits": None}, "25"])
def test_an_older_answer_does_not_tell_the_cost(cost):
    assert to_job(a_task("SUCCEEDED", output=[FILE], cost=cost)).cost_microcredits is None


def test_a_canceled_task_that_is_still_shown_is_canceled():
    job = to_job(a_task("CANCELLED", cost={"credits": 0}))

    assert (job.state, job.cost_microcredits) == (JobState.CANCELED, 0)


@pytest.mark.parametrize("output", [None, [], [None], "https://one.example/file.mp4"])
def test_a_result_without_files_is_no_result(output):
    with pytest.raises(ProviderInvalidOutput):
        to_job(a_task("SUCCEEDED", cost={"credits": 25}, output=output))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("SAFETY.INPUT.TEXT", ContentRefused),
        ("SAFETY.INPUT.IMAGE", ContentRefused),
        ("SAFETY.INPUT.VIDEO", ContentRefused),
        ("SAFETY.INPUT.AUDIO", ContentRefused),
        ("SAFETY.OUTPUT.VIDEO", ContentRefused),
        ("SAFETY.SOMETHING_NEW", ContentRefused),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", ContentRefused),
        ("INPUT_PREPROCESSING.SAFETY.THIRD_PARTY", ContentRefused),
        ("INPUT_PREPROCESSING.INTERNAL", ProviderFailed),
        ("INTERNAL", ProviderFailed),
        ("INTERNAL.SOMETHING", ProviderFailed),
        ("INTERNAL.BAD_OUTPUT.CODE01", ProviderFailed),
        ("ASSET.INVALID", InputFileRefused),
        ("THIRD_PARTY.UNAVAILABLE", ProviderFailed),
        ("THIRD_PARTY.INPUT_VALIDATION", ProviderRejectedInput),
        ("SOMETHING_NEW", ProviderFailed),
        (None, ProviderFailed),
        (7, ProviderFailed),
    ],
)
def test_every_failure_code_has_a_meaning(code, error):
    with pytest.raises(error) as failed:
        to_job(a_task("FAILED", cost={"credits": 25}, failure="A text about the prompt.", failureCode=code))

    assert type(failed.value) is error
    assert "A text about the prompt." not in failed.value.message


def test_a_failure_may_have_no_code_at_all():
    with pytest.raises(ProviderFailed):
        to_job(a_task("FAILED"))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(404, {"error": "Could not find Task"}), JobNotFound),
        (answer(401, {"error": "?"}), ProviderAuthFailed),
        (answer(403, {"error": "?"}), ProviderAuthFailed),
        (answer(429, {"error": "?"}), ProviderBusy),
        (answer(400, {"error": "?"}), ProviderUnavailable),
        (answer(500, {"error": "?"}), ProviderUnavailable),
        (answer(503, EDGE_PAGE), ProviderUnavailable),
        (answer(200, EDGE_PAGE), ProviderUnavailable),
        (answer(200, {"status": "PENDING"}), ProviderUnavailable),
        (httpx.ReadError("reset"), ProviderUnavailable),
    ],
    ids=["404", "401", "403", "429", "400", "500", "503", "no JSON", "no id", "reset"],
)
async def test_a_look_that_does_not_work_is_named(said, error):
    with pytest.raises(error) as failed:
        await provider(Recorder(said)).read(REF)

    assert type(failed.value) is error


@pytest.mark.parametrize("job_id", ["", "../organization", "a b", "x" * 65])
async def test_an_id_that_cannot_be_one_of_theirs_is_not_asked_for(job_id):
    with pytest.raises(JobNotFound):
        await provider(Recorder()).read(JobRef(job_id))


# --- cancel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED", "RUNNING", ["of another form"]], ids=str)
async def test_a_task_that_has_not_ended_is_deleted(status):
    recorder = Recorder(answer(200, a_task(status)), httpx.Response(204))

    assert await provider(recorder).cancel(REF) is True
    assert (recorder.last.method, str(recorder.last.url)) == ("DELETE", TASK_URL)


@pytest.mark.parametrize(
    "task",
    [SUCCEEDED, a_task("FAILED", failureCode=None), a_task("CANCELLED")],
    ids=lambda task: task["status"],
)
async def test_a_task_that_has_ended_is_left_alone_because_a_delete_would_take_its_output(task):
    recorder = Recorder(answer(200, task))

    assert await provider(recorder).cancel(REF) is False
    assert [request.method for request in recorder.requests] == ["GET"]


async def test_a_task_that_is_unknown_was_not_told():
    assert await provider(Recorder(answer(404, {"error": "Could not find Task"}))).cancel(REF) is False


async def test_a_task_that_vanishes_meanwhile_was_not_told():
    recorder = Recorder(answer(200, a_task("RUNNING")), answer(404, {"error": "Could not find Task"}))

    assert await provider(recorder).cancel(REF) is False


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([answer(200, a_task("RUNNING")), answer(401, {"error": "?"})], ProviderAuthFailed),
        ([answer(200, a_task("RUNNING")), answer(500, {"error": "?"})], ProviderFailed),
        ([answer(200, a_task("RUNNING")), httpx.ReadError("reset")], ProviderUnavailable),
        ([answer(500, EDGE_PAGE)], ProviderUnavailable),
    ],
    ids=["refused", "failed", "lost", "not seen"],
)
async def test_a_cancel_that_does_not_work_is_named(answers, error):
    with pytest.raises(error):
        await provider(Recorder(*answers)).cancel(REF)


# --- what it cannot do, and its check -----------------------------------------------------------------------------


async def test_there_is_no_list_and_no_callback_and_nothing_is_asked():
    silent = provider(Recorder())

    assert await silent.find(a_generation(), datetime.now(UTC)) == []
    assert silent.job_named(ID, "gen4.5") == REF
    with pytest.raises(CallbackRefused):
        await silent.verify_callback({}, b"{}")


async def test_a_check_asks_for_the_balance():
    recorder = Recorder(answer(200, {"creditBalance": 1234, "tier": {}, "usage": {}}))

    await provider(recorder).check()

    assert str(recorder.last.url) == f"{BASE}/v1/organization"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(200, {"creditBalance": 0}), ProviderCreditsExhausted),
        (answer(401, {"error": "?"}), ProviderAuthFailed),
        (answer(404, {"error": "?"}), ProviderRejectedInput),
        (answer(503, EDGE_PAGE), ProviderUnavailable),
        (httpx.ConnectError("nobody there"), ProviderUnavailable),
    ],
    ids=["nothing left", "wrong key", "no such path", "shedding load", "unreachable"],
)
async def test_a_check_says_what_is_wrong(said, error):
    with pytest.raises(error):
        await provider(Recorder(said)).check()
