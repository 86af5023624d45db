"""One table: code, type, HTTP status, retry flag and meaning of each named failure.

It answers requests, and it documents them: the responses of the routes and the error table of the reference.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

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
    e.AuthRateLimited: 429,
    e.ConcurrencyLimitExceeded: 429,
    e.InsufficientCredits: 402,
    e.SpendingLimitReached: 402,
    e.AccountFrozen: 403,
    e.InvalidInput: 400,
    e.ParameterOutOfRange: 422,
    e.PayloadTooLarge: 413,
    e.ModelNotFound: 404,
    e.UnsupportedProviderOrder: 400,
    e.ModelTypeMismatch: 400,
    e.ModelUnpriced: 422,
    e.InvalidIdempotencyKey: 400,
    e.IdempotencyKeyReused: 409,
    e.IdempotencyInProgress: 409,
    e.UnsupportedMediaType: 415,
    e.GenerationNotFound: 404,
    e.GenerationNotCancelable: 409,
    e.GenerationInProgress: 409,
    e.RouteNotFound: 404,
    e.MethodNotAllowed: 405,
    e.ResourceNotFound: 404,
    e.StateConflict: 409,
    e.ProviderFailed: 502,
    e.JobNotFound: 502,
    e.ProviderTimedOut: 504,
    e.ProviderUnavailable: 503,
    e.ProviderBusy: 503,
    e.ProviderAtCapacity: 503,
    e.ProviderPaused: 503,
    e.ProviderCreditsExhausted: 503,
    e.ProviderRejectedInput: 422,
    e.ProviderInvalidOutput: 502,
    e.ProviderAuthFailed: 502,
    e.ContentRefused: 422,
    e.InputFileRefused: 422,
    e.InputImageTooLarge: 422,
    e.InputImageTooSmall: 422,
    e.InputFormatUnsupported: 422,
    e.InputFileTooBig: 422,
    e.InputFileUnreachable: 422,
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
    e.PaymentsUnavailable: 503,
}


@dataclass(frozen=True)
class ErrorRow:
    """One public code. Several failures may share it; the first in STATUS speaks for them."""

    code: str
    type: str
    status: int
    retryable: bool | None  # None: it depends, as the meaning says
    meaning: str


def rows() -> list[ErrorRow]:
    """Every public code once, in their order."""
    first: dict[str, ErrorRow] = {}
    for kind, status in STATUS.items():
        retryable = None if kind is e.AllProvidersFailed else kind.retryable
        first.setdefault(kind.code, ErrorRow(kind.code, kind.type, status, retryable, _meaning(kind)))
    return sorted(first.values(), key=lambda row: row.code)


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
    if error.provider_errors:
        described["provider_errors"] = [asdict(refusal) for refusal in error.provider_errors]
    return {"status": "error", "request_id": request_id, "error": described}


def error_response(request: Request, error: e.ControlPlaneError) -> Response:
    """The error envelope. Clients wait as `Retry-After` says only where the rate-limit trio is present as well."""
    request.state.error_code = error.code
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
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
        return response
    return error_response(request, e.RouteNotFound("There is no such path."))


def _methods(request: Request) -> set[str]:
    """What the path answers; each method is a route of its own."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in routes for method in getattr(route, "methods", None) or ()}


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
    by_status: dict[int, list[type[e.ControlPlaneError]]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(status_of(kind), []).append(kind)
    return {status: _refused_with(by_status[status]) for status in sorted(by_status)}


def _refused_with(kinds: list[type[e.ControlPlaneError]]) -> dict[str, Any]:
    examples = {
        kind.__name__: {"summary": f"{kind.code} {kind.type}", "value": error_body(_AN_ID, kind(_meaning(kind)))}
        for kind in kinds
    }
    return {
        "model": Failure,
        "description": "\n\n".join(f"`{kind.code}` {kind.type}: {_meaning(kind)}" for kind in kinds),
        "content": {"application/json": {"examples": examples}},
    }


def _meaning(kind: type[e.ControlPlaneError]) -> str:
    """The first line of its docstring: kinds of one code differ in why."""
    return (kind.__doc__ or "").partition("\n")[0]


_AN_ID = "req_3f0d2c7a9be14c5f8d61a0b47e52c913"
_IDENTIFYING = (
    e.AuthenticationRequired,
    e.AuthenticationFailed,
    e.InsufficientPermissions,
    e.IpNotAllowed,
    e.AccountNotFound,
    e.RateLimitExceeded,
    e.AuthRateLimited,
    e.InternalError,
    e.DatabaseUnavailable,
)
