"""What was delivered, measured against what was asked for. Pure.

A deviation is written down and the output delivered all the same: who asked for a picture has one. Only a file of
another kind (no image, no video) is no output at all, and only outputs that are missing change what is paid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from domain.assets import EXTENSIONS
from domain.fields import DURATION, INPUT_FILE, OUTPUT_FORMAT, OUTPUT_NUMBER, RATIO, RESOLUTION
from domain.generation import Asset, Deviation, Measure

RATIO_TOLERANCE = 0.03
# Of a length. Providers name sizes loosely and round them to their block size; the next class is further away.
SIZE_TOLERANCE = 0.10
SECONDS_TOLERANCE = 0.5  # videos end with a whole number of frames, or of blocks of frames

_RATIO = re.compile(r"([1-9]\d*):([1-9]\d*)")
_CLASS = re.compile(r"(\d+(?:\.\d+)?)(p|k|mp)", re.IGNORECASE)
_WIDE = 16 / 9


def deviations(
    params: Mapping[str, Any], assets: Sequence[Asset], *, defaulted: Collection[str] = ()
) -> list[Deviation]:
    """Of the outputs of a normal form, in their order. What a file does not tell of itself is not measured, nor is a
    ratio that the caller left to us beside an input file: the output follows the file then."""
    asked = dict(params)
    if INPUT_FILE in asked and RATIO in defaulted:
        del asked[RATIO]
    count = asked.get(OUTPUT_NUMBER, len(assets))
    found = [Deviation(Measure.COUNT, str(count), str(len(assets)))] if len(assets) != count else []
    for index, asset in enumerate(assets):
        found.extend(_of_one(asked, asset, index))
    return found


def _of_one(asked: Mapping[str, Any], asset: Asset, index: int) -> Iterator[Deviation]:
    ratio, resolution, seconds = asked.get(RATIO), asked.get(RESOLUTION), asked.get(DURATION)
    if asset.width is not None and asset.height is not None:
        pixels = f"{asset.width}x{asset.height}"
        if isinstance(ratio, str) and not _has_ratio(ratio, asset.width, asset.height):
            yield Deviation(Measure.RATIO, ratio, pixels, index)
        if isinstance(resolution, str) and not _is_of_class(resolution, asset.width, asset.height):
            yield Deviation(Measure.RESOLUTION, resolution, pixels, index)
    if seconds is not None and asset.duration_s is not None and abs(asset.duration_s - seconds) > SECONDS_TOLERANCE:
        yield Deviation(Measure.SECONDS, str(seconds), f"{asset.duration_s:.3f}", index)
    extension = EXTENSIONS.get(asset.content_type, asset.content_type)
    if OUTPUT_FORMAT in asked and extension != asked[OUTPUT_FORMAT]:
        yield Deviation(Measure.TYPE, asked[OUTPUT_FORMAT], extension, index)


def _has_ratio(ratio: str, width: int, height: int) -> bool:
    """Also true of words that name no ratio."""
    match = _RATIO.fullmatch(ratio)
    return match is None or _near(width / height, int(match[1]) / int(match[2]), RATIO_TOLERANCE)


def _is_of_class(resolution: str, width: int, height: int) -> bool:
    """Also true of names that are no size. Classes are named for one shape of picture; another shape of the same class
    keeps either that side or the area: 720p is 1280x720, and of squares both 720x720 and 960x960."""
    match = _CLASS.fullmatch(resolution)
    if match is None:
        return True
    number, unit = float(match[1]), match[2].lower()
    side = math.sqrt(width * height)  # of the square of the same area
    lengths: tuple[float, ...]
    match unit:
        case "p":  # lines of a wide picture
            lengths, wanted = (min(width, height), side / math.sqrt(_WIDE)), number
        case "k":  # thousands of columns
            lengths, wanted = (max(width, height), side), number * 1024
        case _:  # megapixels
            lengths, wanted = (side,), math.sqrt(number) * 1000
    return any(_near(length, wanted, SIZE_TOLERANCE) for length in lengths)


def _near(measured: float, wanted: float, tolerance: float) -> bool:
    return abs(measured / wanted - 1) <= tolerance
