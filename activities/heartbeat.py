"""Tells the server that a long activity is alive, and lets it hear that it was canceled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

_EVERY_S = 1.0


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    """Heartbeat about once a second until the block ends; the worker sends fewer on."""
    beat = asyncio.ensure_future(_beat())
    try:
        yield
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat


async def _beat() -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        activity.heartbeat()
