"""The request log of one API process: noted beside the answers, written to the database in batches behind them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from contextlib import suppress

from starlette.types import Scope

from api.request_entry import entry_of
from domain.errors import ControlPlaneError, DatabaseUnavailable
from store import requests
from store.connection import Pool, single
from store.keys import KeyOwner
from store.requests import Entry

WRITTEN_EVERY_S = 0.5
LARGE = 500  # entries that are written without waiting
BATCH_MAX = 1_000  # entries in one statement
NOTED_MAX = 20_000  # entries kept while the database is away, some 20 MB

log = logging.getLogger("babysea.api")


class RequestLog:
    """A request is never slowed or failed by its note. What is noted is written once, also when an answer is lost."""

    def __init__(self, pool: Pool, *, address_key: bytes, noted_max: int = NOTED_MAX) -> None:
        self._pool = pool
        self._address_key = address_key
        self._noted_max = noted_max
        self._noted: deque[Entry] = deque()
        self._dropped = 0
        self._writer_id = str(uuid.uuid4())
        self._batch: list[Entry] = []  # sent, and sent again unchanged until it is certainly written
        self._batch_number = 1
        self._due = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def note(self, scope: Scope, caller: KeyOwner, *, status: int, came_at: float, duration_s: float) -> None:
        """Keep what was asked and answered until it is written. When the database is away for long, the oldest go."""
        self._noted.append(
            entry_of(
                scope, caller, status=status, came_at=came_at, duration_s=duration_s, address_key=self._address_key
            )
        )
        if len(self._noted) > self._noted_max:
            self._noted.popleft()
            self._dropped += 1
        if len(self._noted) >= LARGE:
            self._due.set()

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_for_ever())

    async def close(self) -> None:
        """Write what is left, if the database takes it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        if left := self._dropped + len(self._batch) + len(self._noted):
            log.error("request_log_lost entries=%d", left)

    async def flush(self) -> bool:
        """Write what was noted before the call. False when the database does not answer: then it stays noted."""
        async with self._writing:
            owed = len(self._batch) + len(self._noted)
            while owed > 0 and (self._batch or self._noted):
                self._batch = self._batch or self._next_batch()
                owed -= len(self._batch)
                if not await self._written():
                    return False
                self._batch = []
                self._batch_number += 1
        return True

    def _next_batch(self) -> list[Entry]:
        return [self._noted.popleft() for _ in range(min(BATCH_MAX, len(self._noted)))]

    async def _written(self) -> bool:
        """Whether the batch is done with: written, or refused for good."""
        try:
            async with single(self._pool) as conn:
                await requests.add(conn, self._writer_id, self._batch_number, self._batch)
        except DatabaseUnavailable:
            log.warning("request_log_waits entries=%d", len(self._batch) + len(self._noted))
            return False
        except ControlPlaneError:
            log.exception("request_log_lost entries=%d", len(self._batch))
        if self._dropped:
            log.error("request_log_dropped entries=%d", self._dropped)
            self._dropped = 0
        return True

    async def _write_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_EVERY_S):
                    await self._due.wait()
            self._due.clear()
            if not await self.flush():
                await asyncio.sleep(WRITTEN_EVERY_S)
