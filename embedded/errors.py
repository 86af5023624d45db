"""What can go wrong with the embedded stack, each message a sentence that says what to do."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start, or cannot go on. The message is for the person at the terminal."""


class PortBusy(StackError):
    """Another program listens on a port that a part needs."""


class DataFolderInUse(StackError):
    """Another stack runs on the same data folder."""


class PartFailed(StackError):
    """A part ended, or did not become healthy, while the stack was starting."""
