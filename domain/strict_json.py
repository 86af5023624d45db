"""JSON as strictly as a paid request deserves: one meaning per body, and bounded work to find it."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from domain.errors import PayloadTooLarge
from domain.problems import Problem, clip, refuse

BODY_BYTES_MAX = 100 * 1024
DEPTH_MAX = 16  # the body itself is the first level
MEMBERS_MAX = 256  # per object, and items per list
DIGITS_MAX = 32


def parse(body: bytes) -> object:
    """Decode a request body.

    Raises PayloadTooLarge, or InvalidInput for what is not JSON in UTF-8, for NaN and infinities, repeated members,
    lone surrogates, and whatever is deeper, longer or has more digits than the limits above.
    """
    if len(body) > BODY_BYTES_MAX:
        raise PayloadTooLarge(f"The body is over {BODY_BYTES_MAX // 1024} KB.")
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        _refuse("invalid_text", "The body must be UTF-8.")
    except json.JSONDecodeError as error:
        _refuse("malformed_json", f"The body is not JSON: line {error.lineno}, column {error.colno}.")
    except RecursionError:
        _refuse("too_deep", f"The body is nested deeper than {DEPTH_MAX} levels.")
    _check(value)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(pairs) > MEMBERS_MAX:
        _refuse("max_items", f"An object has more than {MEMBERS_MAX} members.")
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse("duplicate_member", f"The member {clip(twice)} is given twice.")
    return members


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS_MAX:
        _refuse("unsafe_integer", f"A number has more than {DIGITS_MAX} digits.")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits) if sum(map(str.isdigit, digits)) <= DIGITS_MAX else math.inf
    if not math.isfinite(number):
        _refuse("unsafe_integer", f"A number is too large, or has more than {DIGITS_MAX} digits.")
    return number


def _constant(_: str) -> float:
    _refuse("malformed_json", "NaN and infinities are not JSON.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _check(value: object) -> None:
    """Depth, list lengths and text, without recursion."""
    level, depth = [value], 0
    while level:
        depth += any(isinstance(item, dict | list) for item in level)
        if depth > DEPTH_MAX:
            _refuse("too_deep", f"The body is nested deeper than {DEPTH_MAX} levels.")
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, list):
                if len(item) > MEMBERS_MAX:
                    _refuse("max_items", f"A list has more than {MEMBERS_MAX} items.")
                below.extend(item)
            elif isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
        level = below


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse("invalid_text", "A text has a lone surrogate.")


def _refuse(code: str, message: str) -> NoReturn:
    refuse([Problem("", code, message)])
