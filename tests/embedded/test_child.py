"""One supervised process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from embedded.child import LOG_BYTES_MAX, Child, how_it_ended, shorten
from embedded.errors import PartFailed
from tests.embedded.processes import BROKEN, MUTE, STUBBORN, Heard, a_part, alive, process_end


async def test_a_killed_process_is_started_again(tmp_path: Path):
    heard = Heard()
    child = Child(a_part(tmp_path), heard)
    await child.start()
    first = child.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await heard.times("dummy ready", 2)

    assert child.pid != first
    assert heard.lines == ["dummy ready", "dummy was killed by SIGKILL", "dummy ready"]
    await child.stop()


async def test_a_stopped_process_is_not_started_again(tmp_path: Path):
    heard = Heard()
    child = Child(a_part(tmp_path), heard)
    await child.start()
    pid = child.pid
    assert pid is not None

    await child.stop()

    assert not alive(pid)
    assert heard.lines == ["dummy ready"]


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path):
    child = Child(a_part(tmp_path, STUBBORN, stop_grace_s=0.2), Heard())
    await child.start()
    pid = child.pid
    assert pid is not None

    await child.stop()

    assert not alive(pid)


async def test_a_process_that_cannot_start_is_reported_with_its_last_words(tmp_path: Path):
    child = Child(a_part(tmp_path, BROKEN), Heard())

    with pytest.raises(PartFailed, match="the database is on fire"):
        await child.start()


async def test_a_process_that_never_serves_is_reported_and_ended(tmp_path: Path):
    child = Child(a_part(tmp_path, MUTE, healthy_within_s=0.3), Heard())

    with pytest.raises(PartFailed, match="did not start"):
        await child.start()

    assert child.pid is not None
    assert not alive(child.pid)


def test_no_process_outlives_a_supervisor_that_is_killed(tmp_path: Path):
    program = f"""
        import asyncio, pathlib, sys
        from embedded.child import Child
        from tests.embedded.processes import Heard, a_part

        async def main():
            child = Child(a_part(pathlib.Path({str(tmp_path)!r})), Heard())
            await child.start()
            print(child.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    supervisor = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    assert alive(pid)

    supervisor.kill()
    supervisor.wait()
    asyncio.run(asyncio.wait_for(process_end(pid), 5))

    assert not alive(pid)


@pytest.mark.parametrize(
    ("returncode", "words"),
    [(0, "ended with exit code 0"), (-9, "was killed by SIGKILL"), (3, "ended with exit code 3"), (None, "ended")],
)
def test_an_end_is_told_in_words(returncode: int | None, words: str):
    assert how_it_ended(returncode) == words


def test_a_log_that_has_grown_large_is_put_aside(tmp_path: Path):
    log = tmp_path / "api.log"
    log.write_bytes(b"x" * (LOG_BYTES_MAX + 1))

    shorten(log)

    assert not log.exists()
    assert (tmp_path / "api.old.log").exists()
