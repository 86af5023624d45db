"""What callers and operators are told has one voice: sentences, with a capital and a full stop."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain import errors

PROJECT = Path(__file__).parents[2]
FOLDERS = ("activities", "adapters", "api", "catalog", "domain", "store", "workflows")
NAMED = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
SENTENCE = re.compile(r"(?:[A-Z\0]|fal ).*[.\0]\Z", re.DOTALL)  # a value may come first or last; fal spells itself so


def messages(source: str) -> Iterator[str]:
    """The texts given to our errors where they are made; a formatted value counts as one character, NUL."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            text = node.args[0]
            if called in NAMED and isinstance(text, ast.Constant):
                yield str(text.value)
            elif called in NAMED and isinstance(text, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in text.values)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_message_of_an_error_is_a_sentence(folder: str):
    wrong = [
        f"{path.relative_to(PROJECT)}: {text!r}"
        for path in sorted((PROJECT / folder).rglob("*.py"))
        for text in messages(path.read_text())
        if not SENTENCE.match(text)
    ]

    assert not wrong, f"{wrong}: begin with a capital, end with a full stop."


def test_a_message_that_is_no_sentence_is_seen():
    (found,) = messages("def f():\n    raise e.InternalError('no such thing', details={})")

    assert not SENTENCE.match(found)
