"""Attempts: the journal that makes a submission to a provider safe to repeat, and what each attempt cost us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from domain.errors import InternalError
from domain.generation import AttemptFailure, AttemptState, JobRef
from store import sql

_QUERIES = sql.load("attempts")
_ENDS = frozenset({AttemptState.USED, AttemptState.FAILED, AttemptState.CANCELED, AttemptState.DISCARDED})


@dataclass(frozen=True)
class Intent:
    """What is about to be submitted."""

    attempt_id: str
    generation_id: str
    account_id: str
    number: int
    provider: str
    native_model: str
    cost_microcredits: int  # what the provider is expected to charge


class JobClaimed(Exception):
    """The provider's job belongs to another attempt: two attempts with the same input, and only one job."""


class BeginState(StrEnum):
    NEW = "new"  # submit now
    RESUBMIT = "resubmit"  # the provider had certainly refused it: submit now
    AMBIGUOUS = "ambiguous"  # an intent whose end nobody knows: look for the job, do not submit
    ACCEPTED = "accepted"  # the job is known: do not submit
    CLOSED = "closed"  # the attempt or its generation has ended, or nothing is held for it: do not submit


@dataclass(frozen=True)
class Begun:
    state: BeginState
    job: JobRef | None = None
    intended_at: datetime | None = None  # when the intent now standing was written; null when closed without one


@dataclass(frozen=True)
class AttemptRecord:
    attempt_id: str
    generation_id: str
    account_id: str
    number: int
    provider: str
    native_model: str
    state: AttemptState
    estimate_microcredits: int
    cost_microcredits: int | None  # null until it ended
    job: JobRef | None
    adopted: bool  # the job was found again after an ambiguous submit
    submissions: int
    failure: AttemptFailure | None
    begun_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None


async def begin(conn: AsyncConnection[Any], intent: Intent) -> Begun:
    """Write the intent to submit, and say whether to. One statement.

    An answer of NEW or RESUBMIT is given once; whoever asks again finds the intent and is told AMBIGUOUS.
    """
    cursor = await conn.execute(_QUERIES["begin"], asdict(intent))
    row = await cursor.fetchone()
    assert row is not None
    answer, job_id, job_handle, intended_at = row
    return Begun(BeginState(answer), _job(job_id, job_handle), intended_at)


async def refused(conn: AsyncConnection[Any], attempt_id: str, failure: AttemptFailure) -> None:
    """The provider certainly has no job: the attempt may be submitted again. One that has moved on is left alone."""
    await conn.execute(_QUERIES["refused"], {"attempt_id": attempt_id, "failure": Jsonb(asdict(failure))})


async def accepted(conn: AsyncConnection[Any], attempt_id: str, ref: JobRef, *, adopted: bool = False) -> list[str]:
    """Keep the provider's job; the generation's first acceptance makes it `processing` and announces that.

    One statement. Answers the deliveries of that announcement which are still to be rung. The first job of an attempt
    stays. Raises JobClaimed when the job is another attempt's, InternalError for an attempt that was never begun.
    """
    parameters = {
        "attempt_id": attempt_id,
        "job_id": ref.job_id,
        "job_handle": Jsonb(ref.handle),
        "adopted": adopted,
    }
    try:
        cursor = await conn.execute(_QUERIES["accepted"], parameters)
    except UniqueViolation as violation:
        raise JobClaimed(ref.job_id) from violation
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        raise InternalError("A job was accepted for an attempt that was never begun.")
    return list(row[0])


async def close(
    conn: AsyncConnection[Any],
    attempt_id: str,
    state: AttemptState,
    *,
    failure: AttemptFailure | None = None,
    cost_microcredits: int | None = None,
) -> None:
    """End an attempt. An unknown cost is the estimate where a job was used or left behind, and nothing otherwise.

    Repeated, it only adds a cost or failure told later. An end stays, but for one: what failed or was canceled may
    turn out to have delivered too late, and is then discarded.
    """
    assert state in _ENDS
    parameters = {
        "attempt_id": attempt_id,
        "state": state,
        "failure": Jsonb(asdict(failure)) if failure else None,
        "cost_microcredits": cost_microcredits,
    }
    await conn.execute(_QUERIES["close"], parameters)


async def of_generation(conn: AsyncConnection[Any], generation_id: str) -> list[AttemptRecord]:
    """In order of their numbers."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["of_generation"], {"generation_id": generation_id})
        return [_record(row) for row in await cursor.fetchall()]


async def get(conn: AsyncConnection[Any], attempt_id: str) -> AttemptRecord | None:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["get"], {"attempt_id": attempt_id})
        row = await cursor.fetchone()
    return _record(row) if row else None


def _record(row: Mapping[str, Any]) -> AttemptRecord:
    columns = {name: value for name, value in row.items() if name not in {"job_id", "job_handle"}}
    return AttemptRecord(
        **{
            **columns,
            "state": AttemptState(row["state"]),
            "failure": AttemptFailure(**row["failure"]) if row["failure"] else None,
        },
        job=_job(row["job_id"], row["job_handle"]),
    )


def _job(job_id: str | None, handle: dict[str, str] | None) -> JobRef | None:
    return None if job_id is None else JobRef(job_id, handle or {})
