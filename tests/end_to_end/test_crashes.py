"""kill -9 of any one process, and of all of them, while generations are under way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import running
from tests.end_to_end.conftest import a_caller
from tests.support.stack import PROJECT, QUICK, StackProcess, babysea
from tests.support.waiting import until

PARTS = ("worker", "api", "temporal", "postgres", "sandbox")
DEMO_S = 120
GENERATIONS = 3  # of one demo


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    own = StackProcess(tmp_path_factory.mktemp("crash"), latency_scale=1.0)
    try:
        own.start()
        yield own
    finally:
        own.stop()


@pytest.mark.parametrize("part", PARTS)
def test_the_demo_survives_the_death_of_one_process(stack: StackProcess, part: str, tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        demo = subprocess.Popen(
            babysea("demo", "--json", "--data", str(stack.data)),
            cwd=PROJECT,
            env={**os.environ, **QUICK},
            stdout=stdout,
            stderr=stderr,
        )
    until(lambda: started(err.read_text()) == GENERATIONS or demo.poll() is not None)
    assert demo.poll() is None, err.read_text()
    os.kill(current_pid(stack.data, part), 9)

    demo.wait(timeout=DEMO_S)

    assert demo.returncode == 0, err.read_text() + out.read_text()
    report = json.loads(out.read_text())
    assert [each["generation"]["status"] for each in report["generations"]] == ["succeeded"] * GENERATIONS
    assert report["ledger"]["violations"] == []
    assert report["passed"] is True


def test_a_generation_in_flight_when_everything_died_finishes_after_the_restart(stack: StackProcess) -> None:
    caller = a_caller(stack, stack.found, "survivor")
    words = f"a pier {uuid.uuid4().hex} [sandbox:replicate=latency_3]"
    generation_id = caller.generate(words)
    until(lambda: caller.content(generation_id)["generation_status"] == "processing")
    stack.kill()

    stack.start()

    record = caller.ended(generation_id)
    assert record["generation_status"] == "succeeded"
    assert len(caller.jobs(words)) == 1
    assert caller.balance() == pytest.approx(10 - 0.005)


def started(said: str) -> int:
    """How many generations the demo has said to be under way; its lines may be wrapped."""
    return len(re.findall(r"generation\s+[0-9a-f-]{36}\s+started", said))


def current_pid(data: Path, part: str) -> int:
    """The supervisor's note is written again when a part was restarted."""
    found = running.find(data)
    assert found is not None
    return found.pids[part]
