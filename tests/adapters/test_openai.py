import asyncio
import base64
import contextlib
import gzip
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import answers, openai
from adapters.providers.openai import VIDEOS, OpenAIProvider
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    InputFileRefused,
    InputFileTooBig,
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import InputFile, JobState, Output, Tools
from tests.support.forms import fields_and_files
from tests.support.providers import DATA, EDGE_PAGE, Recorder, a_submission, answer

BASE = "https://api.openai.example/v1"
VIDEO_ID = "video_6919f3a7c5d481909f0b2e6a8d1c4b73"
MEMBERS = st.sampled_from(
    [
        "id",
        "data",
        "status",
        "error",
        "code",
        "type",
        "message",
        "param",
        "usage",
        "b64_json",
        "url",
        "has_more",
        "created_at",
    ]
)
A_VIDEO = JobRef(VIDEO_ID, {"path": VIDEOS})
SUBMITTED = datetime.fromtimestamp(1794993242, UTC)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()


def an_image(**changes):
    return {
        "created": 1794993242,
        "background": "opaque",
        "output_format": "png",
        "quality": "medium",
        "size": "1536x1024",
        "data": [{"b64_json": PNG}],
        "usage": {
            "input_tokens": 19,
            "input_tokens_details": {"text_tokens": 19, "image_tokens": 0},
            "output_tokens": 1568,
            "output_tokens_details": {"image_tokens": 1568, "text_tokens": 0},
            "total_tokens": 1587,
        },
    } | changes


def a_video(**changes):
    return {
        "id": VIDEO_ID,
        "object": "video",
        "model": "sora-2",
        "status": "queued",
        "progress": 0,
        "created_at": 1794993242,
        "completed_at": None,
        "expires_at": None,
        "prompt": "a lighthouse on a cliff at dusk, slow dolly in",
        "size": "1280x720",
        "seconds": "8",
        "remixed_from_video_id": None,
        "error": None,
    } | changes


def asking(prompt="a lighthouse on a cliff at dusk", **given):
    return a_submission(native_model="gpt-image-2", native_input={"prompt": prompt, "size": "1536x1024"} | given)


def asking_for_video(**given):
    told = {"prompt": a_video()["prompt"], "seconds": "8", "size": "1280x720"} | given
    return a_submission(native_model="sora-2", native_input=told, endpoint=VIDEOS)


async def read_file(address: str) -> InputFile:
    if "gone" in address:
        raise ProviderRejectedInput("The input file could not be read.")
    return InputFile(f"bytes of {address}".encode(), "image/webp" if address.endswith("webp") else "image/png")


def provider(recorder: Recorder, **options) -> OpenAIProvider:
    http = openai.client(BASE, "sk-fake\n", timedelta(seconds=10))
    http._transport = httpx.MockTransport(recorder)
    return OpenAIProvider(http, read_file=read_file, **{"webhook_secret": None} | options)


# --- images -------------------------------------------------------------------------------------------------------


async def test_an_image_is_one_post_that_is_answered_with_the_end():
    recorder = Recorder(answer(200, an_image(), x_request_id="req_8c1f00"))

    job = await provider(recorder).submit(asking(n=1))

    assert (job.state, job.outputs) == (JobState.SUCCEEDED, (Output(f"data:image/png;base64,{PNG}"),))
    assert job.ref == JobRef("req_8c1f00", {"input_tokens": "19", "output_tokens": "1568"})
    assert job.cost_microcredits is None
    assert (recorder.last.method, str(recorder.last.url)) == ("POST", f"{BASE}/images/generations")
    assert recorder.last.headers["authorization"] == "Bearer sk-fake"
    assert recorder.last_json == {"model": "gpt-image-2", **asking(n=1).native_input}


async def test_the_answer_may_take_as_long_as_the_deadline():
    recorder = Recorder(answer(200, an_image()))

    await provider(recorder).submit(asking())

    assert recorder.last.extensions["timeout"]["read"] == 600
    assert recorder.last.extensions["timeout"]["connect"] == 5


