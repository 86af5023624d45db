"""The life of a whole stack: it starts, goes on after every kind of end, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.lock import is_held
from tests.cli.running import PARTS, RunningUp, babysea, free_ports, gone


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever stack a failed test leaves on it is stopped."""
    data = tmp_path / "data"
    yield data
    if is_held(data):
        holder = int((data / "lock").read_text())
        os.kill(holder, signal.SIGTERM)
        assert not gone([holder], within_s=20)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda signum: signum.name)
def test_a_stopped_stack_leaves_no_process_and_says_so(folder: Path, signum: signal.Signals):
    up = RunningUp(folder).wait_until_ready()
    pids = list(up.pids.values())

    assert up.stop(signum) == 0

    assert gone(pids) == []
    assert "Stopped" in up.said
    assert not (folder / "stack.json").exists()


def test_a_stack_whose_supervisor_is_killed_leaves_no_process(folder: Path):
    up = RunningUp(folder).wait_until_ready()
    pids = list(up.pids.values())

    up.process.kill()
    up.process.wait()

    assert gone(pids) == []


def test_a_stack_can_be_stopped_while_it_starts(folder: Path):
    up = RunningUp(folder)
    deadline = time.monotonic() + 60
    while "postgres" not in up.said and time.monotonic() < deadline:
        time.sleep(0.05)

    assert up.stop() == 0

    assert "Up after" not in up.said


def test_a_generation_in_flight_when_everything_was_killed_finishes_after_the_restart(folder: Path):
    up = RunningUp(folder).wait_until_ready()
    body = {"generation_prompt": "a ferry [sandbox:replicate=latency_4]"}
    generation_id = start(up, body)

    up.kill()
    again = RunningUp(folder, up.ports).wait_until_ready()

    record = ended(again, generation_id)
    again.stop()
    assert record["generation_status"] == "succeeded"
    assert key_of(again) == key_of(up), "the key of the first run is the key of the second"


def test_what_was_made_before_is_there_after_a_restart(folder: Path):
    up = RunningUp(folder).wait_until_ready()
    generation_id = start(up, {"generation_prompt": "a buoy"})
    before = ended(up, generation_id)
    up.stop()

    again = RunningUp(folder, up.ports).wait_until_ready()
    after = ended(again, generation_id)
    again.stop()

    assert before["generation_status"] == after["generation_status"] == "succeeded"


def test_a_busy_port_is_a_clear_message_and_nothing_starts(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = other.getsockname()[1]
        api, temporal, ui = free_ports(3)
        up = RunningUp(folder, [api, temporal, ui, busy])

        assert up.process.wait(60) == 1

    assert f"Port {busy}, needed by sandbox" in up.said
    assert "--sandbox-port or BABYSEA_SANDBOX_PORT" in up.said
    assert "Traceback" not in up.said


def test_a_second_stack_on_the_same_folder_is_refused(folder: Path):
    up = RunningUp(folder).wait_until_ready()

    second = RunningUp(folder)

    assert second.process.wait(60) == 1
    assert "Another stack" in second.said
    up.stop()


@pytest.mark.parametrize("part", PARTS)
def test_the_demo_survives_the_sudden_end_of_any_part(folder: Path, part: str):
    up = RunningUp(folder, latency_scale=1.0).wait_until_ready()
    demo = Demo(folder)
    demo.wait_for("polled video: generation")

    os.kill(up.pids[part], signal.SIGKILL)
    result = demo.result()

    up.stop()
    assert f"{part} was killed" in up.said or f"{part} ended" in up.said
    assert result["passed"], failures(result)
    assert [story["generation"]["status"] for story in result["generations"]] == ["succeeded"] * 3
    assert result["ledger"] == {"balanced": True, "violations": []}


def test_the_demo_starts_a_stack_when_none_runs_and_stops_it_again(folder: Path):
    api, temporal, ui, sandbox = map(str, free_ports(4))
    done = babysea(
        *("demo", "--api-port", api, "--temporal-port", temporal, "--temporal-ui-port", ui, "--sandbox-port", sandbox),
        data=folder,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("failover", "callback", "polled video", "signature verified", "sha256", "Demo passed"):
        assert words in done.stdout
    assert not (folder / "stack.json").exists()


class Demo:
    """`babysea demo --json` while other things happen."""

    def __init__(self, data: Path) -> None:
        import subprocess
        import sys

        from tests.cli.running import environment

        self._said = data.parent / "demo.err"
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "demo", "--json", "--data", str(data)],
                env=environment(),
                cwd=data.parent,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + 60
        while words not in self._said.read_text():
            assert time.monotonic() < deadline, self._said.read_text()
            time.sleep(0.05)

    def result(self) -> dict[str, Any]:
        out, _ = self._process.communicate(timeout=240)
        assert out, self._said.read_text()
        read: dict[str, Any] = json.loads(out)
        return read


def failures(result: dict[str, Any]) -> list[Any]:
    takes = [take for story in result["generations"] for take in (*story["earlier"], story)]
    checks = [(take["title"], check) for take in takes for check in take["checks"]]
    return [check for check in [*checks, *(("books", check) for check in result["checks"])] if not check[1]["passed"]]


def key_of(up: RunningUp) -> str:
    return (up.data / "demo_key").read_text().strip()


def start(up: RunningUp, body: dict[str, Any]) -> str:
    answer = httpx.post(
        f"{up.api_url}/v1/generate/image/bfl/flux-schnell",
        json=body,
        headers={"authorization": f"Bearer {key_of(up)}"},
        timeout=30,
    )
    return str(answer.json()["data"]["generation_id"])


def ended(up: RunningUp, generation_id: str, *, within_s: float = 120.0) -> dict[str, Any]:
    deadline = time.monotonic() + within_s
    while True:
        answer = httpx.get(
            f"{up.api_url}/v1/content/{generation_id}", headers={"authorization": f"Bearer {key_of(up)}"}, timeout=30
        )
        record: dict[str, Any] = answer.json().get("data", {})
        if record.get("generation_status") in {"succeeded", "failed", "canceled"} or time.monotonic() > deadline:
            return record
        time.sleep(0.2)
