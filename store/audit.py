"""The audit log: what operators changed. Rows are only ever added; the database refuses everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from store import sql

_QUERIES = sql.load("audit")


@dataclass(frozen=True)
class AuditEntry:
    audit_id: int
    at: datetime
    actor: str
    action: str
    target_type: str
    target_id: str
    account_id: str | None
    request_id: str | None  # None: done on the database, from the command line
    details: Mapping[str, Any]


async def note(
    conn: AsyncConnection[Any],
    *,
    actor: str,
    action: str,
    target_type: str,
    target_id: str,
    account_id: str | None,
    details: Mapping[str, Any],
    request_id: str | None = None,
) -> None:
    """Say what is being changed, inside the transaction that changes it: both happen, or neither.

    `action` is `resource.verb`, such as `key.revoke`. `details` are JSON and say what changed; never a secret.
    Routes call `api.admin.access.note`, which fills in who asked.
    """
    await conn.execute(
        _QUERIES["note"],
        {
            "actor": actor,
            "action": action,
            "target_type": target_type,
            "target_id": target_id,
            "account_id": account_id,
            "request_id": request_id,
            "details": Jsonb(dict(details)),
        },
    )


async def page(
    conn: AsyncConnection[Any], *, account_id: str | None, actor: str | None, limit: int, offset: int
) -> tuple[list[AuditEntry], int]:
    """Newest first, and how many there are in all."""
    parameters = {"account_id": account_id, "actor": actor, "limit": limit, "offset": offset}
    async with conn.cursor(row_factory=class_row(AuditEntry)) as cursor:
        await cursor.execute(_QUERIES["page"], parameters)
        rows = await cursor.fetchall()
    counted = await (await conn.execute(_QUERIES["count"], parameters)).fetchone()
    assert counted is not None
    return rows, counted[0]
