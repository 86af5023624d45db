"""The simulated OpenAI: what it takes, what it refuses and in which words."""

from __future__ import annotations

import asyncio
import base64
import io
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from adapters.providers import openai
from domain.errors import CallbackRefused
from domain.provider import Tools
from sandbox.openai import SIMULATED, credentials

SECOND, EARLY = "gpt-image-2", "gpt-image-1.5"
GENERATIONS, EDITS, VIDEOS, ENDPOINTS = "/images/generations", "/images/edits", "/videos", "/webhook_endpoints"
FRAME = "https://cdn.example.test/a.png"


@pytest_asyncio.fixture(scope="module")
async def api(sandbox):
    """Speaks to the API, with its key."""
    headers = {"authorization": f"Bearer {credentials.KEY}"}
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/openai/v1", headers=headers, timeout=15) as http:
        yield http


async def drawn(api, prompt, /, model=SECOND, **given):
    return await api.post(GENERATIONS, json={"model": model, "prompt": prompt, "size": "512x512"} | given)


async def filmed(api, prompt, /, **given):
    return await api.post(VIDEOS, json={"model": "sora-2", "prompt": prompt} | given)


async def ended(api, answer):
    async with asyncio.timeout(15):
        while True:
            video = (await api.get(f"{VIDEOS}/{answer.json()['id']}")).json()
            if video["status"] not in {"queued", "in_progress"}:
                return video
            await asyncio.sleep(0.02)


def complaint(answer):
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def opened(item):
    return Image.open(io.BytesIO(base64.b64decode(item["b64_json"])))


def png(width=64, height=64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


# --- images -------------------------------------------------------------------------------------------------------


async def test_an_image_has_the_size_and_the_format_that_were_asked_for(api, prompt):
    answer = await drawn(api, prompt(), size="768x512", output_format="webp", quality="low")
    body = answer.json()

    assert answer.headers["x-request-id"].startswith("req_")
    assert (body["size"], body["output_format"], body["quality"]) == ("768x512", "webp", "low")
    assert [(opened(item).size, opened(item).format) for item in body["data"]] == [((768, 512), "WEBP")]
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]


async def test_several_images_differ(api, prompt):
    images = (await drawn(api, prompt(), n=3)).json()["data"]

    assert len({item["b64_json"] for item in images}) == 3


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"response_format": "b64_json"}, "unknown_parameter", "response_format"),
        ({"seed": 7}, "unknown_parameter", "seed"),
        ({"aspect_ratio": "1:1"}, "unknown_parameter", "aspect_ratio"),
        ({"negative_prompt": "x"}, "unknown_parameter", "negative_prompt"),
        ({"image": [FRAME]}, "unknown_parameter", "image"),
        ({"n": "2"}, "invalid_type", "n"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"prompt": 7}, "invalid_type", "prompt"),
        pytest.param({"prompt": "x" * 32_001}, "string_above_max_length", "prompt", id="a long prompt"),
        ({"quality": "max"}, "invalid_value", "quality"),
        ({"output_format": "jpg"}, "invalid_value", "output_format"),
        ({"output_compression": 50}, "invalid_value", "output_compression"),
        ({"background": "transparent", "output_format": "jpeg"}, "invalid_value", "background"),
        ({"size": "square"}, "invalid_value", "size"),
        ({"size": "1000x1000"}, "invalid_value", "size"),
        ({"size": "0x16"}, "invalid_value", "size"),
        ({"size": "1600x512"}, "invalid_value", "size"),
        ({"size": "3856x2160"}, "invalid_value", "size"),
        ({"size": "3840x2176"}, "invalid_value", "size"),
    ],
    ids=str,
)
async def test_what_the_api_would_refuse_is_refused_by_name(api, prompt, given, code, param):
    assert complaint(await drawn(api, prompt(), **given)) == (400, code, param)


async def test_an_image_without_a_prompt_is_refused(api):
    assert complaint(await api.post(GENERATIONS, json={"model": SECOND})) == (
        400,
        "missing_required_parameter",
        "prompt",
    )


