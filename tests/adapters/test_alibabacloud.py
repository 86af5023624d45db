import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.providers import alibabacloud
from adapters.providers.alibabacloud import SYNCHRONOUS_ENDPOINT, AlibabaCloudProvider, to_finished_job, to_job
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    InputFileRefused,
    InputFormatUnsupported,
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
from domain.provider import JobState, Output, Tools
from tests.support.providers import DATA, EDGE_PAGE, Recorder, a_submission, answer

BASE = "https://dashscope.example/api/v1"
ID = "0b6d6a6e-9a41-4a7b-8b1f-2f0c6a5f7d11"
PROMPT = "a paper boat drifting down a rainy gutter"
SUBMITTED = datetime(2026, 11, 20, 10, 23, 11, tzinfo=UTC)
BODIES = json.loads((DATA / "alibabacloud.json").read_text("utf-8"))

A_VIDEO = a_submission(
    native_model="wan2.6-t2v",
    native_input={"input": {"prompt": PROMPT}, "parameters": {"size": "1280*720", "duration": 5}},
    callback_url=None,
    endpoint="/services/aigc/video-generation/video-synthesis",
)
AN_IMAGE = a_submission(
    native_model="qwen-image-plus",
    native_input={
        "input": {"messages": [{"role": "user", "content": [{"text": "storefront sign that reads OPEN LATE"}]}]},
        "parameters": {"size": "1664*928", "n": 1},
    },
    callback_url=None,
    endpoint=SYNCHRONOUS_ENDPOINT,
)
DONE = {"task_status": "SUCCEEDED", "video_url": "https://dashscope.example/v.mp4"}


def provider(recorder: Recorder, *, seconds_later: float = 10) -> AlibabaCloudProvider:
    http = httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(recorder))
    return AlibabaCloudProvider(http, clock=lambda: SUBMITTED.timestamp() + seconds_later)


def a_task(**output) -> dict:
    return {"request_id": "3f6a0f4e-6a1b-9c7d-b6d4-08a6f1f0a9c2", "output": {"task_id": ID, **output}}


async def never_read(url: str):
    raise AssertionError(url)


def test_without_a_key_there_is_no_provider_and_with_one_it_is_sent_to_the_address_of_its_region():
    tools = Tools(timedelta(seconds=10), never_read)
    built = alibabacloud.build(alibabacloud.Settings(_env_file=None, key="sk-fake\n"), tools)

    assert alibabacloud.build(alibabacloud.Settings(_env_file=None), tools) is None
    assert built._http.headers["authorization"] == "Bearer sk-fake"
    assert str(built._http.base_url) == "https://dashscope-intl.aliyuncs.com/api/v1/"


# --- submit -------------------------------------------------------------------------------------------------------


async def test_a_task_is_one_asynchronous_post_and_not_yet_known_to_be_valid():
    recorder = Recorder(answer(200, BODIES["submitted"]))

    job = await provider(recorder).submit(A_VIDEO)

    assert (job.ref, job.state) == (JobRef(ID), JobState.QUEUED)
    assert (recorder.last.method, str(recorder.last.url)) == ("POST", BASE + A_VIDEO.endpoint)
    assert recorder.last.headers["x-dashscope-async"] == "enable"
    assert recorder.last_json == {"model": "wan2.6-t2v", **A_VIDEO.native_input}


async def test_a_synchronous_call_waits_as_long_as_the_attempt_may_take_and_keeps_its_outputs_in_the_reference():
    recorder = Recorder(answer(200, BODIES["images in a message"]))

    job = await provider(recorder).submit(AN_IMAGE)

    url = "https://dashscope-result-sz.oss-cn-shenzhen.aliyuncs.com/7d/a.png?Expires=1795257013"
    assert (job.state, job.outputs) == (JobState.SUCCEEDED, (Output(url),))
    assert job.ref == JobRef("a47c6e90-1d2b-9b83-8c05-f3e9b7d4016a", {"output.0": url})
    assert "x-dashscope-async" not in recorder.last.headers
    assert {name: recorder.last.extensions["timeout"][name] for name in ("connect", "read")} == {
        "connect": 5,
        "read": 600,
    }


async def test_a_kept_answer_is_read_and_not_canceled_without_asking():
    asked = provider(Recorder())
    ref = JobRef(
        "a47c6e90", {"output.0": "https://dashscope.example/a.png", "output.1": "https://dashscope.example/b.png"}
    )

    assert [output.url for output in (await asked.read(ref)).outputs] == list(ref.handle.values())
    assert not await asked.cancel(ref)


