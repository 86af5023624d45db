"""Every output decodes, in the size, length and format that its input asked for."""

from __future__ import annotations

import io

import av
import pytest
from PIL import Image

from sandbox.media import BLACK, COLOURS, Studio, encode
from sandbox.registry import model_of
from sandbox.sizes import MediaSpec, outputs
from tests.support.submits import completed, ended, predict, queue


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        return picture.size


def frames_of(content: bytes) -> tuple[int, int, float, str]:
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        assert sum(1 for _ in container.decode(stream)) > 0
        return stream.width, stream.height, container.duration / 1_000_000, stream.codec_context.name


@pytest.mark.parametrize(
    ("provider", "endpoint", "given", "expected"),
    [
        ("replicate", "black-forest-labs/flux-schnell", {}, (1024, 1024, "webp")),
        ("replicate", "black-forest-labs/flux-schnell", {"megapixels": "0.25"}, (512, 512, "webp")),
        (
            "replicate",
            "black-forest-labs/flux-dev",
            {"aspect_ratio": "16:9", "output_format": "png"},
            (1344, 768, "png"),
        ),
        (
            "replicate",
            "black-forest-labs/flux-dev",
            {"aspect_ratio": "9:21", "output_format": "jpg"},
            (672, 1568, "jpeg"),
        ),
        (
            "replicate",
            "black-forest-labs/flux-1.1-pro",
            {"aspect_ratio": "custom", "width": 640, "height": 352},
            (640, 352, "webp"),
        ),
        ("replicate", "google/imagen-4", {"aspect_ratio": "3:4", "image_size": "2K"}, (1728, 2304, "jpeg")),
        ("replicate", "google/nano-banana", {}, (1024, 1024, "jpeg")),
        ("replicate", "qwen/qwen-image", {}, (1664, 928, "webp")),
        (
            "replicate",
            "qwen/qwen-image",
            {"image_size": "optimize_for_speed", "aspect_ratio": "1:1"},
            (996, 996, "webp"),
        ),
        ("replicate", "ideogram-ai/ideogram-v3-turbo", {"aspect_ratio": "1:3"}, (512, 1536, "png")),
        ("replicate", "ideogram-ai/ideogram-v3-turbo", {"resolution": "1280x800"}, (1280, 800, "png")),
        ("replicate", "ideogram-ai/ideogram-v2", {"aspect_ratio": "16:10"}, (1280, 800, "png")),
        ("replicate", "black-forest-labs/flux-2-pro", {"resolution": "0.5 MP"}, (724, 724, "webp")),
        ("replicate", "black-forest-labs/flux-2-klein-9b", {"megapixels": "4"}, (2048, 2048, "jpeg")),
        ("replicate", "bytedance/seedream-3", {"size": "big", "aspect_ratio": "1:1"}, (2048, 2048, "jpeg")),
        ("replicate", "bytedance/seedream-4", {"size": "custom", "width": 1280}, (1280, 2048, "jpeg")),
        ("replicate", "bytedance/seedream-4", {"aspect_ratio": "16:9", "size": "1K"}, (1360, 768, "jpeg")),
        ("replicate", "bytedance/seedream-5-lite", {"size": "3K"}, (3072, 3072, "png")),
        ("replicate", "recraft-ai/recraft-v3", {}, (1024, 1024, "webp")),
        ("replicate", "recraft-ai/recraft-v3", {"aspect_ratio": "16:9"}, (1820, 1024, "webp")),
        ("replicate", "recraft-ai/recraft-v3", {"size": "1536x1024"}, (1536, 1024, "webp")),
        ("replicate", "runwayml/gen4-image", {"resolution": "720p", "aspect_ratio": "9:16"}, (720, 1280, "png")),
        ("replicate", "openai/gpt-image-1.5", {"aspect_ratio": "2:3", "output_format": "jpeg"}, (1024, 1536, "jpeg")),
        ("replicate", "wan-video/wan-2.7-image", {"size": "1280*720"}, (1280, 720, "png")),
        ("replicate", "wan-video/wan-2.7-image", {}, (2048, 2048, "png")),
        ("replicate", "prunaai/z-image-turbo", {"width": 1152, "height": 864}, (1152, 864, "jpeg")),
        ("replicate", "xai/grok-imagine-image", {"aspect_ratio": "19.5:9"}, (1504, 688, "jpeg")),
        ("fal", "fal-ai/bytedance/seedream/v4/text-to-image", {}, (2048, 2048, "jpeg")),
        ("fal", "fal-ai/bytedance/seedream/v4.5/text-to-image", {"image_size": "auto_4K"}, (4096, 4096, "jpeg")),
        ("fal", "fal-ai/flux-2-pro/edit", {}, (1024, 1024, "jpeg")),
        ("fal", "fal-ai/gpt-image-1.5", {"image_size": "1536x1024"}, (1536, 1024, "png")),
        ("fal", "fal-ai/flux-kontext/dev", {"resolution_mode": "16:9"}, (1344, 768, "jpeg")),
        ("fal", "fal-ai/fast-sdxl", {"format": "png"}, (1024, 1024, "png")),
        ("fal", "fal-ai/nano-banana-2", {"resolution": "0.5K"}, (512, 512, "png")),
        ("replicate", "nobody/knows-this", {"aspect_ratio": "7:5"}, (1216, 864, "png")),
        ("replicate", "nobody/knows-this", {"aspect_ratio": "0:5", "size": "640*480"}, (640, 480, "png")),
        ("fal", "fal-ai/flux/schnell", {}, (1024, 768, "jpeg")),
        ("fal", "fal-ai/flux/dev", {"image_size": {"width": 832, "height": 1248}}, (832, 1248, "jpeg")),
        ("fal", "fal-ai/imagen4/preview", {"resolution": "2K"}, (2048, 2048, "png")),
        ("fal", "fal-ai/ideogram/v3", {"image_size": "portrait_16_9"}, (576, 1024, "png")),
        ("fal", "acme/thing", {"image_size": {"width": "wide"}}, (1024, 1024, "png")),
    ],
)
def test_the_pixels_of_an_image_follow_its_parameters(provider, endpoint, given, expected):
    (spec,) = outputs(model_of(provider, endpoint), given)

    assert (spec.width, spec.height, spec.format) == expected


