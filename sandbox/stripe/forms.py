"""Stripe's form encoding: `items[0][price]=...&metadata[a]=b&expand[]=customer` becomes nested values, then types.

A parameter list is written as words: `customer! amount!:int metadata:map`. `!` is required; the kinds are text (none
named), int, bool, map, list and any. Source: the encoder of the stripe package 16.1, read
2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sandbox.stripe.problems import invalid

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_STEP = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?\d{1,18}\Z")


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: str
    required: bool


@lru_cache(maxsize=512)
def parameters(words: str) -> tuple[Parameter, ...]:
    found = []
    for word in words.split():
        name, _, kind = word.partition(":")
        found.append(Parameter(name.removesuffix("!"), kind or "text", name.endswith("!")))
    return tuple(found)


def decoded(encoded: str) -> dict[str, Any]:
    """Raises a refusal for a key that is not of this form."""
    root: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True):
        match = _KEY.match(key)
        if match is None:
            raise invalid(f"Invalid parameter name: {key}", param=key)
        steps = [match[1], *_STEP.findall(match[2])]
        node = root
        for step in steps[:-1]:
            inner = node.setdefault(step or str(len(node)), {})
            if not isinstance(inner, dict):
                raise invalid("Invalid hash", param=match[1])
            node = inner
        node[steps[-1] or str(len(node))] = value
    return {name: _lists(value, name) for name, value in root.items()}


def _lists(value: Any, name: str) -> Any:
    """Maps whose keys are all numbers are lists, except metadata, where a key may be a number."""
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(one, key) for key, one in value.items()}
    if name != "metadata" and inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def checked(given: Mapping[str, Any], words: str) -> dict[str, Any]:
    """The parameters in their types; an empty text becomes None, which unsets. Raises a refusal in Stripe's words."""
    known = {one.name: one for one in parameters(words)}
    typed: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known and name != "expand":
            raise invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")
        typed[name] = _KINDS[known[name].kind if name in known else "list"](value, name)
    for one in known.values():
        if one.required and typed.get(one.name) is None:
            raise invalid(f"Missing required param: {one.name}.", param=one.name, code="parameter_missing")
    return typed


def whole(value: Any, param: str) -> int:
    """Raises a refusal."""
    if isinstance(value, str) and _NUMBER.match(value):
        return int(value)
    raise invalid(f"Invalid integer: {value}", param=param, code="parameter_invalid_integer")


def flag(value: Any, param: str) -> bool:
    """Raises a refusal."""
    if value in {"true", "false"}:
        return bool(value == "true")
    raise invalid(f"Invalid boolean: {value}", param=param)


def text(value: Any, param: str) -> str:
    """Raises a refusal."""
    if isinstance(value, str):
        return value
    raise invalid(f"Invalid string: {value}", param=param)


def check_address(value: str | None, param: str) -> None:
    """Raises a refusal for what is no address of the web."""
    if value and urlsplit(value).scheme not in {"http", "https"}:
        raise invalid("Not a valid URL", param=param, code="url_invalid")


def _map(value: Any, param: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise invalid("Invalid object", param=param)


def _list(value: Any, param: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise invalid("Invalid array", param=param)


def _unset(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, param: None if value == "" else read(value, param)


_KINDS: Mapping[str, Callable[[Any, str], Any]] = {
    "text": _unset(text),
    "int": _unset(whole),
    "bool": _unset(flag),
    "map": _unset(_map),
    "list": _unset(_list),
    "any": _unset(lambda value, _param: value),
}
