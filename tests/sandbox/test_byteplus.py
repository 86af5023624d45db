"""The simulated ModelArk: what it takes, what it refuses and in which words."""

from __future__ import annotations

import asyncio
import base64
import io

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from sandbox.byteplus import SIMULATED, credentials
from sandbox.byteplus.store import DOWNLOADS_MAX, LIVES_S, is_denied
from sandbox.jobs import Job

IMAGES, TASKS = "/images/generations", "/contents/generations/tasks"
SEEDREAM, SEEDANCE = "seedream-4-0-250828", "seedance-1-0-pro-250528"
FRAME = "https://cdn.example.test/a.png"


@pytest_asyncio.fixture(scope="module")
async def ark(sandbox):
    """Speaks to ModelArk, with its key."""
    headers = {"authorization": f"Bearer {credentials.API_KEY}"}
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/byteplus/api/v3", headers=headers, timeout=15) as http:
        yield http


async def pictured(ark, prompt, /, model=SEEDREAM, **given):
    return await ark.post(IMAGES, json={"model": model, "prompt": prompt, "size": "1024x1024"} | given)


async def created(ark, prompt, /, model=SEEDANCE, **given):
    content = given.pop("content", [{"type": "text", "text": prompt}])
    small = {"resolution": "480p", "ratio": "1:1", "duration": 4}
    return await ark.post(TASKS, json={"model": model, "content": content} | small | given)


async def ended(ark, answer):
    async with asyncio.timeout(15):
        while True:
            task = (await ark.get(f"{TASKS}/{answer.json()['id']}")).json()
            if task["status"] not in {"queued", "running"}:
                return task
            await asyncio.sleep(0.02)


def code(answer):
    assert answer.headers["x-error-code"] == answer.json()["error"]["code"]
    return answer.status_code, answer.json()["error"]["code"]


def frame(role=None, kind="image_url", url=FRAME):
    return {"type": kind, kind: {"url": url}} | ({"role": role} if role else {})


# --- pictures -----------------------------------------------------------------------------------------------------


async def test_a_picture_comes_in_the_answer(ark, prompt):
    answer = await pictured(ark, prompt(), size="1280x720")

    body = answer.json()
    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) == 38
    assert (body["model"], type(body["created"])) == (SEEDREAM, int)
    assert body["usage"] == {"generated_images": 1, "output_tokens": 3600, "total_tokens": 3600}
    assert body["data"][0]["size"] == "1280x720"
    file = await ark.get(body["data"][0]["url"])
    assert (Image.open(io.BytesIO(file.content)).size, file.headers["content-type"]) == ((1280, 720), "image/jpeg")


@pytest.mark.parametrize(
    ("given", "size", "content_type"),
    [
        ({"model": "seedream-3-0-t2i-250415"}, "1024x1024", "image/jpeg"),
        ({"model": "dola-seedream-5-0-pro-260628", "size": "1.5K", "output_format": "png"}, "1536x1536", "image/png"),
        ({"size": "1K", "image": [FRAME, "data:image/png;base64,AAAA"]}, "1024x1024", "image/jpeg"),
        ({"model": "seededit-3-0-i2i-250628", "size": "adaptive", "image": FRAME}, "1024x1024", "image/jpeg"),
        ({"model": "seedream-5-0-260128", "size": "2K", "tools": [{"type": "web_search"}]}, "2048x2048", "image/jpeg"),
        ({"stream": False, "optimize_prompt_options": {"mode": "fast"}}, "1024x1024", "image/jpeg"),
    ],
)
async def test_sizes_and_formats_are_those_of_the_model(ark, prompt, given, size, content_type):
    made = (await pictured(ark, prompt(), **given)).json()["data"][0]

    assert made["size"] == size
    assert (await ark.get(made["url"])).headers["content-type"] == content_type


async def test_a_group_may_be_refused_in_part(ark, prompt):
    group = {
        "sequential_image_generation": "auto",
        "sequential_image_generation_options": {"max_images": 3},
    }
    body = (await pictured(ark, prompt("byteplus=partly_refused"), **group)).json()

    assert ["url" in item for item in body["data"]] == [True, True, False]
    assert body["data"][2]["error"]["code"] == "OutputImageSensitiveContentDetected"
    assert body["usage"]["generated_images"] == 2


async def test_a_picture_may_come_as_base64(ark, prompt):
    body = (await pictured(ark, prompt(), response_format="b64_json")).json()

    assert base64.b64decode(body["data"][0]["b64_json"]).startswith(b"\xff\xd8")


async def test_the_connection_is_held_until_the_pictures_are_made(ark, control, prompt):
    asked = prompt("byteplus=latency_0.3")

    await pictured(ark, asked)

    assert [job["state"] for job in (await control.get("/jobs", params={"prompt": asked})).json()["jobs"]] == [
        "succeeded"
    ]


