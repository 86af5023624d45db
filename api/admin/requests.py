"""The request log of an account: newest first, page by page, as JSON or as a table to keep."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented
from api.admin.targets import account_of
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.query import WholeNumber
from domain import errors as e
from store import requests
from store.connection import single
from store.requests import PAGE_MAX, Position, RequestRecord

POSITION = r"^[0-9]{1,17}-[0-9]{1,18}$"
_EPOCH = datetime.fromtimestamp(0, UTC)
_MICROSECOND = timedelta(microseconds=1)
# A spreadsheet would run a cell that begins like this; in half the world, a semicolon begins another cell.
_FORMULA = re.compile(r"""(^|;)(?=[\s"']*[=+\-@\uff1d\uff0b\uff0d\uff20])""")

_NEXT = {"schema": {"type": "string"}, "description": "With CSV: the `before` of the next page; absent on the last."}
_OPERATION: dict[str, Any] = {
    "responses": {
        "200": {
            "headers": {"X-Next-Before": _NEXT},
            "content": {
                "application/json": {"example": samples.REQUESTS},
                "text/csv": {"schema": {"type": "string"}, "example": samples.REQUESTS_CSV},
            },
        }
    }
}

router = APIRouter(prefix="/admin/v1/accounts/{account_id}/requests", tags=["operator: requests"])


@router.get(
    "",
    responses={
        200: {"model": schemas.Success[shapes.RequestList]},
        **documented(e.InvalidInput, e.ResourceNotFound),
    },
    openapi_extra=_OPERATION,
)
async def list_requests(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    account_id: str,
    limit: Annotated[WholeNumber, Query(description="1 to 500; values outside are clamped.")] = PAGE_MAX,
    before: Annotated[
        str | None, Query(pattern=POSITION, description="`next_before` of the page before; absent: the newest.")
    ] = None,
    format: Annotated[Literal["json", "csv"], Query(description="json, or csv for a file.")] = "json",
) -> Response:
    """Requests with a valid key, refused ones too, as long as the plan keeps them and their key is not deleted."""
    limit = min(max(limit, 1), PAGE_MAX)
    await handles.request_log.flush()
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        found = await requests.page(conn, account.account_id, limit=limit, before=_position(before))
    rows = [_shown(record) for record in found]
    next_before = _text(found[-1].position) if len(found) == limit else None
    if format == "csv":
        return _file(rows, next_before)
    return success(request, "Request log", shapes.RequestList(requests=rows, next_before=next_before))


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    microseconds, _, log_id = text.partition("-")
    return Position(_EPOCH + int(microseconds) * _MICROSECOND, int(log_id))


def _text(position: Position) -> str:
    return f"{(position.occurred_at - _EPOCH) // _MICROSECOND}-{position.log_id}"


def _shown(record: RequestRecord) -> shapes.RequestRow:
    return shapes.RequestRow(
        at=timestamp(record.occurred_at),
        request_id=record.request_id,
        api_key_id=record.api_key_id,
        key_name=record.key_name,
        key_prefix=record.key_prefix,
        key_state=record.key_state,
        method=record.method,
        path=record.path,
        endpoint=record.endpoint,
        query=record.query,
        status=record.status,
        code=record.code,
        replayed=record.replayed,
        client_ip_hash=record.client_ip_hash,
        user_agent=record.user_agent,
        sdk_name=record.sdk_name,
        sdk_version=record.sdk_version,
        sdk_runtime=record.sdk_runtime,
        sdk_runtime_version=record.sdk_runtime_version,
        duration_ms=record.duration_ms,
    )


def _file(rows: list[shapes.RequestRow], next_before: str | None) -> Response:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(shapes.RequestRow.model_fields)
    table.writerows([cell(value) for value in row.model_dump().values()] for row in rows)
    headers = {"Content-Disposition": 'attachment; filename="requests.csv"'}
    if next_before is not None:
        headers["X-Next-Before"] = next_before
    return Response(text.getvalue(), headers=headers, media_type="text/csv")


def cell(value: str | int | bool | None) -> str | int:
    """As JSON spells it. Callers chose some of the texts, and whoever opens the file must not run them."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str():
            return _FORMULA.sub(r"\1'", value)
        case _:
            return value
