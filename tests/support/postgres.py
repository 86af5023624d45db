"""One PostgreSQL per test session, and a fresh database, already migrated, for whoever asks.

With DATABASE_URL set, that server is used and the databases made there are dropped at the end.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import AsyncConnection, sql

from embedded.postgres import EmbeddedPostgres
from store.migrate import migrate

# Killed processes lose nothing without fsync, only a power cut does; tests are three times as fast.
_TEST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}
_numbers = itertools.count(1)


@cache
def server_url() -> str:
    """The server of this session, started on first use. Call it from the main thread."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    root = Path(tempfile.mkdtemp(prefix="bs-"))
    server = EmbeddedPostgres(root / "pg", settings=_TEST_SETTINGS)
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    atexit.register(server.stop)  # runs before the removal
    return server.start()


@cache
def _template() -> str:
    name = f"babysea_template_{os.getpid()}"
    with psycopg.connect(server_url(), autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(_url_of(name))
    if "DATABASE_URL" in os.environ:
        atexit.register(_drop, name)
    return name


async def fresh_database(*, migrated: bool = True) -> str:
    """The URL of a new database with the whole schema, or without any."""
    template = _template() if migrated else "template0"
    name = f"babysea_test_{os.getpid()}_{next(_numbers)}"
    async with await AsyncConnection.connect(server_url(), autocommit=True) as conn:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        await conn.execute(statement)
    if "DATABASE_URL" in os.environ:
        atexit.register(_drop, name)
    return _url_of(name)


def _url_of(database: str) -> str:
    return urlsplit(server_url())._replace(path=f"/{database}").geturl()


def _drop(name: str) -> None:
    with psycopg.connect(server_url(), autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
