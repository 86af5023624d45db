"""The simulated Model Studio: what it takes, when it refuses it, and in which words."""

from __future__ import annotations

import asyncio
import io

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from sandbox.alibabacloud import SIMULATED, credentials
from sandbox.alibabacloud.models import FRAMES, IMAGE_TO_IMAGE, IMAGES, MESSAGES, PATHS, TEXT_TO_IMAGE, VIDEO
from sandbox.alibabacloud.sizes import SizeRule
from sandbox.alibabacloud.tasks import FORGOTTEN_AFTER_S, status_of
from sandbox.alibabacloud.throttle import LOOKS_PER_SECOND, Throttle
from sandbox.faults import NO_FAULTS, FaultPlan
from sandbox.jobs import Job
from sandbox.problems import RefusalError
from sandbox.registry import accepts

A_FILE = "https://cdn.example.test/a.png"
ASYNCHRONOUS = {"x-dashscope-async": "enable"}


@pytest_asyncio.fixture(scope="module")
async def studio(sandbox):
    """Speaks to Model Studio, with its key."""
    headers = {"authorization": f"Bearer {credentials.KEY}"}
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/alibabacloud/api/v1", headers=headers, timeout=15) as http:
        yield http


async def submitted(studio, prompt, /, path=VIDEO, model="wan2.1-t2v-turbo", given=None, **parameters):
    body = {"model": model, "input": {"prompt": prompt} | (given or {}), "parameters": parameters}
    return await studio.post(path, json=body, headers=ASYNCHRONOUS)


async def called(studio, prompt, /, model="qwen-image-plus", images=(), **parameters):
    content = [*({"image": image} for image in images), {"text": prompt}]
    body = {"model": model, "input": {"messages": [{"role": "user", "content": content}]}, "parameters": parameters}
    return await studio.post(MESSAGES, json=body)


async def ended(studio, answer):
    async with asyncio.timeout(15):
        while True:
            body = (await studio.get(f"/tasks/{answer.json()['output']['task_id']}")).json()
            if body["output"]["task_status"] not in {"PENDING", "RUNNING"}:
                return body
            await asyncio.sleep(0.02)


def problem(answer):
    return answer.status_code, answer.json()["code"], answer.json()["message"]


# --- tasks --------------------------------------------------------------------------------------------------------


async def test_a_task_is_accepted_made_and_its_video_has_the_size_asked_for(studio, prompt):
    asked = prompt()
    answer = await submitted(studio, asked, size="624*624", duration=5)
    body = await ended(studio, answer)

    assert answer.json()["output"] == {"task_status": "PENDING", "task_id": body["output"]["task_id"]}
    assert body["output"]["orig_prompt"] == asked
    assert body["usage"] == {"video_count": 1, "video_duration": 5, "video_ratio": "624*624", "SR": 624}
    assert (await studio.get(body["output"]["video_url"])).headers["content-type"] == "video/mp4"


async def test_images_of_the_older_protocol_are_four_unless_asked_otherwise(studio, prompt):
    body = await ended(studio, await submitted(studio, prompt(), TEXT_TO_IMAGE, "wan2.2-t2i-flash"))

    assert [set(result) for result in body["output"]["results"]] == [{"orig_prompt", "actual_prompt", "url"}] * 4
    assert body["output"]["task_metrics"] == {"TOTAL": 4, "SUCCEEDED": 4, "FAILED": 0}


async def test_one_of_several_images_may_fail(studio, prompt):
    asked = prompt("alibabacloud=output_partial")
    body = await ended(studio, await submitted(studio, asked, TEXT_TO_IMAGE, "wan2.2-t2i-flash", n=2))

    assert body["output"]["task_status"] == "SUCCEEDED"
    assert [result.get("code") for result in body["output"]["results"]] == [None, "InternalError.Timeout"]


