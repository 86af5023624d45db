"""The embedded stack as a process of its own, as `babysea up` runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from embedded import running

PROJECT = Path(__file__).parents[2]
START_S = 60.0
READY = "Ctrl-C stops everything"  # the end of what it says when it is up

# Patient enough for a loaded machine, and quick where a test has to wait for them.
QUICK = {
    "BABYSEA_BREAKERS_REORDER": "false",  # faults are ordered here, and the next test expects the usual order
    "BABYSEA_IMAGE_DEADLINE_S": "25",
    "BABYSEA_VIDEO_DEADLINE_S": "60",
    "BABYSEA_IMAGE_CALLBACK_GRACE_S": "4",
    "BABYSEA_VIDEO_CALLBACK_GRACE_S": "4",
    "BABYSEA_POLL_INTERVAL_S": "0.5",
    "BABYSEA_SUBMIT_TIMEOUT_S": "2",
    "BABYSEA_ADOPTION_WINDOW_S": "6",
}


def babysea(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments]


class StackProcess:
    """Started, killed and started again on the same data folder and ports."""

    def __init__(self, data: Path, *, latency_scale: float = 0.3) -> None:
        self.data = data
        self._latency_scale = latency_scale
        self._ports: list[str] = ["0", "0", "0", "0"]
        self._process: subprocess.Popen[bytes] | None = None
        self._found: running.RunningStack | None = None
        self._spoke_before = 0  # bytes of the log that earlier starts wrote

    @property
    def found(self) -> running.RunningStack:
        """As it was when it came up last."""
        assert self._found is not None
        return self._found

    @property
    def lines(self) -> list[str]:
        """What it has said since its last start."""
        return self._log.read_bytes()[self._spoke_before :].decode().splitlines()

    @property
    def curl(self) -> str:
        """The line that it says can be pasted."""
        return next(line.strip() for line in self.lines if line.strip().startswith("curl "))

    @property
    def _log(self) -> Path:
        return self.data / "up.log"

    def start(self) -> running.RunningStack:
        names = ("api", "temporal", "temporal-ui", "sandbox")
        ports = [part for name, port in zip(names, self._ports, strict=True) for part in (f"--{name}-port", port)]
        shape = ("--stop-with-parent", "--data", str(self.data), "--latency-scale", str(self._latency_scale))
        self.data.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._spoke_before = log.tell()
            self._process = subprocess.Popen(
                babysea("up", *shape, *ports),
                cwd=PROJECT,
                env={**os.environ, **QUICK},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not any(READY in line for line in self.lines):
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"the stack did not come up:\n{self._log.read_text()}")
            time.sleep(0.1)
        found = running.find(self.data)
        assert found is not None
        assert found.supervisor_pid == self._process.pid
        self._found = found
        chosen = found.config.ports
        self._ports = [str(port) for port in (chosen.api, chosen.temporal, chosen.temporal_ui, chosen.sandbox)]
        return found

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9 of the supervisor: everything dies with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


class Caller:
    """An app developer with a key."""

    def __init__(self, stack: running.RunningStack, key: str) -> None:
        self.key = key
        self._http = httpx.Client(
            base_url=stack.config.api_url, headers={"authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )
        self._sandbox = httpx.Client(base_url=stack.config.sandbox_url, timeout=10, trust_env=False)

    def generate(self, prompt: str, *, media: str = "image", model: str = "bfl/flux-schnell", **body: Any) -> str:
        answer = self._http.post(
            f"/v1/generate/{media}/{model}",
            json={"generation_prompt": prompt, **body},
            headers={"idempotency-key": uuid.uuid4().hex},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["generation_id"])

    def content(self, generation_id: str) -> dict[str, Any]:
        answer = self._http.get(f"/v1/content/{generation_id}")
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def cancel(self, generation_id: str) -> httpx.Response:
        return self._http.post(f"/v1/content/generation/cancel/{generation_id}")

    def ended(self, generation_id: str, *, within_s: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        record: dict[str, Any] = {}
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError, AssertionError):  # a part may be down at this moment
                record = self.content(generation_id)
                if record["generation_status"] in {"succeeded", "failed", "canceled"}:
                    return record
            time.sleep(0.1)
        raise AssertionError(f"{generation_id} did not end in {within_s} s: {record}")

    def balance(self) -> float:
        """Spendable credits, as an estimate tells them."""
        data = self._http.get("/v1/estimate/bfl/flux-schnell").json()["data"]
        return float(data["credit_balance"])

    def jobs(self, prompt: str) -> list[dict[str, Any]]:
        """What the simulated providers saw of this prompt."""
        answer = self._sandbox.get("/sandbox/jobs", params={"prompt": prompt})
        assert answer.status_code == 200, answer.text
        jobs: list[dict[str, Any]] = answer.json()["jobs"]
        return jobs