def test_every_image_of_an_answer_counts_wherever_it_stands():
    first, second, third = ({"image": f"https://dashscope.example/{name}.png", "type": "image"} for name in "abc")
    text = {"type": "text", "text": "a caption"}
    choices = [{"message": {"content": [first, second]}}, {"message": {"content": [text, third]}}]

    job = to_finished_job("the attempt", {"output": {"choices": choices, "finished": True}})

    assert [output.url for output in job.outputs] == [item["image"] for item in (first, second, third)]
    assert job.ref.job_id == "the attempt"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "InvalidParameter", ProviderRejectedInput),
        (400, "InvalidParameter.DataInspection", ProviderRejectedInput),
        (400, "BadRequest.EmptyInput", ProviderRejectedInput),
        (400, "InvalidURL.Timeout", ProviderRejectedInput),
        (400, "InvalidImage.FileFormat", InputFormatUnsupported),
        (400, "InvalidImageResolution", InputFileRefused),
        (400, "InvalidFile.Duration", InputFileRefused),
        (400, "DataInspectionFailed", ContentRefused),
        (400, "data_inspection_failed", ContentRefused),
        (400, "IPInfringementSuspect", ContentRefused),
        (400, "CustomRoleBlocked", ContentRefused),
        (400, "FaqRuleBlocked", ContentRefused),
        (400, "Arrearage", ProviderCreditsExhausted),
        (400, "SomethingNew", ProviderRejectedInput),
        (401, "InvalidApiKey", ProviderAuthFailed),
        (401, "NOT AUTHORIZED", ProviderAuthFailed),
        (403, "AccessDenied", ProviderAuthFailed),
        (403, "AccessDenied.Unpurchased", ProviderAuthFailed),
        (403, "Model.AccessDenied", ProviderAuthFailed),
        (403, "Endpoint.AccessDenied", ProviderRejectedInput),
        (403, "AllocationQuota.FreeTierOnly", ProviderCreditsExhausted),
        (404, "ModelNotFound", ProviderRejectedInput),
        (404, "WorkSpaceNotFound", ProviderRejectedInput),
        (429, "Throttling", ProviderBusy),
        (429, "Throttling.AllocationQuota", ProviderBusy),
        (429, "insufficient_quota", ProviderBusy),
        (429, "CommodityNotPurchased", ProviderCreditsExhausted),
        (429, "PrepaidBillOverdue", ProviderCreditsExhausted),
        (429, "PostpaidBillOverdue", ProviderCreditsExhausted),
        (500, "InternalError", ProviderFailed),
        (500, "InternalError.Timeout", ProviderTimedOut),
        (500, "RequestTimeOut", ProviderTimedOut),
        (500, "SystemError", ProviderFailed),
        (500, "ModelServingError", ProviderAtCapacity),
        (503, "ModelUnavailable", ProviderAtCapacity),
        (503, "SomethingNew", ProviderUnavailable),
        (307, "SomethingNew", ProviderFailed),
    ],
)
async def test_an_explicit_refusal_of_a_submit_is_named_by_its_code_and_shows_nothing_of_its_text(status, code, error):
    body = {"code": code, "message": f"{PROMPT} is refused.", "request_id": "e81d7b02"}
    recorder = Recorder(answer(status, body, location="https://elsewhere.example/"))

    with pytest.raises(error) as refused:
        await provider(recorder).submit(A_VIDEO)

    assert type(refused.value) is error
    assert PROMPT not in f"{refused.value} {refused.value.details}"
    assert refused.value.details == {"code": code}
    assert len(recorder.requests) == 1


async def test_a_code_in_the_envelope_of_a_gateway_is_read_too():
    body = {"error": {"code": "Arrearage", "message": "Access denied.", "type": "Arrearage"}}

    with pytest.raises(ProviderCreditsExhausted):
        await provider(Recorder(answer(400, body))).submit(A_VIDEO)


async def test_a_pause_that_was_asked_for_is_passed_on():
    throttled = answer(429, {"code": "Throttling.RateQuota", "message": ""}, retry_after="7")

    with pytest.raises(ProviderBusy) as busy:
        await provider(Recorder(throttled)).submit(A_VIDEO)

    assert busy.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(answer(502, EDGE_PAGE), id="a page of the edge"),
        pytest.param(answer(504, {"code": "RequestTimeOut"}), id="a gateway that gave up"),
        pytest.param(answer(500, EDGE_PAGE), id="an error without a code"),
        pytest.param(answer(503, {}), id="an empty error"),
        pytest.param(answer(200, "accepted"), id="accepted, but no JSON"),
        pytest.param(answer(200, {"request_id": "7f2c1c2e"}), id="accepted, but no output"),
        pytest.param(answer(200, {"output": {"task_status": "PENDING"}}), id="accepted, but no task"),
        pytest.param(httpx.ReadTimeout("slow"), id="no answer"),
        pytest.param(httpx.RemoteProtocolError("gone"), id="a broken connection"),
    ],
)
async def test_a_submit_whose_answer_is_lost_is_ambiguous(lost):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(lost)).submit(A_VIDEO)