async def test_images_of_the_newer_protocol_come_as_choices_of_a_task(studio, prompt):
    messages = [{"role": "user", "content": [{"text": prompt()}]}]
    body = {"model": "wan2.6-t2i", "input": {"messages": messages}, "parameters": {"n": 2}}
    done = await ended(studio, await studio.post(IMAGES, json=body, headers=ASYNCHRONOUS))

    contents = [choice["message"]["content"] for choice in done["output"]["choices"]]
    assert [[item["type"] for item in content] for content in contents] == [["image"], ["image"]]
    assert done["output"]["finished"] is True


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"size": "16:9"}, "size must be in 1280*720,832*480,480*832,624*624,720*1280,960*960,1088*832,832*1088"),
        ({"duration": 8}, "duration customization is not supported"),
        ({"duration": "5"}, "Input should be a valid integer: parameters.duration"),
        ({"resolution": "720P"}, "Extra inputs are not permitted: parameters.resolution"),
    ],
)
async def test_a_wrong_parameter_is_accepted_and_then_fails(studio, prompt, parameters, message):
    answer = await submitted(studio, prompt(), **parameters)
    body = await ended(studio, answer)

    assert answer.status_code == 200
    assert (body["output"]["task_status"], body["output"]["code"]) == ("FAILED", "InvalidParameter")
    assert body["output"]["message"] == message


async def test_the_first_frame_of_another_generation_fails_late_too(studio, prompt):
    body = await ended(studio, await submitted(studio, prompt(), model="wan2.7-i2v", given={"img_url": A_FILE}))

    assert body["output"]["message"] == "Field required: input.media"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("not json", "InvalidParameter"),
        ([], "InvalidParameter"),
        ({"input": {"prompt": "x"}}, "BadRequest.EmptyModel"),
        ({"model": "wan9-t2v", "input": {"prompt": "x"}}, "InvalidParameter"),
        ({"model": "wan2.6-t2v"}, "BadRequest.EmptyInput"),
        ({"model": "wan2.2-t2i-flash", "input": {"prompt": "x"}}, "InvalidParameter"),  # of another path
    ],
)
async def test_some_mistakes_are_told_at_once(studio, body, code):
    given = {"content": body} if isinstance(body, str) else {"json": body}
    answer = await studio.post(VIDEO, headers=ASYNCHRONOUS, **given)

    assert problem(answer)[:2] == (400, code)


@pytest.mark.parametrize(
    ("path", "model", "headers", "kind"),
    [(VIDEO, "wan2.6-t2v", {}, "synchronous"), (MESSAGES, "qwen-image", ASYNCHRONOUS, "asynchronous")],
)
async def test_a_path_answers_in_one_way_only(studio, path, model, headers, kind):
    answer = await studio.post(path, json={"model": model, "input": {"prompt": "x"}}, headers=headers)

    assert problem(answer) == (403, "AccessDenied", f"current user api does not support {kind} calls.")


async def test_a_look_that_asks_for_an_asynchronous_answer_is_refused(studio):
    assert (await studio.get("/tasks/any", headers=ASYNCHRONOUS)).status_code == 403


@pytest.mark.parametrize(("header", "message"), [("Bearer wrong", "Invalid"), (None, "No")])
async def test_a_wrong_key_and_none_are_told_apart(sandbox, header, message):
    async with httpx.AsyncClient() as http:
        headers = {"authorization": header} if header else {}
        answer = await http.get(f"{sandbox.url}/alibabacloud/api/v1/tasks/", headers=headers)

    assert problem(answer) == (401, "InvalidApiKey", f"{message} API-key provided.")


@pytest.mark.parametrize("fault", ["job_lost", None])
async def test_an_unknown_task_is_a_fine_answer(studio, prompt, fault):
    task_id = "00000000-0000-0000-0000-000000000000"
    if fault:
        task_id = (await submitted(studio, prompt(f"alibabacloud={fault}"))).json()["output"]["task_id"]
    answer = await studio.get(f"/tasks/{task_id}")

    assert (answer.status_code, answer.json()["output"]["task_status"]) == (200, "UNKNOWN")


def test_a_task_is_forgotten_after_a_day():
    job = Job(
        id="a", provider="alibabacloud", endpoint="wan2.6-t2v", input={}, created_at=1000.0, queue_s=0.0, run_s=5.0,
        base_url="http://127.0.0.1",
    )  # fmt: skip

    assert status_of(job, 1005.0 + FORGOTTEN_AFTER_S - 1) == "SUCCEEDED"
    assert status_of(job, 1005.0 + FORGOTTEN_AFTER_S) == "UNKNOWN"


