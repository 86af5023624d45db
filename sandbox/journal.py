"""The SQLite file that keeps jobs, submits, callbacks, uploads and configured faults.

Every write is committed before the answer leaves, so a killed process forgets nothing. All calls are short and made
from the event loop's thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.faults import NO_FAULTS, FaultPlan
from sandbox.jobs import Job

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, endpoint TEXT NOT NULL,
    prompt TEXT NOT NULL, input TEXT NOT NULL, created_at REAL NOT NULL, queue_s REAL NOT NULL, run_s REAL NOT NULL,
    base_url TEXT NOT NULL, faults TEXT NOT NULL, failure TEXT, deadline_s REAL, start_timeout_s REAL,
    webhook_url TEXT, webhook_events TEXT NOT NULL, origin TEXT NOT NULL, cancel_requested_at REAL,
    polls INTEGER NOT NULL DEFAULT 0, ringing INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS jobs_ringing ON jobs (number) WHERE ringing;
CREATE INDEX IF NOT EXISTS jobs_of_prompt ON jobs (provider, prompt);
CREATE TABLE IF NOT EXISTS submits (
    provider TEXT NOT NULL, prompt TEXT NOT NULL, received INTEGER NOT NULL,
    PRIMARY KEY (provider, prompt)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS callbacks (
    job_id TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL, sent_at REAL NOT NULL, status INTEGER);
CREATE INDEX IF NOT EXISTS callbacks_of_job ON callbacks (job_id);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, content_type TEXT NOT NULL, content BLOB NOT NULL,
    metadata TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS configured_faults (
    provider TEXT PRIMARY KEY, faults TEXT NOT NULL, times INTEGER);
"""

_JOB = (
    "number, id, provider, endpoint, input, created_at, queue_s, run_s, base_url, faults, failure, deadline_s, "
    "start_timeout_s, webhook_url, webhook_events, origin, cancel_requested_at, prompt"
)


