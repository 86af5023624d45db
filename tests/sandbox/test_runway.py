"""The simulated Runway by plain HTTP."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from sandbox.runway import credentials
from sandbox.runway.checks import violations
from sandbox.runway.tasks import CONCURRENT_MAX

URL = "https://example.com/one.png"
KEYED = {"authorization": f"Bearer {credentials.KEY}", "x-runway-version": credentials.VERSION}


@pytest.fixture
async def runway(sandbox):
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/runway", headers=KEYED, timeout=15) as http:
        yield http


async def submit(runway: httpx.AsyncClient, prompt: str, model: str = "gen4_image", **given) -> httpx.Response:
    body = {"model": model, "promptText": prompt, "ratio": "720:720", **given}
    return await runway.post("/v1/text_to_image", json=body)


async def submitted(runway: httpx.AsyncClient, prompt: str, model: str = "gen4_image", **given) -> str:
    answer = await submit(runway, prompt, model, **given)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


async def read(runway: httpx.AsyncClient, task_id: str) -> dict:
    return (await runway.get(f"/v1/tasks/{task_id}")).json()


async def ended(runway: httpx.AsyncClient, task_id: str) -> dict:
    async with asyncio.timeout(15):
        while True:
            seen = await read(runway, task_id)
            if seen["status"] in {"SUCCEEDED", "FAILED"}:
                return seen
            await asyncio.sleep(0.02)


# --- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": credentials.KEY}, 401),
        ({"authorization": "Bearer key_other"}, 401),
        ({"x-runway-version": ""}, 400),
        ({"x-runway-version": "2024-09-13"}, 400),
    ],
    ids=["no key", "not bearer", "another key", "no version", "another version"],
)
async def test_a_request_without_key_and_version_is_refused(sandbox, changes, status):
    async with httpx.AsyncClient(base_url=f"{sandbox.url}/runway", headers=KEYED | changes) as stranger:
        refused = await submit(stranger, "a lighthouse")

    assert (refused.status_code, list(refused.json())) == (status, ["error"])


async def test_the_balance_and_the_limits_are_told(runway):
    told = (await runway.get("/v1/organization")).json()

    assert told["creditBalance"] > 0
    assert told["tier"]["models"]["gen4.5"]["maxConcurrentGenerations"] == CONCURRENT_MAX
    assert told["usage"]["models"]["gen4.5"] == {"dailyGenerations": 0}


# --- the task -----------------------------------------------------------------------------------------------------


async def test_a_task_succeeds_with_files_and_a_cost(runway, prompt):
    answer = (await submit(runway, prompt(), "gpt_image_2", ratio="auto", outputCount=2)).json()
    seen = await ended(runway, answer["id"])

    assert (seen["status"], len(seen["output"])) == ("SUCCEEDED", 2)
    assert seen["cost"] == answer["estimatedCost"]
    assert "estimatedCost" not in seen


@pytest.mark.parametrize(
    ("fault", "status"),
    [("never_starts", "PENDING"), ("never_starts,throttled", "THROTTLED"), ("never_ends", "RUNNING")],
)
async def test_a_task_may_wait_or_run_for_ever(runway, prompt, fault, status):
    task_id = await submitted(runway, prompt(f"runway={fault}"))
    seen = await read(runway, task_id)

    assert (seen["status"], "progress" in seen) == (status, status == "RUNNING")
    assert (await runway.delete(f"/v1/tasks/{task_id}")).status_code == 204


async def test_a_task_too_many_of_one_model_is_throttled_and_not_refused(runway, prompt):
    running = [await submitted(runway, prompt("runway=never_ends"), "gpt_image_2", ratio="auto") for _ in range(20)]
    one_more = await submitted(runway, prompt("runway=never_ends"), "gpt_image_2", ratio="auto")
    of_another_model = await submitted(runway, prompt("runway=never_ends"))

    assert (await read(runway, one_more))["status"] == "THROTTLED"
    assert (await read(runway, of_another_model))["status"] == "RUNNING"
    await runway.delete(f"/v1/tasks/{running[0]}")
    assert (await read(runway, one_more))["status"] == "RUNNING"
    for task_id in [*running[1:], one_more, of_another_model]:
        await runway.delete(f"/v1/tasks/{task_id}")


@pytest.mark.parametrize(
    ("fault", "code", "charged"),
    [
        ("content_refused", "SAFETY.INPUT.TEXT", True),
        ("content_refused_nsfw", "SAFETY.OUTPUT.VIDEO", True),
        ("content_refused_image", "SAFETY.INPUT.IMAGE", True),
        ("content_refused_early", "INPUT_PREPROCESSING.SAFETY.TEXT", False),
        ("content_refused_partner", "INPUT_PREPROCESSING.SAFETY.THIRD_PARTY", False),
        ("job_failed", None, False),
        ("job_failed_e6716", "THIRD_PARTY.UNAVAILABLE", False),
        ("job_failed_e1000", "INTERNAL", False),
        ("job_failed_e1001", "INTERNAL.BAD_OUTPUT.CODE01", False),
        ("job_failed_interrupted", "INPUT_PREPROCESSING.INTERNAL", False),
        ("job_failed_downstream", "THIRD_PARTY.INPUT_VALIDATION", False),
        ("job_failed_asset", "ASSET.INVALID", True),
    ],
)
async def test_every_failure_code_can_be_asked_for(runway, prompt, fault, code, charged):
    seen = await ended(runway, await submitted(runway, prompt(f"runway={fault}")))

    assert (seen["status"], seen["failureCode"], seen["cost"]["credits"] > 0) == ("FAILED", code, charged)
    assert seen["failure"]


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("submit_402", 400, {"error": "You do not have enough credits to run this task."}),
        ("submit_429", 429, {"error": "You have reached the daily task limit for this model."}),
    ],
)
async def test_a_submit_may_be_refused_in_their_words(runway, prompt, fault, status, body):
    refused = await submit(runway, prompt(f"runway={fault}"))

    assert (refused.status_code, refused.json()) == (status, body)


# --- delete and files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["never_starts", "never_ends", "latency_0"])
async def test_a_deleted_task_is_unknown_whether_it_had_ended_or_not(runway, prompt, fault):
    task_id = await submitted(runway, prompt(f"runway={fault}"))

    deleted = await runway.delete(f"/v1/tasks/{task_id}")
    gone = await runway.get(f"/v1/tasks/{task_id}")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (gone.status_code, gone.json()) == (404, {"error": "Could not find Task"})


async def test_every_look_mints_new_addresses_and_a_delete_takes_the_files(runway, prompt):
    task_id = await submitted(runway, prompt())
    first, second = (await ended(runway, task_id))["output"][0], (await ended(runway, task_id))["output"][0]

    async with httpx.AsyncClient() as stranger:
        opened = [(await stranger.get(url)).status_code for url in (first, second)]
        unsigned = await stranger.get(first.partition("?")[0])
        forged = await stranger.get(first[:-2] + ("AA" if first[-2:] != "AA" else "BB"))
        keyed = await stranger.get(first, headers=KEYED)
        await runway.delete(f"/v1/tasks/{task_id}")
        deleted = await stranger.get(first)

    assert first != second
    assert opened == [200, 200]
    assert [unsigned.status_code, forged.status_code, keyed.status_code] == [403, 403, 400]
    assert deleted.status_code == 404


# --- strictness ---------------------------------------------------------------------------------------------------

VIDEO = "https://example.com/one.mp4"
TEXT_TO_IMAGE, TEXT_TO_VIDEO, IMAGE_TO_VIDEO = "/v1/text_to_image", "/v1/text_to_video", "/v1/image_to_video"
PERFORMANCE, IMAGE = "/v1/character_performance", {"type": "image", "uri": URL}
FIRST, LAST = {"uri": URL, "position": "first"}, {"uri": URL, "position": "last"}


@pytest.mark.parametrize(
    ("endpoint", "model", "given"),
    [
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "p", "ratio": "1920:1080", "seed": 1, "referenceImages": []}),
        (TEXT_TO_IMAGE, "gen4_image_turbo", {"promptText": "p", "ratio": "720:720", "referenceImages": [{"uri": URL}]}),
        (TEXT_TO_IMAGE, "gemini_image3_pro", {"promptText": "p", "ratio": "6336:2688", "outputCount": 4}),
        (TEXT_TO_IMAGE, "gpt_image_2", {"promptText": "p" * 32_000, "ratio": "auto", "quality": "low"}),
        (TEXT_TO_IMAGE, "seedream5_lite", {"promptText": "p", "ratio": "4704:2016", "outputFormat": "jpeg"}),
        (TEXT_TO_VIDEO, "gen4.5", {"promptText": "p", "ratio": "720:1280", "duration": 10}),
        (TEXT_TO_VIDEO, "veo3.1_fast", {"promptText": "p", "ratio": "1920:1080", "duration": 4, "audio": False}),
        (TEXT_TO_VIDEO, "seedance2", {"promptText": "p", "ratio": "3840:2160", "duration": "auto"}),
        (TEXT_TO_VIDEO, "happyhorse_1_0", {"promptText": "p", "ratio": "1108:832", "duration": 5}),
        (IMAGE_TO_VIDEO, "gen4.5", {"promptText": "p", "promptImage": URL, "ratio": "1584:672", "duration": 2}),
        (IMAGE_TO_VIDEO, "gen4_turbo", {"promptImage": [FIRST], "ratio": "960:960", "seed": 4294967295}),
        (IMAGE_TO_VIDEO, "veo3.1", {"promptImage": [FIRST, LAST], "ratio": "1280:720"}),
        (IMAGE_TO_VIDEO, "seedance2_mini", {"promptImage": [{"uri": URL}], "duration": 15}),
        (IMAGE_TO_VIDEO, "happyhorse_1_0", {"promptImage": URL, "resolution": "1080P"}),
        ("/v1/video_to_video", "aleph2", {"videoUri": VIDEO, "targetAspectRatio": "21:9"}),
        (
            "/v1/character_performance",
            "act_two",
            {
                "character": {"type": "image", "uri": URL},
                "reference": {"type": "video", "uri": VIDEO},
                "contentModeration": {"publicFigureThreshold": "low"},
                "expressionIntensity": 5,
            },
        ),
        ("/v1/video_upscale", "magnific_video_upscaler_creative", {"videoUri": VIDEO, "creativity": 100}),
    ],
)
def test_what_the_models_take_is_taken(endpoint, model, given):
    assert violations(model, endpoint, given) == []


@pytest.mark.parametrize(
    ("endpoint", "model", "given", "path", "rule"),
    [
        (TEXT_TO_VIDEO, "gen4_turbo", {}, ("model",), "value"),
        ("/v1/nothing", "gen4_image", {}, ("model",), "value"),
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "p"}, ("ratio",), "missing"),
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "p", "ratio": "16:9"}, ("ratio",), "choice"),
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "p" * 1001, "ratio": "720:720"}, ("promptText",), "too_long"),
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "\N{GRINNING FACE}" * 501, "ratio": "720:720"}, ("promptText",),
         "too_long"),
        (TEXT_TO_IMAGE, "gen4_image", {"prompt": "p", "promptText": "p", "ratio": "720:720"}, ("prompt",), "unknown"),
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "p", "ratio": "720:720", "outputCount": 1}, ("outputCount",),
         "unknown"),
        (TEXT_TO_IMAGE, "gen4_image_turbo", {"promptText": "p", "ratio": "720:720"}, ("referenceImages",), "missing"),
        (TEXT_TO_IMAGE, "gen4_image_turbo", {"promptText": "p", "ratio": "720:720", "referenceImages": []},
         ("referenceImages",), "too_few"),
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "p", "ratio": "720:720", "referenceImages": [URL]},
         ("referenceImages", 0), "type"),
        (TEXT_TO_IMAGE, "gen4_image", {"promptText": "p", "ratio": "720:720", "referenceImages": [{"uri": URL}] * 4},
         ("referenceImages",), "too_many"),
        (TEXT_TO_IMAGE, "gemini_2.5_flash", {"promptText": "p", "ratio": "1024:1024", "seed": 1}, ("seed",), "unknown"),
        (TEXT_TO_IMAGE, "gemini_image3_pro", {"promptText": "p", "ratio": "1024:1024", "outputCount": 2},
         ("outputCount",), "choice"),
        (TEXT_TO_VIDEO, "gen4.5", {"promptText": "p", "ratio": "960:960", "duration": 5}, ("ratio",), "choice"),
        (TEXT_TO_VIDEO, "gen4.5", {"promptText": "p", "ratio": "1280:720"}, ("duration",), "missing"),
        (TEXT_TO_VIDEO, "gen4.5", {"promptText": "p", "ratio": "1280:720", "duration": 11}, ("duration",), "maximum"),
        (TEXT_TO_VIDEO, "veo3", {"promptText": "p", "ratio": "1280:720", "duration": 6}, ("duration",), "choice"),
        (TEXT_TO_VIDEO, "seedance2", {"promptText": "p", "duration": 3}, ("duration",), "minimum"),
        (TEXT_TO_VIDEO, "happyhorse_1_0", {"promptText": "p", "seed": 1}, ("seed",), "unknown"),
        (IMAGE_TO_VIDEO, "gen4_turbo", {"promptImage": [LAST], "ratio": "960:960"}, ("promptImage", 0, "position"),
         "choice"),
        (IMAGE_TO_VIDEO, "gen4_turbo", {"promptImage": 7, "ratio": "960:960"}, ("promptImage",), "type"),
        (IMAGE_TO_VIDEO, "veo3.1", {"promptImage": [LAST], "ratio": "1280:720"}, ("promptImage",), "value"),
        ("/v1/video_to_video", "aleph2", {"promptText": "p"}, ("videoUri",), "missing"),
        (PERFORMANCE, "act_two", {"character": IMAGE}, ("reference",), "missing"),
        (PERFORMANCE, "act_two", {"character": IMAGE, "reference": IMAGE}, ("reference", "type"), "choice"),
    ],
)  # fmt: skip
def test_what_they_do_not_take_is_refused(endpoint, model, given, path, rule):
    assert [(found.path, found.rule) for found in violations(model, endpoint, given)] == [(path, rule)]


async def test_a_refusal_lists_the_issues(runway, prompt):
    refused = await submit(runway, prompt(), ratio="16:9", size="1K", promptText="p" * 1001, seed="one")

    issues = {
        str(issue["path"][-1] if issue["path"] else issue["keys"][0]): issue for issue in refused.json()["issues"]
    }
    assert refused.status_code == 400
    assert refused.json()["error"] == "Validation of body failed"
    assert issues["ratio"]["code"] == "invalid_value"
    assert issues["ratio"]["message"].startswith('Invalid option: expected one of "1024:1024"|"1080:1080"')
    assert issues["promptText"] == {
        "code": "too_big",
        "maximum": 1000,
        "inclusive": True,
        "origin": "string",
        "path": ["promptText"],
        "message": "Too big: expected string to have <=1000 characters",
    }
    assert (issues["size"]["code"], issues["seed"]["code"]) == ("unrecognized_keys", "invalid_type")


async def test_a_model_of_another_endpoint_matches_nothing(runway, prompt):
    refused = await submit(runway, prompt(), "gen4_turbo")

    assert refused.json()["issues"] == [
        {
            "path": ["model"],
            "code": "invalid_union",
            "note": "No matching discriminator",
            "discriminator": "model",
            "message": "Invalid input",
        }
    ]
