"""The key that asks, as its owner sees it."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import schemas
from api.dependencies import AccountReader
from api.envelope import optional_timestamp, success, timestamp
from api.errors import documented

router = APIRouter(prefix="/v1", tags=["account"])


@router.get("/status", responses={200: {"model": schemas.Success[schemas.KeyStatus]}, **documented()})
async def key_status(request: Request, caller: AccountReader) -> Response:
    """Whether the key works, and what it is. Its last use is this one."""
    data = schemas.KeyStatus(
        account_id=caller.account_id,
        apikey_id=caller.api_key_id,
        apikey_name=caller.name,
        apikey_prefix=caller.prefix,
        apikey_created_at=timestamp(caller.created_at),
        apikey_last_used_at=timestamp(datetime.now(UTC)),
        apikey_expires_at=optional_timestamp(caller.expires_at),
    )
    return success(request, "Key is valid", data)