class Journal:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing; a lost machine may
        self._db.executescript(_TABLES)
        self._configured: dict[str, tuple[list[str], int | None]] = {
            provider: (faults.split(), times)
            for provider, faults, times in self._db.execute("SELECT provider, faults, times FROM configured_faults")
        }

    def close(self) -> None:
        self._db.close()

    # jobs

    def add(self, job: Job) -> Job:
        """Keep an accepted job; returns it with its rank."""
        cursor = self._db.execute(
            f"INSERT INTO jobs ({_JOB}, ringing) VALUES (NULL{', ?' * 18})",  # noqa: S608
            (
                job.id, job.provider, job.endpoint, json.dumps(job.input), job.created_at, job.queue_s, job.run_s,
                job.base_url, " ".join(job.faults.words), json.dumps(job.failure) if job.failure else None,
                job.deadline_s, job.start_timeout_s, job.webhook_url, " ".join(job.webhook_events), job.origin,
                job.cancel_requested_at, job.prompt, bool(job.webhook_url),
            ),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        return replace(job, number=cursor.lastrowid)

    def job(self, provider: str, job_id: str) -> Job | None:
        return next(self._jobs("id = ? AND provider = ?", (job_id, provider)), None)

    def any_job(self, job_id: str) -> Job | None:
        return next(self._jobs("id = ?", (job_id,)), None)

    def jobs(
        self,
        *,
        provider: str | None = None,
        prompt: str | None = None,
        contains: str | None = None,
        endpoints: list[str] | None = None,
        below: int | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Newest first. `below` is a rank: only older jobs."""
        wanted: list[tuple[str, Any]] = [
            ("provider = ?", provider), ("prompt = ?", prompt), ("instr(prompt, ?) > 0", contains),
            ("number < ?", below), ("created_at >= ?", created_after), ("created_at < ?", created_before),
            ("endpoint IN (SELECT value FROM json_each(?))", json.dumps(endpoints) if endpoints else None),
        ]  # fmt: skip
        asked = [(clause, value) for clause, value in wanted if value is not None]
        where = " AND ".join(clause for clause, _ in asked) or "TRUE"
        return list(self._jobs(f"{where} ORDER BY number DESC LIMIT ?", (*(value for _, value in asked), limit)))

    def cancel(self, job_id: str, now: float) -> None:
        self._db.execute(
            "UPDATE jobs SET cancel_requested_at = ? WHERE id = ? AND cancel_requested_at IS NULL", (now, job_id)
        )

    def remove(self, job_id: str) -> None:
        """Forget one job, and its files with it."""
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def count_poll(self, job_id: str) -> int:
        (polls,) = self._db.execute(
            "UPDATE jobs SET polls = polls + 1 WHERE id = ? RETURNING polls", (job_id,)
        ).fetchone()
        return int(polls)

    def _jobs(self, where: str, values: tuple[Any, ...]) -> Iterator[Job]:
        for row in self._db.execute(f"SELECT {_JOB} FROM jobs WHERE {where}", values):  # noqa: S608
            yield _job(row)

    # submits

    def count_submit(self, provider: str, prompt: str) -> int:
        """The how-manieth submit of this prompt this is, from 1."""
        (received,) = self._db.execute(
            "INSERT INTO submits VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET received = received + 1 RETURNING received",
            (provider, prompt),
        ).fetchone()
        return int(received)

    def submits(self, provider: str | None, prompt: str | None, contains: str | None) -> list[dict[str, Any]]:
        rows = self._db.execute(
            "SELECT provider, prompt, received, (SELECT count(*) FROM jobs WHERE jobs.provider = submits.provider "
            "AND jobs.prompt = submits.prompt) FROM submits WHERE provider = ifnull(?, provider) "
            "AND prompt = ifnull(?, prompt) AND instr(prompt, ?) > 0 LIMIT 1000",
            (provider, prompt, contains or ""),
        )
        return [dict(zip(("provider", "prompt", "received", "accepted"), row, strict=True)) for row in rows]

    # callbacks

    def add_callback(self, job_id: str, event: str, kind: str, sent_at: float, status: int | None) -> None:
        """Record one request sent. `kind`: real, duplicate, forged or replayed; `status` None: no answer came."""
        self._db.execute("INSERT INTO callbacks VALUES (?, ?, ?, ?, ?)", (job_id, event, kind, sent_at, status))

    def callbacks(self, job_id: str) -> list[dict[str, Any]]:
        rows = self._db.execute(
            "SELECT event, kind, sent_at, status FROM callbacks WHERE job_id = ? ORDER BY rowid", (job_id,)
        )
        return [dict(zip(("event", "kind", "sent_at", "status"), row, strict=True)) for row in rows]

    def ringing(self) -> list[Job]:
        """Jobs whose callbacks are not all sent."""
        return list(self._jobs("ringing ORDER BY number", ()))

    def stop_ringing(self, job_id: str) -> None:
        self._db.execute("UPDATE jobs SET ringing = 0 WHERE id = ?", (job_id,))

    # uploads

    def add_upload(self, upload: tuple[str, str, str, bytes, str, float]) -> None:
        """(id, name, content type, content, metadata as JSON, created at)"""
        self._db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", upload)

    def uploads(self, upload_id: str | None = None) -> list[tuple[str, str, str, bytes, str, float]]:
        return self._db.execute(
            "SELECT * FROM uploads WHERE id = ifnull(?, id) ORDER BY created_at DESC LIMIT 100", (upload_id,)
        ).fetchall()

    def remove_upload(self, upload_id: str) -> bool:
        return self._db.execute("DELETE FROM uploads WHERE id = ?", (upload_id,)).rowcount == 1

    # configured faults

    def configure_faults(self, provider: str, faults: list[str], times: int | None) -> None:
        self._configured[provider] = (faults, times)
        self._db.execute("REPLACE INTO configured_faults VALUES (?, ?, ?)", (provider, " ".join(faults), times))

    def configured_faults(self) -> dict[str, dict[str, Any]]:
        return {provider: {"faults": faults, "times": times} for provider, (faults, times) in self._configured.items()}

    def take_configured_faults(self, provider: str) -> list[str]:
        """The faults for the next submit; one of their times is used up."""
        faults, times = self._configured.get(provider, ([], None))
        if times is not None:
            if times > 1:
                self.configure_faults(provider, faults, times - 1)
            else:
                self.clear_faults(provider)
        return faults

    def clear_faults(self, provider: str | None = None) -> None:
        for name in [provider] if provider else list(self._configured):
            self._configured.pop(name, None)
            self._db.execute("DELETE FROM configured_faults WHERE provider = ?", (name,))

    def clear(self) -> None:
        """Forget everything."""
        for table in ("jobs", "submits", "callbacks", "uploads"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608
        self.clear_faults()


def _job(row: tuple[Any, ...]) -> Job:
    (number, job_id, provider, endpoint, native_input, created_at, queue_s, run_s, base_url, faults, failure,
     deadline_s, start_timeout_s, webhook_url, webhook_events, origin, cancel_requested_at, prompt) = row  # fmt: skip
    return Job(
        id=job_id,
        provider=provider,
        endpoint=endpoint,
        input=json.loads(native_input),
        created_at=created_at,
        queue_s=queue_s,
        run_s=run_s,
        base_url=base_url,
        faults=FaultPlan(tuple(faults.split())) if faults else NO_FAULTS,
        failure=json.loads(failure) if failure else None,
        deadline_s=deadline_s,
        start_timeout_s=start_timeout_s,
        webhook_url=webhook_url,
        webhook_events=tuple(webhook_events.split()),
        origin=origin,
        cancel_requested_at=cancel_requested_at,
        number=number,
        prompt=prompt,
    )