@pytest.mark.parametrize(
    ("provider", "endpoint", "given", "expected"),
    [
        ("replicate", "bytedance/seedance-1-pro", {}, (1920, 1080, 5)),
        (
            "replicate",
            "bytedance/seedance-1-pro",
            {"resolution": "480p", "aspect_ratio": "9:16", "duration": 12},
            (480, 854, 12),
        ),
        ("replicate", "google/veo-3.1-fast", {"resolution": "720p", "duration": 4}, (1280, 720, 4)),
        ("replicate", "kwaivgi/kling-v2.5-turbo-pro", {"aspect_ratio": "1:1"}, (1080, 1080, 5)),
        ("replicate", "minimax/hailuo-02", {"resolution": "768p", "duration": 10}, (1366, 768, 10)),
        ("replicate", "pixverse/pixverse-v5", {"quality": "360p", "duration": 8}, (640, 360, 8)),
        ("replicate", "minimax/hailuo-02-fast", {}, (910, 512, 6)),
        ("replicate", "kwaivgi/kling-v2.1", {"mode": "pro"}, (1920, 1080, 5)),
        ("replicate", "wan-video/wan-2.6-t2v", {"size": "1080*1920", "duration": 15}, (1080, 1920, 15)),
        ("replicate", "wan-video/wan-2.2-t2v-fast", {"num_frames": 121, "frames_per_second": 11}, (854, 480, 11)),
        ("replicate", "bytedance/seedance-2.0", {"aspect_ratio": "adaptive", "duration": -1}, (1280, 720, 5)),
        ("replicate", "openai/sora-2", {"seconds": 12}, (720, 1280, 12)),
        ("replicate", "openai/sora-2-pro", {"resolution": "high", "aspect_ratio": "landscape"}, (1920, 1080, 4)),
        ("replicate", "tencent/hunyuan-video", {}, (864, 480, 5.375)),
        ("fal", "fal-ai/hunyuan-video", {"num_frames": 85}, (1280, 720, 3.542)),
        ("fal", "fal-ai/wan-t2v", {"resolution": "580p"}, (1032, 580, 5.062)),
        ("fal", "fal-ai/veo3.1", {"resolution": "4k", "duration": "4s"}, (3840, 2160, 4)),
        ("fal", "minimax/h3/text-to-video", {"aspect_ratio": "1:1"}, (1440, 1440, 5)),
        ("fal", "bytedance/seedance-2.0/text-to-video", {}, (1280, 720, 5)),
        ("fal", "fal-ai/luma-dream-machine/ray-2", {"aspect_ratio": "9:21", "duration": "9s"}, (540, 1260, 9)),
        ("replicate", "acme/some-video", {"width": 321, "height": 241}, (320, 240, 5)),
        ("fal", "fal-ai/veo3.1/fast", {"duration": "6s", "aspect_ratio": "9:16"}, (720, 1280, 6)),
        ("fal", "fal-ai/minimax/hailuo-02/pro/text-to-video", {}, (1920, 1080, 6)),
        ("fal", "fal-ai/minimax/hailuo-02/standard/text-to-video", {"duration": "10"}, (1366, 768, 10)),
        ("fal", "fal-ai/minimax/hailuo-02/standard/image-to-video", {"resolution": "512P"}, (910, 512, 6)),
        ("fal", "fal-ai/pixverse/v5/text-to-video", {"resolution": "540p"}, (960, 540, 5)),
    ],
)
def test_the_frames_of_a_video_follow_its_parameters(provider, endpoint, given, expected):
    (spec,) = outputs(model_of(provider, endpoint), given)

    assert (spec.width, spec.height, spec.duration_s) == expected


