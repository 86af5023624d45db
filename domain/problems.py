"""What is wrong with a request, all of it at once, as the caller is told."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from domain.errors import InputError, InvalidInput

PROBLEMS_MAX = 50
ECHO_CHARACTERS_MAX = 64
_ECHO_BITS_MAX = 200  # 61 digits; also keeps str() of an integer cheap


@dataclass(frozen=True)
class Problem:
    """One fault of one field. `error` is what is raised when all problems agree on it."""

    field: str
    code: str
    message: str
    error: type[InputError] = InvalidInput
    allowed: tuple[Any, ...] | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    received: str | None = None
    suggestion: str | None = None
    index: int | None = None  # of the item, in a list

    @property
    def path(self) -> str:
        return pointer(self.field) if self.index is None else f"{pointer(self.field)}/{self.index}"

    def public(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"path": self.path, "code": self.code, "message": self.message}
        if self.allowed is not None:
            shown["allowed"] = list(self.allowed)
        for name in ("minimum", "maximum", "received", "suggestion"):
            value = getattr(self, name)
            if value is not None:
                shown[name] = value
        return shown


def refuse(problems: Sequence[Problem]) -> NoReturn:
    """Raise the one error that names them all, in the order given: what all agree on, else InvalidInput."""
    kinds = {problem.error for problem in problems}
    error = kinds.pop() if len(kinds) == 1 else InvalidInput
    first = problems[0]
    details: dict[str, Any] = {
        "field": clip(first.field) or "body",
        "problems": [problem.public() for problem in problems[:PROBLEMS_MAX]],
    }
    if first.index is not None:
        details["index"] = first.index
    message = first.message
    if len(problems) > 1:
        message += f" ({len(problems) - 1} more in details.problems)"
        details["problems_total"] = len(problems)
    raise error(message, details=details)


def pointer(field: str) -> str:
    """RFC 6901, of a member of the body; empty for the body itself."""
    return "/" + clip(field).replace("~", "~0").replace("/", "~1") if field else ""


def clip(text: str) -> str:
    """At most 64 characters, with everything that does not print escaped."""
    shown = ""
    for character in text[:ECHO_CHARACTERS_MAX]:
        piece = character if character.isprintable() else f"\\u{ord(character):04x}"
        if len(shown) + len(piece) > ECHO_CHARACTERS_MAX:
            break
        shown += piece
    return shown


def echo(value: object) -> str:
    """A refused value as the caller may see it again. Never call this for prompts or addresses."""
    if isinstance(value, str):
        return clip(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _ECHO_BITS_MAX else "a very large number"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "not a number"
    return kind_of(value)


def kind_of(value: object) -> str:
    """The JSON type, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "a string" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant. Long texts are nobody's typing error."""
    if len(text) > ECHO_CHARACTERS_MAX:
        return None
    return next(iter(difflib.get_close_matches(text, list(known), n=1, cutoff=0.7)), None)
