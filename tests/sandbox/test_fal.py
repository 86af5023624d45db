from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from sandbox.fal import credentials as fal_credentials
from tests.support.sandbox import running_sandbox
from tests.support.submits import FAL_SCHNELL, completed, queue

PRO_VIDEO = "fal-ai/bytedance/seedance/v1/pro/text-to-video"


async def test_a_submit_answers_with_urls_of_two_segments(fal, prompt):
    answer = await queue(fal, prompt(), PRO_VIDEO)

    body = answer.json()
    url = f"{fal.base_url}fal-ai/bytedance/requests/{body['request_id']}"
    assert answer.status_code == 200
    assert body == {
        "status": "IN_QUEUE",
        "request_id": body["request_id"],
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
        "queue_position": 0,
    }


async def test_namespaces_keep_a_third_segment(fal, prompt):
    body = (await queue(fal, prompt(), "workflows/acme/portraits")).json()

    assert "/workflows/acme/portraits/requests/" in body["status_url"]
    assert (await completed(fal, body)).status_code == 200


async def test_the_status_is_202_until_completed(fal, prompt):
    queued = (await queue(fal, prompt("fal=latency_2"))).json()
    seen: list[tuple[int, str]] = []
    positions, logs = [], []

    while not seen or seen[-1][1] != "COMPLETED":
        answer = await fal.get(queued["status_url"], params={"logs": "1"})
        body = answer.json()
        if not seen or seen[-1][1] != body["status"]:
            seen.append((answer.status_code, body["status"]))
        positions.append(body.get("queue_position"))
        logs.append(body.get("logs", "absent"))
        await asyncio.sleep(0.02)

    assert seen == [(202, "IN_QUEUE"), (202, "IN_PROGRESS"), (200, "COMPLETED")]
    waiting = [position for position in positions if position is not None]
    assert waiting == sorted(waiting, reverse=True)
    assert waiting[0] > waiting[-1]
    assert logs[0] == "absent"
    assert logs[-1][0]["level"] == "INFO"


async def test_logs_are_null_unless_asked_for(fal, prompt):
    queued = (await queue(fal, prompt())).json()

    body = (await fal.get(queued["status_url"])).json()

    assert (body["status"], body["logs"]) == ("COMPLETED", None)
    assert "error" not in body


async def test_the_result_is_refused_before_the_end(fal, prompt):
    queued = (await queue(fal, prompt("fal=never_ends"))).json()

    answer = await fal.get(queued["response_url"])

    assert (answer.status_code, answer.json()) == (400, {"detail": "Request is still in progress"})


async def test_an_image_result_has_files_with_their_sizes(fal, prompt):
    queued = (await queue(fal, prompt(), image_size="landscape_16_9", num_images=2, seed=7)).json()

    answer = await completed(fal, queued)

    body = answer.json()
    assert [(image["width"], image["height"], image["content_type"]) for image in body["images"]] == [
        (1024, 576, "image/jpeg")
    ] * 2
    assert (body["seed"], body["has_nsfw_concepts"]) == (7, [False, False])
    assert answer.headers["x-fal-request-id"] == queued["request_id"]
    assert answer.headers["x-fal-billable-units"] == "2"
    assert (await fal.get(f"{queued['response_url']}/response")).json() == body


async def test_a_video_result_names_its_file(fal, prompt):
    queued = (await queue(fal, prompt(), PRO_VIDEO, resolution="480p", duration="2")).json()

    video = (await completed(fal, queued)).json()["video"]

    assert (video["content_type"], video["file_name"]) == ("video/mp4", "output.mp4")
    assert len((await fal.get(video["url"])).content) == video["file_size"]