@pytest.mark.parametrize("media_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("colour", [BLACK, *range(COLOURS)])
def test_a_picture_decodes_in_every_colour(media_format, colour):
    content = encode(MediaSpec(96, 64, media_format), colour)

    assert size_of(content) == (96, 64)


def test_a_black_image_is_black():
    with Image.open(io.BytesIO(encode(MediaSpec(64, 64, "png"), BLACK))) as picture:
        assert picture.getextrema() == ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize("colour", [BLACK, 3])
def test_a_video_decodes(colour):
    assert frames_of(encode(MediaSpec(320, 180, "mp4", 3.0), colour)) == (320, 180, 3.0, "h264")


@pytest.mark.parametrize("media_format", ["png", "jpeg", "webp", "mp4"])
async def test_no_two_jobs_have_equal_bytes(media_format):
    studio, spec = Studio(), MediaSpec(64, 48, media_format, 1.0)

    one, other, again = [await studio.file(spec, 0, stamp) for stamp in ("job one", "job two", "job one")]
    studio.close()

    assert one == again
    assert one != other
    assert len(one) == len(other)
    assert frames_of(one)[:2] == (64, 48) if media_format == "mp4" else size_of(one) == (64, 48)


async def test_a_picture_is_delivered_as_the_model_says(replicate, fal, prompt):
    for endpoint in ("qwen/qwen-image", "recraft-ai/recraft-v3", "google/imagen-4-fast", "minimax/image-01"):
        done = await ended(replicate, (await predict(replicate, prompt(), endpoint)).json())
        url = done["output"] if isinstance(done["output"], str) else done["output"][0]
        (spec,) = outputs(model_of("replicate", endpoint), {})
        answer = await replicate.get(url)
        made = size_of(answer.content), answer.headers["content-type"]
        assert made == ((spec.width, spec.height), spec.content_type)
    for endpoint in ("fal-ai/flux-2-pro", "fal-ai/nano-banana-2", "fal-ai/recraft/v4/text-to-image"):
        image = (await completed(fal, (await queue(fal, prompt(), endpoint)).json())).json()["images"][0]
        assert size_of((await fal.get(image["url"])).content) == (image["width"], image["height"])


async def test_a_video_is_delivered_in_full(replicate, fal, prompt):
    asked = {"resolution": "480p", "duration": 2}
    created = (await predict(replicate, prompt(), "bytedance/seedance-1-pro", input=asked)).json()
    queued = await queue(fal, prompt(), "fal-ai/pixverse/v5/text-to-video", resolution="360p", aspect_ratio="9:16")

    done = await ended(replicate, created)
    video = (await completed(fal, queued.json())).json()["video"]

    assert frames_of((await replicate.get(done["output"])).content) == (854, 480, 2.0, "h264")
    assert frames_of((await fal.get(video["url"])).content) == (360, 640, 5.0, "h264")


async def test_a_black_image_is_flagged_by_fal_only(replicate, fal, prompt):
    asked = prompt("replicate=black_image;fal=black_image")
    predicted = await predict(replicate, asked, input={"output_format": "png"})
    queued = await queue(fal, asked, image_size={"width": 64, "height": 64}, output_format="png")

    done = await ended(replicate, predicted.json())
    body = (await completed(fal, queued.json())).json()

    for url in (done["output"][0], body["images"][0]["url"]):
        with Image.open(io.BytesIO((await replicate.get(url)).content)) as picture:
            assert picture.getextrema() == ((0, 0), (0, 0), (0, 0))
    assert body["has_nsfw_concepts"] == [True]
