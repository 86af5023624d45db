"""The statement of an account: JSON or CSV, sent as it is read: a long history is never in memory as a whole."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from api import schemas
from api.admin import money_samples as samples
from api.admin import money_schemas as shapes
from api.admin.access import OperatorCaller, documented
from api.admin.requests import cell
from api.admin.targets import account_of
from api.dependencies import Handles
from api.envelope import encoded, request_id, timestamp
from domain import errors as e
from domain.periods import Period, period_between, period_named
from domain.pricing import text_from_microcredits
from store import statement
from store.accounts import Account
from store.connection import Pool, single
from store.ledger import Balance, Entry
from store.statement import Statement

router = APIRouter(prefix="/admin/v1/accounts/{account_id}", tags=["operator: credits"])

CHUNK = 200  # entries sent at a time
COLUMNS = ("number", "at", "operation", "amount", "balance_after", "generation_id", "key")

Named = Annotated[str | None, Query(description="A year, month or day of UTC: `2026`, `2026-11` or `2026-11-22`.")]
Start = Annotated[str | None, Query(alias="from", description="In place of `period`: from this instant on.")]
End = Annotated[str | None, Query(alias="to", description="In place of `period`: before this instant.")]


_OPERATION: dict[str, Any] = {
    "responses": {
        "200": {
            "content": {
                "application/json": {"example": samples.STATEMENT},
                "text/csv": {"schema": {"type": "string"}, "example": samples.STATEMENT_CSV},
            },
        }
    }
}


@router.get(
    "/statement",
    responses={
        200: {"model": schemas.Success[shapes.Statement]},
        **documented(e.InvalidInput, e.ResourceNotFound),
    },
    openapi_extra=_OPERATION,
)
async def read_statement(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    account_id: str,
    period: Named = None,
    start: Start = None,
    end: End = None,
    format: Annotated[Literal["json", "csv"], Query(description="json, or csv for a file.")] = "json",
) -> Response:
    """What the account had, every movement of its spendable balance in a period, and what it had then.

    A period begins with its first instant and ends before its last, in UTC: periods that meet leave out nothing and
    have nothing twice. A file without its line `closing` was cut off.
    """
    asked = period_of(period, start, end)
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        found = await statement.of_account(conn, account.account_id, asked)
    if format == "json":
        return StreamingResponse(_as_json(request, handles.pool, account, found), media_type="application/json")
    name = f"statement-{found.account_id}-{asked.start:%Y%m%d}-{asked.end:%Y%m%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_as_csv(handles.pool, found), headers=headers, media_type="text/csv")


def period_of(named: str | None, start: str | None, end: str | None) -> Period:
    """Raises InvalidInput."""
    if named is not None and start is None and end is None:
        return period_named(named)
    if named is None and start is not None and end is not None:
        return period_between(start, end)
    raise e.InvalidInput("Give either period, or from and to.", details={"field": "period"})


async def _as_json(request: Request, pool: Pool, account: Account, found: Statement) -> AsyncIterator[bytes]:
    head = {
        "status": "success",
        "request_id": request_id(request),
        "message": "Statement",
        "timestamp": timestamp(datetime.now(UTC)),
        "data": {
            "account_id": found.account_id,
            "name": account.name,
            "period_start": timestamp(found.period.start),
            "period_end": timestamp(found.period.end),
            "opening": _balance(found.opening),
            "closing": _balance(found.closing),
            "entries": [],
        },
    }
    yield encoded(head).removesuffix(b"]}}")
    before = b""
    async for chunk in _chunks(pool, found):
        yield before + b",".join(encoded(dict(zip(COLUMNS, _row(entry), strict=True))) for entry in chunk)
        before = b","
    yield b"]}}"


async def _as_csv(pool: Pool, found: Statement) -> AsyncIterator[str]:
    opening, closing = (text_from_microcredits(end.available) for end in (found.opening, found.closing))
    yield _lines([COLUMNS, ("", timestamp(found.period.start), "opening", "", opening, "", "")])
    async for chunk in _chunks(pool, found):
        yield _lines([(*row[:-1], cell(row[-1])) for row in map(_row, chunk)])
    yield _lines([("", timestamp(found.period.end), "closing", "", closing, "", "")])


async def _chunks(pool: Pool, found: Statement) -> AsyncIterator[list[Entry]]:
    chunk: list[Entry] = []
    async for entry in statement.entries(pool, found):
        chunk.append(entry)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _row(entry: Entry) -> tuple[Any, ...]:
    """In the order of the columns."""
    return (
        entry.number,
        timestamp(entry.created_at),
        entry.operation.value,
        text_from_microcredits(entry.amount_micros),
        text_from_microcredits(entry.balance_micros),
        entry.work_id,
        entry.key,
    )


def _lines(rows: list[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _balance(balance: Balance) -> dict[str, str]:
    return {
        "available": text_from_microcredits(balance.available),
        "held": text_from_microcredits(balance.held),
        "debt": text_from_microcredits(balance.debt),
    }
