"""BytePlus's own Python package, unchanged, against the simulator.

The package is not among those for development: its one wheel holds every service of the vendor (11,000 files, 240 MB
installed) for the few modules used here. `pip install --no-compile byteplus-python-sdk-v2==3.0.63` brings it, and these
tests with it. The same requests are made without it in `test_byteplus.py`.
"""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from sandbox.byteplus import credentials

ark_runtime = pytest.importorskip("byteplussdkarkruntime", reason="byteplus-python-sdk-v2 is not installed")


@pytest_asyncio.fixture(scope="module")
async def ark(sandbox):
    made = ark_runtime.AsyncArk(
        base_url=f"{sandbox.url}/byteplus/api/v3", api_key=credentials.API_KEY, timeout=15, max_retries=0
    )
    yield made
    await made.close()


async def task_of(ark, prompt, **given):
    created = await ark.content_generation.tasks.create(
        model="seedance-1-0-pro-250528",
        content=[{"type": "text", "text": prompt}],
        resolution="480p",
        ratio="1:1",
        duration=2,
        **given,
    )
    return created.id


async def ended(ark, task_id):
    async with asyncio.timeout(15):
        while True:
            task = await ark.content_generation.tasks.get(task_id=task_id)
            if task.status not in {"queued", "running"}:
                return task
            await asyncio.sleep(0.02)


async def test_it_makes_a_picture(ark, prompt):
    answer = await ark.images.generate(
        model="seedream-4-0-250828", prompt=prompt(), size="1024x1024", watermark=False, response_format="url"
    )

    assert [image.size for image in answer.data] == ["1024x1024"]
    assert answer.usage.generated_images == 1


async def test_it_makes_a_video(ark, prompt):
    task = await ended(ark, await task_of(ark, prompt(), seed=7, execution_expires_after=7200))

    assert (task.status, task.duration, task.resolution, task.ratio, task.seed) == ("succeeded", 2, "480p", "1:1", 7)
    assert task.content.video_url
    assert task.usage.completion_tokens == 640 * 640 * 49 // 1024
    assert task.execution_expires_after == 7200


async def test_it_reads_why_a_task_failed(ark, prompt):
    task = await ended(ark, await task_of(ark, prompt("byteplus=content_refused")))

    assert (task.status, task.error.code) == ("failed", "OutputVideoSensitiveContentDetected")


async def test_it_lists_and_cancels_a_queued_task(ark, prompt):
    task_id = await task_of(ark, prompt("byteplus=never_starts"))

    listed = await ark.content_generation.tasks.list(page_size=10, status="queued", task_ids=[task_id])
    await ark.content_generation.tasks.delete(task_id=task_id)

    assert [task.id for task in listed.items] == [task_id]
    assert (await ark.content_generation.tasks.get(task_id=task_id)).status == "cancelled"


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("submit_401", "ArkAuthenticationError", "AuthenticationError"),
        ("submit_402", "ArkPermissionDeniedError", "AccountOverdueError"),
        ("submit_404", "ArkNotFoundError", "ModelNotOpen"),
        ("submit_422", "ArkBadRequestError", "InvalidParameter"),
        ("submit_429", "ArkRateLimitError", "ModelAccountRpmRateLimitExceeded"),
        ("submit_500", "ArkInternalServerError", "InternalServiceError"),
    ],
)
async def test_it_names_the_refusals(ark, prompt, fault, error, code):
    with pytest.raises(getattr(ark_runtime._exceptions, error)) as refused:
        await task_of(ark, prompt(f"byteplus={fault}"))

    assert refused.value.code == code
