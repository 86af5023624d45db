"""The tables of the simulated Stripe: objects as JSON, remembered answers, timers, deliveries, settings.

A request is one transaction. All calls are short and made from the event loop's thread, on a connection of its own to
the simulator's file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Doc = dict[str, Any]  # a Stripe object; members that begin with "_" are ours and never shown

_TABLES = """
CREATE TABLE IF NOT EXISTS stripe_objects (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, created INTEGER NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS stripe_objects_of_kind ON stripe_objects (kind, number);
CREATE INDEX IF NOT EXISTS stripe_objects_of_customer
    ON stripe_objects (json_extract(body, '$.customer'), kind) WHERE json_extract(body, '$.customer') IS NOT NULL;
CREATE TABLE IF NOT EXISTS stripe_answers (
    key TEXT PRIMARY KEY, path TEXT NOT NULL, asked TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    request_id TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stripe_timers (
    object_id TEXT NOT NULL, word TEXT NOT NULL, at INTEGER NOT NULL, clock TEXT NOT NULL,
    PRIMARY KEY (object_id, word)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stripe_timers_due ON stripe_timers (clock, at);
CREATE TABLE IF NOT EXISTS stripe_deliveries (
    number INTEGER PRIMARY KEY, event TEXT NOT NULL, type TEXT NOT NULL, endpoint TEXT NOT NULL, state TEXT NOT NULL,
    due_at REAL NOT NULL, turn INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, status INTEGER);
CREATE INDEX IF NOT EXISTS stripe_deliveries_open ON stripe_deliveries (endpoint, due_at, turn) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS stripe_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_ALL = ("stripe_objects", "stripe_answers", "stripe_timers", "stripe_deliveries", "stripe_settings")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request with an idempotency key was told."""

    key: str
    path: str
    asked: str
    status: int
    body: str
    request_id: str
    at: int


class Store:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("PRAGMA busy_timeout = 5000")
        self.db.executescript(_TABLES)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def close(self) -> None:
        self.db.close()

    def clear(self) -> None:
        for table in _ALL:
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608

    # objects

    def put(self, doc: Doc) -> None:
        self.db.execute(
            "INSERT INTO stripe_objects (id, kind, created, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (doc["id"], doc["object"], doc.get("created") or doc.get("date") or 0, json.dumps(doc)),
        )

    def get(self, object_id: str) -> Doc | None:
        row = self.db.execute("SELECT body FROM stripe_objects WHERE id = ?", (object_id,)).fetchone()
        return json.loads(row[0]) if row else None

    def rank(self, object_id: str) -> int | None:
        row = self.db.execute("SELECT number FROM stripe_objects WHERE id = ?", (object_id,)).fetchone()
        return int(row[0]) if row else None

    def remove(self, object_id: str) -> None:
        self.db.execute("DELETE FROM stripe_objects WHERE id = ?", (object_id,))

    def find(
        self,
        kind: str,
        equal: Mapping[str, Any] | None = None,
        *,
        clauses: tuple[tuple[str, Any], ...] = (),
        oldest_first: bool = False,
        limit: int = -1,
    ) -> list[Doc]:
        """Newest first unless asked otherwise. `equal`: dotted member -> value; a list means one of it."""
        where, values = ["kind = ?"], [kind]
        for member, value in (equal or {}).items():
            if isinstance(value, list):
                where.append(f"json_extract(body, '$.{member}') IN (SELECT value FROM json_each(?))")  # noqa: S608
                values.append(json.dumps(value))
            else:
                where.append(f"json_extract(body, '$.{member}') IS ?")
                values.append(value)
        for clause, value in clauses:
            where.append(clause)
            values.append(value)
        order = "ASC" if oldest_first else "DESC"
        query = f"SELECT body FROM stripe_objects WHERE {' AND '.join(where)} ORDER BY number {order} LIMIT ?"  # noqa: S608
        return [json.loads(body) for (body,) in self.db.execute(query, (*values, limit))]

    def counts(self) -> dict[str, int]:
        return dict(self.db.execute("SELECT kind, count(*) FROM stripe_objects GROUP BY kind ORDER BY kind").fetchall())

    # remembered answers

    def answer(self, key: str) -> Answer | None:
        row = self.db.execute("SELECT * FROM stripe_answers WHERE key = ?", (key,)).fetchone()
        return Answer(*row) if row else None

    def remember(self, answer: Answer) -> None:
        self.db.execute(
            "REPLACE INTO stripe_answers VALUES (?, ?, ?, ?, ?, ?, ?)",
            (answer.key, answer.path, answer.asked, answer.status, answer.body, answer.request_id, answer.at),
        )

    # timers

    def set_timer(self, object_id: str, word: str, at: int, clock: str) -> None:
        self.db.execute("REPLACE INTO stripe_timers VALUES (?, ?, ?, ?)", (object_id, word, at, clock))

    def drop_timers(self, object_id: str, word: str | None = None) -> None:
        self.db.execute("DELETE FROM stripe_timers WHERE object_id = ? AND word = ifnull(?, word)", (object_id, word))

    def due_timer(self, clock: str, until: int) -> tuple[str, str, int] | None:
        """The earliest (object, word, time) that is due."""
        found: tuple[str, str, int] | None = self.db.execute(
            "SELECT object_id, word, at FROM stripe_timers WHERE clock = ? AND at <= ? ORDER BY at, object_id LIMIT 1",
            (clock, until),
        ).fetchone()
        return found

    # settings

    def setting(self, name: str, default: Any) -> Any:
        row = self.db.execute("SELECT value FROM stripe_settings WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_setting(self, name: str, value: Any) -> None:
        self.db.execute("REPLACE INTO stripe_settings VALUES (?, ?)", (name, json.dumps(value)))
