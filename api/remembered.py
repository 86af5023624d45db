"""Names that every request wants to know, as the database has them: read seldom, for all who ask at the same time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from psycopg import AsyncConnection

from domain.errors import ControlPlaneError
from store.connection import Pool, single

READ_WITHIN_S = 1.0

log = logging.getLogger("babysea.api")


class RememberedNames:
    """What `read` answered at most `for_s` seconds ago: so late does a change take effect in other processes.

    Fails open: while it cannot be read, what was read last holds, and before that, there are no names.
    """

    def __init__(
        self,
        what: str,
        pool: Pool,
        read: Callable[[AsyncConnection[Any]], Awaitable[Iterable[str]]],
        *,
        for_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._pool = pool
        self._read_names = read
        self._for_s = for_s
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._read_at = -for_s
        self._reading = asyncio.Lock()

    async def names(self) -> frozenset[str]:
        if not self._fresh():
            async with self._reading:  # one reads for all who wait
                if not self._fresh():
                    await self._read()
        return self._names

    def forget(self) -> None:
        """Read again before the next answer."""
        self._read_at = self._clock() - self._for_s

    def _fresh(self) -> bool:
        return self._clock() - self._read_at < self._for_s

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN_S), single(self._pool) as conn:
                self._names = frozenset(await self._read_names(conn))
        except (ControlPlaneError, TimeoutError):
            log.warning("%s_unread", self._what)
        self._read_at = self._clock()