@pytest.mark.parametrize(
    ("model", "given", "status"),
    [
        (EARLY, {"size": "1536x1024"}, 200),
        (EARLY, {"size": "1536x864"}, 400),
        (EARLY, {"size": "auto"}, 200),
        (SECOND, {"size": "3840x2160", "output_format": "jpeg"}, 200),
        (SECOND, {"size": "1536x512", "output_format": "jpeg", "output_compression": 50}, 200),
        ("gpt-image-2.5-flare", {"quality": "max"}, 200),
    ],
    ids=str,
)
async def test_models_differ(api, prompt, model, given, status):
    assert (await drawn(api, prompt(), model, **given)).status_code == status


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-1", "sora-2", None])
async def test_a_retired_or_strange_model_does_not_exist(api, prompt, model):
    answer = await drawn(api, prompt(), model)

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "image_generation_user_error")
    assert "does not exist" in answer.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"7"])
async def test_a_body_that_is_no_object_is_refused(api, content):
    assert (await api.post(GENERATIONS, content=content)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", GENERATIONS), ("POST", EDITS), ("POST", VIDEOS), ("GET", VIDEOS), ("GET", f"{VIDEOS}/x"),
        ("GET", f"{VIDEOS}/x/content"), ("DELETE", f"{VIDEOS}/x"), ("GET", "/models"), ("POST", ENDPOINTS),
    ],
)  # fmt: skip
async def test_every_call_wants_the_key(api, method, path):
    answer = await api.request(method, path, headers={"authorization": "Bearer sk-other"})

    assert complaint(answer) == (401, "invalid_api_key", None)


# --- edits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["image"], ["image[]", "image[]"]])
async def test_files_are_taken_from_a_form(api, prompt, names):
    files = [(name, (f"{index}.png", png(), "image/png")) for index, name in enumerate(names)]

    answer = await api.post(EDITS, data={"model": SECOND, "prompt": prompt(), "n": "1"}, files=files)

    assert len(answer.json()["data"]) == 1
    assert answer.json()["usage"]["input_tokens_details"]["image_tokens"] == 323 * len(names)


@pytest.mark.parametrize(
    ("images", "mask", "status"),
    [
        ([{"image_url": FRAME}], None, 200),
        ([{"file_id": "file-1"}] * 16, {"image_url": FRAME}, 200),
        ([{"file_id": "file-1"}] * 17, None, 400),
        ([{"image_url": FRAME, "file_id": "file-1"}], None, 400),
        ([FRAME], None, 400),
        ([], None, 400),
        (FRAME, None, 400),
    ],
    ids=["an address", "files", "too many", "both", "bare", "none", "no list"],
)
async def test_files_are_taken_as_addresses_from_json(api, prompt, images, mask, status):
    body = {"model": SECOND, "prompt": prompt(), "images": images} | ({"mask": mask} if mask else {})

    assert (await api.post(EDITS, json=body)).status_code == status


@pytest.mark.parametrize(
    ("files", "data", "code"),
    [
        ({"image": ("a.png", b"not a picture", "image/png")}, {}, "invalid_image_file"),
        ({"image": ("a.png", png(), "image/png")}, {"n": "many"}, "invalid_type"),
        ({"image": ("a.png", png(), "image/png")}, {"input_fidelity": "high"}, "unknown_parameter"),
        ({"mask": ("a.png", png(), "image/png")}, {}, "missing_required_parameter"),
        ({"image": (None, "https://cdn.example.test/a.png")}, {}, "invalid_image_file"),
    ],
    ids=["no picture", "no number", "not of this model", "no image", "an address is text"],
)
async def test_a_form_is_read_strictly(api, prompt, files, data, code):
    answer = await api.post(EDITS, data={"model": SECOND, "prompt": prompt()} | data, files=files)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_a_broken_form_is_refused(api):
    headers = {"content-type": "multipart/form-data; boundary=x"}

    assert (await api.post(EDITS, content=b"--x\r\nnothing", headers=headers)).status_code == 400


# --- videos -------------------------------------------------------------------------------------------------------


async def test_a_video_goes_through_its_states_with_all_its_members(api, prompt):
    asked = prompt("openai=latency_0.4")
    queued = await filmed(api, asked, seconds="8", size="1280x720")
    done = await ended(api, queued)

    assert queued.json() | {"id": "", "created_at": 0} == {
        "id": "",
        "object": "video",
        "model": "sora-2",
        "status": "queued",
        "progress": 0,
        "created_at": 0,
        "completed_at": None,
        "expires_at": None,
        "prompt": asked,
        "size": "1280x720",
        "seconds": "8",
        "remixed_from_video_id": None,
        "error": None,
    }
    assert (done["status"], done["progress"], done["expires_at"] - done["completed_at"]) == ("completed", 100, 86400)