async def test_a_synchronous_call_that_broke_is_ambiguous_and_leaves_nothing_to_find():
    asked = provider(Recorder(httpx.ReadTimeout("slow")))

    with pytest.raises(SubmitAmbiguous):
        await asked.submit(AN_IMAGE)
    assert await asked.find(AN_IMAGE, SUBMITTED) == []


async def test_a_submit_that_never_left_is_no_mystery():
    with pytest.raises(ProviderUnavailable):
        await provider(Recorder(httpx.ConnectError("refused"))).submit(A_VIDEO)


# --- read ---------------------------------------------------------------------------------------------------------


async def test_a_look_never_asks_for_an_asynchronous_answer():
    recorder = Recorder(answer(200, BODIES["a video"]))

    job = await provider(recorder).read(JobRef(ID))

    assert (recorder.last.method, str(recorder.last.url)) == ("GET", f"{BASE}/tasks/{ID}")
    assert "x-dashscope-async" not in recorder.last.headers
    assert (job.state, job.predict_time_s, job.cost_microcredits) == (JobState.SUCCEEDED, 149.471, None)
    assert [output.url for output in job.outputs] == [BODIES["a video"]["output"]["video_url"]]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", JobState.QUEUED),
        ("RUNNING", JobState.RUNNING),
        ("SUSPENDED", JobState.RUNNING),
        ("CANCELED", JobState.CANCELED),
        ("SOMETHING_NEW", JobState.RUNNING),
    ],
)
def test_each_status_is_a_state_of_ours(status, state):
    assert to_job(JobRef(ID), a_task(task_status=status)).state is state


def test_an_unknown_task_is_not_found_although_the_answer_is_fine():
    with pytest.raises(JobNotFound):
        to_job(JobRef(ID), BODIES["unknown"])


def test_what_is_left_of_several_images_is_delivered():
    job = to_job(JobRef(ID), BODIES["images, one failed"])

    assert [output.url for output in job.outputs] == [BODIES["images, one failed"]["output"]["results"][0]["url"]]


def test_images_of_the_newer_protocol_are_read_from_a_task_too():
    job = to_job(JobRef(ID), BODIES["images of a task in messages"])

    assert [output.url for output in job.outputs] == [
        "https://dashscope.example/1d/0.png",
        "https://dashscope.example/1d/1.png",
    ]


@pytest.mark.parametrize(
    ("output", "error"),
    [
        pytest.param({}, ProviderInvalidOutput, id="nothing at all"),
        pytest.param({"video_url": None, "results": "none", "choices": [None]}, ProviderInvalidOutput, id="no file"),
        pytest.param({"results": [{"code": "InternalError.Timeout"}]}, ProviderTimedOut, id="all failed"),
        pytest.param({"results": [{"code": "DataInspectionFailed"}]}, ContentRefused, id="all refused"),
    ],
)
def test_a_success_without_any_file_is_a_failure(output, error):
    with pytest.raises(error):
        to_job(JobRef(ID), a_task(task_status="SUCCEEDED", **output))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("InvalidParameter", ProviderRejectedInput),
        ("InvalidParameter.DataInspection", ProviderRejectedInput),
        ("BadRequest.InputDownloadFailed", ProviderRejectedInput),
        ("InvalidImageFormat", InputFormatUnsupported),
        ("DataInspectionFailed", ContentRefused),
        ("data_inspection_failed", ContentRefused),
        ("IPInfringementSuspect", ContentRefused),
        ("InternalError", ProviderFailed),
        ("InternalError.Algo", ProviderFailed),
        ("InternalError.Timeout", ProviderTimedOut),
        ("ModelServiceFailed", ProviderFailed),
        ("ModelServingError", ProviderAtCapacity),
        ("SomethingNew", ProviderFailed),
        (None, ProviderFailed),
        # of the account: as an error of a look it would be looked at again, until the deadline
        ("Throttling.AllocationQuota", ProviderAtCapacity),
        ("Arrearage", ProviderFailed),
        ("InvalidApiKey", ProviderFailed),
    ],
)
def test_a_failed_task_is_named_by_its_code(code, error):
    with pytest.raises(error) as failed:
        to_job(JobRef(ID), a_task(task_status="FAILED", code=code, message=PROMPT))

    assert type(failed.value) is error
    assert PROMPT not in f"{failed.value} {failed.value.details}"