@pytest.mark.parametrize(("fault", "told"), [("never_starts", 200), ("never_ends", 400), ("", 400)])
async def test_only_a_waiting_task_is_canceled(studio, prompt, fault, told):
    made = await submitted(studio, prompt(f"alibabacloud={fault}" if fault else ""))
    if not fault:
        await ended(studio, made)
    task_id = made.json()["output"]["task_id"]
    answer = await studio.post(f"/tasks/{task_id}/cancel")
    status = (await studio.get(f"/tasks/{task_id}")).json()["output"]["task_status"]

    assert answer.status_code == told
    assert status == {"never_starts": "CANCELED", "never_ends": "RUNNING", "": "SUCCEEDED"}[fault]
    assert told == 200 or answer.json()["code"] == "UnsupportedOperation"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("job_invalid", "InvalidParameter"),
        ("content_refused", "DataInspectionFailed"),
        ("job_failed_timeout", "InternalError.Timeout"),
    ],
)
async def test_a_task_fails_on_demand(studio, prompt, fault, code):
    body = await ended(studio, await submitted(studio, prompt(f"alibabacloud={fault}")))

    assert (body["output"]["task_status"], body["output"]["code"]) == ("FAILED", code)


async def test_lists_show_model_and_time_but_nothing_of_the_input(studio, prompt):
    asked = prompt()
    made = await submitted(studio, asked, model="wan2.1-t2v-plus")
    await ended(studio, made)
    page = (await studio.get("/tasks/", params={"model_name": "wan2.1-t2v-plus", "page_size": 1})).json()

    assert page["data"][0]["task_id"] == made.json()["output"]["task_id"]
    assert page["data"][0]["request_id"] == made.json()["request_id"]
    assert page["data"][0]["user_api_unique_key"] == "apikey:v1:aigc:video-generation:video-synthesis:wan2.1-t2v-plus"
    assert (len(page["data"]), page["page_no"], page["page_size"]) == (1, 1, 1)
    assert page["total_page"] == page["total"]
    assert asked not in str(page)


async def test_a_list_can_be_narrowed(studio, prompt):
    await ended(studio, await submitted(studio, prompt("alibabacloud=job_failed")))
    failed = (await studio.get("/tasks", params={"status": "FAILED"})).json()["data"]
    before = (await studio.get("/tasks", params={"start_time": "20200101000000", "end_time": "20200102000000"})).json()

    assert {task["status"] for task in failed} == {"FAILED"}
    assert before["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"start_time": "yesterday"},
        {"start_time": "20200101000000"},
        {"page_no": 0},
        {"page_size": 101},
        {"page_size": "many"},
    ],
)
async def test_a_list_with_a_wrong_query_is_refused(studio, query):
    assert problem(await studio.get("/tasks/", params=query))[:2] == (400, "InvalidParameter")


def test_looks_are_limited_to_twenty_a_second():
    throttle, limited = Throttle(), FaultPlan(("looks_limited",))
    for _ in range(LOOKS_PER_SECOND):
        throttle.pass_or_refuse(limited, 1000.0)

    throttle.pass_or_refuse(NO_FAULTS, 1000.0)
    with pytest.raises(RefusalError) as refused:
        throttle.pass_or_refuse(limited, 1000.0)
    assert refused.value.response.status_code == 429
    throttle.pass_or_refuse(limited, 1000.1)


async def test_a_throttled_look_is_told_so(studio, prompt):
    task_id = (await submitted(studio, prompt("alibabacloud=looks_limited"))).json()["output"]["task_id"]
    looks = await asyncio.gather(*(studio.get(f"/tasks/{task_id}") for _ in range(5 * LOOKS_PER_SECOND)))

    assert {look.json().get("code") for look in looks} == {None, "Throttling.RateQuota"}


# --- the synchronous call -----------------------------------------------------------------------------------------


async def test_a_call_answers_with_a_picture_of_the_size_asked_for(studio, prompt):
    answer = await called(studio, prompt(), size="928*1664", n=1)
    (choice,) = answer.json()["output"]["choices"]
    picture = await studio.get(choice["message"]["content"][0]["image"])

    assert Image.open(io.BytesIO(picture.content)).size == (928, 1664)
    assert answer.json()["usage"] == {"width": 928, "height": 1664, "image_count": 1}


async def test_several_pictures_stand_in_one_message_of_qwen(studio, prompt):
    answer = await called(studio, prompt(), "qwen-image-edit-plus", [A_FILE], n=2)

    assert [len(choice["message"]["content"]) for choice in answer.json()["output"]["choices"]] == [2]