async def test_the_word_n_is_passed_over(ark, prompt):
    assert len((await pictured(ark, prompt(), n=4)).json()["data"]) == 1
    assert SIMULATED.violations(SEEDREAM, "", {"prompt": "x", "n": 4}), "our own catalogue must not send it"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"prompt": None}, "MissingParameter"),
        ({"prompt": 7}, "InvalidParameter"),
        ({"size": "512x512"}, "InvalidParameter"),
        ({"size": "8192x8192"}, "InvalidParameter"),
        ({"size": "16000x900"}, "InvalidParameter"),
        ({"size": "1024*1024"}, "InvalidParameter"),
        ({"size": "3K"}, "InvalidParameter"),
        ({"size": "1K", "model": "seedream-4-5-251128"}, "InvalidParameter"),
        ({"size": "1024x1024", "model": "seedream-4-5-251128"}, "InvalidParameter"),
        ({"size": "2048x256", "model": "seedream-3-0-t2i-250415"}, "InvalidParameter"),
        ({"size": "4096x2048", "model": "dola-seedream-5-0-pro-260628"}, "InvalidParameter"),
        ({"watermark": "false"}, "InvalidParameter"),
        ({"image": [FRAME] * 15}, "InvalidParameter"),
        ({"image": "a.png"}, "InvalidParameter"),
        ({"seed": 7}, "InvalidParameter.UnsupportedParameter"),
        ({"aspect_ratio": "16:9"}, "InvalidParameter.UnsupportedParameter"),
        ({"negative_prompt": "fog"}, "InvalidParameter.UnsupportedParameter"),
        ({"output_format": "png"}, "InvalidParameter.UnsupportedParameter"),
        ({"image": FRAME, "model": "seedream-3-0-t2i-250415"}, "InvalidParameter.UnsupportedParameter"),
        (
            {"sequential_image_generation": "disabled", "model": "dola-seedream-5-0-pro-260628"},
            "InvalidParameter.UnsupportedParameter",
        ),
        ({"model": "seededit-3-0-i2i-250628", "size": "adaptive"}, "MissingParameter"),
    ],
)
async def test_a_picture_that_the_model_does_not_make_is_refused(ark, prompt, given, complaint):
    assert code(await pictured(ark, prompt(), **given)) == (400, complaint)


async def test_a_size_that_is_too_small_is_refused_in_their_words(ark, prompt):
    answer = await pictured(ark, prompt(), size="512x512")

    assert "image size must be at least 921600 pixels" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "status", "complaint"),
    [
        ("job_failed", 500, "InternalServiceError"),
        ("content_refused", 400, "OutputImageSensitiveContentDetected"),
        ("input_refused", 400, "InputTextSensitiveContentDetected"),
        ("spend_cap", 429, "SetLimitExceeded"),
        ("submit_402", 403, "AccountOverdueError"),
    ],
)
async def test_a_failed_picture_is_an_http_error(ark, prompt, fault, status, complaint):
    assert code(await pictured(ark, prompt(f"byteplus={fault}"))) == (status, complaint)


# --- videos -------------------------------------------------------------------------------------------------------


async def test_a_task_is_created_with_its_id_alone_and_ends_with_a_video(ark, prompt):
    answer = await created(ark, prompt(), resolution="720p", ratio="16:9", duration=5, seed=7)

    task = await ended(ark, answer)
    assert list(answer.json()) == ["id"]
    assert answer.json()["id"].startswith("cgt-")
    assert (task["status"], task["resolution"], task["ratio"], task["duration"]) == ("succeeded", "720p", "16:9", 5)
    assert task["usage"]["completion_tokens"] == 103_818, "a published sample"
    assert (task["seed"], task["framespersecond"], task["execution_expires_after"]) == (7, 24, 172_800)
    file = await ark.get(task["content"]["video_url"])
    assert (file.status_code, file.headers["content-type"]) == (200, "video/mp4")


async def test_a_queued_task_shows_neither_input_nor_callback_address(ark, prompt):
    asked = prompt("byteplus=never_starts")
    answer = await created(ark, asked, callback_url="https://a.example.test/secret")

    task = (await ark.get(f"{TASKS}/{answer.json()['id']}")).json()

    assert sorted(task) == sorted(
        ["id", "model", "status", "created_at", "updated_at", "service_tier", "execution_expires_after"]
    )
    assert task["status"] == "queued"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("--dur 2 --rt 9:16", (2, "9:16")),
        ("--duration 99 --ratio 5:5 --fast true", (4, "1:1")),  # weakly checked: what is wrong is ignored
        ("—dur 2", (4, "1:1")),
    ],
)
async def test_a_prompt_of_the_first_generation_is_executable(ark, prompt, words, shown):
    task = await ended(ark, await created(ark, f"{prompt()} {words}"))

    assert (task["duration"], task["ratio"]) == shown


