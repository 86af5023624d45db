"""The envelope around every answer, and the ids and times in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.rate_limits import RateWindow


def new_request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


def request_id(request: Request) -> str:
    """The id that the edge gave this request."""
    given: str = request.state.request_id
    return given


def rate_window(request: Request) -> RateWindow | None:
    return getattr(request.state, "rate_window", None)


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and a `Z`, as in every published sample."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def optional_timestamp(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)


def success(request: Request, message: str, data: BaseModel | Mapping[str, Any], **beside_data: int) -> Response:
    """Answer 200. Fields of `data` that were not set do not appear; `beside_data` is the pagination."""
    return Response(success_body(request, message, data, **beside_data), media_type="application/json")


def success_body(request: Request, message: str, data: BaseModel | Mapping[str, Any], **beside_data: int) -> bytes:
    whole: dict[str, Any] = {
        "status": "success",
        "request_id": request_id(request),
        "message": message,
        "timestamp": timestamp(datetime.now(UTC)),
        **beside_data,
        "data": data.model_dump(mode="json", exclude_unset=True) if isinstance(data, BaseModel) else data,
    }
    return encoded(whole)


def replayed(request: Request, body: bytes) -> Response:
    """The bytes of an earlier answer, its request id included."""
    request.state.request_id = json.loads(body)["request_id"]
    request.state.replayed = True
    return Response(body, media_type="application/json", headers={"Idempotency-Replayed": "true"})


def json_response(body: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encoded(body), status, headers, media_type="application/json")


def encoded(body: Mapping[str, Any]) -> bytes:
    return to_json(body)