async def test_a_call_leaves_no_task(studio, prompt):
    request_id = (await called(studio, prompt())).json()["request_id"]

    assert (await studio.get(f"/tasks/{request_id}")).json()["output"]["task_status"] == "UNKNOWN"
    assert request_id not in str((await studio.get("/tasks/", params={"page_size": 100})).json())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": "1280*1280"}, "size must be in 1664*928,1472*1104,1328*1328,1104*1472,928*1664"),
        ({"n": 2}, "num_images_per_prompt must be 1."),
        ({"images": [A_FILE]}, "content length only support 1 to 1"),
        ({"model": "qwen-image-edit"}, "content length only support 2 to 2"),
        ({"model": "wan2.6-t2i", "size": "512*512"}, "size is out of range: total pixels must be between 1638400 and"),
        ({"model": "qwen-image-edit-plus", "images": [A_FILE], "size": "256*512"}, "each side must be between 512"),
    ],
)
async def test_a_call_with_a_mistake_is_refused_at_once(studio, prompt, given, message):
    status, code, told = problem(await called(studio, prompt(), **given))

    assert (status, code) == (400, "InvalidParameter")
    assert message in told


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("content_refused", 400, "DataInspectionFailed"),
        ("job_failed", 500, "Unexplained"),
        ("job_failed_timeout", 500, "RequestTimeOut"),
    ],
)
async def test_a_call_fails_on_demand(studio, prompt, fault, status, code):
    assert problem(await called(studio, prompt(f"alibabacloud={fault}")))[:2] == (status, code)


# --- what is accepted ---------------------------------------------------------------------------------------------


def an_input(**members):
    return {"prompt": "x"} | members


def a_message(*images, text="x"):
    return {"messages": [{"role": "user", "content": [*({"image": image} for image in images), {"text": text}]}]}


def media(*types):
    return an_input(media=[{"type": kind, "url": A_FILE} for kind in types])


@pytest.mark.parametrize(
    ("model", "path", "given", "parameters"),
    [
        ("wan2.6-t2v", VIDEO, an_input(audio_url=A_FILE), {"size": "720*1280", "duration": 15, "shot_type": "multi"}),
        ("wan2.5-t2v-preview", VIDEO, an_input(negative_prompt="y"), {"size": "832*480", "duration": 10, "seed": 0}),
        ("wan2.2-t2v-plus", VIDEO, an_input(), {"size": "624*624", "duration": 5, "prompt_extend": False}),
        ("wan2.6-i2v-flash", VIDEO, an_input(img_url=A_FILE), {"resolution": "720P", "audio": False}),
        ("wan2.1-i2v-turbo", VIDEO, an_input(img_url=A_FILE), {"resolution": "480P", "duration": 3}),
        ("wan2.6-r2v", VIDEO, an_input(reference_urls=[A_FILE]), {"size": "1280*720", "duration": 5}),
        ("wan2.7-t2v", VIDEO, an_input(), {"resolution": "720P", "ratio": "3:4", "duration": 2}),
        ("wan2.7-i2v", VIDEO, media("first_frame", "last_frame"), {"resolution": "1080P"}),
        ("wan2.7-r2v", VIDEO, media("reference_image", "reference_video"), {"ratio": "1:1"}),
        ("wan2.7-videoedit", VIDEO, media("video", "reference_image"), {"duration": 0, "audio_setting": "origin"}),
        ("happyhorse-1.0-i2v", VIDEO, media("first_frame"), {"resolution": "720P", "duration": 3}),
        ("happyhorse-1.0-video-edit", VIDEO, media("video"), {"resolution": "720P"}),
        ("wan2.2-kf2v-flash", FRAMES, an_input(first_frame_url=A_FILE, last_frame_url=A_FILE), {"resolution": "480P"}),
        ("wan2.2-animate-mix", FRAMES, {"image_url": A_FILE, "video_url": A_FILE}, {"mode": "wan-pro"}),
        ("wan2.5-t2i-preview", TEXT_TO_IMAGE, an_input(negative_prompt="y"), {"size": "960*1696", "n": 1}),
        ("qwen-image", TEXT_TO_IMAGE, an_input(), {"size": "1328*1328", "n": 1}),
        ("wan2.5-i2i-preview", IMAGE_TO_IMAGE, an_input(images=[A_FILE]), {"size": "800*1200", "n": 4}),
        ("wanx2.1-imageedit", IMAGE_TO_IMAGE, an_input(function="description_edit", base_image_url=A_FILE), {"n": 1}),
        ("wan2.6-image", MESSAGES, a_message(A_FILE), {"size": "1280*960", "n": 1, "enable_interleave": False}),
        ("wan2.7-image-pro", IMAGES, a_message(*[A_FILE] * 9), {"size": "4K", "n": 4}),
        ("qwen-image-2.0", MESSAGES, a_message(), {"size": "2688*1536", "n": 6}),
        ("qwen-image-edit", MESSAGES, a_message(A_FILE), {"n": 1, "watermark": False}),
        ("z-image-turbo", MESSAGES, a_message(), {"size": "832*1248", "prompt_extend": False}),
    ],
)
def test_what_the_reference_allows_is_accepted(model, path, given, parameters):
    assert accepts("alibabacloud", model, path, {"input": given, "parameters": parameters}) == []


