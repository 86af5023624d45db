"""Which providers are paused, as every request wants to know it: read at most once a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from domain.errors import ControlPlaneError
from store import paused_providers
from store.connection import Pool, single

REMEMBERED_S = 1.0  # a pause takes effect at most this much later in other processes
READ_WITHIN_S = 1.0

log = logging.getLogger("babysea.api")


class PausedProviders:
    """Fails open: while they cannot be read, what was read last holds, and before that, nothing is paused."""

    def __init__(self, pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._read_at = -REMEMBERED_S
        self._reading = asyncio.Lock()

    async def names(self) -> frozenset[str]:
        if not self._fresh():
            async with self._reading:  # one reads for all who wait
                if not self._fresh():
                    await self._read()
        return self._names

    def forget(self) -> None:
        """Read again before the next answer."""
        self._read_at = self._clock() - REMEMBERED_S

    def _fresh(self) -> bool:
        return self._clock() - self._read_at < REMEMBERED_S

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S), single(self._pool) as conn:
                self._names = frozenset(await paused_providers.by_provider(conn))
        except (ControlPlaneError, TimeoutError):
            log.warning("paused_providers_unread")
        self._read_at = self._clock()