async def test_the_file_of_a_video_is_behind_the_key(api, prompt):
    video = await ended(api, await filmed(api, prompt()))
    path = f"{VIDEOS}/{video['id']}/content"

    file = await api.get(path)

    assert (file.headers["content-type"], file.content[4:8]) == ("video/mp4", b"ftyp")
    assert (await api.get(path, headers={"authorization": ""})).status_code == 401


async def test_the_file_of_a_video_that_is_not_finished_is_not_there(api, prompt):
    video = (await filmed(api, prompt("openai=never_ends"))).json()

    assert (await api.get(f"{VIDEOS}/{video['id']}/content")).status_code == 404


async def test_only_a_video_that_has_ended_is_deleted(api, prompt):
    running = (await filmed(api, prompt("openai=never_ends"))).json()
    done = await ended(api, await filmed(api, prompt()))

    assert (await api.delete(f"{VIDEOS}/{running['id']}")).status_code == 409
    assert (await api.delete(f"{VIDEOS}/{done['id']}")).json()["deleted"]
    assert (await api.get(f"{VIDEOS}/{done['id']}")).status_code == 404
    assert done["id"] not in [video["id"] for video in (await api.get(VIDEOS)).json()["data"]]


async def test_videos_are_listed_newest_first_in_pages(api, prompt):
    made = [(await filmed(api, prompt())).json()["id"] for _ in range(3)]
    first = (await api.get(VIDEOS, params={"limit": 2, "order": "desc"})).json()
    second = (await api.get(VIDEOS, params={"limit": 2, "after": first["last_id"]})).json()

    assert [video["id"] for video in first["data"]] == [made[2], made[1]]
    assert (first["first_id"], first["has_more"]) == (made[2], True)
    assert second["data"][0]["id"] == made[0]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"seconds": 8}, "seconds"),
        ({"seconds": "5"}, "seconds"),
        ({"size": "1024x1792"}, "size"),
        ({"size": "16:9"}, "size"),
        ({"seed": 7}, "seed"),
        ({"n": 2}, "n"),
        ({"model": "sora-1"}, "model"),
        ({"prompt": None}, "prompt"),
        ({"input_reference": FRAME}, "input_reference"),
    ],
    ids=str,
)
async def test_a_video_asked_for_wrongly_is_refused(api, prompt, given, param):
    answer = await filmed(api, prompt(), **given)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("file", "status"), [(png(720, 1280), 200), (png(64, 64), 400), (b"no picture", 400)], ids=["fits", "small", "none"]
)
async def test_a_first_frame_has_the_size_of_the_video(api, prompt, file, status):
    files = {"input_reference": ("a.png", file, "image/png")}
    answer = await api.post(VIDEOS, data={"model": "sora-2", "prompt": prompt(), "size": "720x1280"}, files=files)

    assert answer.status_code == status


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [drawn, filmed], ids=["image", "video"])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("submit_401", 401, "invalid_api_key"),
        ("submit_402", 429, "insufficient_quota"),
        ("submit_404", 404, "model_not_found"),
        ("submit_422", 400, "invalid_value"),
        ("submit_429", 429, "rate_limit_exceeded"),
        ("submit_500", 500, None),
        ("submit_503", 503, None),
        ("billing_limit", 400, "billing_hard_limit_reached"),
        ("retired_model", 400, None),
        ("not_entitled", 403, None),
        ("gone", 410, None),
    ],
)
async def test_a_fault_at_submit_answers_in_the_vendors_words(api, prompt, make, fault, status, code):
    answer = await make(api, prompt(f"openai={fault}"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (fault == "submit_429")


async def test_the_edge_may_answer_with_text(api, prompt):
    answer = await drawn(api, prompt("openai=overloaded_text"))

    assert (answer.status_code, answer.text) == (503, "overloaded")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("content_refused", 400, "moderation_blocked"),
        ("content_refused_nsfw", 400, "content_policy_violation"),
        ("job_failed", 500, None),
        ("job_failed_timeout", 408, None),
    ],
)
async def test_an_image_that_fails_is_an_error_answer(api, prompt, fault, status, code):
    answer = await drawn(api, prompt(f"openai={fault}"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("content_refused", "moderation_blocked"),
        ("content_refused_nsfw", "content_policy_violation"),
        ("job_failed", "video_generation_failed"),
    ],
)
async def test_a_video_that_fails_says_why(api, prompt, fault, code):
    video = await ended(api, await filmed(api, prompt(f"openai={fault}")))

    assert (video["status"], video["error"]["code"], video["expires_at"]) == ("failed", code, None)


