"""Checks an input against a model's parameters and names every violation, in neither provider's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.parameters import FAL_PRESETS, Model, Parameter

Rule = Literal["missing", "unknown", "type", "choice", "minimum", "maximum", "multiple_of", "too_many", "too_few"]
_IMAGE_SIDE = (14, 14142)


@dataclass(frozen=True, slots=True)
class Violation:
    path: tuple[str | int, ...]
    rule: Rule
    value: Any = None
    limit: Any = None  # what the rule demands


def violations(model: Model, given: Mapping[str, Any]) -> list[Violation]:
    found = [
        Violation((name,), "missing")
        for name, parameter in model.parameters.items()
        if parameter.required and name not in given
    ]
    for name, value in given.items():
        parameter = model.parameters.get(name)
        if parameter is None:
            found.append(Violation((name,), "unknown", value))
        else:
            found.extend(_of_value((name,), parameter, value))
    return found


def _of_value(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    if parameter.type == "image_size":
        yield from _of_image_size(path, value)
    elif parameter.type == "files":
        yield from _of_files(path, parameter, value)
    elif not _is_a(parameter.type, value):
        yield Violation(path, "type", value, "string" if parameter.type == "file" else parameter.type)
    elif parameter.type == "file" and not _is_file(value):
        yield Violation(path, "type", value, "uri")
    elif parameter.choices and value not in parameter.choices:
        yield Violation(path, "choice", value, tuple(dict.fromkeys(parameter.choices)))
    elif parameter.minimum is not None and value < parameter.minimum:
        yield Violation(path, "minimum", value, parameter.minimum)
    elif parameter.maximum is not None and value > parameter.maximum:
        yield Violation(path, "maximum", value, parameter.maximum)
    elif parameter.multiple_of and value % parameter.multiple_of:
        yield Violation(path, "multiple_of", value, parameter.multiple_of)


def _is_a(kind: str, value: Any) -> bool:
    match kind:
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in {int, float}
        case "boolean":
            return type(value) is bool
        case _:
            return isinstance(value, str)


def _is_file(value: str) -> bool:
    return value.startswith(("https://", "http://", "data:"))


def _of_files(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    if not isinstance(value, list):
        yield Violation(path, "type", value, "list")
        return
    if parameter.required and not value:
        yield Violation(path, "too_few", value, 1)
    if parameter.maximum is not None and len(value) > parameter.maximum:
        yield Violation(path, "too_many", value, int(parameter.maximum))
    for index, item in enumerate(value):
        if not isinstance(item, str) or not _is_file(item):
            yield Violation((*path, index), "type", item, "uri")


def _of_image_size(path: tuple[str | int, ...], value: Any) -> Iterator[Violation]:
    if isinstance(value, str):
        if value not in FAL_PRESETS:
            yield Violation(path, "choice", value, tuple(FAL_PRESETS))
    elif not isinstance(value, dict):
        yield Violation(path, "type", value, "string or object")
    else:
        side = Parameter("integer", required=True, minimum=_IMAGE_SIDE[0], maximum=_IMAGE_SIDE[1])
        for found in violations(Model("image", "images", {"width": side, "height": side}), value):
            yield Violation((*path, *found.path), found.rule, found.value, found.limit)
