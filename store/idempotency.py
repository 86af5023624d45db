"""Idempotency-Key of the generate routes. Unique per account; an answer is kept for a day, a claim for a minute.

A claim that nobody answered before its lease ran out belongs to a request that died. When its generation was recorded,
the next request finishes the answer from that record; else the key is free again. A generation must therefore not be
admitted later than its lease, however long its request slept on the way: `Claim.admit_by` sees to that. Two do
not wait for it: what has been on record for five seconds is answered from there, and what was abandoned frees the key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection

from store import sql
from store.connection import STATEMENT_TIMEOUT

LEASE = timedelta(seconds=60)
COMMIT_MARGIN = STATEMENT_TIMEOUT * 1.5  # an admission that was in time is to be seen before the lease ends
LIFE = timedelta(hours=24)

_QUERIES = sql.load("idempotency")


class ClaimState(StrEnum):
    NEW = "new"  # ours: answer it, then `complete` or `free`
    REPLAY = "replay"  # answered before: send `response` again
    MISMATCH = "mismatch"  # the key belongs to another request
    IN_PROGRESS = "in_progress"  # the first request is being answered right now
    RECOVER = "recover"  # the first request died after recording `generation_id`: answer from that record, `complete`


@dataclass(frozen=True)
class Claim:
    state: ClaimState
    generation_id: str  # of the request that holds the key
    response: bytes | None = None  # the exact body, with REPLAY
    status: int | None = None
    admit_by: float = field(default=0.0, compare=False)  # with NEW: as `GenerationRequest.admit_by`, and no later


async def claim(
    conn: AsyncConnection[Any],
    account_id: str,
    key: str,
    fingerprint: str,
    generation_id: str,
    lease: timedelta = LEASE,
    life: timedelta = LIFE,
) -> Claim:
    """Claim the key for a request that would make `generation_id`. One statement."""
    parameters = {
        "account_id": account_id,
        "key": key,
        "fingerprint": fingerprint,
        "generation_id": generation_id,
        "lease_s": lease.total_seconds(),
        "life_s": life.total_seconds(),
    }
    cursor = await conn.execute(_QUERIES["claim"], parameters)
    row = await cursor.fetchone()
    assert row is not None
    answer, holder, status, response, lease_until = row
    admit_by = lease_until - COMMIT_MARGIN.total_seconds()
    return Claim(ClaimState(answer), holder, response, status, admit_by)


async def complete(
    conn: AsyncConnection[Any], account_id: str, key: str, generation_id: str, response: bytes, *, status: int = 200
) -> bool:
    """Keep the answer. False when the claim has gone to another request, or was answered before."""
    parameters = {
        "account_id": account_id,
        "key": key,
        "generation_id": generation_id,
        "response": response,
        "status": status,
    }
    cursor = await conn.execute(_QUERIES["complete"], parameters)
    return cursor.rowcount == 1


async def free(conn: AsyncConnection[Any], account_id: str, key: str, generation_id: str) -> bool:
    """Give the key back after an error, so that a retry runs anew. An answered key stays."""
    parameters = {"account_id": account_id, "key": key, "generation_id": generation_id}
    cursor = await conn.execute(_QUERIES["free"], parameters)
    return cursor.rowcount == 1


async def purge(conn: AsyncConnection[Any], *, limit: int = 1000) -> int:
    """Remove keys past their life; how many went."""
    cursor = await conn.execute(_QUERIES["purge"], {"limit": limit})
    return cursor.rowcount
