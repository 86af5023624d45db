"""Waiting for something that nobody announces, with an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


def until(true: Callable[[], bool], *, within_s: float = 30) -> None:
    """Look twenty times a second. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not so after {within_s} s")
        time.sleep(0.05)


async def until_async(true: Callable[[], Awaitable[bool]], *, within_s: float = 30) -> None:
    """The same for what has to be awaited."""
    deadline = time.monotonic() + within_s
    while not await true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not so after {within_s} s")
        await asyncio.sleep(0.05)
