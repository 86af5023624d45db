"""Checks an input against a model's parameters and names every violation, in neither provider's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.parameters import FAL_PRESETS, Model, Parameter

Rule = Literal[
    "missing",
    "unknown",
    "type",
    "choice",
    "minimum",
    "maximum",
    "multiple_of",
    "too_many",
    "too_few",
    "too_long",
    "value",
]
_IMAGE_SIDE = (14, 14142)
_PAIRS = {"WxH": re.compile(r"\d+x\d+"), "W*H": re.compile(r"\d+\*\d+")}


@dataclass(frozen=True, slots=True)
class Violation:
    path: tuple[str | int, ...]
    rule: Rule
    value: Any = None
    limit: Any = None  # what the rule demands


def violations(model: Model, given: Mapping[str, Any]) -> list[Violation]:
    found = list(_of_members((), model.parameters, given))
    asked = model.with_defaults(given)
    return found + [
        Violation((rule.one.name,), "value", given.get(rule.one.name), str(rule))
        for rule in model.rules
        if not rule.allows(asked)
    ]


def _of_members(
    path: tuple[str | int, ...], parameters: Mapping[str, Parameter], given: Mapping[str, Any]
) -> Iterator[Violation]:
    for name, parameter in parameters.items():
        if parameter.required and name not in given:
            yield Violation((*path, name), "missing")
    for name, value in given.items():
        known = parameters.get(name)
        if known is None:
            yield Violation((*path, name), "unknown", value)
        else:
            yield from _of_value((*path, name), known, value)


def _of_value(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    if parameter.nullable and value is None:
        return
    compound = _COMPOUND.get(parameter.type, _of_scalar)
    yield from compound(path, parameter, value)


def _of_scalar(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    if not _is_a(parameter.type, value):
        yield Violation(path, "type", value, "string" if parameter.type == "file" else parameter.type)
    elif parameter.type == "file" and not _is_file(value):
        yield Violation(path, "type", value, "uri")
    elif parameter.longest is not None and len(value.encode("utf-16-le")) // 2 > parameter.longest:
        yield Violation(path, "too_long", value, parameter.longest)
    elif parameter.choices and not _is_among(value, parameter.choices):
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


def _is_among(value: Any, choices: tuple[Any, ...]) -> bool:
    return any(
        value == choice if choice not in _PAIRS else isinstance(value, str) and _PAIRS[choice].fullmatch(value)
        for choice in choices
    )


def _is_file(value: str) -> bool:
    return value.startswith(("https://", "http://", "data:"))


def _of_items(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    """What is wrong with a list, whatever its items are."""
    least = int(parameter.minimum or parameter.required)
    if not isinstance(value, list):
        yield Violation(path, "type", value, "list")
        return
    if len(value) < least:
        yield Violation(path, "too_few", value, least)
    if parameter.maximum is not None and len(value) > parameter.maximum:
        yield Violation(path, "too_many", value, int(parameter.maximum))


def _of_object(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    if isinstance(value, dict):
        yield from _of_members(path, parameter.members, value) if parameter.members else ()
    else:
        yield Violation(path, "type", value, "object")


def _of_objects(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    yield from _of_items(path, parameter, value)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from _of_object((*path, index), parameter, item)


def _of_any(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    """What is wrong as the last option sees it, when none takes the value."""
    tried = [list(_of_value(path, option, value)) for option in parameter.options]
    if all(tried):
        yield from tried[-1]


def _of_texts(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    files = parameter.type == "files"
    yield from _of_items(path, parameter, value)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(item, str) or (files and not _is_file(item)):
            yield Violation((*path, index), "type", item, "uri" if files else "string")


def _of_image_size(path: tuple[str | int, ...], parameter: Parameter, value: Any) -> Iterator[Violation]:
    if isinstance(value, str):
        if value not in (names := (*FAL_PRESETS, *parameter.choices)):
            yield Violation(path, "choice", value, names)
    elif not isinstance(value, dict):
        yield Violation(path, "type", value, "string or object")
    else:
        least, most = parameter.minimum or _IMAGE_SIDE[0], parameter.maximum or _IMAGE_SIDE[1]
        side = Parameter("integer", required=True, minimum=least, maximum=most)
        yield from _of_members(path, {"width": side, "height": side}, value)


_COMPOUND = {
    "any_of": _of_any,
    "files": _of_texts,
    "image_size": _of_image_size,
    "list": _of_items,
    "object": _of_object,
    "objects": _of_objects,
    "strings": _of_texts,
}
