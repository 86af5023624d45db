"""Schema migrations: numbered files in `store/migrations`, forward only, each applied once in its own transaction."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg.errors import DeadlockDetected
from psycopg.rows import TupleRow

_LOCK = 0x6261_6279_7365_61  # one migrator at a time in a database
_TRIES_MAX = 5  # for one file: what runs meanwhile may take the same locks in another order
_FILE = re.compile(r"^(\d{4})_\w+\.sql$")

_HISTORY = """
CREATE TABLE IF NOT EXISTS public.schema_migrations (
    name        text PRIMARY KEY,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class MigrationError(Exception):
    """The files and the history of the database disagree; nothing was applied by this call."""


@dataclass(frozen=True)
class Migration:
    name: str
    script: bytes

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.script).hexdigest()


def migrate(url: str, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is missing, in order, and answer the names applied. Two at once: the second waits and finds nothing.

    A file that PostgreSQL ends to break a deadlock is tried again: nothing of it was applied.
    Raises MigrationError when an applied file was changed, or when a new file is numbered below an applied one.
    """
    known = files() if migrations is None else migrations
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [_LOCK])  # held until the connection closes
        conn.execute("SET client_min_messages = warning")
        conn.execute(_HISTORY)
        missing = _missing(conn, known)
        for migration in missing:
            _apply(conn, migration)
    return [migration.name for migration in missing]


def files() -> list[Migration]:
    """The migrations of this version of the code, in order."""
    folder = resources.files("store").joinpath("migrations")
    found = sorted((entry for entry in folder.iterdir() if _FILE.match(entry.name)), key=lambda entry: entry.name)
    return [Migration(entry.name, entry.read_bytes()) for entry in found]


def _apply(conn: psycopg.Connection[TupleRow], migration: Migration, tries: int = _TRIES_MAX) -> None:
    try:
        with conn.transaction():
            conn.execute(migration.script)
            conn.execute(
                "INSERT INTO public.schema_migrations (name, checksum) VALUES (%s, %s)",
                [migration.name, migration.checksum],
            )
    except DeadlockDetected:
        if tries == 1:
            raise
        _apply(conn, migration, tries - 1)


def _missing(conn: psycopg.Connection[TupleRow], known: list[Migration]) -> list[Migration]:
    applied: dict[str, str] = dict(conn.execute("SELECT name, checksum FROM public.schema_migrations").fetchall())
    changed = [one.name for one in known if one.name in applied and one.checksum != applied[one.name]]
    if changed:
        raise MigrationError(f"changed after they were applied: {', '.join(changed)}; write a new migration instead")
    missing = [one for one in known if one.name not in applied]
    late = [one.name for one in missing if applied and one.name < max(applied)]
    if late:
        raise MigrationError(f"numbered below an applied migration: {', '.join(late)}; give them a higher number")
    return missing
