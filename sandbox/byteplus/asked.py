"""What a body asks for, with defaults and with the commands that Seedance obeys inside a prompt.

In the old style parameters stand in the text (`--dur 12`) and are weakly checked: what is unknown or wrong is ignored.
Which of the two styles wins is not published; here the text does, so that a command that slipped through is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.byteplus.models import CANVASES, MODELS, SCREENS, TIER_SIDES
from sandbox.parameters import Model
from sandbox.validation import violations

FRAMES_PER_SECOND = 24
_COMMANDS = {
    "rs": "resolution", "resolution": "resolution", "rt": "ratio", "ratio": "ratio", "dur": "duration",
    "duration": "duration", "frames": "frames", "seed": "seed", "cf": "camera_fixed", "camerafixed": "camera_fixed",
    "wm": "watermark", "watermark": "watermark",
}  # fmt: skip
_BOOLEANS = {"true": True, "false": False}
_COMMAND = re.compile(r"--([a-z]+)\s+(\S+)")


def prompt_of(body: Mapping[str, Any]) -> str:
    """The text of a video's content."""
    content = body.get("content")
    texts = [item.get("text") for item in content if isinstance(item, dict)] if isinstance(content, list) else []
    return next((text for text in texts if isinstance(text, str)), "")


def of_video(body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a task as they take effect."""
    model = MODELS.of(body["model"])
    asked = model.with_defaults(body)
    if SCREENS[body["model"]].obeys_commands:
        asked |= dict(_commands(model, prompt_of(body)))
    if type(asked.get("frames")) is int:
        asked["duration"] = asked["frames"] // FRAMES_PER_SECOND
    if asked["duration"] == -1:
        asked["duration"] = 5
    return asked


def _commands(model: Model, prompt: str) -> Iterator[tuple[str, Any]]:
    """Those that the model knows, with a value that it takes."""
    for word, said in _COMMAND.findall(prompt):
        name = _COMMANDS.get(word, "")
        value = _BOOLEANS.get(said, int(said) if re.fullmatch(r"-?\d+", said) else said)
        known = {name: model.parameters[name]} if name in model.parameters else None
        if known and not violations(Model("video", "video", known), {name: value}):
            yield name, value


def flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """Pixels, seconds, format and count, in the words of `sandbox/sizes.py`."""
    if body["model"] in SCREENS:
        asked = of_video(body)
        wide, high = SCREENS[body["model"]].pixels(asked["resolution"], asked["ratio"])
        return {"width": wide, "height": high, "duration": asked["duration"]}
    size = body.get("size") or CANVASES[body["model"]].default
    wide, high = (TIER_SIDES[size],) * 2 if size in TIER_SIDES else map(int, size.split("x"))
    group = body.get("sequential_image_generation") == "auto"
    options = body.get("sequential_image_generation_options") or {}
    return {
        "width": wide,
        "height": high,
        "output_format": body.get("output_format") or "jpeg",
        "num_outputs": options.get("max_images", 1) if group else 1,
    }
