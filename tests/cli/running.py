"""Whole stacks as a person starts them: `babysea up` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from embedded.ports import free_ports

PROJECT = Path(__file__).parents[2]
UP_WITHIN_S = 90.0  # on a machine that runs other tests, too
READY_LINE = "Ctrl-C stops everything"
PARTS = ("postgres", "temporal", "sandbox", "api", "worker")


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BABYSEA_")}
    return {**clean, "PYTHONPATH": str(PROJECT), "NO_COLOR": "1"}


def babysea(*arguments: str, data: Path, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments, "--data", str(data)],
        env=environment(),
        cwd=data.parent,
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout_s,
    )


class RunningUp:
    """`babysea up` on fixed ports, with everything it says."""

    def __init__(self, data: Path, ports: list[int] | None = None, *, latency_scale: float = 0.2) -> None:
        self.data = data
        api, temporal, ui, sandbox = ports or free_ports(4)
        self.ports = [api, temporal, ui, sandbox]
        self.api_url = f"http://127.0.0.1:{api}"
        self.lines: list[str] = []
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cli.main", "up", "--data", str(data), "--latency-scale", str(latency_scale)),
                *("--api-port", str(api), "--temporal-port", str(temporal)),
                *("--temporal-ui-port", str(ui), "--sandbox-port", str(sandbox)),
            ],
            env=environment(),
            cwd=data.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if READY_LINE in line:
                self._ready.set()
        self._ready.set()

    def wait_until_ready(self) -> RunningUp:
        assert self._ready.wait(UP_WITHIN_S), self.said
        assert READY_LINE in self.said, self.said
        return self

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    @property
    def curl(self) -> str:
        return next(line.strip() for line in self.lines if line.strip().startswith("curl "))

    @property
    def note(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return read

    @property
    def pids(self) -> dict[str, int]:
        """As they were when the stack had started."""
        return dict(self.note["pids"])

    def stop(self, signum: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(30)

    def kill(self) -> None:
        """kill -9 for the supervisor and every part, as if the power had gone."""
        pids = self.pids
        self.process.kill()
        for pid in pids.values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def gone(pids: list[int], *, within_s: float = 10.0) -> list[int]:
    """Those of the processes that still run after that time."""
    deadline = time.monotonic() + within_s
    while left := [pid for pid in pids if _alive(pid)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return []


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}
