"""Looking at a job of fal, and what its answers mean."""

import httpx
import pytest

from domain.errors import (
    ContentRefused,
    InputFileRefused,
    InputFileTooBig,
    InputFormatUnsupported,
    InputImageTooLarge,
    InputImageTooSmall,
    JobNotFound,
    ProviderAtCapacity,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
)
from domain.generation import JobRef
from domain.provider import JobState, Output
from tests.support.fal import ADDRESSES, ID, REF, URL, a_result, a_status, complaint, provider
from tests.support.providers import EDGE_PAGE, Recorder, answer


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
        pytest.param(a_result(422, complaint("file_download_error")), ProviderRejectedInput, id="our copy unreachable"),
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