async def test_every_picture_of_an_answer_is_an_output():
    pictures = [base64.b64encode(head + bytes(20)).decode() for head in (b"\xff\xd8\xff", b"RIFF....WEBPVP8 ", b"?")]
    recorder = Recorder(answer(200, an_image(data=[{"b64_json": picture} for picture in pictures])))

    job = await provider(recorder).submit(asking())

    kinds = [output.url.partition(";")[0] for output in job.outputs]
    assert kinds == ["data:image/jpeg", "data:image/webp", "data:application/octet-stream"]


@pytest.mark.parametrize("request_id", [None, "", "7", "req_" + "x" * 99, "req_../a"])
async def test_a_call_without_an_id_of_the_vendor_is_named_by_its_attempt(request_id):
    headers = {"x_request_id": request_id} if request_id is not None else {}

    job = await provider(Recorder(answer(200, an_image(), **headers))).submit(asking())

    assert job.ref.job_id == asking().attempt_id


@pytest.mark.parametrize("usage", [None, [], {}, {"input_tokens": "many", "output_tokens": True}])
async def test_usage_may_be_missing(usage):
    job = await provider(Recorder(answer(200, an_image(usage=usage)))).submit(asking())

    assert job.ref.handle == {}


async def test_an_address_instead_of_base64_is_kept_in_the_reference():
    url = "https://files.other.example/a.png"
    adapter = provider(Recorder(answer(200, {"created": 1, "data": [{"url": url, "revised_prompt": "x"}]})))

    job = await adapter.submit(asking())

    assert job.outputs == (Output(url),)
    assert (await adapter.read(JobRef(job.ref.job_id, dict(job.ref.handle)))).outputs == (Output(url),)


async def test_an_address_that_is_the_picture_itself_is_not_kept_in_the_reference():
    """The reference goes into the journal: bytes do not belong there."""
    url = f"data:image/png;base64,{PNG}"

    job = await provider(Recorder(answer(200, {"created": 1, "data": [{"url": url}]}))).submit(asking())

    assert job.outputs == (Output(url),)
    assert PNG not in str(job.ref)


@pytest.mark.parametrize("data", [[], [{}], [{"b64_json": ""}], [{"url": None}], "none", None])
async def test_an_answer_without_a_picture_is_no_success(data):
    with pytest.raises(ProviderInvalidOutput):
        await provider(Recorder(answer(200, an_image(data=data)))).submit(asking())


@pytest.mark.parametrize("body", [{}, [], "made", {"created": 1}])
async def test_a_success_that_does_not_say_what_was_made_is_ambiguous(body):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(200, body))).submit(asking())


async def test_an_answer_above_the_limit_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(answers, "ANSWER_BYTES_MAX", 100)

    with pytest.raises(ProviderInvalidOutput, match="more than we take"):
        await provider(Recorder(answer(200, an_image()))).submit(asking())


async def test_a_compressed_answer_is_understood():
    body = gzip.compress(json.dumps(an_image()).encode())
    packed = httpx.Response(200, content=body, headers={"content-encoding": "gzip"})

    assert len((await provider(Recorder(packed)).submit(asking())).outputs) == 1


# --- edits --------------------------------------------------------------------------------------------------------


async def test_input_files_go_as_a_form_to_the_edits():
    recorder = Recorder(answer(200, an_image()))
    asked = asking(image=["https://files.example/a.png", "https://files.example/b.webp"], n=2, moderation="low")

    await provider(recorder).submit(asked)
    fields, files = fields_and_files(recorder.last)

    assert recorder.last.url.path == "/v1/images/edits"
    assert fields == {
        "model": "gpt-image-2",
        "prompt": asked.native_input["prompt"],
        "size": "1536x1024",
        "n": "2",
        "moderation": "low",
    }
    assert files == [
        ("image[]", "image-0.png", "image/png", b"bytes of https://files.example/a.png"),
        ("image[]", "image-1.webp", "image/webp", b"bytes of https://files.example/b.webp"),
    ]


@pytest.mark.parametrize("image", ["https://files.example/a.png", ["https://files.example/a.png"]])
async def test_one_input_file_has_the_name_that_every_server_knows(image):
    recorder = Recorder(answer(200, an_image()))

    await provider(recorder).submit(asking(image=image))

    assert [name for name, *_ in fields_and_files(recorder.last)[1]] == ["image"]


