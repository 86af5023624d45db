import base64
import contextlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import cloudflare
from adapters.providers.cloudflare import CloudflareProvider
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    InputFileTooBig,
    JobNotFound,
    ProviderAtCapacity,
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
from tests.support.providers import EDGE_PAGE, Recorder, a_submission, answer

BASE = "https://api.cloudflare.example/client/v4"
ACCOUNT = "0123456789abcdef0123456789abcdef"
SCHNELL, FLUX_2 = "@cf/black-forest-labs/flux-1-schnell", "@cf/black-forest-labs/flux-2-dev"
JPEG, PNG = b"\xff\xd8\xff\xe0 and so on", b"\x89PNG\r\n\x1a\n and so on"
REQUEST_ID = "b7c0e0b5-6b0e-4d7e-9a3e-6f2a1d9c0e11"


def asking(model=SCHNELL, **given):
    return a_submission(native_model=model, native_input={"prompt": "a lighthouse on a cliff at dusk"} | given)


def envelope(picture=JPEG):
    image = base64.b64encode(picture).decode()
    return {"result": {"image": image}, "success": True, "errors": [], "messages": []}


def told(code, message="A text with the customer's words", **more):
    errors = [{"code": code, "message": f"{message} ({REQUEST_ID})"}]
    return {"success": False, "errors": errors, "messages": [], "result": {}} | more


def raw(content, content_type="image/png"):
    return httpx.Response(200, content=content, headers={"content-type": content_type})


async def read_file(address: str) -> InputFile:
    return InputFile(f"bytes of {address}".encode(), "image/png")


def provider(recorder: Recorder) -> CloudflareProvider:
    http = cloudflare.client(BASE, "a-token\n", timedelta(seconds=10))
    http._transport = httpx.MockTransport(recorder)
    return CloudflareProvider(http, account_id=ACCOUNT, read_file=read_file)


# --- pictures -----------------------------------------------------------------------------------------------------


async def test_a_picture_is_one_post_that_is_answered_with_the_end():
    recorder = Recorder(answer(200, envelope()))

    job = await provider(recorder).submit(asking(steps=4))

    assert (job.ref, job.state) == (JobRef(asking().attempt_id), JobState.SUCCEEDED)
    assert job.outputs == (Output(f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"),)
    assert str(recorder.last.url) == f"{BASE}/accounts/{ACCOUNT}/ai/run/{SCHNELL}"
    assert recorder.last.headers["authorization"] == "Bearer a-token"
    assert recorder.last_json == {"prompt": "a lighthouse on a cliff at dusk", "steps": 4}
    assert recorder.last.extensions["timeout"]["read"] == 600


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(raw(PNG), "image/png", id="bytes"),
        pytest.param(raw(JPEG), "image/jpeg", id="bytes of another type than they say"),
        pytest.param(raw(PNG, "application/octet-stream"), "image/png", id="bytes without a type"),
        pytest.param(answer(200, envelope(PNG)), "image/png", id="an envelope"),
        pytest.param(answer(200, envelope(b"?" * 40)), "application/octet-stream", id="an envelope of something"),
    ],
)
async def test_the_shape_of_the_answer_is_told_by_the_answer(reply, kind):
    job = await provider(Recorder(reply)).submit(asking())

    assert job.outputs[0].url.startswith(f"data:{kind};base64,")


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, {"result": {}, "success": True, "errors": []}),
        answer(200, {"result": {"image": ""}, "success": True, "errors": []}),
        answer(200, {"result": None, "success": True, "errors": []}),
        answer(200, []),
        answer(200, EDGE_PAGE),
        raw(b""),
    ],
    ids=["no image", "an empty one", "no result", "a list", "a page", "nothing"],
)
async def test_an_answer_without_a_picture_is_no_success(reply):
    with pytest.raises(ProviderInvalidOutput):
        await provider(Recorder(reply)).submit(asking())


