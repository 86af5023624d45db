"""The life of a whole stack: it starts, goes on after every kind of end, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.lock import is_held
from embedded.ports import free_ports
from tests.cli.running import PARTS, RunningUp, babysea, gone


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder for a test alone."""
    with emptied(tmp_path / "data") as data:
        yield data


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    with emptied(tmp_path_factory.mktemp("lives") / "data") as data:
        yield Lives(data)


@pytest.fixture
def up(lives: Lives) -> RunningUp:
    """A healthy stack, to be left running or ended in any way."""
    return lives.running()


class Lives:
    """One data folder and its ports: on it the stack that runs, started again when none does."""

    def __init__(self, data: Path) -> None:
        self._data, self._ports = data, free_ports(4)
        self._latest: RunningUp | None = None

    def running(self) -> RunningUp:
        if self._latest is None or self._latest.process.poll() is not None:
            self._latest = RunningUp(self._data, self._ports).wait_until_ready()
        return self._latest


@contextmanager
def emptied(data: Path) -> Iterator[Path]:
    """Whatever stack is left on the folder is stopped."""
    yield data
    if is_held(data):
        holder = int((data / "lock").read_text())
        os.kill(holder, signal.SIGTERM)
        assert not gone([holder], within_s=20)


def test_a_second_stack_on_the_same_folder_is_refused(up: RunningUp):
    second = RunningUp(up.data)

    assert second.process.wait(60) == 1
    assert "Another stack" in second.said


def test_a_part_that_was_killed_is_started_again_and_found_under_its_new_process_id(up: RunningUp):
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


def test_what_was_made_before_is_there_after_a_restart(up: RunningUp, lives: Lives):
    generation_id = start(up, {"generation_prompt": "a buoy"})
    before = ended(up, generation_id)
    up.stop()

    again = lives.running()
    after = ended(again, generation_id)
    assert key_of(again) == key_of(up), "the key of the first run is the key of the second"

    assert before["generation_status"] == after["generation_status"] == "succeeded"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda signum: signum.name)
def test_a_stopped_stack_leaves_no_process_and_says_so(up: RunningUp, signum: signal.Signals):
    pids = list(up.pids.values())

    assert up.stop(signum) == 0

    assert gone(pids) == []
    assert "Stopped" in up.said
    assert not (up.data / "stack.json").exists()


def test_a_stack_whose_supervisor_is_killed_leaves_no_process(up: RunningUp):
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


def test_a_busy_port_is_a_clear_message_and_nothing_starts(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = other.getsockname()[1]
        api, temporal, ui = free_ports(3)
        up = RunningUp(folder, [api, temporal, ui, busy])

        assert up.process.wait(60) == 1

    assert f"Port {busy}, needed by sandbox" in up.said
    assert "--sandbox-port or BABYSEA_SANDBOX_PORT" in up.said
    assert "Traceback" not in up.said


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