def test_input_that_was_accepted_too_early_is_refused_at_the_end():
    with pytest.raises(ProviderRejectedInput) as refused:
        to_job(JobRef(ID), BODIES["a task that failed on its size"])

    assert not refused.value.retryable


@pytest.mark.parametrize(
    ("look", "error"),
    [
        (answer(401, {"code": "InvalidApiKey"}), ProviderAuthFailed),
        (answer(400, {"code": "Arrearage"}), ProviderCreditsExhausted),
        (answer(429, {"code": "Throttling.RateQuota"}), ProviderBusy),
        (answer(400, {"code": "InvalidParameter"}), ProviderUnavailable),
        (answer(404, {"code": "NotFound"}), ProviderUnavailable),
        (answer(500, {"code": "InternalError"}), ProviderUnavailable),
        (answer(503, EDGE_PAGE), ProviderUnavailable),
        (answer(200, EDGE_PAGE), ProviderUnavailable),
        (httpx.ReadTimeout("slow"), ProviderUnavailable),
    ],
)
async def test_a_look_that_does_not_work_says_nothing_about_the_task(look, error):
    with pytest.raises(error):
        await provider(Recorder(look)).read(JobRef(ID))


async def test_an_id_that_would_lead_elsewhere_is_not_asked_for():
    with pytest.raises(JobNotFound):
        await provider(Recorder()).read(JobRef("../services/aigc"))


@pytest.mark.parametrize("times", [{}, {"scheduled_time": "soon", "end_time": "2026-11-20 18:25:40.918"}])
def test_without_readable_times_no_duration_is_told(times):
    job = to_job(JobRef(ID), a_task(**DONE, **times))

    assert job.predict_time_s is None


# --- cancel -------------------------------------------------------------------------------------------------------


async def test_a_waiting_task_is_canceled():
    recorder = Recorder(answer(200, {"request_id": "b25e"}))

    assert await provider(recorder).cancel(JobRef(ID))
    assert (recorder.last.method, str(recorder.last.url)) == ("POST", f"{BASE}/tasks/{ID}/cancel")


async def test_a_task_that_has_begun_was_not_told():
    assert not await provider(Recorder(answer(400, BODIES["too late to cancel"]))).cancel(JobRef(ID))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(429, {"code": "Throttling"}), ProviderBusy),
        (answer(401, {"code": "InvalidApiKey"}), ProviderAuthFailed),
        (answer(500, EDGE_PAGE), ProviderFailed),
        (httpx.ReadTimeout("slow"), ProviderUnavailable),
    ],
)
async def test_a_cancel_that_did_not_work_is_an_error(said, error):
    with pytest.raises(error):
        await provider(Recorder(said)).cancel(JobRef(ID))


# --- find ---------------------------------------------------------------------------------------------------------


def a_listed(task_id: str, seconds: float, **changes) -> dict:
    created_ms = int((SUBMITTED.timestamp() + seconds) * 1000)
    return BODIES["a listed task"] | {"task_id": task_id, "gmt_create": created_ms} | changes


def a_page(*tasks, page_no=1, total_page=1):
    return answer(200, {"request_id": "97cf", "data": list(tasks), "page_no": page_no, "total_page": total_page})


def a_running_task():
    return answer(200, a_task(task_status="RUNNING"))


async def test_a_lost_task_is_looked_for_by_model_and_time():
    recorder = Recorder(
        a_page(
            a_listed("too-early", -6),
            a_listed("far", 3),
            a_listed("near", 0.3),
            a_listed("too-late", 61),
            a_listed("of-no-time", 0.2, gmt_create=10**18),
            a_listed("another-model", 0.1, model_name="wan2.6-i2v"),
        ),
        a_running_task(),
        a_running_task(),
    )

    found = await provider(recorder, seconds_later=100).find(A_VIDEO, SUBMITTED)

    assert [ref.job_id for ref in found] == ["near", "far"]
    query = recorder.requests[0].url.params
    assert recorder.requests[0].url.path == "/api/v1/tasks/"
    assert (query["model_name"], query["start_time"], query["page_no"]) == ("wan2.6-t2v", "20261120102306", "1")


async def test_a_task_whose_own_answer_may_be_on_its_way_is_left_to_its_owner():
    assert await provider(Recorder(a_page(a_listed("young", 0.5))), seconds_later=1).find(A_VIDEO, SUBMITTED) == []


FOREIGN_IMAGE = {"orig_prompt": "another", "url": "https://dashscope.example/i.png"}


