"""What ModelArk refuses: strict for every named parameter, blind for the commands inside a prompt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.byteplus.models import CANVASES, MODELS, RATIO_MAX, SCREENS, Canvas
from sandbox.validation import Violation

_MEMBERS: Mapping[str, Mapping[str, type]] = {  # of a content item, by its type
    "text": {"text": str},
    "image_url": {"image_url": dict, "role": str},
    "video_url": {"video_url": dict, "role": str},
    "audio_url": {"audio_url": dict, "role": str},
    "draft_task": {"draft_task": dict},
}
_ROLES = {
    "image_url": {"first_frame", "last_frame", "reference_image"},
    "video_url": {"reference_video"},
    "audio_url": {"reference_audio"},
}
_REFERENCES_MAX = 4  # pictures, of a model of the first generation
_FRAMES_STEP, _FRAMES_LEAST = 4, 29


def violations(model: str, given: Mapping[str, Any]) -> list[Violation]:
    """What is wrong with a body, `model` apart. The model must be known."""
    found = MODELS.violations(model, given)
    if model in CANVASES:
        return found + list(_of_size(CANVASES[model], given.get("size")))
    frames = given.get("frames")
    if type(frames) is int and (frames - _FRAMES_LEAST) % _FRAMES_STEP:
        found.append(Violation(("frames",), "value", frames, "25 + 4n"))
    return found + list(_of_content(model, given))


# --- the size of a picture ----------------------------------------------------------------------------------------


def _of_size(canvas: Canvas, size: Any) -> Iterator[Violation]:
    if not isinstance(size, str) or size in canvas.tiers:
        return
    named = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", size)
    if named is None or not canvas.most_pixels:
        yield Violation(("size",), "choice", size, (*canvas.tiers, *(["<width>x<height>"] * (canvas.most_pixels > 0))))
        return
    wide, high = int(named[1]), int(named[2])
    if wide * high < canvas.least_pixels:
        yield Violation(("size",), "value", size, f"image size must be at least {canvas.least_pixels} pixels")
    elif wide * high > canvas.most_pixels:
        yield Violation(("size",), "value", size, f"image size must be at most {canvas.most_pixels} pixels")
    elif max(wide, high) > RATIO_MAX * min(wide, high):
        yield Violation(("size",), "value", size, f"the ratio of the sides must be at most {RATIO_MAX}")
    elif canvas.sides and not canvas.sides[0] <= min(wide, high) <= max(wide, high) <= canvas.sides[1]:
        yield Violation(("size",), "value", size, "each side must be {} to {} pixels".format(*canvas.sides))


# --- what a video is made of --------------------------------------------------------------------------------------


def _of_content(model: str, given: Mapping[str, Any]) -> Iterator[Violation]:
    content = given.get("content")
    if not isinstance(content, list):
        return
    wrong = [found for index, item in enumerate(content) for found in _of_item(("content", index), item)]
    yield from wrong or _of_roles(model, given, content)


def _of_item(path: tuple[str | int, ...], item: Any) -> Iterator[Violation]:
    if not isinstance(item, dict):
        yield Violation(path, "type", item, "object")
        return
    kind = item.get("type")
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None:
        yield Violation((*path, "type"), "choice", kind, tuple(_MEMBERS))
        return
    for name, value in item.items():
        if name != "type" and name not in members:
            yield Violation((*path, name), "unknown", value)
    for name, needed in members.items():
        if name not in item:
            if name != "role":
                yield Violation((*path, name), "missing")
        elif not isinstance(item[name], needed):
            yield Violation((*path, name), "type", item[name], "string" if needed is str else "object")
    if isinstance(role := item.get("role"), str) and role not in _ROLES.get(str(kind), ()):
        yield Violation((*path, "role"), "choice", role, tuple(sorted(_ROLES.get(str(kind), ()))))
    if str(kind) in _ROLES and isinstance(named := item.get(str(kind)), dict):
        yield from _of_address((*path, str(kind)), str(kind), named)


def _of_address(path: tuple[str | int, ...], kind: str, named: Mapping[str, Any]) -> Iterator[Violation]:
    url = named.get("url")
    accepted = ("https://", "http://", "asset://", *(["data:"] * (kind != "video_url")))
    if not isinstance(url, str) or not url.startswith(accepted):
        yield Violation((*path, "url"), "type", url, "uri")
    elif url.startswith("data:") and url.partition(";")[0] != url.partition(";")[0].lower():
        yield Violation((*path, "url"), "value", url[:20], "the media type must be in lower case")
    for name in named:
        if name != "url":
            yield Violation((*path, name), "unknown", named[name])


def _of_roles(model: str, given: Mapping[str, Any], content: list[dict[str, Any]]) -> Iterator[Violation]:
    """How the items go together, and whether this model makes a video of such."""

    def wrong(why: str) -> Violation:
        return Violation(("content",), "value", None, why)

    screen, kinds = SCREENS[model], Counter(item["type"] for item in content)
    roles = Counter(item.get("role") for item in content if item["type"] in _ROLES)
    media = sum(roles.values())
    frames, references = roles["first_frame"] + roles["last_frame"], media - roles[None]
    if kinds["text"] > 1:
        yield wrong("there must be at most one text")
    if roles[None] and media > 1:
        yield wrong("a role may be left out for a single first frame only")
    if roles["first_frame"] > 1 or roles["last_frame"] > 1:
        yield wrong("there must be at most one first frame and one last frame")
    if roles["last_frame"] and not roles["first_frame"]:
        yield wrong("a last frame needs a first frame")
    if frames and references > frames:
        yield wrong("first and last frame exclude reference media")
    mode = _mode(kinds, roles)
    if mode not in screen.modes:
        yield wrong(f"{model} does not support this task type: {mode}")
    if mode == "text" and not kinds["text"]:
        yield wrong("there must be a text")
    if mode == "reference" and "media" not in screen.modes:
        if roles["reference_image"] > _REFERENCES_MAX:
            yield wrong(f"there must be at most {_REFERENCES_MAX} reference images")
        if given.get("resolution") == "1080p":
            yield Violation(("resolution",), "value", "1080p", "1080p is not available with reference images")
        if given.get("camera_fixed") is True:
            yield Violation(("camera_fixed",), "value", True, "the camera cannot be fixed with reference images")


def _mode(kinds: Counter[str], roles: Counter[str | None]) -> str:
    if kinds["draft_task"]:
        return "draft"
    if roles["reference_video"] or roles["reference_audio"]:
        return "media"
    if roles["reference_image"]:
        return "reference"
    if roles["last_frame"]:
        return "last"
    return "first" if roles["first_frame"] or roles[None] else "text"
