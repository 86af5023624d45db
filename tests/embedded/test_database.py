"""The database as a supervised part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from embedded.database import Database
from embedded.errors import PartFailed
from tests.embedded.processes import MUTE, Heard, alive


class Server:
    """A database that is only a process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> str:
        self._process = subprocess.Popen([sys.executable, "-c", MUTE])
        return "postgresql://"

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()


class Unwilling(Server):
    def start(self) -> str:
        raise RuntimeError("no space left")


async def test_a_database_that_dies_is_started_again():
    heard = Heard()
    database = Database(Server, heard)
    await database.start()
    first = database.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await heard.times("postgres ready", 2)
    second = database.pid
    assert second is not None
    assert second != first
    await database.stop()

    assert heard.lines == ["postgres ready", "postgres ended", "postgres ready"]
    assert not alive(second)


async def test_a_database_that_cannot_start_says_why():
    with pytest.raises(PartFailed, match="no space left"):
        await Database(Unwilling, Heard()).start()


async def test_a_database_that_cannot_start_again_is_tried_again():
    heard = Heard()
    servers: list[Server] = []

    def make() -> Server:
        servers.append(Unwilling() if len(servers) == 1 else Server())
        return servers[-1]

    database = Database(make, heard)
    await database.start()
    first = database.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await heard.times("postgres ready", 2)
    await database.stop()

    assert any("no space left" in line for line in heard.lines)