async def test_a_flag_is_written_in_a_form_as_in_json():
    recorder = Recorder(answer(200, an_image()))

    await provider(recorder).submit(asking(image="https://files.example/a.png", tiling=True))

    assert fields_and_files(recorder.last)[0]["tiling"] == "true"


async def test_an_input_file_that_cannot_be_read_is_not_asked_about():
    recorder = Recorder()

    with pytest.raises(ProviderRejectedInput):
        await provider(recorder).submit(asking(image=["https://files.example/gone.png"]))


# --- refusals -----------------------------------------------------------------------------------------------------


def complaint(message="A text with the customer's words", kind="invalid_request_error", param=None, code=None, **more):
    return {"error": {"message": message, "type": kind, "param": param, "code": code} | more}


BLOCKED = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com "
    "and include the request ID req_8c1f…. safety_violations=[sexual]."
)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(
            400,
            complaint(
                BLOCKED,
                "image_generation_user_error",
                code="moderation_blocked",
                moderation_details={"moderation_stage": "input", "categories": ["sexual"]},
            ),
            ContentRefused,
            id="moderation",
        ),
        pytest.param(400, complaint(code="content_policy_violation"), ContentRefused, id="moderation of old"),
        pytest.param(400, complaint(BLOCKED, "image_generation_user_error"), ContentRefused, id="moderation by text"),
        pytest.param(
            400,
            complaint(kind="billing_limit_user_error", code="billing_hard_limit_reached"),
            ProviderCreditsExhausted,
            id="billing limit",
        ),
        pytest.param(400, complaint(kind="billing_limit_user_error"), ProviderCreditsExhausted, id="billing by type"),
        pytest.param(
            400,
            complaint("The model 'dall-e-3' does not exist.", "image_generation_user_error"),
            ProviderRejectedInput,
            id="a retired model",
        ),
        pytest.param(400, complaint(code="unknown_parameter", param="seed"), ProviderRejectedInput, id="unknown"),
        pytest.param(400, complaint(code="unknown_parameter", param="image"), ProviderRejectedInput, id="our mistake"),
        pytest.param(400, complaint(code="invalid_image_file", param="image[]"), InputFileRefused, id="a bad picture"),
        pytest.param(400, complaint(code="invalid_value", param="mask"), InputFileRefused, id="a bad mask"),
        pytest.param(400, complaint(code=["odd"], param="image"), InputFileRefused, id="a code of another form"),
        pytest.param(
            400, complaint(param="input_reference"), ProviderRejectedInput, id="a first frame of another size"
        ),
        pytest.param(400, complaint(code="invalid_value", param="size"), ProviderRejectedInput, id="a bad size"),
        pytest.param(401, complaint(code="invalid_api_key"), ProviderAuthFailed, id="wrong key"),
        pytest.param(403, complaint("Your organization must be verified"), ProviderAuthFailed, id="not verified"),
        pytest.param(404, complaint(code="model_not_found"), ProviderRejectedInput, id="no such model"),
        pytest.param(404, complaint("Invalid URL (POST /v2/x)"), ProviderRejectedInput, id="no such path"),
        pytest.param(409, complaint(), ProviderFailed, id="conflict"),
        pytest.param(410, complaint(), ProviderRejectedInput, id="shut down"),
        pytest.param(413, complaint(), InputFileTooBig, id="too big"),
        pytest.param(429, complaint(kind="requests", code="rate_limit_exceeded"), ProviderBusy, id="too fast"),
        pytest.param(
            429,
            complaint(kind="insufficient_quota", code="insufficient_quota"),
            ProviderCreditsExhausted,
            id="no quota",
        ),
        pytest.param(429, complaint(kind="insufficient_quota"), ProviderCreditsExhausted, id="no quota by type"),
        pytest.param(500, complaint(kind="image_generation_server_error"), ProviderFailed, id="failed"),
        pytest.param(503, complaint("overloaded", "server_error"), ProviderUnavailable, id="overloaded"),
        pytest.param(408, complaint(), ProviderTimedOut, id="timed out"),
        pytest.param(307, {}, ProviderFailed, id="a redirect"),
        pytest.param(400, "prompt is required", ProviderRejectedInput, id="another server's text"),
        pytest.param(401, {"error": "no key"}, ProviderAuthFailed, id="another server's word"),
        pytest.param(429, {"detail": "slow down"}, ProviderBusy, id="another server's detail"),
        pytest.param(
            404, {"object": "error", "message": "no such model", "code": 404}, ProviderRejectedInput, id="flat"
        ),
    ],
)
async def test_an_explicit_refusal_is_named_and_shows_nothing_of_its_text(status, body, error):
    recorder = Recorder(answer(status, body))

    with pytest.raises(error) as refused:
        await provider(recorder).submit(asking())

    assert type(refused.value) is error
    assert not {"customer", "safety_violations", "slow"} & set(f"{refused.value} {refused.value.details}".split())
    assert len(recorder.requests) == 1


