"""One process of the stack: started in its own session, dead when we are, started again when it ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from embedded.errors import PartFailed

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1

RESTART_PAUSE_S = 0.2  # doubles with every end that follows soon after a start
RESTART_PAUSE_MAX_S = 5.0
STEADY_AFTER_S = 10.0  # a life this long makes the next restart immediate again
STARTS_MAX = 3  # a part that ends this often before it was ever healthy will not get better
LOG_BYTES_MAX = 10 * 2**20


def die_with_parent(signum: int = signal.SIGKILL) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends `signum` to the process when its parent dies, however that dies."""
    parent = os.getpid()

    def between_fork_and_exec() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signum)
            if os.getppid() != parent:  # it died before the call
                os._exit(1)

    return between_fork_and_exec


class Report(Protocol):
    """What the supervisor tells the person at the terminal."""

    def ready(self, part: str, seconds: float) -> None: ...

    def ended(self, part: str, how: str, pause_s: float) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class Part:
    """How one process is run. `healthy(pid)` answers whether it serves; it may raise OSError while it does not."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    healthy: Callable[[int], Awaitable[bool]]
    stop_grace_s: float = 5.0  # from SIGTERM to SIGKILL
    healthy_within_s: float = 30.0


class Child:
    """A part as it runs. `start` returns when it is healthy; from then on it is kept running until `stop`."""

    def __init__(self, part: Part, report: Report) -> None:
        self.part = part
        self._report = report
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Raises PartFailed, with the end of the part's log, when it does not become healthy."""
        began = time.monotonic()
        for _ in range(STARTS_MAX):
            process = await self._spawn()
            if await self._becomes_healthy(process, began + self.part.healthy_within_s):
                self._keeper = asyncio.create_task(self._keep(process), name=f"keep {self.part.name}")
                self._report.ready(self.part.name, time.monotonic() - began)
                return
            if process.returncode is None:
                await self.stop()
                break
        raise PartFailed(
            f"{self.part.name} did not start. Its log is {self.part.log}; it ends with:\n{last_lines(self.part.log)}"
        )

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace. Safe at any time, also when it never started."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.part.stop_grace_s)
        except TimeoutError:
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """SIGKILL for the whole session of the process, now."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _spawn(self) -> asyncio.subprocess.Process:
        shorten(self.part.log)
        with self.part.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.part.command,
                env=dict(self.part.environment),
                cwd=self.part.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone
                preexec_fn=die_with_parent(),
            )
        return self._process

    async def _becomes_healthy(self, process: asyncio.subprocess.Process, deadline: float) -> bool:
        while process.returncode is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if await self.part.healthy(process.pid):
                    return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.05)
        return False

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        pause = RESTART_PAUSE_S
        while True:
            born = time.monotonic()
            await process.wait()
            if time.monotonic() - born > STEADY_AFTER_S:
                pause = RESTART_PAUSE_S
            self._report.ended(self.part.name, how_it_ended(process.returncode), pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_PAUSE_MAX_S)
            born = time.monotonic()
            process = await self._spawn()
            if await self._becomes_healthy(process, born + self.part.healthy_within_s):
                self._report.ready(self.part.name, time.monotonic() - born)


def how_it_ended(returncode: int | None) -> str:
    if returncode is None:
        return "ended"
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"


def last_lines(log: Path, count: int = 12) -> str:
    if not log.exists():
        return "  (nothing)"
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "\n".join(f"  {line}" for line in lines) or "  (nothing)"


def shorten(log: Path) -> None:
    """Put a log that has grown large aside, so that a stack kept for months does not fill the disk."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".old.log"))