async def test_a_prompt_of_the_second_generation_is_only_a_prompt(ark, prompt):
    task = await ended(ark, await created(ark, f"{prompt()} --dur 12", "dreamina-seedance-2-0-260128"))

    assert task["duration"] == 4


TEXT = {"type": "text", "text": "a lighthouse"}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"duration": 13}, "InvalidParameter"),
        ({"duration": -1}, "InvalidParameter"),
        ({"duration": "5"}, "InvalidParameter"),
        ({"resolution": "4k"}, "InvalidParameter"),
        ({"ratio": "2:1"}, "InvalidParameter"),
        ({"execution_expires_after": 60}, "InvalidParameter"),
        ({"frames": 30}, "InvalidParameter"),
        ({"generate_audio": True}, "InvalidParameter.UnsupportedParameter"),
        ({"aspect_ratio": "16:9"}, "InvalidParameter.UnsupportedParameter"),
        ({"prompt": "a lighthouse"}, "InvalidParameter.UnsupportedParameter"),
        ({"content": []}, "InvalidParameter"),
        ({"content": [{"type": "text"}]}, "MissingParameter"),
        ({"content": [{"type": "image", "image": FRAME}]}, "InvalidParameter"),
        ({"content": [TEXT, TEXT]}, "InvalidParameter.TaskTypeConstraint"),
        ({"content": [TEXT, frame("last_frame")]}, "InvalidParameter.TaskTypeConstraint"),
        ({"content": [TEXT, frame("first_frame"), frame()]}, "InvalidParameter.TaskTypeConstraint"),
        ({"content": [TEXT, frame("first_frame"), frame("reference_image")]}, "InvalidParameter.TaskTypeConstraint"),
        ({"content": [TEXT, frame("reference_image")]}, "InvalidParameter.TaskTypeConstraint"),
        ({"content": [TEXT, frame("middle_frame")]}, "InvalidParameter"),
        ({"content": [TEXT, frame(url="a.png")]}, "InvalidParameter"),
        ({"content": [TEXT, frame(url="data:image/PNG;base64,AAAA")]}, "InvalidParameter"),
        ({"model": "seedance-1-0-lite-t2v-250428", "ratio": "adaptive"}, "InvalidParameter"),
        ({"model": "seedance-1-0-lite-i2v-250428"}, "InvalidParameter.TaskTypeConstraint"),
        (
            {"model": "seedance-1-0-pro-fast-251015", "content": [TEXT, frame("first_frame"), frame("last_frame")]},
            "InvalidParameter.TaskTypeConstraint",
        ),
        (
            {
                "model": "seedance-1-0-lite-i2v-250428",
                "content": [TEXT, frame("reference_image")],
                "resolution": "1080p",
            },
            "InvalidParameter",
        ),
        (
            {
                "model": "dreamina-seedance-2-0-260128",
                "content": [TEXT, frame("reference_video", "video_url", "data:video/mp4;base64,AAAA")],
            },
            "InvalidParameter",
        ),
        ({"model": "dreamina-seedance-2-0-260128", "seed": 7}, "InvalidParameter.UnsupportedParameter"),
        ({"model": "dreamina-seedance-2-0-fast-260128", "resolution": "1080p"}, "InvalidParameter"),
        ({"model": SEEDREAM}, "InvalidParameter.TaskTypeMismatch"),
    ],
)
async def test_a_task_that_the_model_does_not_do_is_refused(ark, prompt, given, complaint):
    assert code(await created(ark, prompt(), **given)) == (400, complaint)


@pytest.mark.parametrize(
    "given",
    [
        {"content": [TEXT, frame()]},
        {"content": [frame("first_frame"), frame("last_frame")], "ratio": "adaptive"},
        {"model": "seedance-1-0-lite-i2v-250428", "content": [TEXT] + [frame("reference_image")] * 4},
        {"model": "seedance-1-5-pro-251215", "generate_audio": False, "duration": -1},
        {
            "model": "dreamina-seedance-2-5-260628",
            "content": [TEXT, frame("reference_image"), frame("reference_audio", "audio_url")],
            "duration": 30,
            "omni_reference_task_type": "edit",
        },
    ],
)
async def test_what_a_video_may_be_made_of(ark, prompt, given):
    assert (await created(ark, prompt(), **given)).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "complaint"),
    [
        ("job_failed", "failed", "InternalServiceError"),
        ("content_refused", "failed", "OutputVideoSensitiveContentDetected"),
        ("job_failed_e6716", "expired", None),
    ],
)
async def test_a_failed_task_says_why(ark, prompt, fault, status, complaint):
    task = await ended(ark, await created(ark, prompt(f"byteplus={fault}")))

    assert (task["status"], task.get("error", {}).get("code")) == (status, complaint)
    assert "content" not in task


