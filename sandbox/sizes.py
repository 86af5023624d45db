"""Which files a job produces: native parameters in, pixel sizes, seconds and formats out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.parameters import FAL_PRESETS, Model

# what a word for the size of an image does to each side: megapixels, thousands of pixels, names
_TIMES = {"0.25": 0.5, "0.5": 2**-0.5, "1": 1.0, "2": 2**0.5, "4": 2.0, "0.5K": 0.5, "1K": 1.0, "2K": 2.0, "3K": 3.0}
_TIMES |= {"4K": 4.0, "SMALL": 0.5, "REGULAR": 1.0, "BIG": 2.0, "OPTIMIZE_FOR_SPEED": 0.75}
_TIMED = ("megapixels", "output_megapixels", "image_size", "resolution", "size")
# lines of a video, where they are not named as 720p
_LINES = {"2k": 1440, "4k": 2160, "standard": 720, "std": 720, "high": 1080, "pro": 1080}
_LINED = ("resolution", "quality", "mode")
_RATIOS = {"landscape": "16:9", "portrait": "9:16"}
_COUNTS = ("num_outputs", "num_images", "number_of_images", "num_results")
_FRAMES, _RATES = ("num_frames", "video_length", "frame_num"), ("frames_per_second", "fps")
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
    named = _FORMATS.get(str(asked.get("output_format") or asked.get("format")), model.format)
    return [MediaSpec(width, height, named)] * _count(asked)


def _count(asked: Mapping[str, Any]) -> int:
    for name in _COUNTS:
        if type(asked.get(name)) is int:
            return max(1, min(int(asked[name]), 10))
    return 1


def _image_size(model: Model, asked: Mapping[str, Any]) -> tuple[int, int]:
    ratio = _ratio_named(asked)
    if pixels := _pixels(asked, ratio):
        return pixels
    if lines := _lines(asked.get("resolution")):
        return _of_lines(lines, _proportion(ratio) or (1, 1))
    wide, high = (model.sizes or {}).get(str(ratio)) or _around_a_megapixel(_proportion(ratio) or (1, 1))
    times = next((found for key in _TIMED if (found := _times(asked.get(key)))), 1.0)
    return _even(wide * times), _even(high * times)


def _pixels(asked: Mapping[str, Any], ratio: Any) -> tuple[int, int] | None:
    """The size, where it is asked for in pixels. A size in one word gives way to a ratio, the others do not."""
    named = asked.get("image_size")
    if isinstance(named, dict):
        return _sides(named)
    if isinstance(named, str) and named in FAL_PRESETS:
        return FAL_PRESETS[named]
    if asked.get("width") and asked.get("height") and (ratio in {None, "custom"} or asked.get("size") == "custom"):
        return _sides(asked)
    return (
        _pair(named) or _pair(asked.get("resolution")) or (_pair(asked.get("size")) if not _proportion(ratio) else None)
    )


def _times(value: Any) -> float | None:
    return _TIMES.get(str(value).upper().removeprefix("AUTO_").removesuffix(" MP"))


def _pair(value: Any) -> tuple[int, int] | None:
    """1280x720 or 1280*720."""
    match = re.fullmatch(r"(\d+)[x*](\d+)", value) if isinstance(value, str) else None
    return _sides({"width": int(match[1]), "height": int(match[2])}) if match else None


def _sides(named: Mapping[str, Any]) -> tuple[int, int]:
    wide, high = (named.get(side) for side in ("width", "height"))
    if type(wide) is int and type(high) is int:
        return max(1, min(wide, _SIDES_MAX)), max(1, min(high, _SIDES_MAX))
    return 1024, 1024


def _around_a_megapixel(proportion: tuple[float, float]) -> tuple[int, int]:
    wide, high = proportion
    return round((wide / high) ** 0.5 * 64) * 16, round((high / wide) ** 0.5 * 64) * 16


def _video_size(model: Model, asked: Mapping[str, Any]) -> tuple[int, int]:
    pair = _pair(asked.get("size")) or _pair(asked.get("resolution"))
    if pair is None and type(asked.get("width")) is int and type(asked.get("height")) is int:
        pair = _sides(asked)
    if pair is not None:
        return _even(pair[0]), _even(pair[1])
    named = next((found for key in _LINED if (found := _lines(asked.get(key), _LINES))), None)
    return _of_lines(named or model.short_side, _proportion(_ratio_named(asked)) or (16, 9))


def _of_lines(short: int, proportion: tuple[float, float]) -> tuple[int, int]:
    wide, high = proportion
    return _even(short * max(1.0, wide / high)), _even(short * max(1.0, high / wide))


def _lines(value: Any, named: Mapping[str, int] | None = None) -> int | None:
    """720p, 768P, or one of the names."""
    match = re.fullmatch(r"(\d{3,4})p", str(value), re.IGNORECASE)
    return int(match[1]) if match else (named or {}).get(str(value).lower())


def _seconds(model: Model, asked: Mapping[str, Any]) -> float:
    value = asked.get("duration", asked.get("seconds"))
    match = re.fullmatch(r"(\d{1,2})s?", str(value))
    if match and int(match[1]):
        return float(match[1])
    frames = next((asked[name] for name in _FRAMES if type(asked.get(name)) is int), None)
    rate = next((asked[name] for name in _RATES if type(asked.get(name)) is int), model.fps)
    return round(max(1, frames) / max(1, rate), 3) if frames is not None else model.duration_s


def _ratio_named(asked: Mapping[str, Any]) -> Any:
    named = asked.get("aspect_ratio", asked.get("resolution_mode"))
    return _RATIOS.get(named, named) if isinstance(named, str) else named


def _proportion(ratio: Any) -> tuple[float, float] | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)", str(ratio))
    return (float(match[1]), float(match[2])) if match and float(match[1]) and float(match[2]) else None


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)
