"""The embedded database server: it starts after every kind of end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from embedded.database import process_end
from embedded.postgres import EmbeddedPostgres


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(tmp_path / "pg")
    yield postgres
    postgres.stop()


@pytest.fixture
def uncollected() -> Iterator[int]:
    """The id of a process that has ended and that its parent has not collected."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    yield child.pid
    child.wait()


def test_what_was_committed_survives_a_stop(server: EmbeddedPostgres):
    with psycopg.connect(server.start(), autocommit=True) as conn:
        conn.execute("CREATE TABLE kept (number integer)")
    server.stop()

    with psycopg.connect(server.start()) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)


async def test_what_was_committed_survives_a_kill(server: EmbeddedPostgres):
    url = server.start()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE kept (number integer)")
    assert server.pid is not None
    pid = server.pid

    os.kill(pid, signal.SIGKILL)
    await process_end(pid)

    with psycopg.connect(server.start()) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_the_locks_of_a_dead_server_that_nobody_collected_do_not_count(server: EmbeddedPostgres, uncollected: int):
    server.start()
    server.stop()
    root = server.root
    (root / "data" / "postmaster.pid").write_text(f"{uncollected}\n{root / 'data'}\n0\n5432\n{root}\n\n")
    (root / ".s.PGSQL.5432.lock").write_text(f"{uncollected}\n{root / 'data'}\n0\n5432\n{root}\n\n")

    url = server.start()

    psycopg.connect(url).close()


def test_a_data_folder_with_a_long_path_works(tmp_path: Path):
    postgres = EmbeddedPostgres(tmp_path / ("a" * 60) / ("b" * 60))
    try:
        psycopg.connect(postgres.start()).close()
    finally:
        postgres.stop()
