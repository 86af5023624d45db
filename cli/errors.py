"""How a command says that it cannot do what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class CommandFailed(Exception):
    """The message is for the person at the terminal; the exit code is 1."""


class Refused(CommandFailed):
    """The API answered with an error that the same request will get again."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('message', 'The API refused.')} ({error.get('code', 'no code')})")
        self.code = error.get("code")