@pytest.mark.parametrize(
    ("model", "path", "given", "parameters"),
    [
        ("wan2.6-t2v", VIDEO, an_input(), {"size": "832*480"}),
        ("wan2.6-t2v", VIDEO, an_input(), {"duration": 16}),
        ("wan2.6-t2v", FRAMES, an_input(), {}),
        ("wan2.2-t2v-plus", VIDEO, an_input(audio_url=A_FILE), {}),
        ("wan2.2-i2v-flash", VIDEO, an_input(img_url=A_FILE), {"resolution": "1080P"}),
        ("wan2.6-i2v", VIDEO, an_input(img_url=A_FILE), {"size": "1280*720"}),
        ("wan2.6-i2v", VIDEO, an_input(img_url=A_FILE), {"audio": True}),
        ("wan2.6-i2v", VIDEO, an_input(img_url="a.png"), {}),
        ("wan2.7-t2v", VIDEO, an_input(), {"size": "1280*720"}),
        ("wan2.7-i2v", VIDEO, media("last_frame"), {}),
        ("wan2.7-i2v", VIDEO, media("first_frame", "first_frame"), {}),
        ("wan2.7-i2v", VIDEO, media("reference_image"), {}),
        ("wan2.7-i2v", VIDEO, media("first_frame"), {"ratio": "16:9"}),
        ("happyhorse-1.0-t2v", VIDEO, an_input(), {"prompt_extend": True}),
        ("happyhorse-1.0-t2v", VIDEO, an_input(), {"duration": 2}),
        ("wan2.2-animate-mix", FRAMES, {"image_url": A_FILE, "video_url": A_FILE}, {}),
        ("wan2.5-t2i-preview", TEXT_TO_IMAGE, an_input(), {"n": 5}),
        ("wan2.5-t2i-preview", TEXT_TO_IMAGE, an_input(), {"negative_prompt": "y"}),
        ("wan2.2-t2i-flash", TEXT_TO_IMAGE, an_input(), {"size": "1441*512"}),
        ("wan2.5-i2i-preview", IMAGE_TO_IMAGE, an_input(), {}),
        ("wan2.6-t2i", MESSAGES, a_message(), {"size": "2600*640"}),
        ("wan2.6-image", MESSAGES, a_message(*[A_FILE] * 5), {}),
        ("wan2.7-image", MESSAGES, a_message(), {"size": "4K"}),
        ("qwen-image", IMAGES, a_message(), {}),
        ("qwen-image", MESSAGES, {"messages": [{"role": "user", "content": [{"text": "x"}, {"image": A_FILE}]}]}, {}),
        ("qwen-image", MESSAGES, {"messages": [{"role": "user", "content": [{"text": "x", "image": A_FILE}]}]}, {}),
        ("qwen-image", MESSAGES, {"messages": [{"role": "system", "content": [{"text": "x"}]}]}, {}),
        ("qwen-image-edit", MESSAGES, a_message(A_FILE), {"size": "1024*1024"}),
        ("qwen-image-edit", MESSAGES, a_message(A_FILE), {"prompt_extend": True}),
        ("qwen-image-edit-plus", MESSAGES, a_message(*[A_FILE] * 4), {}),
    ],
)
def test_what_the_reference_does_not_allow_is_refused(model, path, given, parameters):
    assert accepts("alibabacloud", model, path, {"input": given, "parameters": parameters}) != []


def test_a_size_is_two_numbers_within_its_limits():
    rule = SizeRule("1024*1024", area=(512 * 512, 1024 * 1024), ratio=4, named=("1K",))

    assert [size for size in ("1K", "2K", "512*512", "1024*1025", "2048*512", "2049*511", "512x512", "0*9", "") if rule.allows(size)] == ["1K", "512*512", "2048*512"]  # fmt: skip  # noqa: E501


def test_every_model_draws_what_it_makes():
    for models in PATHS.values():
        for model in models:
            drawn = SIMULATED.flat({"model": model, "input": {}})

            assert drawn["width"] % 2 == drawn["height"] % 2 == 0
