"""Starts the provider sandbox as a program of its own, on a free port with a data file of its own.

    async with running_sandbox() as sandbox:
        sandbox.url, sandbox.replicate_url, sandbox.fal_queue_url, sandbox.fal_rest_url, sandbox.fal_platform_url

`started_sandbox` is the same for code that is not async. Jobs answer at once unless `latency_scale` says otherwise.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

_ROOT = Path(__file__).resolve().parents[2]
_START_LIMIT_S = 30
_STOP_LIMIT_S = 5


@dataclass
class SandboxProcess:
    """One sandbox. `kill` ends it without warning; `start` brings it back on the same port and data."""

    data: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def replicate_url(self) -> str:
        return f"{self.url}/replicate/v1"

    @property
    def fal_queue_url(self) -> str:
        return f"{self.url}/fal/queue"

    @property
    def fal_rest_url(self) -> str:
        return f"{self.url}/fal/rest"

    @property
    def fal_platform_url(self) -> str:
        return f"{self.url}/fal/platform/v1"

    def start(self) -> SandboxProcess:
        command = [sys.executable, "-m", "sandbox", "--port", str(self.port), "--data", str(self.data), *self.options]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self.process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        line = _first_line(self.process)
        if not line.startswith("sandbox ready at "):
            self.stop()
            raise RuntimeError(f"the sandbox did not start: {line!r}")
        self.port = urlsplit(line.rsplit(" ", 1)[1].strip()).port or 0
        return self

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_STOP_LIMIT_S)
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None

    def __enter__(self) -> SandboxProcess:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


@contextmanager
def started_sandbox(*, latency_scale: float = 0.0, options: tuple[str, ...] = ()) -> Iterator[SandboxProcess]:
    """`options`: further words of the command line, for example ("--retention", "2")."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        given = ("--latency-scale", str(latency_scale), *options)
        with SandboxProcess(Path(folder) / "sandbox.sqlite", given) as running:
            yield running


@asynccontextmanager
async def running_sandbox(
    *, latency_scale: float = 0.0, options: tuple[str, ...] = ()
) -> AsyncIterator[SandboxProcess]:
    """The same, without blocking the event loop while it starts and stops."""
    scope = started_sandbox(latency_scale=latency_scale, options=options)
    running = await asyncio.to_thread(scope.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(scope.__exit__, None, None, None)


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    until = time.monotonic() + _START_LIMIT_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if selector.select(until - time.monotonic()):
            return process.stdout.readline()
    return ""