# --- webhooks of the project --------------------------------------------------------------------------------------


def verifier(secret):
    async def no_file(address):
        raise AssertionError(address)

    told = openai.Settings(_env_file=None, key="sk-any", webhook_secret=secret)
    return openai.build(told, Tools(timedelta(seconds=5), no_file))


async def verdict(call, secret) -> str | None:
    """The video that the call names, where its signature verifies."""
    try:
        return (await verifier(secret).verify_callback(call.headers, call.body)).job_id
    except CallbackRefused:
        return None


@pytest_asyncio.fixture
async def registered(api, ear):
    wanted = {"event_types": ["video.completed", "video.failed"], "name": "tests", "url": ear.url()}
    made = (await api.post(ENDPOINTS, json=wanted)).json()
    yield made
    await api.delete(f"{ENDPOINTS}/{made['id']}")


async def test_the_end_of_a_video_is_told_to_the_project(api, prompt, registered, ear):
    video = (await filmed(api, prompt())).json()
    (call,) = await ear.heard(1)

    assert registered["signing_secret"] == credentials.WEBHOOK_SECRET
    assert b'"type": "video.completed"' in call.body
    assert await verdict(call, credentials.WEBHOOK_SECRET) == video["id"]
    assert await verdict(call, credentials.NEXT_WEBHOOK_SECRET) is None


@pytest.mark.parametrize("keeps", [True, False])
async def test_while_the_secret_is_changed_both_may_sign(api, prompt, registered, ear, keeps):
    told = {"keep_old_secret_active_for_24_hours": keeps}
    after = (await api.post(f"{ENDPOINTS}/{registered['id']}/rotate_secret", json=told)).json()
    video = (await filmed(api, prompt("openai=job_failed"))).json()
    (call,) = await ear.heard(1)

    assert b'"type": "video.failed"' in call.body
    assert await verdict(call, after["signing_secret"]) == video["id"]
    assert await verdict(call, credentials.WEBHOOK_SECRET) == (video["id"] if keeps else None)


async def test_a_forged_call_does_not_verify(api, prompt, registered, ear):
    await filmed(api, prompt("openai=forged_callback"))
    calls = await ear.heard(2)

    assert [await verdict(call, registered["signing_secret"]) is not None for call in calls] == [False, True]


async def test_endpoints_are_listed_until_they_are_deleted(api, registered):
    before = (await api.get(ENDPOINTS)).json()["data"]
    await api.delete(f"{ENDPOINTS}/{registered['id']}")

    assert [endpoint["id"] for endpoint in before] == [registered["id"]]
    assert "signing_secret" not in before[0]
    assert (await api.get(ENDPOINTS)).json()["data"] == []


# --- what our catalogue compiles ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "endpoint", "given", "wrong"),
    [
        (SECOND, "", {"prompt": "x", "size": "1536x864", "quality": "medium"}, []),
        (SECOND, "", {"prompt": "x", "image": [FRAME]}, []),
        (SECOND, "/images/edits", {"prompt": "x", "image": [FRAME] * 17}, ["image"]),
        (SECOND, "", {"prompt": "x", "size": "1000x1000"}, ["size"]),
        (EARLY, "", {"prompt": "x", "image": [FRAME], "input_fidelity": "high"}, []),
        ("sora-2", "/videos", {"prompt": "x", "seconds": "8", "input_reference": FRAME}, []),
        ("sora-2", "/videos", {"prompt": "x", "seconds": 8}, ["seconds"]),
    ],
    ids=str,
)
def test_a_compiled_request_is_judged_without_being_sent(model, endpoint, given, wrong):
    found = SIMULATED.violations(model, endpoint, given)

    assert [violation.path[0] for violation in found] == wrong