async def test_some_models_are_asked_with_a_form():
    recorder = Recorder(answer(200, envelope()))
    asked = asking(FLUX_2, width=1024, height=768, seed=7, input_image_0="https://files.example/a.png")

    await provider(recorder).submit(asked)
    fields, files = fields_and_files(recorder.last)

    assert fields == {"prompt": asked.native_input["prompt"], "width": "1024", "height": "768", "seed": "7"}
    assert files == [("input_image_0", "input_image_0.png", "image/png", b"bytes of https://files.example/a.png")]


async def test_a_form_is_a_form_without_a_file_in_it():
    recorder = Recorder(answer(200, envelope()))

    await provider(recorder).submit(asking(FLUX_2))

    assert fields_and_files(recorder.last)[0] == {"prompt": "a lighthouse on a cliff at dusk"}


# --- refusals -----------------------------------------------------------------------------------------------------

FLAGGED = "AiError: AiError: 3030: Your output has been flagged. Please choose another prompt / input image combination"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(400, told(5006), ProviderRejectedInput, id="schema"),
        pytest.param(400, told(5004), ProviderRejectedInput, id="invalid data"),
        pytest.param(400, told(3003), ProviderRejectedInput, id="incomplete"),
        pytest.param(400, told(5007), ProviderRejectedInput, id="no such model"),
        pytest.param(400, told(8007), ContentRefused, id="moderation"),
        pytest.param(400, told(3030, FLAGGED), ContentRefused, id="flagged"),
        pytest.param(400, told(3030, "Input prompt contains NSFW content."), ContentRefused, id="nsfw"),
        pytest.param(400, told(3030, "tensor shapes"), ProviderRejectedInput, id="the model's input"),
        pytest.param(200, told(3030, FLAGGED), ContentRefused, id="flagged with 200"),
        pytest.param(200, told(1), ProviderFailed, id="an unknown error with 200"),
        pytest.param(200, {"success": False, "errors": []}, ProviderFailed, id="no success and no word"),
        pytest.param(400, told(10000), ProviderAuthFailed, id="authentication"),
        pytest.param(403, told(9106), ProviderAuthFailed, id="missing header"),
        pytest.param(401, told(10001), ProviderAuthFailed, id="missing token"),
        pytest.param(403, told(5018), ProviderAuthFailed, id="not allowed"),
        pytest.param(403, told(1), ProviderAuthFailed, id="forbidden"),
        pytest.param(404, told(7003), ProviderAuthFailed, id="no such account"),
        pytest.param(404, told(3042), ProviderRejectedInput, id="model not found"),
        pytest.param(405, told(5019), ProviderRejectedInput, id="deprecated"),
        pytest.param(408, told(3007), ProviderTimedOut, id="timed out"),
        pytest.param(408, told(3008), ProviderTimedOut, id="aborted"),
        pytest.param(413, told(3006), InputFileTooBig, id="too big"),
        pytest.param(429, told(3036), ProviderCreditsExhausted, id="daily quota"),
        pytest.param(429, told(4006), ProviderCreditsExhausted, id="daily quota as seen"),
        pytest.param(429, told(3040), ProviderAtCapacity, id="capacity"),
        pytest.param(429, told(971), ProviderBusy, id="too fast"),
        pytest.param(429, EDGE_PAGE, ProviderBusy, id="too fast without a code"),
        pytest.param(500, told(1000), ProviderFailed, id="an error"),
        pytest.param(503, told(1000), ProviderUnavailable, id="not available"),
        pytest.param(400, {"errors": ["odd", {"code": "5006"}]}, ProviderRejectedInput, id="codes of no kind"),
        pytest.param(400, {"errors": [{"code": 1}, {"code": 8007}]}, ContentRefused, id="the code that is known"),
    ],
)
async def test_an_explicit_refusal_is_named_and_shows_nothing_of_its_text(status, body, error):
    recorder = Recorder(answer(status, body))

    with pytest.raises(error) as refused:
        await provider(recorder).submit(asking())

    assert type(refused.value) is error
    assert not {"customer's", "tensor"} & set(f"{refused.value} {refused.value.details}".split())
    assert len(recorder.requests) == 1


MEMBERS = st.sampled_from(["result", "image", "success", "errors", "code", "message"])


