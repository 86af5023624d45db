"""One table: which HTTP status each named failure has. It answers requests and it documents the routes."""

from __future__ import annotations

import math
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api import envelope
from api.rate_limits import window_of_nobody
from api.schemas import Failure
from domain import errors as e

STATUS: dict[type[e.ControlPlaneError], int] = {
    e.AuthenticationRequired: 401,
    e.AuthenticationFailed: 401,
    e.InsufficientPermissions: 403,
    e.IpNotAllowed: 403,
    e.AccountNotFound: 404,
    e.RateLimitExceeded: 429,
    e.ConcurrencyLimitExceeded: 429,
    e.InsufficientCredits: 402,
    e.AccountFrozen: 403,
    e.InvalidInput: 400,
    e.ParameterOutOfRange: 422,
    e.PayloadTooLarge: 413,
    e.ModelNotFound: 404,
    e.UnsupportedProviderOrder: 400,
    e.ModelTypeMismatch: 400,
    e.InvalidIdempotencyKey: 400,
    e.IdempotencyKeyReused: 409,
    e.IdempotencyInProgress: 409,
    e.UnsupportedMediaType: 415,
    e.GenerationNotFound: 404,
    e.GenerationNotCancelable: 409,
    e.GenerationInProgress: 409,
    e.RouteNotFound: 404,
    e.MethodNotAllowed: 405,
    e.ProviderFailed: 502,
    e.JobNotFound: 502,
    e.ProviderTimedOut: 504,
    e.ProviderUnavailable: 503,
    e.ProviderBusy: 503,
    e.ProviderAtCapacity: 503,
    e.ProviderCreditsExhausted: 503,
    e.ProviderRejectedInput: 422,
    e.ProviderInvalidOutput: 502,
    e.ProviderAuthFailed: 502,
    e.ContentRefused: 422,
    e.InputFileRefused: 422,
    e.SubmitAmbiguous: 504,
    e.AllProvidersFailed: 502,
    e.GenerationExpired: 504,
    e.OutputPersistFailed: 500,
    e.CallbackRefused: 401,
    e.AddressRefused: 422,
    e.InternalError: 500,
    e.StorageUnavailable: 503,
    e.DatabaseUnavailable: 503,
    e.EngineUnavailable: 503,
}


def status_of(error: type[e.ControlPlaneError]) -> int:
    """The nearest row, so that a new kind of a known failure is answered like its parent."""
    return next((STATUS[kind] for kind in error.__mro__ if kind in STATUS), 500)


def error_body(request_id: str, error: e.ControlPlaneError) -> dict[str, Any]:
    described: dict[str, Any] = {
        "code": error.code,
        "type": error.type,
        "message": error.message,
        "retryable": error.retryable,
    }
    if error.details:
        described["details"] = error.details
    return {"status": "error", "request_id": request_id, "error": described}


def error_response(request: Request, error: e.ControlPlaneError) -> Response:
    """The error envelope. Clients wait as `Retry-After` says only where the rate-limit trio is present as well."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    if error.retryable and envelope.rate_window(request) is None:
        request.state.rate_window = window_of_nobody(time.time())
    return envelope.json_response(error_body(envelope.request_id(request), error), status_of(type(error)), headers)


async def answer_named_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, e.ControlPlaneError)
    return error_response(request, error)


async def answer_routing_failure(request: Request, error: Exception) -> Response:
    """What the router itself refuses: an unknown path or a method that the path does not have."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = error_response(request, e.MethodNotAllowed(f"This path does not answer {request.method}."))
        if error.headers and "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    return error_response(request, e.RouteNotFound("There is no such path."))


async def answer_invalid_query(request: Request, error: Exception) -> Response:
    """A query parameter of the wrong type; the first one is named."""
    problem = error.errors()[0] if hasattr(error, "errors") else {}
    field = str(problem.get("loc", ("", "query"))[-1])
    refusal = e.InvalidInput(f"The parameter {field} is not valid.", details={"field": field})
    return error_response(request, refusal)


def documented(*kinds: type[e.ControlPlaneError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route with a key: its own failures, and those that identifying a caller can have."""
    return documented_only(*kinds, *_IDENTIFYING)


def documented_only(*kinds: type[e.ControlPlaneError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route, grouped by status."""
    by_status: dict[int | str, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(status_of(kind), []).append(f"`{kind.code}` {kind.type}: {_meaning(kind)}")
    return {
        status: {"model": Failure, "description": "\n\n".join(lines)}
        for status, lines in sorted(by_status.items(), key=lambda item: int(item[0]))
    }


def _meaning(kind: type[e.ControlPlaneError]) -> str:
    """The first line of its docstring: kinds of one code differ in why."""
    return (kind.__doc__ or "").partition("\n")[0]


_IDENTIFYING = (
    e.AuthenticationRequired,
    e.AuthenticationFailed,
    e.InsufficientPermissions,
    e.IpNotAllowed,
    e.AccountNotFound,
    e.RateLimitExceeded,
    e.InternalError,
    e.DatabaseUnavailable,
)
