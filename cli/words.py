"""What a word given to a command may be."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

import typer


def one_of(words: Iterable[str]) -> Callable[[str], str]:
    """For typer's `parser`: any other word is wrong usage."""
    known = [str(word) for word in words]

    def read(text: str) -> str:
        if text not in known:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(known)}.")
        return text

    return read


def is_id(text: str) -> bool:
    """Whether the database could have it as an id at all."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
