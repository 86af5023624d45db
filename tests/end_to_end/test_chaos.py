"""The chaos run, short: a part is killed with -9 every few seconds, and nothing is lost or paid for twice.

The long one is for any machine: `python -m bench.chaos --generations 10000`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.stack import PROJECT

GENERATIONS = 12
WITHIN_S = 400  # on a machine that runs other tests, too


def test_generations_survive_the_death_of_every_part(tmp_path: Path) -> None:
    """K1 to K10, INV-27 to INV-30."""
    verdict = tmp_path / "verdict.json"
    command = (sys.executable, "-m", "bench.chaos", "--generations", str(GENERATIONS), "--kill-every", "4")

    done = subprocess.run(
        [*command, "--output", str(verdict)],
        cwd=PROJECT,
        capture_output=True,
        check=False,
        text=True,
        timeout=WITHIN_S,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(verdict.read_text())
    assert found["passed"] is True
    assert found["asked"] == sum(found["statuses"].values()) == GENERATIONS
    assert sum(found["kills"].values()) >= 1
    assert found["statuses"]["succeeded"] >= 1
