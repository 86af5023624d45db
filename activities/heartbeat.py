"""Tells the server that a long activity is alive, and lets it hear that it was canceled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio import activity

_EVERY_S = 1.0


@contextmanager
def heartbeating() -> Iterator[None]:
    """Heartbeat once a second until the block ends; the worker sends fewer on. Costs a short activity nothing."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def beat() -> None:
        nonlocal timer
        activity.heartbeat()
        timer = loop.call_later(_EVERY_S, beat)

    timer = loop.call_later(_EVERY_S, beat)
    try:
        yield
    finally:
        timer.cancel()
