"""kill -9 of any one process, and of all of them, while generations are under way."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import running
from tests.end_to_end.conftest import a_caller
from tests.support.stack import PROJECT, QUICK, StackProcess, babysea

PARTS = ("worker", "api", "temporal", "postgres", "sandbox")
DEMO_S = 120


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    own = StackProcess(tmp_path_factory.mktemp("crash"), latency_scale=1.0)
    try:
        own.start()
        yield own
    finally:
        own.stop()


@pytest.mark.parametrize("part", PARTS)
def test_the_demo_survives_the_death_of_one_process(stack: StackProcess, part: str) -> None:
    demo = subprocess.Popen(
        babysea("demo", "--json", "--data", str(stack.data)),
        cwd=PROJECT,
        env={**os.environ, **QUICK},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(2.5)  # the generations are under way: the demo takes longer than this on any machine
    assert demo.poll() is None
    os.kill(current_pid(stack.data, part), 9)

    out, err = demo.communicate(timeout=DEMO_S)

    assert demo.returncode == 0, err + out
    report = json.loads(out)
    assert [each["generation"]["status"] for each in report["generations"]] == ["succeeded"] * 3
    assert report["ledger"]["violations"] == []
    assert report["passed"] is True


def test_a_generation_in_flight_when_everything_died_finishes_after_the_restart(data: Path) -> None:
    own = StackProcess(data)
    try:
        caller = a_caller(own, own.start(), "survivor")
        words = f"a pier {uuid.uuid4().hex} [sandbox:replicate=latency_3]"
        generation_id = caller.generate(words)
        while caller.content(generation_id)["generation_status"] != "processing":
            time.sleep(0.05)
        own.kill()

        own.start()

        record = caller.ended(generation_id)
        assert record["generation_status"] == "succeeded"
        assert len(caller.jobs(words)) == 1
        assert caller.balance() == pytest.approx(10 - 0.005)
    finally:
        own.stop()


def current_pid(data: Path, part: str) -> int:
    """The supervisor's note is written again when a part was restarted."""
    found = running.find(data)
    assert found is not None
    return found.pids[part]
