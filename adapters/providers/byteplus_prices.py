"""What ModelArk charges. Source: the vendor's price list, read 2026-11.

Its answers count pictures and tokens and never say an amount. Models whose price is not published here cost None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PER_PICTURE = {  # microcredits
    "seedream-3-0-t2i-250415": 30_000,
    "seedream-4-0-250828": 30_000,
    "seedream-4-5-251128": 40_000,
    "seedream-5-0-260128": 35_000,
    "seedream-5-0-lite-260128": 35_000,
}
_PER_MILLION_TOKENS = {  # microcredits, without sound and with it
    "seedance-1-0-lite-t2v-250428": (1_800_000, 1_800_000),
    "seedance-1-0-lite-i2v-250428": (1_800_000, 1_800_000),
    "seedance-1-0-pro-250528": (2_500_000, 2_500_000),
    "seedance-1-5-pro-251215": (1_200_000, 2_400_000),
}


def of_pictures(answer: Mapping[str, Any]) -> int | None:
    """Microcredits for an answer with pictures. Refused ones are not counted and not billed."""
    price, made = _PER_PICTURE.get(str(answer.get("model"))), _count(answer, "generated_images")
    return None if price is None or made is None else price * made


def of_video(task: Mapping[str, Any]) -> int | None:
    """Microcredits for a finished task."""
    prices, tokens = _PER_MILLION_TOKENS.get(str(task.get("model"))), _count(task, "completion_tokens")
    if prices is None or tokens is None:
        return None
    price = prices[task.get("generate_audio") is True] // (2 if task.get("service_tier") == "flex" else 1)
    return -(-tokens * price // 1_000_000)


def _count(answer: Mapping[str, Any], name: str) -> int | None:
    usage = answer.get("usage")
    told = usage.get(name) if isinstance(usage, dict) else None
    return told if type(told) is int and 0 <= told < 2**31 else None
