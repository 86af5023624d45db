"""The simulated Alibaba Cloud's pixel sizes: `W*H`, or a tier with a ratio."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")

TIERS: Mapping[str, Mapping[str, str]] = {
    "480P": {"16:9": "832*480", "9:16": "480*832", "1:1": "624*624"},
    "720P": {"16:9": "1280*720", "9:16": "720*1280", "1:1": "960*960", "4:3": "1088*832", "3:4": "832*1088"},
    "1080P": {"16:9": "1920*1080", "9:16": "1080*1920", "1:1": "1440*1440", "4:3": "1632*1248", "3:4": "1248*1632"},
}
_SQUARES = {"1K": (1024, 1024), "2K": (2048, 2048), "4K": (4096, 4096)}


@dataclass(frozen=True, slots=True)
class SizeRule:
    """What a free `size` must keep to. Limits are inclusive."""

    default: str
    area: tuple[int, int] | None = None  # pixels in all
    side: tuple[int, int] | None = None
    ratio: float | None = None  # the longer side by the shorter
    named: tuple[str, ...] = ()  # fine as they are

    def allows(self, size: str) -> bool:
        if size in self.named:
            return True
        sides = pixels(size)
        if sides is None or (self.area is None and self.side is None):
            return False
        short, long = sorted(sides)
        return (
            (self.area is None or self.area[0] <= short * long <= self.area[1])
            and (self.side is None or (self.side[0] <= short and long <= self.side[1]))
            and (self.ratio is None or long <= short * self.ratio)
        )

    def __str__(self) -> str:
        if self.named and self.area is None and self.side is None:
            return f"size must be in {','.join(self.named)}"
        limit, what = (self.area, "total pixels") if self.area else (self.side, "each side")
        assert limit is not None
        return f"size is out of range: {what} must be between {limit[0]} and {limit[1]}"


def pixels(size: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"([1-9]\d{1,4})\*([1-9]\d{1,4})", size)
    return (int(match[1]), int(match[2])) if match else None


def asked_pixels(asked: Mapping[str, Any]) -> tuple[int, int]:
    """The size that parameters with their defaults ask for. Where it follows an input file, that is not looked at."""
    size = str(asked.get("size"))
    tier = TIERS.get(str(asked.get("resolution")))
    if tier is not None:
        size = tier.get(str(asked.get("ratio")), tier["16:9"])
    return pixels(size) or _SQUARES.get(size) or (1024, 1024)
