"""PostgreSQL as a part of the stack: started first, started again when it dies, stopped last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Protocol

from embedded.child import RESTART_PAUSE_MAX_S, RESTART_PAUSE_S, STEADY_AFTER_S, Report
from embedded.errors import PartFailed


class DatabaseServer(Protocol):
    """What `embedded.postgres.EmbeddedPostgres` offers."""

    @property
    def pid(self) -> int | None: ...

    def start(self) -> str:
        """Recovers from whatever happened before. Blocks until connections are accepted; answers with the URL."""

    def stop(self) -> None: ...


class Database:
    """Keeps a database server running. Its start blocks the event loop on purpose: the parent-death signal is tied
    to the thread that forks, and that must be the one that lives as long as the stack."""

    def __init__(self, make: Callable[[], DatabaseServer], report: Report, name: str = "postgres") -> None:
        self._make = make
        self._report = report
        self._server: DatabaseServer | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.name = name

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server is not None else None

    async def start(self) -> str:
        """Raises PartFailed."""
        began = time.monotonic()
        url = self._begin()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")
        self._report.ready(self.name, time.monotonic() - began)
        return url

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    def _begin(self) -> str:
        server = self._make()
        try:
            url = server.start()
        except (OSError, RuntimeError) as error:
            raise PartFailed(f"{self.name} did not start: {error}") from error
        self._server = server
        return url

    async def _keep(self) -> None:
        pause = RESTART_PAUSE_S
        while True:
            born = time.monotonic()
            if self.pid is not None:
                await process_end(self.pid)
            if time.monotonic() - born > STEADY_AFTER_S:
                pause = RESTART_PAUSE_S
            self._report.ended(self.name, "ended", pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_PAUSE_MAX_S)
            born = time.monotonic()
            try:
                self._begin()
            except PartFailed as failure:
                self._report.note(str(failure))
            else:
                self._report.ready(self.name, time.monotonic() - born)


async def process_end(pid: int) -> None:
    """Wait for the end of a process that somebody else reaps."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