@pytest.mark.parametrize(
    ("output", "is_it"),
    [
        pytest.param(DONE | {"orig_prompt": PROMPT}, True, id="our prompt"),
        pytest.param(DONE | {"orig_prompt": "another"}, False, id="another prompt"),
        pytest.param(DONE | {"results": [FOREIGN_IMAGE]}, False, id="another prompt of an image"),
        pytest.param(DONE, False, id="no prompt shown"),
        pytest.param({"task_status": "PENDING"}, True, id="waiting"),
        pytest.param({"task_status": "FAILED", "code": "InternalError"}, False, id="failed"),
        pytest.param({"task_status": "CANCELED"}, False, id="canceled"),
        pytest.param({"task_status": "UNKNOWN"}, False, id="gone"),
    ],
)
async def test_a_candidate_is_judged_by_what_it_shows(output, is_it):
    found = await provider(Recorder(a_page(a_listed(ID, 0.3)), answer(200, a_task(**output)))).find(A_VIDEO, SUBMITTED)

    assert [ref.job_id for ref in found] == [ID] * is_it


async def test_a_lost_task_without_a_prompt_is_not_looked_for_because_it_cannot_be_told_from_a_strangers():
    """The list shows every key's tasks: one taken by its time alone would hand a stranger's face to a customer."""
    animated = {"input": {"image_url": "https://files.example/face.png", "video_url": "https://files.example/a.mp4"}}
    submission = a_submission(**vars(A_VIDEO) | {"native_input": animated})

    assert await provider(Recorder(a_page(a_listed(ID, 0.3)))).find(submission, SUBMITTED) == []


async def test_a_task_that_ends_with_another_prompt_is_given_back():
    recorder = Recorder(
        a_page(a_listed(ID, 0.3)),
        a_running_task(),
        answer(200, a_task(**DONE, orig_prompt="another")),
    )
    asked = provider(recorder)
    (found,) = await asked.find(A_VIDEO, SUBMITTED)

    with pytest.raises(JobNotFound):
        await asked.read(found)
    assert PROMPT not in json.dumps(dict(found.handle))


async def test_a_prompt_that_was_cut_off_is_still_ours():
    long = "word " * 400
    submission = a_submission(**vars(A_VIDEO) | {"native_input": {"input": {"prompt": long}}})
    shown = a_task(**DONE, orig_prompt=long[:800])

    found = await provider(Recorder(a_page(a_listed(ID, 0.3)), answer(200, shown))).find(submission, SUBMITTED)

    assert [ref.job_id for ref in found] == [ID]


async def test_every_page_is_looked_through():
    recorder = Recorder(
        a_page(a_listed("far", 3), total_page=2), a_page(a_listed("near", 0.3), page_no=2, total_page=2),
        a_running_task(), a_running_task(),
    )  # fmt: skip

    assert [ref.job_id for ref in await provider(recorder).find(A_VIDEO, SUBMITTED)] == ["near", "far"]
    assert recorder.requests[1].url.params["page_no"] == "2"


async def test_a_listing_without_an_end_is_given_up():
    recorder = Recorder(*[a_page(a_listed("old", -600), total_page=99)] * alibabacloud.PAGES_MAX)

    assert await provider(recorder).find(A_VIDEO, SUBMITTED) == []
    assert recorder.answers == []


async def test_a_search_that_cannot_look_is_an_error_and_not_an_empty_answer():
    with pytest.raises(ProviderBusy):
        await provider(Recorder(a_page(a_listed(ID, 0.3)), answer(429, {"code": "Throttling"}))).find(
            A_VIDEO, SUBMITTED
        )


# --- the rest -----------------------------------------------------------------------------------------------------


async def test_there_are_no_callbacks():
    with pytest.raises(CallbackRefused):
        await provider(Recorder()).verify_callback({}, b"{}")


def test_a_job_is_its_id():
    assert provider(Recorder()).job_named(ID, "wan2.6-t2v") == JobRef(ID)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(401, {"code": "InvalidApiKey"}), ProviderAuthFailed),
        (answer(400, {"code": "Arrearage"}), ProviderCreditsExhausted),
        (answer(503, EDGE_PAGE), ProviderUnavailable),
        (httpx.ConnectError("refused"), ProviderUnavailable),
    ],
)
async def test_a_check_says_what_is_wrong(said, error):
    with pytest.raises(error):
        await provider(Recorder(said)).check()


async def test_a_check_asks_for_one_line_of_the_list():
    recorder = Recorder(a_page())

    await provider(recorder).check()

    assert str(recorder.last.url) == f"{BASE}/tasks/?page_no=1&page_size=1"
