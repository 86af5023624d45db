"""BFL's models: native parameters, defaults, sizes, list prices in credits of one US cent.

Source: the vendor's OpenAPI document of 2026-05 and its guide; the video model is of 2026-09. Read 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.models import Models
from sandbox.parameters import Model, Parameter, flag, number, one_of, text, whole
from sandbox.validation import Violation

_FLUX2_PIXELS_MAX = 4 * 1024 * 1024
_FLUX2_SIDE_LEAST = 64
_RATIO_MAX = 21 / 9
_ULTRA = {"1:1": (2048, 2048), "16:9": (2752, 1536), "9:16": (1536, 2752), "4:3": (2368, 1792), "3:4": (1792, 2368),
          "3:2": (2496, 1664), "2:3": (1664, 2496), "21:9": (3136, 1344), "9:21": (1344, 3136)}  # fmt: skip


def _or_null(**parameters: Parameter) -> dict[str, Parameter]:
    return {name: replace(parameter, nullable=True) for name, parameter in parameters.items()}


def _common(tolerance_max: int, output_format: str = "jpeg") -> dict[str, Parameter]:
    formats = Parameter("string", output_format, choices=("jpeg", "png", "webp"))
    hook = _or_null(webhook_url=text(longest=2083), webhook_secret=text())
    return {**_or_null(seed=Parameter("integer"), output_format=formats), **hook,
            "safety_tolerance": whole(0, tolerance_max, 2)}  # fmt: skip


def _images(prefix: str, count: int) -> dict[str, Parameter]:
    return _or_null(**{prefix if rank == 1 else f"{prefix}_{rank}": text() for rank in range(1, count + 1)})


_PROMPT = {"prompt": text(required=True)}
_MAYBE_PROMPT = _or_null(prompt=text())
_UPSAMPLING = {"prompt_upsampling": flag()}
_SIDES = {"width": whole(256, 1440, 1024, 32), "height": whole(256, 1440, 768, 32)}
_AUTO_SIDES = {"width": whole(0, 8192, 0, 16), "height": whole(0, 8192, 0, 16)}
_STEPS = _or_null(steps=whole(1, 50, 28), guidance=number(1.5, 5, 3))
_FILL = {"image": text(required=True), **_MAYBE_PROMPT, **_UPSAMPLING,
         **_or_null(steps=whole(15, 50, 50), guidance=number(1.5, 100, 60))}  # fmt: skip
_TUNED = {"finetune_id": text(required=True), "finetune_strength": number(0, 2, 1.1)}
_KONTEXT = {**_PROMPT, **_UPSAMPLING, **_or_null(aspect_ratio=text()), **_images("input_image", 4), **_common(6, "png")}
_ULTRA_INPUT = {**_MAYBE_PROMPT, **_UPSAMPLING, "aspect_ratio": text("16:9"), "raw": flag(),
                **_images("image_prompt", 1), "image_prompt_strength": number(0, 1, 0.1), **_common(6)}  # fmt: skip


def _flux2(images: int, **more: Parameter) -> dict[str, Parameter]:
    return {**_PROMPT, **_AUTO_SIDES, **_images("input_image", images), **_common(5), **more}


_FLUX2_LARGE = _flux2(8, disable_pup=flag())
_INPUTS: dict[str, dict[str, Parameter]] = {
    "flux-pro-1.1": {**_MAYBE_PROMPT, **_SIDES, **_UPSAMPLING, **_images("image_prompt", 1), **_common(6)},
    "flux-dev": {**_MAYBE_PROMPT, **_SIDES, **_UPSAMPLING, **_STEPS, **_images("image_prompt", 1), **_common(6)},
    "flux-pro-1.1-ultra": _ULTRA_INPUT,
    "flux-pro-1.1-ultra-finetuned": {**_ULTRA_INPUT, **_TUNED},
    "flux-kontext-pro": _KONTEXT,
    "flux-kontext-max": _KONTEXT,
    "flux-2-pro": _FLUX2_LARGE,
    "flux-2-pro-preview": _FLUX2_LARGE,
    "flux-2-max": _FLUX2_LARGE,
    "flux-2-flex": _flux2(
        8,
        prompt_upsampling=flag(True),
        guidance=number(1.5, 10, 5),
        steps=whole(1, 50, 50),
        input_image_blob_path=replace(text(), nullable=True),
    ),
    "flux-2-klein-4b": _flux2(4),
    "flux-2-klein-9b": _flux2(4),
    "flux-2-klein-9b-preview": _flux2(4),
    "flux-pro-1.0-fill": {**_FILL, **_images("mask", 1), **_common(6)},
    "flux-pro-1.0-fill-finetuned": {**_FILL, **_images("mask", 1), **_TUNED, **_common(6)},
    "flux-pro-1.0-expand": {
        **_FILL,
        **{side: whole(0, 2048, 0) for side in ("top", "bottom", "left", "right")},
        **_common(6),
    },
}
_VIDEO = {
    "prompt": text(),
    "mode": one_of("t2v", "i2v", "v2v", "draft_enhance"),
    "aspect_ratio": one_of("16:9", "21:9", "2:1", "4:3", "1:1", "3:4", "9:16", "auto"),
    "resolution": one_of("hd", "fhd"),
    "duration": whole(5, 20, 5),
    "generate_audio": flag(True),
    "keyframes": Parameter("list", minimum=1, maximum=10),  # images, or [second, image]
    "start_video": text(),
    "draft": flag(),
    "draft_cache": text(),
    "version": text(),
    "safety_tolerance": whole(0, 4, 2),
    **_or_null(webhook_url=text(longest=2083), webhook_secret=text()),
}

MODELS = Models(
    {name: Model("image", "string", given, _ULTRA if "ultra" in name else None) for name, given in _INPUTS.items()}
    | {"flux-3-video": Model("video", "string", _VIDEO, short_side=720)}
)


@dataclass(frozen=True)
class Price:
    """In credits: for the picture or its first megapixel, and for each further megapixel in or out."""

    first: float
    further: float = 0.0


PRICES: Mapping[str, Price] = {
    "flux-dev": Price(2.5), "flux-pro-1.1": Price(4), "flux-kontext-pro": Price(4), "flux-pro-1.0-fill": Price(5),
    "flux-pro-1.1-ultra": Price(6), "flux-kontext-max": Price(8), "flux-2-klein-4b": Price(1.4, 0.1),
    "flux-2-klein-9b": Price(1.5, 0.2), "flux-2-pro": Price(3, 1.5), "flux-2-max": Price(7, 3),
    "flux-2-flex": Price(6, 6),
}  # fmt: skip

_FILES = re.compile(r"input_image(_\d)?|image_prompt|image|mask|start_video")


def is_image_input(name: str) -> bool:
    return _FILES.fullmatch(name) is not None


def violations(model: str, given: Mapping[str, Any]) -> list[Violation]:
    """What the vocabulary says, and what it has no words for."""
    found = MODELS.violations(model, given)
    return found or [*_of_files(given), *_of_ratio(model, given), *_of_sides(model, given)]


def _of_files(given: Mapping[str, Any]) -> Iterator[Violation]:
    for name, value in given.items():
        if is_image_input(name) and value is not None and not _is_file(value):
            yield Violation((name,), "value", value, "not an https URL and not base64")


def _is_file(value: str) -> bool:
    if value.startswith(("https://", "http://")):
        return True
    try:
        return bool(base64.b64decode(value, validate=True))
    except binascii.Error:
        return False


def _of_ratio(model: str, given: Mapping[str, Any]) -> Iterator[Violation]:
    value = given.get("aspect_ratio")
    if value is None or model == "flux-3-video":
        return
    pair = re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", value)
    if pair is None or not 1 / _RATIO_MAX <= int(pair[1]) / int(pair[2]) <= _RATIO_MAX:
        yield Violation(("aspect_ratio",), "value", value, "not a ratio between 21:9 and 9:21")


def _of_sides(model: str, given: Mapping[str, Any]) -> Iterator[Violation]:
    if not model.startswith("flux-2-"):
        return
    sides = {name: given.get(name, 0) for name in ("width", "height")}
    for name, value in sides.items():
        if 0 < value < _FLUX2_SIDE_LEAST:
            yield Violation((name,), "minimum", value, _FLUX2_SIDE_LEAST)
    if sides["width"] * sides["height"] > _FLUX2_PIXELS_MAX:
        yield Violation((), "value", dict(sides), "more than 4 megapixels")


def flat(given: Mapping[str, Any]) -> dict[str, Any]:
    """In the words of `sandbox/sizes.py`."""
    lines = {"hd": "720p", "fhd": "1080p"}
    kept = {name: value for name, value in given.items() if value is not None}
    return kept | ({"resolution": lines[kept["resolution"]]} if kept.get("resolution") in lines else {})
