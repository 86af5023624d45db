"""What the simulated Alibaba Cloud has against a body: beyond the parameters, sizes, messages and media."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.alibabacloud.models import PATHS, Served
from sandbox.validation import Violation, violations


def refused(native_model: str, path: str, native_input: Mapping[str, Any]) -> list[Violation]:
    """Of a body without its model."""
    served = PATHS.get(path, {}).get(native_model)
    if served is None:
        paths = tuple(path for path, models in PATHS.items() if native_model in models)
        return [Violation(("endpoint",), "choice", path, paths)]
    return wrong(served, native_input)


def wrong(served: Served, native_input: Mapping[str, Any]) -> list[Violation]:
    return violations(served.model, native_input) or [
        *_of_size(served, native_input.get("parameters") or {}),
        *_of_messages(served, native_input["input"].get("messages") or []),
        *_of_media(served, native_input["input"].get("media") or []),
    ]


def _of_size(served: Served, parameters: Mapping[str, Any]) -> Iterator[Violation]:
    size = parameters.get("size")
    if served.sizes is not None and size is not None and not served.sizes.allows(size):
        yield Violation(("parameters", "size"), "value", size, str(served.sizes))


def _of_messages(served: Served, messages: list[Any]) -> Iterator[Violation]:
    for index, message in enumerate(messages):
        path = ("input", "messages", index, "content")
        content, (least, most) = message["content"], served.pictures
        if any(len(item) != 1 for item in content):
            yield Violation(path, "value", None, "each content item must be either text or image")
        elif sum("text" in item for item in content) != 1 or "text" not in content[-1]:
            yield Violation(path, "value", None, "content must end with the only text")
        elif not least <= len(content) - 1 <= most:
            yield Violation(path, "value", None, f"content length only support {least + 1} to {most + 1}")


def _of_media(served: Served, media: list[Any]) -> Iterator[Violation]:
    types = [item["type"] for item in media]
    if served.needs and not set(served.needs) & set(types):
        yield Violation(("input", "media"), "value", None, f"media must contain {' or '.join(served.needs)}")
    for once in ("first_frame", "last_frame", "first_clip", "driving_audio", "video"):
        if types.count(once) > 1:
            yield Violation(("input", "media"), "value", None, f"media must not contain more than one {once}")