@pytest.mark.parametrize(
    ("param", "fields"), [("size", {"fields": ["size"]}), ("a prompt that slipped in", {}), (None, {}), (7, {})]
)
async def test_the_parameter_complained_about_is_named(param, fields):
    with pytest.raises(ProviderRejectedInput) as refused:
        await provider(Recorder(answer(400, complaint(param=param)))).submit(asking())

    assert refused.value.details == fields


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry_after": "7"}, timedelta(seconds=7)),
        ({"retry_after": "7", "retry_after_ms": "1500"}, timedelta(seconds=1.5)),
        ({"retry_after_ms": "99999999999"}, None),
        ({"retry_after_ms": "999999999"}, timedelta(hours=1)),
        ({}, None),
    ],
)
async def test_a_throttled_submit_says_when_to_come_back(headers, pause):
    with pytest.raises(ProviderBusy) as busy:
        await provider(Recorder(answer(429, complaint(), **headers))).submit(asking())

    assert busy.value.retry_after == pause


@pytest.mark.parametrize("submission", [asking(), asking_for_video()], ids=["image", "video"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(500, EDGE_PAGE), (502, EDGE_PAGE), (502, complaint()), (503, "overloaded"), (504, complaint()), (500, {})],
)
async def test_an_error_of_the_edge_leaves_a_submit_ambiguous(submission, status, body):
    recorder = Recorder(answer(status, body))

    with pytest.raises(SubmitAmbiguous):
        await provider(recorder).submit(submission)

    assert len(recorder.requests) == 1


@pytest.mark.parametrize("submission", [asking(), asking_for_video()], ids=["image", "video"])
@pytest.mark.parametrize(
    ("loss", "error"),
    [(httpx.ConnectError("dns"), ProviderUnavailable), (httpx.ReadTimeout("slow"), SubmitAmbiguous)],
    ids=["never sent", "perhaps sent"],
)
async def test_a_lost_submit_is_never_repeated(submission, loss, error):
    recorder = Recorder(loss)

    with pytest.raises(error):
        await provider(recorder).submit(submission)

    assert len(recorder.requests) == 1


async def test_an_image_is_nowhere_to_be_found_again():
    adapter = provider(Recorder())

    assert await adapter.find(asking(), SUBMITTED) == []
    assert not await adapter.cancel(JobRef("req_1"))
    with pytest.raises(JobNotFound):
        await adapter.read(JobRef("req_1", {"input_tokens": "19"}))


# --- videos -------------------------------------------------------------------------------------------------------


async def test_a_video_is_a_job():
    recorder = Recorder(answer(200, a_video()))

    job = await provider(recorder).submit(asking_for_video())

    assert (job.ref, job.state, job.outputs) == (A_VIDEO, JobState.QUEUED, ())
    assert str(recorder.last.url) == f"{BASE}/videos"
    assert recorder.last_json == {"model": "sora-2", **asking_for_video().native_input}


