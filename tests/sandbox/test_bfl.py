"""The simulated BFL by plain HTTP: there is no official Python client."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json

import httpx
import pytest

from sandbox.bfl import credentials
from sandbox.bfl.api import TASKS_MAX
from sandbox.bfl.models import violations
from tests.support.sandbox import running_sandbox

SECRET = credentials.WEBHOOK_SECRET


@pytest.fixture
async def bfl(sandbox):
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/bfl", headers={"x-key": credentials.KEY}, timeout=15) as http:
        yield http


async def submitted(bfl: httpx.AsyncClient, prompt: str, model: str = "flux-dev", **given) -> dict:
    answer = await bfl.post(f"/v1/{model}", json={"prompt": prompt, **given})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(bfl: httpx.AsyncClient, task: dict) -> dict:
    async with asyncio.timeout(15):
        while True:
            seen = (await bfl.get(task["polling_url"])).json()
            if seen["status"] not in {"Pending", "Generating"}:
                return seen
            await asyncio.sleep(0.02)


# --- keys, paths, hosts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        ({}, 403, "Not authenticated"),
        ({"authorization": f"Bearer {credentials.KEY}"}, 403, "Not authenticated"),
        ({"x-key": "short"}, 422, "Invalid API key format"),
        ({"x-key": "00000000-0000-4000-8000-00000000beef"}, 403, "Not authenticated - Invalid Authentication"),
    ],
    ids=["no key", "another header", "malformed", "unknown"],
)
async def test_a_wrong_key_is_refused_in_their_words(sandbox, headers, status, detail):
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/bfl", headers=headers) as stranger:
        refused = await stranger.post("/v1/flux-dev", json={"prompt": "a lighthouse"})

    assert (refused.status_code, refused.json()) == (status, {"detail": detail})


async def test_a_model_that_they_do_not_host_has_no_path(bfl):
    refused = await bfl.post("/v1/flux-schnell", json={"prompt": "a lighthouse"})

    assert (refused.status_code, refused.json()) == (404, {"detail": "Not Found"})


async def test_a_task_is_known_at_the_address_of_its_submit_only(bfl, sandbox, prompt):
    task = await submitted(bfl, prompt())

    at_base = await bfl.get("/v1/get_result", params={"id": task["id"]})

    assert not task["polling_url"].startswith(f"{sandbox.url}/bfl/v1")
    assert (at_base.status_code, at_base.json()["status"]) == (200, "Task not found")
    assert (await ended(bfl, task))["status"] == "Ready"


async def test_the_balance_is_told(bfl):
    assert (await bfl.get("/v1/credits")).json() == {"credits": 812.5}


# --- the task -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "given", "cost"),
    [
        ("flux-pro-1.1", {}, 4),
        ("flux-2-pro", {"width": 1024, "height": 1024}, 3),
        ("flux-2-pro", {"width": 2048, "height": 2048}, 7.5),
        ("flux-2-pro", {"width": 1024, "height": 1024, "input_image": "https://example.com/one.png"}, 4.5),
        ("flux-2-pro-preview", {}, None),
    ],
)
async def test_the_submit_tells_the_cost(bfl, prompt, model, given, cost):
    assert (await submitted(bfl, prompt(), model, **given))["cost"] == cost


async def test_a_task_walks_from_pending_to_ready(bfl, prompt):
    steps = [("Pending", None), ("Pending", 0.1), ("Pending", 0.5), ("Ready", None)]
    task = await submitted(bfl, prompt("bfl=latency_0.5"))
    seen = []
    async with asyncio.timeout(15):
        while ("Ready", None) not in seen:
            drawn = (await bfl.get(task["polling_url"])).json()
            if (state := (drawn["status"], drawn["progress"])) not in seen:
                seen.append(state)

    assert seen == [step for step in steps if step in seen]


@pytest.mark.parametrize(("fault", "progress"), [("never_starts", None), ("never_ends", 0.1)])
async def test_a_task_that_never_ends_stays_pending(bfl, prompt, fault, progress):
    task = await submitted(bfl, prompt(f"bfl={fault}"))
    seen = (await bfl.get(task["polling_url"])).json()

    assert (seen["status"], seen["progress"]) == ("Pending", progress)


async def test_a_video_says_that_it_is_generated(bfl, prompt):
    task = await submitted(bfl, prompt("bfl=never_ends"), "flux-3-video")

    assert (await bfl.get(task["polling_url"])).json()["status"] == "Generating"


@pytest.mark.parametrize(
    ("model", "fault", "status", "details"),
    [
        ("flux-dev", "content_refused", "Request Moderated", {"Moderation Reasons": ["Sexual Content"]}),
        ("flux-dev", "content_refused_nsfw", "Content Moderated", {"Moderation Reasons": ["Sexual Content"]}),
        ("flux-3-video", "content_refused", "Request Moderated", "The request was moderated."),
        ("flux-dev", "job_failed", "Error", {"error": "Task failed (job_failed)"}),
    ],
)
async def test_a_task_may_end_badly(bfl, prompt, model, fault, status, details):
    seen = await ended(bfl, await submitted(bfl, prompt(f"bfl={fault}"), model))

    assert (seen["status"], seen["details"], seen["result"]) == (status, details, None)


async def test_a_task_too_many_is_refused(bfl, prompt):
    for _ in range(TASKS_MAX["flux-kontext-max"]):
        await submitted(bfl, prompt("bfl=never_ends"), "flux-kontext-max")

    refused = await bfl.post("/v1/flux-kontext-max", json={"prompt": prompt()})

    assert refused.status_code == 429
    assert isinstance(refused.json()["detail"], str)


async def test_an_empty_balance_is_told_at_the_submit(bfl, prompt):
    refused = await bfl.post("/v1/flux-dev", json={"prompt": prompt("bfl=submit_402")})

    assert (refused.status_code, refused.json()) == (402, {"detail": "Insufficient credits"})


# --- files --------------------------------------------------------------------------------------------------------


async def test_a_file_is_opened_by_its_signature_and_never_shown_a_key(bfl, sandbox, prompt):
    seen = await ended(bfl, await submitted(bfl, prompt(), width=256, height=256))
    url = seen["result"]["sample"]

    async with httpx.AsyncClient() as stranger:
        opened, unsigned = await stranger.get(url), await stranger.get(url.partition("?")[0])
        forged = await stranger.get(url[:-1] + ("0" if url[-1] != "0" else "1"))
        keyed = await stranger.get(url, headers={"x-key": credentials.KEY})

    assert (opened.status_code, opened.headers["content-type"]) == (200, "image/jpeg")
    assert [unsigned.status_code, forged.status_code, keyed.status_code] == [403, 403, 400]


async def test_a_file_that_was_kept_long_enough_is_forbidden():
    async with (
        running_sandbox(options=("--retention", "0")) as sandbox,
        httpx.AsyncClient(base_url=f"{sandbox.url}/bfl", headers={"x-key": credentials.KEY}) as bfl,
        httpx.AsyncClient() as stranger,
    ):
        seen = await ended(bfl, await submitted(bfl, "a lighthouse"))

        assert (await stranger.get(seen["result"]["sample"])).status_code == 403


# --- callbacks ----------------------------------------------------------------------------------------------------


async def test_with_a_webhook_no_address_is_told_and_the_base_knows_the_task(bfl, prompt, ear):
    task = await submitted(bfl, prompt(), webhook_url=ear.url(), webhook_secret=SECRET)
    (call,) = await ear.heard(1)
    at_base = await bfl.get("/v1/get_result", params={"id": task["id"]})

    assert (task["status"], task["webhook_url"], "polling_url" in task) == ("Pending", ear.url(), False)
    signature = hmac.new(SECRET.encode(), call.body, hashlib.sha256).hexdigest()
    assert call.headers["x-bfl-signature"] == f"sha256={signature}"
    assert json.loads(call.body) | {"timestamp": None} == {
        "id": task["id"],
        "status": "Ready",
        "result": at_base.json()["result"],
        "timestamp": None,
    }


async def test_a_callback_may_have_the_other_form_that_was_seen(bfl, prompt, ear):
    task = await submitted(bfl, prompt("bfl=callback_other_form"), webhook_url=ear.url(), webhook_secret=SECRET)
    (call,) = await ear.heard(1)
    told = json.loads(call.body)

    assert (told["task_id"], told["status"], "id" in told) == (task["id"], "SUCCESS", False)
    assert "x-bfl-signature" not in call.headers


# --- strictness ---------------------------------------------------------------------------------------------------

URL = "https://example.com/one.png"


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("flux-dev", {"prompt": "p", "width": 1344, "height": 768, "steps": 28, "guidance": 3, "seed": None}),
        ("flux-pro-1.1", {"prompt": "p", "output_format": "webp", "safety_tolerance": 6, "image_prompt": "aGVsbG8="}),
        ("flux-pro-1.1-ultra", {"prompt": "p", "aspect_ratio": "21:9", "raw": True, "image_prompt_strength": 0.2}),
        ("flux-kontext-pro", {"prompt": "p", "aspect_ratio": None, "input_image": URL, "input_image_4": URL}),
        ("flux-2-max", {"prompt": "p", "width": 0, "height": 0, "input_image_8": URL, "disable_pup": True}),
        ("flux-2-flex", {"prompt": "p", "width": 2048, "height": 2048, "guidance": 10, "steps": 50}),
        ("flux-2-klein-4b", {"prompt": "p", "width": 3104, "height": 1328}),
        ("flux-pro-1.0-fill", {"image": URL, "mask": URL, "guidance": 60}),
        ("flux-pro-1.0-expand", {"image": URL, "top": 2048}),
        ("flux-pro-1.1-ultra-finetuned", {"finetune_id": "mine", "finetune_strength": 1}),
        ("flux-3-video", {"prompt": "p", "mode": "i2v", "keyframes": [URL, [3, URL]], "aspect_ratio": "auto"}),
    ],
)
def test_what_the_models_take_is_taken(model, given):
    assert violations(model, given) == []


@pytest.mark.parametrize(
    ("model", "given", "path", "rule"),
    [
        ("flux-dev", {"width": 1000}, ("width",), "multiple_of"),
        ("flux-dev", {"width": 1472}, ("width",), "maximum"),
        ("flux-dev", {"width": "1024"}, ("width",), "type"),
        ("flux-dev", {"num_images": 2}, ("num_images",), "unknown"),
        ("flux-dev", {"aspect_ratio": "16:9"}, ("aspect_ratio",), "unknown"),
        ("flux-dev", {"output_format": "jpg"}, ("output_format",), "choice"),
        ("flux-dev", {"guidance": 1}, ("guidance",), "minimum"),
        ("flux-dev", {"image_prompt": "data:image/png;base64,aGVsbG8="}, ("image_prompt",), "value"),
        ("flux-dev", {"image_prompt": "not base64!"}, ("image_prompt",), "value"),
        ("flux-pro-1.1-ultra", {"width": 1024}, ("width",), "unknown"),
        ("flux-pro-1.1-ultra", {"aspect_ratio": "22:9"}, ("aspect_ratio",), "value"),
        ("flux-pro-1.1-ultra", {"aspect_ratio": "wide"}, ("aspect_ratio",), "value"),
        ("flux-kontext-pro", {}, ("prompt",), "missing"),
        ("flux-kontext-pro", {"prompt": "p", "input_image_5": URL}, ("input_image_5",), "unknown"),
        ("flux-2-pro", {"prompt": "p", "safety_tolerance": 6}, ("safety_tolerance",), "maximum"),
        ("flux-2-pro", {"prompt": "p", "width": 48}, ("width",), "minimum"),
        ("flux-2-pro", {"prompt": "p", "width": 1000}, ("width",), "multiple_of"),
        ("flux-2-pro", {"prompt": "p", "width": 2064, "height": 2048}, (), "value"),
        ("flux-2-pro", {"prompt": "p", "prompt_upsampling": True}, ("prompt_upsampling",), "unknown"),
        ("flux-2-klein-9b", {"prompt": "p", "input_image_5": URL}, ("input_image_5",), "unknown"),
        ("flux-pro-1.0-fill", {"prompt": "p"}, ("image",), "missing"),
        ("flux-3-video", {"duration": 4}, ("duration",), "minimum"),
        ("flux-3-video", {"seed": 1}, ("seed",), "unknown"),
    ],
)
def test_what_they_do_not_take_is_refused(model, given, path, rule):
    assert [(found.path, found.rule) for found in violations(model, given)] == [(path, rule)]


async def test_a_refusal_lists_what_is_wrong(bfl, prompt):
    refused = await bfl.post("/v1/flux-dev", json={"prompt": prompt(), "width": 1000, "size": "1:1"})

    assert refused.status_code == 422
    assert refused.json()["detail"] == [
        {"loc": ["body", "width"], "msg": "Input should be a multiple of 32", "type": "multiple_of"},
        {"loc": ["body", "size"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"},
    ]