async def test_a_delete_cancels_a_queued_task_once(ark, prompt):
    task = f"{TASKS}/{(await created(ark, prompt('byteplus=never_starts'))).json()['id']}"

    assert (await ark.delete(task)).json() == {}
    assert (await ark.get(task)).json()["status"] == "cancelled"
    assert (await ark.delete(task)).status_code == 409


async def test_a_running_task_cannot_be_deleted(ark, prompt):
    task = f"{TASKS}/{(await created(ark, prompt('byteplus=never_ends'))).json()['id']}"

    assert code(await ark.delete(task)) == (409, "InvalidAction.RunningTaskDeletion")
    assert (await ark.get(task)).json()["status"] == "running"


async def test_a_delete_of_a_finished_task_destroys_its_result(ark, prompt):
    done = await ended(ark, await created(ark, prompt()))

    assert (await ark.delete(f"{TASKS}/{done['id']}")).json() == {}
    assert code(await ark.get(f"{TASKS}/{done['id']}")) == (404, "NotFound.Task")
    assert (await ark.get(done["content"]["video_url"])).status_code == 403


async def test_tasks_are_listed_by_model_status_and_id(ark, prompt):
    model = "dreamina-seedance-2-0-mini-260615"
    ids = [(await created(ark, prompt("byteplus=never_starts"), model)).json()["id"] for _ in range(3)]

    async def listed(**query):
        return (await ark.get(TASKS, params={name.replace("__", "."): value for name, value in query.items()})).json()

    page = await listed(filter__model=model, filter__status="queued", page_num=2, page_size=2)
    assert page["total"] == 3
    assert [task["id"] for task in page["items"]] == [ids[0]]
    assert [task["id"] for task in (await listed(filter__task_ids=ids[:2]))["items"]] == [ids[1], ids[0]]
    assert (await listed(filter__model=model, filter__status="running"))["total"] == 0
    assert (await ark.get(TASKS, params={"page_size": "501"})).status_code == 400


async def test_every_change_of_the_status_is_called_out_without_a_signature(ark, prompt, ear):
    answer = await created(ark, prompt("byteplus=latency_0.3"), callback_url=ear.url())

    calls = await ear.heard(3)

    bodies = [httpx.Response(200, content=call.body).json() for call in calls]
    assert [body["status"] for body in bodies] == ["queued", "running", "succeeded"]
    assert bodies[-1] == (await ark.get(f"{TASKS}/{answer.json()['id']}")).json()
    assert not [name for name in calls[-1].headers if "signature" in name or "webhook" in name]


# --- both ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", ["", "Bearer other", f"Key {credentials.API_KEY}"])
async def test_a_wrong_key_is_unauthenticated(ark, authorization):
    assert code(await ark.get(TASKS, headers={"authorization": authorization})) == (401, "AuthenticationError")


@pytest.mark.parametrize("path", [IMAGES, TASKS])
async def test_an_unknown_model_is_not_found(ark, path):
    body = {"model": "seedream-9", "prompt": "x", "content": [TEXT]}

    assert code(await ark.post(path, json=body)) == (404, "InvalidEndpointOrModel.NotFound")
    assert code(await ark.post(path, json={"prompt": "x"})) == (400, "MissingParameter")
    assert code(await ark.post(path, json=[])) == (400, "InvalidParameter")


async def test_an_address_without_its_signature_is_denied_as_an_object_store_does(ark, prompt):
    address = (await pictured(ark, prompt())).json()["data"][0]["url"]

    denied = await ark.get(address.partition("?")[0])

    assert (denied.status_code, denied.headers["content-type"]) == (403, "application/xml")
    assert "AccessDenied" in denied.text


@pytest.mark.parametrize(
    ("age_s", "downloads", "body", "denied"),
    [
        (LIVES_S - 60, DOWNLOADS_MAX, {}, False),
        (LIVES_S + 60, 0, {}, True),
        (0, DOWNLOADS_MAX - 1, {"content": []}, False),
        (0, DOWNLOADS_MAX, {"content": []}, True),
    ],
)
def test_a_signed_address_lives_a_day_and_a_hundred_downloads_of_a_video(age_s, downloads, body, denied):
    made = Job("02ab", "byteplus", SEEDREAM, body, created_at=1000.0, queue_s=0, run_s=0, base_url="")

    assert is_denied(made, {"X-Tos-Signature": "51aa"}, downloads, 1000.0 + age_s) is denied
