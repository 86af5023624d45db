"""Waiting for something that nobody announces, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(true: Callable[[], bool], *, within_s: float = 30) -> None:
    """Look twenty times a second. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not so after {within_s} s")
        time.sleep(0.05)