async def test_sync_mode_puts_the_bytes_into_the_answer(fal, prompt):
    queued = (await queue(fal, prompt(), sync_mode=True)).json()

    image = (await completed(fal, queued)).json()["images"][0]

    assert image["url"].startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        (None, "Invalid Key Authorization header format"),
        ("Bearer 1:2", "Invalid Key Authorization header format"),
        ("Key nothing", "Invalid Key Authorization header format"),
        ("Key 1:2", "No user found for Key ID and Secret"),
    ],
)
async def test_a_wrong_key_is_refused(sandbox, authorization, said):
    headers = {"authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(base_url=sandbox.fal_queue_url, headers=headers) as http:
        answer = await queue(http, "a cat")

    assert answer.status_code == 401
    assert answer.json()["detail"].startswith(said)


@pytest.mark.parametrize(
    ("endpoint", "given", "kind", "where"),
    [
        (FAL_SCHNELL, {"aspect_ratio": "1:1"}, "extra_forbidden", ["body", "aspect_ratio"]),
        (FAL_SCHNELL, {"image_size": "landscape"}, "literal_error", ["body", "image_size"]),
        (FAL_SCHNELL, {"image_size": {"width": 512}}, "missing", ["body", "image_size", "height"]),
        (
            FAL_SCHNELL,
            {"image_size": {"width": 1, "height": 512}},
            "greater_than_equal",
            ["body", "image_size", "width"],
        ),
        (FAL_SCHNELL, {"image_size": 5}, "string_or_object_type", ["body", "image_size"]),
        (FAL_SCHNELL, {"num_images": 5}, "less_than_equal", ["body", "num_images"]),
        (FAL_SCHNELL, {"num_images": "1"}, "integer_type", ["body", "num_images"]),
        (PRO_VIDEO, {"duration": 5}, "string_type", ["body", "duration"]),
        (PRO_VIDEO, {"duration": "13"}, "literal_error", ["body", "duration"]),
        ("fal-ai/flux-pro/v1.1", {"safety_tolerance": 2}, "string_type", ["body", "safety_tolerance"]),
        ("fal-ai/veo3.1/fast", {"duration": "8"}, "literal_error", ["body", "duration"]),
        ("fal-ai/minimax/hailuo-02/pro/text-to-video", {"duration": "6"}, "extra_forbidden", ["body", "duration"]),
        ("fal-ai/nano-banana/edit", {}, "missing", ["body", "image_urls"]),
        ("fal-ai/nano-banana/edit", {"image_urls": []}, "sequence_too_short", ["body", "image_urls"]),
        (
            "fal-ai/bytedance/seedream/v4/edit",
            {"image_urls": ["https://x/"] * 11},
            "sequence_too_long",
            ["body", "image_urls"],
        ),
        ("fal-ai/nano-banana", {"image_urls": ["https://x/"]}, "extra_forbidden", ["body", "image_urls"]),
        ("fal-ai/flux-pro/kontext", {}, "missing", ["body", "image_url"]),
        (
            "fal-ai/flux-pro/kontext/text-to-image",
            {"image_url": "https://x/"},
            "extra_forbidden",
            ["body", "image_url"],
        ),
        (
            "fal-ai/veo3.1/fast/first-last-frame-to-video",
            {"first_frame_url": "https://x/"},
            "missing",
            ["body", "last_frame_url"],
        ),
        (
            "fal-ai/kling-video/v2.5-turbo/pro/image-to-video",
            {"image_url": "https://x/", "aspect_ratio": "1:1"},
            "extra_forbidden",
            ["body", "aspect_ratio"],
        ),
        (
            "fal-ai/pixverse/v5/transition",
            {"first_image_url": "https://x/", "image_url": "https://x/"},
            "extra_forbidden",
            ["body", "image_url"],
        ),
    ],
)
async def test_a_wrong_parameter_is_told_by_the_result(fal, prompt, endpoint, given, kind, where):
    queued = (await queue(fal, prompt(), endpoint, **given)).json()

    answer = await completed(fal, queued)

    assert answer.status_code == 422
    assert [(found["type"], found["loc"]) for found in answer.json()["detail"]] == [(kind, where)]
    assert answer.headers["x-fal-retryable"] == "false"


async def test_a_missing_prompt_is_told_by_the_result(fal):
    queued = (await fal.post(f"/{FAL_SCHNELL}", json={})).json()

    answer = await completed(fal, queued)

    assert answer.json()["detail"][0] == {
        "loc": ["body", "prompt"],
        "msg": "Field required",
        "type": "missing",
        "url": "https://docs.fal.ai/errors/#missing",
        "ctx": {},
        "input": None,
    }


async def test_an_unknown_endpoint_takes_any_input(fal, prompt):
    queued = (await queue(fal, prompt(), "acme/thing/v9", anything=[1])).json()

    assert (await completed(fal, queued)).status_code == 200


async def test_what_is_no_endpoint_is_not_found(fal):
    assert (await fal.post("/flux", json={"prompt": "a"})).status_code == 404
    assert (await fal.post("/fal-ai/flux/requests/1", json={"prompt": "a"})).status_code == 404
    assert (await fal.get("/fal-ai/flux/schnell")).status_code == 404


async def test_a_body_that_is_not_an_object_is_refused(fal):
    for content in (b"not json", b"[]"):
        assert (await fal.post(f"/{FAL_SCHNELL}", content=content)).status_code == 400


async def test_the_long_form_of_a_request_url_is_not_allowed(fal, prompt):
    queued = (await queue(fal, prompt())).json()
    long = queued["status_url"].replace("fal-ai/flux/", "fal-ai/flux/schnell/")

    assert (await fal.get(long)).status_code == 405


async def test_a_request_belongs_to_its_application(fal, prompt):
    queued = (await queue(fal, prompt())).json()

    for url in (
        queued["status_url"].replace("fal-ai/flux", "fal-ai/other"),
        queued["response_url"] + "/nothing",
        queued["response_url"] + "0",
    ):
        assert (await fal.get(url)).status_code == 404


# cancel: the four answers


async def test_a_queued_request_is_gone_when_canceled(fal, prompt):
    queued = (await queue(fal, prompt("fal=never_starts"))).json()

    answer = await fal.put(queued["cancel_url"])
    status = await fal.get(queued["status_url"])
    result = await fal.get(queued["response_url"])

    assert (answer.status_code, answer.json()) == (200, {"status": "OK"})
    assert (status.status_code, status.json()["status"]) == (200, "COMPLETED")
    assert status.json()["error_type"] == "client_cancelled"
    assert (result.status_code, result.json()["error_type"]) == (499, "client_cancelled")
    assert result.headers["x-fal-error-type"] == "client_cancelled"


async def test_a_running_request_is_told_to_stop(fal, prompt):
    queued = (await queue(fal, prompt("fal=latency_0,never_ends"))).json()

    answer = await fal.put(queued["cancel_url"])
    result = await completed(fal, queued)

    assert (answer.status_code, answer.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    assert result.status_code == 499


async def test_a_completed_request_cannot_be_canceled(fal, prompt):
    queued = (await queue(fal, prompt())).json()
    await completed(fal, queued)

    answer = await fal.put(queued["cancel_url"])

    assert (answer.status_code, answer.json()) == (400, {"status": "ALREADY_COMPLETED"})


async def test_an_unknown_request_cannot_be_canceled(fal):
    for url in ("/fal-ai/flux/requests/nobody/cancel", "/fal-ai/flux"):
        answer = await fal.put(url)
        assert (answer.status_code, answer.json()) == (404, {"status": "NOT_FOUND"})


async def test_a_request_that_does_not_start_in_time_ends(fal, prompt):
    text = prompt("fal=never_starts")

    queued = await fal.post(f"/{FAL_SCHNELL}", json={"prompt": text}, headers={"X-Fal-Request-Timeout": "0.2"})
    result = await completed(fal, queued.json())

    assert (result.status_code, result.json()["error_type"]) == (504, "request_timeout")
    assert result.headers["x-fal-request-timeout-type"] == "user"


async def test_the_status_stream_ends_with_completed(fal, prompt):
    queued = (await queue(fal, prompt("fal=latency_2"))).json()

    body = (await fal.get(f"{queued['status_url']}/stream", params={"logs": 1})).text

    told = [json.loads(line.removeprefix("data: "))["status"] for line in body.split("\n\n") if line]
    order = ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]  # it may have left the queue before it is listened to
    assert told == sorted(told, key=order.index)
    assert told[0] != told[-1] == "COMPLETED"


async def test_a_result_is_forgotten_after_retention_but_not_its_files():
    headers = {"authorization": f"Key {fal_credentials.KEY}"}
    async with (
        running_sandbox(options=("--retention", "1.5")) as sandbox,
        httpx.AsyncClient(base_url=sandbox.fal_queue_url, headers=headers) as http,
    ):
        queued = (await queue(http, "a cat")).json()
        file = (await completed(http, queued)).json()["images"][0]["url"]
        for _ in range(100):
            if (gone := await http.get(queued["response_url"])).status_code == 404:
                break
            await asyncio.sleep(0.05)

        assert gone.status_code == 404
        assert (await http.get(file)).status_code == 200


# history


async def test_the_history_lists_finished_requests_only(sandbox, fal, prompt):
    endpoint = "acme/history/one"
    finished = (await queue(fal, prompt(), endpoint, steps=3)).json()
    failed = (await queue(fal, prompt("fal=job_failed"), endpoint)).json()
    refused = (await queue(fal, prompt("fal=content_refused"), endpoint)).json()
    await queue(fal, prompt("fal=never_ends"), endpoint)
    for request in (finished, failed, refused):
        await completed(fal, request)
    url = f"{sandbox.fal_platform_url}/models/requests/by-endpoint"

    async def history(**params):
        return (await fal.get(url, params={"endpoint_id": endpoint} | params)).json()

    whole = await history(expand="payloads")
    first = await history(limit=2)
    second = await history(limit=2, cursor=first["next_cursor"])

    assert [item["request_id"] for item in whole["items"]] == [
        request["request_id"] for request in (refused, failed, finished)
    ]
    assert whole["items"][2]["json_input"]["steps"] == 3
    assert whole["items"][2]["json_output"]["images"]
    assert "json_input" not in first["items"][0]
    assert [item["status_code"] for item in first["items"] + second["items"]] == [422, 500, 200]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)
    for status, expected in (("success", finished), ("error", failed), ("user_error", refused)):
        assert [item["request_id"] for item in (await history(status=status))["items"]] == [expected["request_id"]]
    only = await history(request_id=failed["request_id"])
    assert [item["request_id"] for item in only["items"]] == [failed["request_id"]]
    assert (await history(end=finished and "2020-01-01T00:00:00Z", start="2019-01-01T00:00:00Z"))["items"] == []


async def test_the_history_wants_an_endpoint_and_readable_times(sandbox, fal):
    url = f"{sandbox.fal_platform_url}/models/requests/by-endpoint"

    assert (await fal.get(url)).status_code == 400
    assert (await fal.get(url, params={"endpoint_id": "a/b", "start": "yesterday"})).status_code == 400
    assert (await fal.get(f"{sandbox.fal_platform_url}/meta")).json()["webhook_ip_ranges"]
