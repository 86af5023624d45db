"""The whole system on one machine, supervised: database, engine, simulated providers, API and worker.

Independent parts start side by side; each is checked until it serves; one that dies is started again. However the
supervisor ends, kill -9 included, its processes end with it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from embedded import health, running, temporal
from embedded.child import Child, Part, Report
from embedded.config import HOST, StackConfig, environment
from embedded.database import Database, DatabaseServer
from embedded.lock import DataLock
from embedded.ports import choose_ports

PROJECT = Path(__file__).parent.parent
GENERATIONS_QUEUE = "generations"
AFTER_A_KILL_S = 5.0  # within which the processes of a killed supervisor have ended and their ports are free


class Stack:
    """`start`, then leave it running, then `stop`. `prepare(database_url)` runs once the database serves,
    `stock(config)` once the simulated providers do."""

    def __init__(
        self,
        config: StackConfig,
        report: Report,
        prepare: Callable[[str], None],
        *,
        stock: Callable[[StackConfig], None] | None = None,
        make_database: Callable[[Path], DatabaseServer] | None = None,
        latency_scale: float = 1.0,
    ) -> None:
        self.config = config
        self._report: Report = _KeepsNote(report, self._refresh_note)
        self._prepare = prepare
        self._stock = stock
        self._latency_scale = latency_scale
        self._make_database = make_database or _embedded_postgres
        self._lock = DataLock(config.data)
        self._database: Database | None = None
        self._database_url: str | None = None  # once everything is healthy
        self._children: dict[str, Child] = {}

    async def start(self) -> running.RunningStack:
        """Returns when every part is healthy. Raises StackError; `stop` is owed all the same."""
        data = self.config.data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        clean = self._lock.take()
        running.forget(data)
        patience_s = 0.0 if clean else AFTER_A_KILL_S
        self.config = StackConfig(data, choose_ports(self.config.ports, patience_s=patience_s))
        self.config.logs.mkdir(exist_ok=True)
        self.config.artifacts.mkdir(exist_ok=True)
        if moved := temporal.prepare_database(data):
            self._report.note(moved)

        try:
            database_url = await self._start_parts()
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

        self._database_url = database_url
        return self._write_note()

    async def stop(self) -> None:
        """Everything, in the reverse order of the dependencies. Safe at any time."""
        self._database_url = None
        running_parts = self._children
        await asyncio.gather(*(running_parts[name].stop() for name in ("worker", "api") if name in running_parts))
        await asyncio.gather(*(running_parts[name].stop() for name in ("sandbox", "temporal") if name in running_parts))
        if self._database is not None:
            await self._database.stop()
        if self._lock.held:
            running.forget(self.config.data)
        self._lock.give_back()

    def kill(self) -> None:
        """At once, without waiting; the database ends by its parent-death signal."""
        for child in self._children.values():
            child.kill()

    def pids(self) -> dict[str, int]:
        """The processes as of now; a restart changes them."""
        pids = {name: child.pid for name, child in self._children.items()}
        if self._database is not None:
            pids["postgres"] = self._database.pid
        return {name: pid for name, pid in pids.items() if pid is not None}

    def _write_note(self) -> running.RunningStack:
        assert self._database_url is not None
        found = running.RunningStack(self.config, self._database_url, os.getpid(), self.pids())
        found.write()
        return found

    def _refresh_note(self) -> None:
        """A part that was started again has another process id."""
        if self._database_url is not None:
            self._write_note()

    async def _start_parts(self) -> str:
        async with asyncio.TaskGroup() as starting:
            engine = starting.create_task(self._child(self._temporal()).start())
            starting.create_task(self._start_sandbox())
            await asyncio.sleep(0)  # both fork before the database's start blocks this thread
            database_url = await self._start_database()
            await engine
            settings = environment(self.config, database_url)
            starting.create_task(self._child(self._api(settings)).start())
            starting.create_task(self._child(self._worker(settings)).start())
        return database_url

    async def _start_sandbox(self) -> None:
        await self._child(self._sandbox()).start()
        if self._stock is not None:
            await asyncio.to_thread(self._stock, self.config)

    async def _start_database(self) -> str:
        root = self.config.data / "postgres"
        self._database = Database(lambda: self._make_database(root), self._report)
        url = await self._database.start()
        began = time.monotonic()
        await asyncio.to_thread(self._prepare, url)
        self._report.ready("schema", time.monotonic() - began)
        return url

    def _child(self, part: Part) -> Child:
        child = self._children[part.name] = Child(part, self._report)
        return child

    def _part(
        self,
        name: str,
        command: list[str],
        healthy: health.Probe,
        settings: Mapping[str, str] | None = None,
        stop_grace_s: float = 5.0,
    ) -> Part:
        surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return Part(
            name=name,
            command=command,
            environment={**surroundings, **(settings or {}), "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"},
            folder=self.config.data,  # not the project: an .env there is meant for other deployments
            log=self.config.logs / f"{name}.log",
            healthy=healthy,
            stop_grace_s=stop_grace_s,
        )

    def _temporal(self) -> Part:
        return self._part(
            "temporal",
            temporal.command(self.config),
            health.temporal_answers(self.config.temporal_ui_url),
            stop_grace_s=1.0,  # its own shutdown takes 3 s and adds nothing: the file survives SIGKILL
        )

    def _sandbox(self) -> Part:
        state = (self.config.data / "sandbox.db").absolute()
        return self._part(
            "sandbox",
            [
                *(sys.executable, "-m", "sandbox", "--port", str(self.config.ports.sandbox)),
                *("--data", str(state), "--latency-scale", str(self._latency_scale)),
            ],
            health.answers(f"{self.config.sandbox_url}/sandbox/health"),
        )

    def _api(self, settings: Mapping[str, str]) -> Part:
        return self._part(
            "api",
            [
                *(sys.executable, "-m", "api", "--host", HOST, "--port", str(self.config.ports.api)),
                *("--ends-within", "3"),
            ],
            health.answers(f"{self.config.api_url}/livez", f"{self.config.api_url}/readyz"),
            settings,
        )

    def _worker(self, settings: Mapping[str, str]) -> Part:
        return self._part(
            "worker",
            [sys.executable, "-m", "worker"],
            health.worker_polls(self.config.temporal_ui_url, GENERATIONS_QUEUE),
            settings,
        )


class _KeepsNote:
    """A report that passes everything on, and has the note written again whenever a part is ready."""

    def __init__(self, to: Report, refresh: Callable[[], None]) -> None:
        self._to = to
        self._refresh = refresh

    def ready(self, part: str, seconds: float) -> None:
        self._refresh()
        self._to.ready(part, seconds)

    def ended(self, part: str, how: str, pause_s: float) -> None:
        self._to.ended(part, how, pause_s)

    def note(self, text: str) -> None:
        self._to.note(text)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a group; those that followed are its echo."""
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _embedded_postgres(root: Path) -> DatabaseServer:
    from embedded.postgres import EmbeddedPostgres

    return EmbeddedPostgres(root)
