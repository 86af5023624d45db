"""BytePlus ModelArk: what is sent, and what recorded answers mean."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.providers import byteplus
from adapters.providers.byteplus import EXPIRY_S, ByteplusProvider, expiry_s, to_job, to_pictures, to_task
from domain.errors import (
    ContentRefused,
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
from domain.provider import InputFile, JobState, Output, Tools
from tests.support.providers import EDGE_PAGE, Recorder, a_submission, answer

BASE = "https://ark.byteplus.example/api/v3"
TASKS = f"{BASE}/contents/generations/tasks"
ID = "cgt-20261120102311-x7k2p"
REQUEST_ID = "0217951712043310000ab"
URL = "https://ark-content-generation-v2-ap-southeast-1.tos-ap-southeast-1.volces.com/seedream-4-5/0217_0.jpeg?X-Tos=1"
VIDEO_URL = "https://ark-content-generation-ap-southeast-1.tos-ap-southeast-1.volces.com/seedance-1-0-pro/0217.mp4"
CREATED = 1795171391
SUBMITTED = datetime.fromtimestamp(CREATED, UTC)
PICTURE = a_submission(
    native_model="seedream-4-5-251128",
    native_input={"prompt": "a lighthouse", "size": "2848x1600", "watermark": False},
    callback_url=None,
)
VIDEO = a_submission(
    native_model="seedance-1-0-pro-250528",
    native_input={"content": [{"type": "text", "text": "a lighthouse"}], "resolution": "720p", "duration": 5},
)


def provider(recorder: Recorder) -> ByteplusProvider:
    made = byteplus.build(byteplus.Settings(key="ark-fake\n", base_url=BASE, _env_file=None), TOOLS)
    assert made is not None
    made._http._transport = httpx.MockTransport(recorder)
    return made


async def _no_file(_address: str) -> InputFile:
    raise AssertionError


TOOLS = Tools(timedelta(seconds=10), _no_file)


def pictures(*data, **changes):
    count = sum("url" in item for item in data)
    usage = {"generated_images": count, "output_tokens": 17800 * count, "total_tokens": 17800 * count}
    return {"model": "seedream-4-5-251128", "created": 1795171204, "data": list(data), "usage": usage} | changes


def a_task(status="queued", **changes):
    return {
        "id": ID,
        "model": "seedance-1-0-pro-250528",
        "status": status,
        "created_at": CREATED,
        "updated_at": CREATED + 77,
        "service_tier": "default",
        "execution_expires_after": 172800,
    } | changes


def a_video(**changes):
    made = {
        "content": {"video_url": VIDEO_URL},
        "usage": {"completion_tokens": 103818, "total_tokens": 103818},
        "seed": 58211, "resolution": "720p", "ratio": "16:9", "duration": 5, "framespersecond": 24,
        "generate_audio": False, "draft": False, "priority": 0,
    }  # fmt: skip
    return a_task("succeeded", **made | changes)


def refused(code, message="The request failed. Request id: 0217", **changes):
    return {"error": {"code": code, "message": message, "param": "", "type": "BadRequest"} | changes}


def test_without_a_key_there_is_no_provider():
    assert byteplus.build(byteplus.Settings(key=None, _env_file=None), TOOLS) is None


# --- pictures -----------------------------------------------------------------------------------------------------


async def test_a_picture_is_one_post_that_waits_as_long_as_the_attempt_may_take():
    recorder = Recorder(answer(200, pictures({"url": URL, "size": "2848x1600"}), x_request_id=REQUEST_ID))

    job = await provider(recorder).submit(PICTURE)

    assert (recorder.last.method, str(recorder.last.url)) == ("POST", f"{BASE}/images/generations")
    assert recorder.last.headers["authorization"] == "Bearer ark-fake"
    assert recorder.last_json == dict(PICTURE.native_input) | {"model": "seedream-4-5-251128"}
    assert recorder.last.extensions["timeout"]["read"] == PICTURE.deadline.total_seconds()
    assert (job.state, job.outputs, job.cost_microcredits) == (JobState.SUCCEEDED, (Output(URL),), 40_000)
    assert job.ref == JobRef(REQUEST_ID, {"output.0": URL, "cost_microcredits": "40000"})


async def test_a_picture_is_read_and_canceled_without_asking_anybody():
    recorder = Recorder(answer(200, pictures({"url": URL}), x_request_id=REQUEST_ID))
    adapter = provider(recorder)
    made = await adapter.submit(PICTURE)

    assert await adapter.read(JobRef(made.ref.job_id, dict(made.ref.handle))) == made
    assert not await adapter.cancel(made.ref)
    assert await adapter.find(PICTURE, SUBMITTED) == []
    assert len(recorder.requests) == 1


async def test_an_answer_without_a_request_id_is_named_after_the_attempt():
    job = await provider(Recorder(answer(200, pictures({"url": URL})))).submit(PICTURE)

    assert job.ref.job_id == PICTURE.attempt_id


def test_the_pictures_that_were_made_are_delivered_in_order_and_paid():
    two = pictures({"url": URL}, refused("OutputImageSensitiveContentDetected"), {"url": URL + "2"})

    job = to_pictures(REQUEST_ID, two)

    assert job.outputs == (Output(URL), Output(URL + "2"))
    assert job.cost_microcredits == 80_000


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([refused("OutputImageSensitiveContentDetected")], ContentRefused),
        ([refused("InternalServiceError"), refused("OutputImageSensitiveContentDetected")], ProviderFailed),
        ([refused("ServerOverloaded")], ProviderFailed),
        ([], ProviderInvalidOutput),
        ([{"size": "2048x2048"}], ProviderInvalidOutput),
        (["what"], ProviderInvalidOutput),
        (None, ProviderInvalidOutput),
    ],
)
def test_an_answer_without_any_picture_says_why(data, error):
    with pytest.raises(error):
        to_pictures(REQUEST_ID, {"data": data})


async def test_a_refusal_may_come_with_a_200():
    with pytest.raises(ContentRefused):
        await provider(Recorder(answer(200, refused("OutputImageSensitiveContentDetected")))).submit(PICTURE)


@pytest.mark.parametrize("unpriced", [{"model": "dola-seedream-5-0-pro-260628"}, {"usage": None}, {"usage": {}}])
def test_a_cost_that_nobody_publishes_is_not_invented(unpriced):
    assert to_pictures(REQUEST_ID, pictures({"url": URL}, **unpriced)).cost_microcredits is None


# --- videos -------------------------------------------------------------------------------------------------------


async def test_a_video_is_a_task_with_callback_and_expiry():
    recorder = Recorder(answer(200, {"id": ID}))

    job = await provider(recorder).submit(VIDEO)

    assert (recorder.last.method, str(recorder.last.url)) == ("POST", TASKS)
    assert recorder.last_json == dict(VIDEO.native_input) | {
        "model": "seedance-1-0-pro-250528",
        "callback_url": VIDEO.callback_url,
        "execution_expires_after": expiry_s(VIDEO),
    }
    assert (job.ref, job.state) == (JobRef(ID), JobState.QUEUED)


def test_a_task_without_a_callback_address_does_not_name_one():
    assert "callback_url" not in to_task(a_submission(native_input=VIDEO.native_input, callback_url=None))


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ("a lighthouse --dur 12 --rs 1080p", "a lighthouse —dur 12 —rs 1080p"),
        ("--seed 7", "—seed 7"),
        ("dawn ---wm false", "dawn —wm false"),
        ("a well-lit pier", "a well-lit pier"),
    ],
)
def test_a_prompt_gives_no_commands_and_only_its_double_hyphens_change(prompt, sent):
    picture = {"type": "image_url", "image_url": {"url": "https://a.example/--dur 3.png"}, "role": "first_frame"}
    asked = {"content": [{"type": "text", "text": prompt}, picture]}

    assert to_task(a_submission(native_input=asked))["content"] == [{"type": "text", "text": sent}, picture]
    assert asked["content"][0]["text"] == prompt


@pytest.mark.parametrize(
    ("deadline", "least"),
    [(timedelta(minutes=10), 3600), (timedelta(hours=10), 36_000), (timedelta(days=30), EXPIRY_S[1])],
)
def test_a_task_expires_within_the_limits_and_never_before_our_deadline(deadline, least):
    drawn = [expiry_s(a_submission(attempt_id=str(number), deadline=deadline)) for number in range(50)]

    assert all(least <= seconds <= EXPIRY_S[1] for seconds in drawn)
    assert len(set(drawn)) > 40 or least == EXPIRY_S[1]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", JobState.QUEUED),
        ("running", JobState.RUNNING),
        ("cancelled", JobState.CANCELED),
        ("dreaming", JobState.RUNNING),
    ],
)
def test_a_task_that_made_nothing_yet(status, state):
    assert to_job(a_task(status)).state is state


def test_a_finished_task_has_its_video_and_the_price_of_its_tokens():
    job = to_job(a_video())

    assert (job.state, job.outputs) == (JobState.SUCCEEDED, (Output(VIDEO_URL),))
    assert job.cost_microcredits == 259_545  # 103818 tokens at 2.5 dollars for a million


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({"service_tier": "flex"}, 129_773),  # half, rounded up
        ({"model": "seedance-1-0-lite-i2v-250428"}, 186_873),
        ({"model": "seedance-1-5-pro-251215"}, 124_582),
        ({"model": "seedance-1-5-pro-251215", "generate_audio": True}, 249_164),
        ({"model": "seedance-1-0-pro-fast-251015"}, None),  # its price is not confirmed
        ({"model": "dreamina-seedance-2-0-260128"}, None),
        ({"usage": {"completion_tokens": "many"}}, None),
    ],
)
def test_tokens_cost_what_the_price_list_says(changes, cost):
    assert to_job(a_video(**changes)).cost_microcredits == cost


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("OutputVideoSensitiveContentDetected", ContentRefused),
        ("OutputAudioSensitiveContentDetected.DeepFake", ContentRefused),
        ("InputImageSensitiveContentDetected.PrivacyInformation", ContentRefused),
        ("InvalidParameter.TaskTypeMismatch", ProviderRejectedInput),
        ("InvalidImageURL.EmptyURL", ProviderRejectedInput),
        ("InternalServiceError", ProviderFailed),
        ("RequestBurstTooFast", ProviderFailed),
        ("QuotaExceeded", ProviderFailed),
        ("", ProviderFailed),
    ],
)
def test_a_failed_task_is_its_end_by_its_code(code, error):
    with pytest.raises(error) as failed:
        to_job(a_task("failed", error={"code": code, "message": "a lighthouse"}))

    assert type(failed.value) is error
    assert "lighthouse" not in str(failed.value)


@pytest.mark.parametrize(
    ("task", "error"),
    [
        (a_task("expired"), ProviderTimedOut),
        (a_task("failed"), ProviderFailed),
        (a_task("succeeded"), ProviderInvalidOutput),
        (a_task("succeeded", content={"video_url": None}), ProviderInvalidOutput),
    ],
)
def test_other_ends_of_a_task(task, error):
    with pytest.raises(error):
        to_job(task)


async def test_a_look_is_one_get():
    recorder = Recorder(answer(200, a_task("running")))

    job = await provider(recorder).read(JobRef(ID))

    assert (recorder.last.method, str(recorder.last.url)) == ("GET", f"{TASKS}/{ID}")
    assert job.state is JobState.RUNNING


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(404, refused("NotFound.Task")), JobNotFound),
        (answer(401, refused("AuthenticationError")), ProviderAuthFailed),
        (answer(429, refused("AccountRateLimitExceeded")), ProviderBusy),
        (answer(500, refused("InternalServiceError")), ProviderUnavailable),
        (answer(400, refused("InvalidParameter")), ProviderUnavailable),
        (answer(502, EDGE_PAGE), ProviderUnavailable),
        (answer(200, {}), ProviderUnavailable),
        (httpx.ReadTimeout("silence"), ProviderUnavailable),
    ],
)
async def test_a_look_that_does_not_work_says_nothing_about_the_job(given, error):
    with pytest.raises(error):
        await provider(Recorder(given)).read(JobRef(ID))


async def test_an_id_that_is_no_id_is_not_asked_for():
    recorder = Recorder()

    with pytest.raises(JobNotFound):
        await provider(recorder).read(JobRef("../images"))
    assert recorder.requests == []


# --- cancel -------------------------------------------------------------------------------------------------------


async def test_a_queued_task_is_deleted():
    recorder = Recorder(answer(200, a_task("queued")), answer(200, {}))

    assert await provider(recorder).cancel(JobRef(ID))
    assert [request.method for request in recorder.requests] == ["GET", "DELETE"]


@pytest.mark.parametrize("status", ["running", "succeeded", "failed", "expired", "cancelled"])
async def test_a_task_that_is_not_queued_is_left_alone_because_a_delete_would_destroy_its_result(status):
    recorder = Recorder(answer(200, a_task(status)))

    assert not await provider(recorder).cancel(JobRef(ID))
    assert [request.method for request in recorder.requests] == ["GET"]


@pytest.mark.parametrize(
    "given", [answer(409, refused("InvalidAction.RunningTaskDeletion")), answer(404, refused("NotFound.Task"))]
)
async def test_a_task_that_began_meanwhile_was_not_canceled(given):
    assert not await provider(Recorder(answer(200, a_task("queued")), given)).cancel(JobRef(ID))


async def test_a_task_that_is_gone_was_not_canceled():
    assert not await provider(Recorder(answer(404, refused("NotFound.Task")))).cancel(JobRef(ID))


async def test_a_cancel_that_is_refused_says_so():
    with pytest.raises(ProviderBusy):
        await provider(Recorder(answer(200, a_task()), answer(429, refused("RequestBurstTooFast")))).cancel(JobRef(ID))


# --- find ---------------------------------------------------------------------------------------------------------


async def test_a_lost_task_is_known_by_the_expiry_that_only_its_attempt_has():
    ours = {"execution_expires_after": expiry_s(VIDEO)}
    listed = [
        a_task(id="cgt-of-another-attempt", execution_expires_after=expiry_s(VIDEO) - 1),
        a_task(id="cgt-of-another-hour", created_at=CREATED - 60, **ours),
        a_task(**ours),
        a_task(id=None, **ours),
        a_task(id="cgt-without-a-time", created_at=None, **ours),
        a_task(id="cgt-in-milliseconds", created_at=CREATED * 1000, **ours),
        "what",
    ]
    recorder = Recorder(answer(200, {"total": 6, "items": listed}))

    assert await provider(recorder).find(VIDEO, SUBMITTED) == [JobRef(ID)]
    assert dict(recorder.last.url.params) == {
        "page_num": "1",
        "page_size": "100",
        "filter.model": "seedance-1-0-pro-250528",
    }


async def test_a_list_that_does_not_answer_says_so():
    with pytest.raises(ProviderBusy):
        await provider(Recorder(answer(429, refused("AccountRateLimitExceeded")))).find(VIDEO, SUBMITTED)


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("submission", [PICTURE, VIDEO], ids=["picture", "video"])
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "MissingParameter.content", ProviderRejectedInput),
        (400, "InvalidParameter.UnsupportedParameter", ProviderRejectedInput),
        (400, "InvalidImageURL.InvalidFormat", ProviderRejectedInput),
        (400, "SensitiveContentDetected.SevereViolation", ContentRefused),
        (400, "InputTextSensitiveContentDetected.PolicyViolation", ContentRefused),
        (401, "AuthenticationError", ProviderAuthFailed),
        (401, "InvalidAccountStatus", ProviderAuthFailed),
        (403, "AccessDenied", ProviderAuthFailed),
        (403, "OperationDenied.ServiceNotOpen", ProviderAuthFailed),
        (403, "OperationDenied.ServiceOverdue", ProviderCreditsExhausted),
        (403, "AccountOverdueError", ProviderCreditsExhausted),
        (404, "InvalidEndpointOrModel.NotFound", ProviderRejectedInput),
        (429, "ModelAccountIpmRateLimitExceeded", ProviderBusy),
        (429, "RequestBurstTooFast", ProviderBusy),
        (429, "ServerOverloaded", ProviderAtCapacity),
        (429, "InflightBatchsizeExceeded", ProviderAtCapacity),
        (429, "QuotaExceeded", ProviderCreditsExhausted),
        (429, "SetLimitExceeded", ProviderCreditsExhausted),
        (500, "InternalServiceError", ProviderFailed),
        (503, "ServiceUnavailable", ProviderUnavailable),
    ],
)
async def test_a_refusal_is_named_by_its_code(submission, status, code, error):
    with pytest.raises(error) as failure:
        await provider(Recorder(answer(status, refused(code, "a lighthouse", param="size")))).submit(submission)

    assert type(failure.value) is error
    assert failure.value.details == {"fields": ["size"]}
    assert "lighthouse" not in str(failure.value)


@pytest.mark.parametrize("submission", [PICTURE, VIDEO], ids=["picture", "video"])
@pytest.mark.parametrize(
    "given",
    [
        answer(502, EDGE_PAGE),
        answer(502, refused("InternalServiceError")),
        answer(500, {"message": "down"}),
        answer(200, "<html></html>"),
        httpx.ReadTimeout("silence"),
        httpx.RemoteProtocolError("cut"),
    ],
)
async def test_a_lost_answer_is_ambiguous(submission, given):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(given)).submit(submission)


async def test_a_task_without_an_id_is_ambiguous():
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(200, {"task": ID}))).submit(VIDEO)


async def test_a_pause_that_was_named_is_kept():
    given = answer(429, refused("RequestBurstTooFast"), retry_after="7")

    with pytest.raises(ProviderBusy) as busy:
        await provider(Recorder(given)).submit(VIDEO)
    assert busy.value.retry_after == timedelta(seconds=7)


# --- callbacks and the check --------------------------------------------------------------------------------------


async def test_a_callback_is_a_doorbell_that_names_no_job():
    adapter = provider(Recorder())

    first, again, other = [await adapter.verify_callback({}, body) for body in (b"{1}", b"{1}", b"{2}")]

    assert first == again
    assert first.event_id != other.event_id
    assert first.job_id is None


async def test_a_check_lists_one_task():
    recorder = Recorder(answer(200, {"total": 0, "items": []}))

    await provider(recorder).check()

    assert (recorder.last.method, recorder.last.url.params["page_size"]) == ("GET", "1")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(401, refused("AuthenticationError")), ProviderAuthFailed),
        (answer(403, refused("AccountOverdueError")), ProviderCreditsExhausted),
        (httpx.ConnectError("no route"), ProviderUnavailable),
    ],
)
async def test_a_check_says_what_is_wrong(given, error):
    with pytest.raises(error):
        await provider(Recorder(given)).check()
