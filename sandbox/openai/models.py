"""The models of the simulated OpenAI, and what each of its calls takes.

Source: the vendor's client types and documentation, November 2026. Streaming is not simulated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sandbox.models import Models
from sandbox.parameters import FILE, Condition, Model, Parameter, Together, files, one_of, text, whole
from sandbox.validation import Violation, violations

VIDEOS_PATH = "/videos"

_SQUARES = ("1024x1024", "1536x1024", "1024x1536")
_LONG_SIDE, _PIXELS = 3840, 3840 * 2160
_RULES = (
    Together(Condition("background", ("transparent",)), Condition("output_format", ("png", "webp")), True),
    Together(Condition("output_compression"), Condition("output_format", ("jpeg", "webp")), True),
)


def _image(*, any_size: bool = False, finest: tuple[str, ...] = ()) -> Model:
    parameters: dict[str, Parameter] = {
        "prompt": text(required=True, longest=32_000),
        "n": whole(1, 10, 1),
        "size": one_of("auto", "WxH") if any_size else one_of("auto", *_SQUARES),
        "quality": one_of("auto", "low", "medium", "high", *finest),
        "background": one_of("auto", "transparent", "opaque"),
        "output_format": one_of("png", "jpeg", "webp"),
        "output_compression": whole(0, 100),
        "moderation": one_of("auto", "low"),
        "user": text(),
        "safety_identifier": text(),
    }
    return Model("image", "list", parameters, rules=_RULES)


def _video(*sizes: str) -> Model:
    return Model(
        "video",
        "video",
        {
            "prompt": text(required=True),
            "seconds": one_of("4", "8", "12"),
            "size": one_of("720x1280", "1280x720", *sizes),
            "input_reference": FILE,
        },
    )


_FINEST = ("xhigh", "max")
_EARLY, _SECOND, _LATEST = _image(), _image(any_size=True), _image(any_size=True, finest=_FINEST)

GENERATIONS: Mapping[str, Model] = {
    **dict.fromkeys(("gpt-image-1-mini", "gpt-image-1.5", "chatgpt-image-latest"), _EARLY),
    **dict.fromkeys(("gpt-image-2", "gpt-image-2-2026-04-21"), _SECOND),
    **dict.fromkeys(("gpt-image-2.5-sunburst", "gpt-image-2.5-flare"), _LATEST),
    **dict.fromkeys(("gpt-image-2.5-sunburst-2026-09-08", "gpt-image-2.5-flare-2026-09-08"), _LATEST),
    **dict.fromkeys(("gpt-image-2.6-sunburst", "gpt-image-2.6-flare"), _LATEST),
}


def _editing(name: str, model: Model) -> Model:
    fidelity = {
        "gpt-image-1-mini": {"input_fidelity": one_of("low")},
        "gpt-image-1.5": {"input_fidelity": one_of("low", "high")},
    }
    own = {"image": files(16, required=True), "mask": FILE, **fidelity.get(name, {})}
    return replace(model, parameters={**model.parameters, **own})


EDITS: Mapping[str, Model] = {name: _editing(name, model) for name, model in GENERATIONS.items()}

VIDEOS: Mapping[str, Model] = {
    **dict.fromkeys(("sora-2", "sora-2-2025-10-06", "sora-2-2025-12-08"), _video()),
    **dict.fromkeys(("sora-2-pro", "sora-2-pro-2025-10-06"), _video("1024x1792", "1792x1024")),
}

MODELS = Models({**GENERATIONS, **VIDEOS})


def compiled_violations(model: str, endpoint: str, given: Mapping[str, Any]) -> list[Violation]:
    """Of a native request as our catalogue compiles it: files are addresses."""
    if endpoint == VIDEOS_PATH:
        return of_input(VIDEOS[model], given)
    return of_input((EDITS if "image" in given else GENERATIONS)[model], given)


def of_input(model: Model, given: Mapping[str, Any]) -> list[Violation]:
    found = violations(model, given)
    size = given.get("size")
    if not found and model.kind == "image" and isinstance(size, str) and (wrong := _wrong_size(size)):
        found.append(Violation(("size",), "value", size, wrong))
    return found


def _wrong_size(size: str) -> str | None:
    """What such a size has to be, when it is not."""
    pair = re.fullmatch(r"(\d+)x(\d+)", size)
    if pair is None:
        return None
    wide, high = int(pair[1]), int(pair[2])
    if not wide or not high or wide % 16 or high % 16:
        return "both sides divisible by 16"
    if not 1 / 3 <= wide / high <= 3:
        return "a ratio between 1:3 and 3:1"
    return "at most 3840x2160" if max(wide, high) > _LONG_SIDE or wide * high > _PIXELS else None


def flat(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The input in the words that `sandbox/sizes.py` reads."""
    asked = {**given, "num_outputs": given.get("n", 1)}
    pair = re.fullmatch(r"(\d+)x(\d+)", str(given.get("size")))
    return {**asked, "width": int(pair[1]), "height": int(pair[2])} if pair else asked
