"""What the simulated Replicate and fal know of their models, and that a wrong parameter does not pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.fal.models import MODELS as FAL
from sandbox.parameters import Model
from sandbox.registry import accepts
from sandbox.replicate.models import MODELS as REPLICATE
from sandbox.sizes import outputs
from sandbox.validation import violations
from tests.support.submits import completed, ended, predict, queue

CATALOGUE = Path(__file__).parents[2] / "catalog" / "models"
KNOWN = {"replicate": REPLICATE, "fal": FAL}
FILE = "https://files.example.com/harbour.png"
at_both = pytest.mark.parametrize("provider", KNOWN)


def native_models(entry: Any) -> Iterator[str]:
    """Every id that an entry of the catalogue may send, whatever chooses it."""
    for member, value in entry.items():
        if member == "native_model":
            yield value
        elif member == "native_model_by_resolution":
            yield from value.values()
        elif isinstance(value, dict):
            yield from native_models(value)


@pytest.mark.parametrize("path", sorted(CATALOGUE.glob("*.yml")), ids=lambda path: path.stem)
def test_every_native_model_of_the_catalogue_is_known(path: Path):
    entries = yaml.safe_load(path.read_text())["providers"]
    named = [
        (entry["provider"], name) for entry in entries if entry["provider"] in KNOWN for name in native_models(entry)
    ]

    unknown = [f"{name} at {provider}" for provider, name in named if not KNOWN[provider].lists(name.partition(":")[0])]

    assert not unknown, f"{unknown}: describe them in sandbox/<provider>/models.yml, from the provider's own schema."


@at_both
def test_what_comes_back_without_any_parameter_is_a_real_picture_or_film(provider: str):
    for name, model in KNOWN[provider].known.items():
        (made,) = outputs(model, {})

        assert 256 <= min(made.width, made.height) <= max(made.width, made.height) <= 4096, name
        assert (made.format == "mp4") is (model.kind == "video") is (made.duration_s >= 2), name


def every_size(model: Model) -> Iterator[dict[str, Any]]:
    """One input for each choice that a model has about its shape."""
    for name, parameter in model.parameters.items():
        if name in {"aspect_ratio", "resolution", "size", "quality", "megapixels", "output_megapixels", "image_size"}:
            yield from ({name: choice} for choice in parameter.choices if choice not in {"WxH", "W*H"})


@at_both
def test_each_choice_of_a_shape_is_a_shape(provider: str):
    asked = [(name, model, given) for name, model in KNOWN[provider].known.items() for given in every_size(model)]
    for name, model, given in asked:
        (made,) = outputs(model, given)
        ratio = str(given.get("aspect_ratio", "")).split(":")
        if len(ratio) == 2:
            wide, high = map(float, ratio)
            assert made.width / made.height == pytest.approx(wide / high, rel=0.04), (name, given)
        assert 100 <= min(made.width, made.height) <= max(made.width, made.height) <= 8192, (name, given)


@pytest.mark.parametrize(
    ("provider", "name", "given", "wrong"),
    [
        # integers and texts are kept apart
        ("replicate", "bytedance/seedance-1-pro", {"duration": 5}, None),
        ("replicate", "bytedance/seedance-1-pro", {"duration": "5"}, ("duration", "type")),
        ("fal", "fal-ai/bytedance/seedance/v1/pro/text-to-video", {"duration": "5"}, None),
        ("fal", "fal-ai/bytedance/seedance/v1/pro/text-to-video", {"duration": 5}, ("duration", "type")),
        ("fal", "fal-ai/veo3.1", {"duration": "8s"}, None),
        ("fal", "fal-ai/veo3.1", {"duration": "8"}, ("duration", "choice")),
        ("fal", "fal-ai/wan/v2.7/text-to-video", {"duration": 5}, None),
        ("fal", "fal-ai/wan/v2.7/text-to-video", {"duration": "5"}, ("duration", "type")),
        ("fal", "wan/v2.6/text-to-video", {"duration": "15"}, None),
        ("fal", "fal-ai/hunyuan-video", {"num_frames": 129}, None),
        ("fal", "fal-ai/hunyuan-video", {"num_frames": "129"}, ("num_frames", "type")),
        ("fal", "fal-ai/fast-lightning-sdxl", {"num_inference_steps": "4"}, None),
        ("fal", "fal-ai/fast-lightning-sdxl", {"num_inference_steps": 4}, ("num_inference_steps", "type")),
        ("fal", "fal-ai/flux-pro/v1.1", {"safety_tolerance": "6"}, None),
        ("fal", "fal-ai/flux-2-pro", {"safety_tolerance": "6"}, ("safety_tolerance", "choice")),
        ("replicate", "black-forest-labs/flux-2-pro", {"safety_tolerance": 6}, ("safety_tolerance", "maximum")),
        ("replicate", "black-forest-labs/flux-2-klein-9b", {"megapixels": "2"}, None),
        ("replicate", "black-forest-labs/flux-2-klein-4b", {"megapixels": "2"}, ("megapixels", "unknown")),
        # each host has its own names and words
        ("replicate", "minimax/hailuo-02-fast", {"first_frame_image": FILE, "resolution": "512P"}, None),
        ("replicate", "minimax/hailuo-02", {"resolution": "512P"}, ("resolution", "choice")),
        ("replicate", "wan-video/wan-2.6-t2v", {"size": "1280*720"}, None),
        ("replicate", "wan-video/wan-2.6-t2v", {"size": "1280x720"}, ("size", "choice")),
        ("replicate", "qwen/qwen-image-edit", {"image": FILE}, None),
        ("replicate", "qwen/qwen-image-edit", {"image": [FILE]}, ("image", "type")),
        ("replicate", "qwen/qwen-image-edit-plus", {"image": [FILE]}, None),
        ("replicate", "bytedance/seedream-4.5", {"size": "1K"}, ("size", "choice")),
        ("replicate", "bytedance/seedance-1.5-pro", {"resolution": "720p"}, ("resolution", "unknown")),
        ("replicate", "openai/sora-2", {"seconds": 8, "aspect_ratio": "landscape"}, None),
        ("replicate", "openai/sora-2", {"duration": 8}, ("duration", "unknown")),
        ("fal", "fal-ai/flux/dev", {"output_format": "jpg"}, ("output_format", "choice")),
        ("fal", "fal-ai/fast-sdxl", {"output_format": "jpeg"}, ("output_format", "unknown")),
        ("fal", "fal-ai/fast-sdxl", {"format": "jpeg"}, None),
        ("fal", "fal-ai/luma-photon", {"sync_mode": True}, ("sync_mode", "unknown")),
        ("fal", "fal-ai/flux-2-pro", {"num_images": 1}, ("num_images", "unknown")),
        ("fal", "fal-ai/minimax/hailuo-2.3/pro/text-to-video", {"duration": "6"}, ("duration", "unknown")),
        ("fal", "fal-ai/kling-video/v2.6/pro/image-to-video", {"start_image_url": FILE}, None),
        ("fal", "fal-ai/gpt-image-1.5", {"image_size": "1536x1024"}, None),
        ("fal", "fal-ai/gpt-image-1.5", {"image_size": {"width": 1536, "height": 1024}}, ("image_size", "type")),
        ("fal", "openai/gpt-image-2", {"image_size": {"width": 1536, "height": 1024}}, None),
        ("fal", "fal-ai/bytedance/seedream/v4/text-to-image", {"image_size": "auto_4K"}, None),
        ("fal", "fal-ai/flux-2-flex", {"image_size": "auto"}, ("image_size", "choice")),
        ("fal", "fal-ai/flux-2-flex/edit", {"image_size": "auto", "image_urls": [FILE]}, None),
        # what goes together
        ("replicate", "minimax/hailuo-2.3", {"duration": 10}, None),
        ("replicate", "minimax/hailuo-2.3", {"duration": 10, "resolution": "1080p"}, ("duration", "value")),
        ("replicate", "bytedance/seedance-1-lite", {"last_frame_image": FILE}, ("last_frame_image", "value")),
        ("replicate", "kwaivgi/kling-v2.1", {"start_image": FILE, "end_image": FILE}, ("end_image", "value")),
        # community models are known too, and run by their version
        ("replicate", "stability-ai/sdxl", {"width": 1344, "height": 768}, ("version", "choice")),
        (
            "replicate",
            "stability-ai/sdxl:7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc",
            {"num_inference_steps": 501},
            ("num_inference_steps", "maximum"),
        ),
    ],
)
def test_the_models_take_what_their_providers_take(
    provider: str, name: str, given: dict[str, Any], wrong: tuple[str, str] | None
):
    found = accepts(provider, name, "", {"prompt": "Harbour at dawn"} | given)

    assert [(violation.path[0], violation.rule) for violation in found] == ([wrong] if wrong else [])


def test_a_model_that_nobody_described_is_no_answer():
    with pytest.raises(KeyError, match="describe it in sandbox/fal/"):
        accepts("fal", "fal-ai/never-heard-of", "", {})
    with pytest.raises(KeyError, match="make sandbox/acme/"):
        accepts("acme", "sketch-1", "", {})


@pytest.mark.parametrize("name", ["acme/some-video", "acme/portraits"])
def test_a_user_may_have_models_of_their_own(name: str):
    for models in KNOWN.values():
        assert models.of(name).kind == ("video" if "video" in name else "image")
        assert models.violations(name, {"whatever": 1}) == []


@at_both
def test_a_default_is_one_of_the_values_that_are_taken(provider: str):
    for name, model in KNOWN[provider].known.items():
        given = {key: parameter.default for key, parameter in model.parameters.items() if parameter.default is not None}

        assert {found.rule for found in violations(model, given)} <= {"missing"}, name


@pytest.mark.parametrize(
    ("model", "given", "kind", "field"),
    [
        ("black-forest-labs/flux-2-pro", {"num_outputs": 2}, "additional_property_not_allowed", "input"),
        ("google/nano-banana-2", {"image_input": [FILE] * 15}, "array_max_items", "input.image_input"),
        ("wan-video/wan-2.7-t2v", {"duration": 16}, "number_lte", "input.duration"),
        ("pixverse/pixverse-v5.6", {"duration": 10, "quality": "1080p"}, "invalid", "input.duration"),
    ],
)
async def test_replicate_refuses_at_submit_in_its_own_words(replicate, prompt, model, given, kind, field):
    answer = await predict(replicate, prompt(), model, input=given)

    assert answer.status_code == 422
    assert [(found["type"], found["field"]) for found in answer.json()["invalid_fields"]] == [(kind, field)]


async def test_a_community_model_is_checked_under_its_version(replicate, prompt):
    version = "6c9132aee14409cd6568d030453f1ba50f5f3412b844fe67f78a9eb62d55664f"
    taken, refused = [
        await replicate.post("/predictions", json={"version": version, "input": {"prompt": prompt()} | given})
        for given in ({"width": 320, "height": 192, "video_length": 25}, {"resolution": "720p"})
    ]

    done = await ended(replicate, taken.json())

    assert (done["model"], done["status"]) == ("tencent/hunyuan-video", "succeeded")
    assert done["metrics"]["video_output_duration_seconds"] == 1.042
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("endpoint", "given", "kind", "where"),
    [
        ("bytedance/seedance-2.0/text-to-video", {"resolution": "1080p"}, "literal_error", ["body", "resolution"]),
        ("fal-ai/kling-video/v3/pro/image-to-video", {}, "missing", ["body", "start_image_url"]),
        (
            "fal-ai/bytedance/seedream/v4/text-to-image",
            {"image_size": {"width": 1312, "height": 736}},
            "greater_than_equal",
            ["body", "image_size", "height"],
        ),
    ],
)
async def test_fal_tells_it_in_the_result(fal, prompt, endpoint, given, kind, where):
    result = await completed(fal, (await queue(fal, prompt(), endpoint, **given)).json())

    assert result.status_code == 422
    assert [(found["type"], found["loc"]) for found in result.json()["detail"]] == [(kind, where)]


async def test_a_model_may_answer_with_one_image(fal, prompt):
    queued = await queue(fal, prompt(), "fal-ai/bytedance/seededit/v3/edit-image", image_url=FILE)

    result = (await completed(fal, queued.json())).json()

    assert result["image"]["content_type"] == "image/png"
    assert "images" not in result
