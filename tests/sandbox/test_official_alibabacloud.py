"""Alibaba Cloud's own Python package, unchanged, against the simulator. Its base address is a module variable."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import dashscope
import pytest
from dashscope import ImageSynthesis, MultiModalConversation, VideoSynthesis
from dashscope.aigc.image_generation import ImageGeneration
from dashscope.api_entities.dashscope_response import Message

from sandbox.alibabacloud import credentials

SMALL = {"model": "wan2.1-t2v-turbo", "size": "624*624", "duration": 5}


@pytest.fixture(autouse=True)
def _address(sandbox, monkeypatch):
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{sandbox.url}/alibabacloud/api/v1")
    monkeypatch.setattr(dashscope, "api_key", credentials.KEY)


async def test_it_submits_looks_waits_and_lists(prompt):
    asked = prompt("alibabacloud=latency_0.5")

    def walk():
        made = VideoSynthesis.async_call(prompt=asked, **SMALL)
        seen = VideoSynthesis.fetch(made)
        listed = VideoSynthesis.list(model_name="wan2.1-t2v-turbo", page_size=100)
        return made, seen, listed, VideoSynthesis.wait(made)

    made, seen, listed, done = await asyncio.to_thread(walk)

    assert (made.status_code, made.output.task_status) == (HTTPStatus.OK, "PENDING")
    assert seen.output.task_id == made.output.task_id
    assert made.output.task_id in [task["task_id"] for task in listed.output["data"]]
    assert done.output.task_status == "SUCCEEDED"
    assert done.output.video_url.endswith(".mp4")
    assert done.usage.video_ratio == "624*624"


async def test_it_is_told_late_that_its_input_is_wrong(prompt):
    def walk():
        made = VideoSynthesis.async_call(prompt=prompt(), **SMALL | {"size": "16:9"})
        return made, VideoSynthesis.wait(made)

    made, done = await asyncio.to_thread(walk)

    assert made.status_code == HTTPStatus.OK
    assert (done.output.task_status, done.output["code"]) == ("FAILED", "InvalidParameter")


async def test_it_cancels_what_waits_and_not_what_runs(prompt):
    def walk():
        waiting = VideoSynthesis.async_call(prompt=prompt("alibabacloud=never_starts"), **SMALL)
        running = VideoSynthesis.async_call(prompt=prompt("alibabacloud=never_ends"), **SMALL)
        told = VideoSynthesis.cancel(waiting), VideoSynthesis.cancel(running)
        return *told, VideoSynthesis.wait(waiting)

    canceled, refused, done = await asyncio.to_thread(walk)

    assert canceled.status_code == HTTPStatus.OK
    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "UnsupportedOperation")
    assert done.output.task_status == "CANCELED"


async def test_it_animates_an_image(prompt):
    given = {"model": "wan2.2-i2v-flash", "img_url": "https://cdn.example.test/a.png", "resolution": "480P"}
    done = await asyncio.to_thread(lambda: VideoSynthesis.call(prompt=prompt(), **given))

    assert done.output.task_status == "SUCCEEDED", done


async def test_it_makes_images_by_a_task(prompt):
    given = {"model": "wan2.2-t2i-flash", "n": 2, "size": "512*512"}
    done = await asyncio.to_thread(lambda: ImageSynthesis.call(prompt=prompt("alibabacloud=output_partial"), **given))

    assert done.output.task_status == "SUCCEEDED"
    assert [bool(result.get("url")) for result in done.output.results] == [True, False]


async def test_it_makes_an_image_by_a_call(prompt):
    messages = [{"role": "user", "content": [{"text": prompt()}]}]
    done = await asyncio.to_thread(
        lambda: MultiModalConversation.call(model="qwen-image-plus", messages=messages, n=1, size="1328*1328")
    )

    assert done.status_code == HTTPStatus.OK
    assert done.output.choices[0].message.content[0]["image"].endswith(".png")


async def test_it_makes_images_in_messages_by_a_call_and_by_a_task(prompt):
    def walk():
        given = {"model": "wan2.6-t2i", "messages": [Message(role="user", content=[{"text": prompt()}])], "n": 1}
        return ImageGeneration.call(**given), ImageGeneration.wait(ImageGeneration.async_call(**given))

    called, waited = await asyncio.to_thread(walk)

    assert called.output.choices[0].message.content[0]["image"].endswith(".png")
    assert waited.output.choices[0].message.content[0]["image"].endswith(".png")


async def test_it_reads_a_refusal(prompt):
    messages = [{"role": "user", "content": [{"text": prompt("alibabacloud=content_refused")}]}]
    refused = await asyncio.to_thread(lambda: MultiModalConversation.call(model="qwen-image", messages=messages))

    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "DataInspectionFailed")


async def test_it_reads_a_wrong_key(prompt):
    refused = await asyncio.to_thread(lambda: VideoSynthesis.async_call(prompt=prompt(), api_key="sk-wrong", **SMALL))

    assert (refused.status_code, refused.code) == (HTTPStatus.UNAUTHORIZED, "InvalidApiKey")
