"""Small stand-ins for the parts of a stack, and ways to watch processes end."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded.child import Part
from embedded.database import process_end

STEADY = "import os, pathlib, signal; pathlib.Path('pid').write_text(str(os.getpid())); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STEADY}"
BROKEN = "import sys; print('the database is on fire'); sys.exit(3)"
MUTE = "import signal; signal.pause()"


@dataclass
class Heard:
    """A report that remembers."""

    lines: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def ready(self, part: str, seconds: float) -> None:
        self.note(f"{part} ready")

    def ended(self, part: str, how: str, pause_s: float) -> None:
        self.note(f"{part} {how}")

    def note(self, text: str) -> None:
        self.lines.append(text)
        self._news.set()

    async def times(self, line: str, count: int) -> None:
        """Wait until the line has been said so often."""
        async with asyncio.timeout(20):
            while self.lines.count(line) < count:
                self._news.clear()
                await self._news.wait()


def a_part(folder: Path, code: str = STEADY, **changes: Any) -> Part:
    """A Python process that is healthy once it has written its process id."""

    async def healthy(pid: int) -> bool:
        return (folder / "pid").read_text() == str(pid)

    facts: dict[str, Any] = {
        "name": "dummy",
        "command": [sys.executable, "-c", code],
        "environment": dict(os.environ),
        "folder": folder,
        "log": folder / "dummy.log",
        "healthy": healthy,
        "stop_grace_s": 5.0,
        "healthy_within_s": 20.0,
    }
    return Part(**(facts | changes))


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


__all__ = ["BROKEN", "MUTE", "STEADY", "STUBBORN", "Heard", "a_part", "alive", "process_end"]
