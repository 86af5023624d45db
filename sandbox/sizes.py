"""Which files a job produces: native parameters in, pixel sizes, seconds and formats out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.parameters import FAL_PRESETS, Model

_TIMES = {"0.25": 0.5, "0.5": 0.75, "2": 1.5, "4": 2.0, "2K": 2.0, "4K": 4.0}
_FORMATS = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp"}
_SIDES_MAX = 8192


@dataclass(frozen=True, slots=True)
class MediaSpec:
    width: int
    height: int
    format: str  # png, jpeg, webp or mp4
    duration_s: float = 0.0

    @property
    def content_type(self) -> str:
        return f"video/{self.format}" if self.format == "mp4" else f"image/{self.format}"

    @property
    def extension(self) -> str:
        return "jpg" if self.format == "jpeg" else self.format


def outputs(model: Model, given: Mapping[str, Any]) -> list[MediaSpec]:
    """The files of one job, in order."""
    asked = model.with_defaults(given)
    if model.kind == "video":
        width, height = _video_size(model, asked)
        return [MediaSpec(width, height, "mp4", _seconds(model, asked))]
    width, height = _image_size(model, asked)
    named = asked.get("output_format") or asked.get("format")
    return [MediaSpec(width, height, _FORMATS.get(str(named), "png"))] * _count(asked)


def _count(asked: Mapping[str, Any]) -> int:
    for name in ("num_outputs", "num_images", "number_of_images"):
        if type(asked.get(name)) is int:
            return max(1, min(int(asked[name]), 10))
    return 1


def _image_size(model: Model, asked: Mapping[str, Any]) -> tuple[int, int]:
    ratio, named = asked.get("aspect_ratio"), asked.get("image_size")
    if isinstance(named, dict):
        return _sides(named)
    if isinstance(named, str) and named in FAL_PRESETS:
        return FAL_PRESETS[named]
    if asked.get("width") and asked.get("height") and ratio in {None, "custom"}:
        return _sides(asked)
    for value in (asked.get("resolution"), asked.get("size")):
        if isinstance(value, str) and (pair := re.fullmatch(r"(\d+)[x*](\d+)", value)):
            return _sides({"width": int(pair[1]), "height": int(pair[2])})
    wide, high = (model.sizes or {}).get(str(ratio)) or _around_a_megapixel(ratio)
    times = next((_TIMES[str(asked[key])] for key in _SCALES if str(asked.get(key)) in _TIMES), 1.0)
    if named == "optimize_for_speed":
        times = 0.75
    return _even(wide * times), _even(high * times)


_SCALES = ("megapixels", "image_size", "resolution", "size")


def _sides(named: Mapping[str, Any]) -> tuple[int, int]:
    wide, high = (named.get(side) for side in ("width", "height"))
    if type(wide) is int and type(high) is int:
        return max(1, min(wide, _SIDES_MAX)), max(1, min(high, _SIDES_MAX))
    return 1024, 1024


def _around_a_megapixel(ratio: Any) -> tuple[int, int]:
    wide, high = _ratio(ratio, (1, 1))
    return round((wide / high) ** 0.5 * 64) * 16, round((high / wide) ** 0.5 * 64) * 16


def _video_size(model: Model, asked: Mapping[str, Any]) -> tuple[int, int]:
    if type(asked.get("width")) is int and type(asked.get("height")) is int:
        wide, high = _sides(asked)
        return _even(wide), _even(high)
    named = next((found for key in ("resolution", "quality") if (found := _lines(asked.get(key)))), None)
    short = named or model.short_side
    wide, high = _ratio(asked.get("aspect_ratio"), (16, 9))
    return _even(short * max(1.0, wide / high)), _even(short * max(1.0, high / wide))


def _lines(value: Any) -> int | None:
    match = re.fullmatch(r"(\d{3,4})p", str(value), re.IGNORECASE)
    return int(match[1]) if match else None


def _seconds(model: Model, asked: Mapping[str, Any]) -> float:
    value = asked.get("duration", asked.get("seconds"))
    match = re.fullmatch(r"(\d{1,2})s?", str(value))
    return float(match[1]) if match and int(match[1]) else model.duration_s


def _ratio(value: Any, otherwise: tuple[int, int]) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+):(\d+)", str(value))
    return (int(match[1]), int(match[2])) if match and int(match[1]) and int(match[2]) else otherwise


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)
