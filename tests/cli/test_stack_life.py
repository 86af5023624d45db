"""The life of a whole stack: it starts, goes on after every kind of end, and leaves nothing behind."""

from __future__ import annotations

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
from embedded.ports import free_ports
from tests.cli.running import PARTS, RunningUp, babysea, gone


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


def test_what_was_made_before_is_there_after_a_restart(folder: Path):
    up = RunningUp(folder).wait_until_ready()
    generation_id = start(up, {"generation_prompt": "a buoy"})
    before = ended(up, generation_id)
    up.stop()

    again = RunningUp(folder, up.ports).wait_until_ready()
    after = ended(again, generation_id)
    assert key_of(again) == key_of(up), "the key of the first run is the key of the second"
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


def test_a_part_that_was_killed_is_started_again_and_found_under_its_new_process_id(folder: Path):
    up = RunningUp(folder).wait_until_ready()
    before = up.pids

    for part in PARTS:
        os.kill(before[part], signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not all(up.said.count(f"{part:<10} ready") == 2 for part in PARTS):
        assert time.monotonic() < deadline, up.said
        time.sleep(0.1)

    after = up.pids
    assert not set(after.values()) & set(before.values())
    ended(up, start(up, {"generation_prompt": "a gull"}))
    up.stop()
    assert gone(list(after.values())) == []


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