async def test_a_first_frame_is_sent_as_a_file():
    recorder = Recorder(answer(200, a_video()))

    await provider(recorder).submit(asking_for_video(input_reference="https://files.example/a.png"))
    fields, files = fields_and_files(recorder.last)

    assert (recorder.last.url.path, fields["seconds"]) == ("/v1/videos", "8")
    assert [(name, kind) for name, _, kind, _ in files] == [("input_reference", "image/png")]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("queued", JobState.QUEUED),
        ("in_progress", JobState.RUNNING),
        ("a status of tomorrow", JobState.RUNNING),
        (None, JobState.RUNNING),
    ],
)
async def test_the_states_of_a_video_are_ours(status, state):
    job = await provider(Recorder(answer(200, a_video(status=status)))).read(A_VIDEO)

    assert (job.state, job.outputs) == (state, ())


async def test_the_file_of_a_finished_video_is_fetched_with_our_key():
    recorder = Recorder(answer(200, a_video(status="completed", completed_at=1794993281)))

    job = await provider(recorder).read(A_VIDEO)

    assert recorder.last.url.path == f"/v1/videos/{VIDEO_ID}"
    assert job.state is JobState.SUCCEEDED
    assert [(file.url, file.content_type, dict(file.headers)) for file in job.outputs] == [
        (f"{BASE}/videos/{VIDEO_ID}/content", "video/mp4", {"Authorization": "Bearer sk-fake"})
    ]
    assert "sk-fake" not in repr(job), "a log line must not show the key"


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"code": "moderation_blocked", "message": "Your request was blocked."}, ContentRefused),
        ({"code": "content_policy_violation", "message": "x"}, ContentRefused),
        ({"code": "rate_limit_exceeded", "message": "x"}, ProviderFailed),
        ({"code": "of tomorrow", "message": "customer"}, ProviderFailed),
        ({}, ProviderFailed),
        (None, ProviderFailed),
    ],
)
async def test_a_failed_video_is_named_by_its_code(told, error):
    with pytest.raises(error) as failure:
        await provider(Recorder(answer(200, a_video(status="failed", error=told)))).read(A_VIDEO)

    assert type(failure.value) is error
    assert "customer" not in str(failure.value)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (answer(404, complaint()), JobNotFound),
        (answer(401, complaint()), ProviderAuthFailed),
        (answer(429, complaint()), ProviderBusy),
        (answer(500, complaint()), ProviderUnavailable),
        (answer(502, EDGE_PAGE), ProviderUnavailable),
        (answer(200, "not json"), ProviderUnavailable),
        (answer(200, {}), ProviderUnavailable),
        (httpx.ReadTimeout("slow"), ProviderUnavailable),
    ],
)
async def test_a_look_that_did_not_work_is_not_a_failed_job(reply, error):
    with pytest.raises(error):
        await provider(Recorder(reply)).read(A_VIDEO)


@pytest.mark.parametrize("body", [{"data": []}, {"id": None}, {"id": "../models"}, {"id": 7}])
async def test_a_video_without_an_id_cannot_be_followed(body):
    with pytest.raises(SubmitAmbiguous):
        await provider(Recorder(answer(200, body))).submit(asking_for_video())


@given(
    st.sampled_from([200, 201, 204, 302, 400, 401, 404, 418, 429, 500, 502, 503]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
        max_leaves=12,
    ),
)
def test_whatever_is_answered_nothing_but_a_named_failure_comes_of_it(status, body):
    async def ask(call):
        with contextlib.suppress(ProviderError):
            await call

    async def all_of_it():
        for call in (
            provider(Recorder(answer(status, body))).submit(asking()),
            provider(Recorder(answer(status, body))).submit(asking_for_video()),
            provider(Recorder(answer(status, body))).read(A_VIDEO),
            provider(Recorder(*[answer(status, body)] * openai.PAGES_MAX)).find(asking_for_video(), SUBMITTED),
            provider(Recorder(answer(status, body))).check(),
        ):
            await ask(call)

    asyncio.run(all_of_it())


async def test_an_id_that_is_no_id_is_not_put_into_a_path():
    with pytest.raises(JobNotFound):
        await provider(Recorder()).read(JobRef("../models", {"path": VIDEOS}))


async def test_a_video_cannot_be_canceled():
    assert not await provider(Recorder()).cancel(A_VIDEO)


