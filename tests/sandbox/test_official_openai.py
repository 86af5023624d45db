"""OpenAI's own Python package, unchanged, against the simulator."""

from __future__ import annotations

import base64
import io

import pytest
import pytest_asyncio
from openai import (
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidWebhookSignatureError,
    NotFoundError,
    RateLimitError,
)
from PIL import Image

from sandbox.openai import credentials

MODEL = "gpt-image-2"

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest_asyncio.fixture
async def openai(sandbox):
    base = f"{sandbox.url}/openai/v1"
    async with AsyncOpenAI(api_key=credentials.KEY, base_url=base, max_retries=0, timeout=15) as client:
        yield client


def opened(image):
    return Image.open(io.BytesIO(base64.b64decode(image.b64_json)))


def png(width=64, height=64) -> tuple[str, bytes, str]:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return "a.png", file.getvalue(), "image/png"


async def test_it_generates_images(openai, prompt):
    made = await openai.images.generate(model=MODEL, prompt=prompt(), n=2, size="768x512", output_format="jpeg")

    assert [(opened(image).size, opened(image).format) for image in made.data] == [((768, 512), "JPEG")] * 2
    assert (made.size, made.output_format, made.background) == ("768x512", "jpeg", "opaque")
    assert made.usage.output_tokens_details.image_tokens == made.usage.output_tokens


@pytest.mark.parametrize("image", [png(), [png(), png(32)]], ids=["one file", "two"])
async def test_it_edits_images(openai, prompt, image):
    made = await openai.images.edit(model=MODEL, prompt=prompt(), image=image, mask=png(), size="512x512")

    assert opened(made.data[0]).size == (512, 512)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("submit_401", AuthenticationError, "invalid_api_key"),
        ("submit_402", RateLimitError, "insufficient_quota"),
        ("submit_404", NotFoundError, "model_not_found"),
        ("submit_429", RateLimitError, "rate_limit_exceeded"),
        ("submit_500", InternalServerError, None),
        ("content_refused", BadRequestError, "moderation_blocked"),
    ],
)
async def test_it_raises_what_went_wrong(openai, prompt, fault, error, code):
    with pytest.raises(error) as failure:
        await openai.images.generate(model=MODEL, prompt=prompt(f"openai={fault}"))

    assert failure.value.code == code
    assert failure.value.request_id.startswith("req_")


async def test_it_raises_a_parameter_that_the_api_does_not_know(openai, prompt):
    with pytest.raises(BadRequestError) as refused:
        await openai.images.generate(model=MODEL, prompt=prompt(), response_format="b64_json")

    assert (refused.value.code, refused.value.param) == ("unknown_parameter", "response_format")


async def test_it_makes_polls_lists_downloads_and_deletes_a_video(openai, prompt):
    made = await openai.videos.create(model="sora-2", prompt=prompt(), seconds="4", size="720x1280")
    done = await openai.videos.poll(made.id, poll_interval_ms=20)
    content = await (await openai.videos.download_content(made.id)).aread()
    listed = [video.id async for video in openai.videos.list(limit=1)]
    deleted = await openai.videos.delete(made.id)

    assert (made.status, done.status, done.progress) == ("queued", "completed", 100)
    assert content[4:8] == b"ftyp"
    assert made.id in listed
    assert deleted.deleted


async def test_it_sends_a_first_frame(openai, prompt):
    made = await openai.videos.create(model="sora-2", prompt=prompt(), input_reference=png(720, 1280))

    assert made.size == "720x1280"


async def test_it_reads_why_a_video_failed(openai, prompt):
    made = await openai.videos.create(model="sora-2", prompt=prompt("openai=content_refused"))
    done = await openai.videos.poll(made.id, poll_interval_ms=20)

    assert (done.status, done.error.code) == ("failed", "moderation_blocked")


async def test_it_registers_an_endpoint_and_unwraps_the_webhook(openai, prompt, ear):
    endpoint = await openai.webhooks.create(event_types=["video.completed"], name="tests", url=ear.url())
    try:
        made = await openai.videos.create(model="sora-2", prompt=prompt("openai=forged_callback"))
        forged, real = await ear.heard(2)
        event = openai.webhooks.unwrap(real.body, real.headers, secret=endpoint.signing_secret)
        with pytest.raises(InvalidWebhookSignatureError):
            openai.webhooks.unwrap(forged.body, forged.headers, secret=endpoint.signing_secret)
    finally:
        await openai.webhooks.delete(endpoint.id)

    assert (event.type, event.data.id) == ("video.completed", made.id)


async def test_it_accepts_the_new_secret_while_the_old_one_still_signs(openai, prompt, ear):
    endpoint = await openai.webhooks.create(event_types=["video.completed"], name="tests", url=ear.url())
    try:
        rotated = await openai.webhooks.rotate_secret(endpoint.id, keep_old_secret_active_for_24_hours=True)
        await openai.videos.create(model="sora-2", prompt=prompt())
        (call,) = await ear.heard(1)
    finally:
        await openai.webhooks.delete(endpoint.id)

    for secret in (endpoint.signing_secret, rotated.signing_secret):
        assert openai.webhooks.unwrap(call.body, call.headers, secret=secret).type == "video.completed"


async def test_it_lists_the_models(openai):
    assert MODEL in [model.id async for model in openai.models.list()]