@given(
    st.sampled_from([200, 204, 302, 400, 401, 404, 429, 500, 502]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner, max_size=4),
        max_leaves=12,
    ),
)
def test_whatever_is_answered_nothing_but_a_named_failure_comes_of_it(status, body):
    with contextlib.suppress(ProviderError):
        cloudflare.picture(answer(status, body))
    assert isinstance(cloudflare.refusal(answer(status, body)), ProviderError)


async def test_the_codes_are_kept_for_the_operator():
    with pytest.raises(ProviderRejectedInput) as refused:
        await provider(Recorder(answer(400, told(5006)))).submit(asking())

    assert refused.value.details == {"codes": [5006]}


@pytest.mark.parametrize("code", [971, 3040])
async def test_a_throttled_submit_says_when_to_come_back(code):
    with pytest.raises((ProviderBusy, ProviderAtCapacity)) as busy:
        await provider(Recorder(answer(429, told(code), retry_after="7"))).submit(asking())

    assert busy.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, EDGE_PAGE), (502, told(1)), (502, EDGE_PAGE), (504, told(1)), (524, EDGE_PAGE), (503, {})],
)
async def test_an_error_of_the_edge_leaves_a_submit_ambiguous(status, body):
    recorder = Recorder(answer(status, body))

    with pytest.raises(SubmitAmbiguous):
        await provider(recorder).submit(asking())

    assert len(recorder.requests) == 1


@pytest.mark.parametrize(
    ("loss", "error"),
    [(httpx.ConnectError("dns"), ProviderUnavailable), (httpx.ReadTimeout("slow"), SubmitAmbiguous)],
    ids=["never sent", "perhaps sent"],
)
async def test_a_lost_submit_is_never_repeated(loss, error):
    recorder = Recorder(loss)

    with pytest.raises(error):
        await provider(recorder).submit(asking())

    assert len(recorder.requests) == 1


async def test_a_picture_is_nowhere_to_be_found_again():
    adapter = provider(Recorder())

    assert await adapter.find(asking(), datetime(2026, 11, 18, tzinfo=UTC)) == []
    assert not await adapter.cancel(JobRef("x"))
    assert adapter.job_named("x", SCHNELL) == JobRef("x")
    with pytest.raises(JobNotFound):
        await adapter.read(JobRef("x"))
    with pytest.raises(CallbackRefused):
        await adapter.verify_callback({}, b"{}")


# --- check --------------------------------------------------------------------------------------------------------


async def test_a_token_is_checked_by_searching_the_models():
    recorder = Recorder(answer(200, {"success": True, "errors": [], "result": []}))

    await provider(recorder).check()

    assert (recorder.last.method, recorder.last.url.path) == ("GET", f"/client/v4/accounts/{ACCOUNT}/ai/models/search")


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (answer(401, told(10000)), ProviderAuthFailed, "token or the account id"),
        (answer(404, told(7003)), ProviderAuthFailed, "token or the account id"),
        (answer(200, told(10000)), ProviderAuthFailed, "token or the account id"),
        (answer(502, EDGE_PAGE), ProviderUnavailable, "502"),
        (httpx.ConnectError("refused"), ProviderUnavailable, "did not answer"),
    ],
)
async def test_a_check_says_what_is_wrong(reply, error, says):
    with pytest.raises(error, match=says):
        await provider(Recorder(reply)).check()


# --- how it is built ----------------------------------------------------------------------------------------------

TOOLS = Tools(timedelta(seconds=5), read_file)


def settings(**given) -> cloudflare.Settings:
    return cloudflare.Settings(_env_file=None, **given)


def test_without_a_token_there_is_no_provider():
    assert cloudflare.build(settings(account_id=ACCOUNT), TOOLS) is None


@pytest.mark.parametrize("account_id", ["", "my-account", ACCOUNT.upper(), f"{ACCOUNT}/../x"])
def test_a_token_without_an_account_stops_the_start(account_id):
    with pytest.raises(ValueError, match="BABYSEA_CLOUDFLARE_ACCOUNT_ID"):
        cloudflare.build(settings(token="a-token", account_id=account_id), TOOLS)