def a_page(*videos, more=False):
    return answer(200, {"object": "list", "data": list(videos), "has_more": more})


async def test_a_lost_video_is_found_by_what_was_asked_and_when():
    recorder = Recorder(
        a_page(
            a_video(id="video_other_model", model="sora-2-pro"),
            a_video(id="video_other_prompt", prompt="another"),
            a_video(id="video_shorter", seconds="4"),
            a_video(id="video_later", created_at=1794993250),
            a_video(),
            a_video(id="video_before", created_at=1794993230),
            a_video(id="video_timeless", created_at=None),
        )
    )

    assert await provider(recorder).find(asking_for_video(), SUBMITTED) == [
        A_VIDEO,
        JobRef("video_later", {"path": VIDEOS}),
    ]
    assert dict(recorder.last.url.params) == {"order": "desc", "limit": "100"}


async def test_pages_are_read_until_they_are_older_than_the_submit():
    unlike, old = a_video(id="video_new", prompt="x"), a_video(id="video_old", prompt="x", created_at=1794990000)
    recorder = Recorder(a_page(unlike, more=True), a_page(a_video(), old, more=True))

    assert await provider(recorder).find(asking_for_video(), SUBMITTED) == [A_VIDEO]
    assert [request.url.params.get("after") for request in recorder.requests] == [None, "video_new"]


async def test_reading_pages_has_an_end():
    recorder = Recorder(*[a_page(a_video(prompt="x"), more=True) for _ in range(20)])

    assert await provider(recorder).find(asking_for_video(), SUBMITTED) == []
    assert len(recorder.requests) == openai.PAGES_MAX


# --- check --------------------------------------------------------------------------------------------------------


async def test_a_key_is_checked_by_listing_the_models():
    recorder = Recorder(answer(200, {"object": "list", "data": []}))

    await provider(recorder).check()

    assert (recorder.last.method, recorder.last.url.path) == ("GET", "/v1/models")


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (answer(401, complaint(code="invalid_api_key")), ProviderAuthFailed, "refuses the API key"),
        (answer(429, complaint(code="insufficient_quota")), ProviderCreditsExhausted, "no credit left"),
        (answer(404, "404 page not found"), ProviderUnavailable, "leads nowhere"),
        (answer(502, EDGE_PAGE), ProviderUnavailable, "502"),
        (httpx.ConnectError("refused"), ProviderUnavailable, "did not answer"),
    ],
)
async def test_a_check_says_what_is_wrong(reply, error, says):
    with pytest.raises(error, match=says):
        await provider(Recorder(reply)).check()


# --- callbacks ----------------------------------------------------------------------------------------------------

VECTORS = json.loads((DATA / "openai_callbacks.json").read_text())["cases"]


async def verdict(case) -> str:
    headers = {name.lower(): value for name, value in case["headers"].items()}
    adapter = provider(Recorder(), webhook_secret=case["secret"], clock=lambda: case["now"])
    try:
        notice = await adapter.verify_callback(headers, base64.b64decode(case["body_b64"]))
    except CallbackRefused:
        return "invalid"
    assert notice.event_id == headers["webhook-id"]
    assert notice.job_id == VIDEO_ID
    return "valid"


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
async def test_the_signature_vectors_are_judged_as_written(case):
    assert await verdict(case) == case["expect"]


async def test_without_a_secret_every_callback_is_refused():
    case = VECTORS[0]

    with pytest.raises(CallbackRefused):
        await provider(Recorder(), clock=lambda: case["now"]).verify_callback(
            case["headers"], base64.b64decode(case["body_b64"])
        )


@pytest.mark.parametrize("secret", ["whsec_", "whsec_?", "whsec_AAA"])
def test_a_malformed_secret_stops_the_start(secret):
    with pytest.raises(ValueError, match="OpenAI webhook secret"):
        provider(Recorder(), webhook_secret=secret)


# --- how it is built ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_there_is_no_provider(key):
    said = openai.Settings(_env_file=None, key=key)

    assert openai.build(said, Tools(timedelta(seconds=5), read_file)) is None
