"""How a command says that it cannot do what was asked."""

from __future__ import annotations


class CommandFailed(Exception):
    """The message is for the person at the terminal; the exit code is 1."""
