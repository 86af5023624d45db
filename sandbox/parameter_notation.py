"""Reads one parameter from its notation: `[type] [members] [step n] [= default]`.

text    text = any    flag = true    int    number = 0.9     the type alone, perhaps with the provider's default
1..4 = 1    256..1440 step 32    number 0..10 = 3            whole numbers, or any, between two bounds
webp | jpg | png = webp    A11 = 1:1    auto | A11           text out of a choice; A11 is a named list
int 5 | 10 = 5    text 5 | 10 = 5    text auto | 4..15       where every member is a number, its type must be said
1K | 2K | W*H    None | WxH                                  any pair of numbers besides
file    files    files ..8    files 1..3    texts            one file or several, with how many; a list of text
image_size = square_hd    image_size auto | 1024..4096       fal's: further names, pixels of a side
list    object                                               whatever is in it
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sandbox.parameters import Model, Parameter
from sandbox.validation import violations

LIST_NAME = re.compile(r"[A-Z]+(\d+)")
PIXELS = re.compile(r"(\d+)x(\d+)")

_TYPES = {
    "text": "string",
    "int": "integer",
    "number": "number",
    "flag": "boolean",
    "file": "file",
    "files": "files",
    "texts": "strings",
    "list": "list",
    "object": "object",
    "image_size": "image_size",
}
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)?\.\.(-?\d+(?:\.\d+)?)?")


class NotationError(ValueError):
    """A sentence that names the model and what is wrong with it."""


def read_parameter(notation: str, lists: Mapping[str, list[str]], *, required: bool = False) -> Parameter:
    """Raises NotationError."""
    body, _, default = notation.partition(" = ")
    word, _, rest = body.partition(" ")
    if word not in _TYPES:
        word, rest = "", body
    rest, _, step = rest.partition(" step ")
    members = [member.strip() for member in rest.split("|") if member.strip()]
    bounds = _RANGE.fullmatch(members[0]) if len(members) == 1 else None
    if not word and not bounds and all(re.fullmatch(r"-?\d+(\.\d+)?", member) for member in members):
        raise NotationError(f"{notation!r} does not say whether these are numbers: say int, number or text.")
    if not word and len(members) == 1 and re.fullmatch(r"[a-z_ ]+", members[0]):
        raise NotationError(f"{notation!r} names no type that there is.")
    if word == "image_size":
        bounds = next((found for member in members if (found := _RANGE.fullmatch(member))), None)
        members = [member for member in members if not _RANGE.fullmatch(member)]
    kind = _TYPES[word or ("int" if bounds else "text")]
    ranged = bounds is not None and kind in {"integer", "number", "files", "strings", "image_size"}
    least, most = (_number(bounds[1]), _number(bounds[2])) if bounds and ranged else (None, None)
    chosen = [] if ranged and kind != "image_size" else list(_expanded(members, lists))
    if chosen and kind not in {"string", "integer", "image_size"}:
        raise NotationError(f"{notation!r} has members, which its type cannot have.")
    parameter = Parameter(
        cast(Any, kind),
        _value(kind, default.strip(), notation) if default else None,
        required,
        choices=tuple(_value(kind, one, notation) for one in chosen),
        minimum=least,
        maximum=most,
        multiple_of=int(step) if step else None,
    )
    if parameter.default is not None and violations(
        Model("image", "list", {"it": parameter}), {"it": parameter.default}
    ):
        raise NotationError(f"{notation!r} has a default that it does not allow.")
    return parameter


def _expanded(members: list[str], lists: Mapping[str, list[str]]) -> Iterator[str]:
    for member in members:
        if found := _RANGE.fullmatch(member):
            yield from (str(number) for number in range(int(found[1]), int(found[2]) + 1))
        elif LIST_NAME.fullmatch(member):
            if member not in lists:
                raise NotationError(f"{member} is not among the lists.")
            yield from lists[member]
        else:
            yield member


def _value(kind: str, value: str, notation: str) -> Any:
    try:
        match kind:
            case "integer":
                return int(value)
            case "number":
                return float(value)
            case "boolean":
                return {"true": True, "false": False}[value]
            case "image_size" if pixels := PIXELS.fullmatch(value):
                return {"width": int(pixels[1]), "height": int(pixels[2])}
            case _:
                return value
    except (ValueError, KeyError) as error:
        raise NotationError(f"{notation!r} has a value of another type.") from error


def _number(value: str | None) -> float | None:
    if value is None:
        return None
    return float(value) if "." in value else int(value)
