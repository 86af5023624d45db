"""ModelArk's error bodies: one envelope, and a code that says more than the status."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.byteplus import credentials
from sandbox.faults import FaultPlan
from sandbox.problems import RefusalError, refuse_by_fault
from sandbox.submissions import json_body
from sandbox.validation import Violation

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

INTERNAL = ("InternalServiceError", "The service encountered an unexpected internal error.")
REFUSED_TEXT = ("InputTextSensitiveContentDetected", "The input text may contain sensitive information.")


def envelope(code: str, message: str, param: str = "", kind: str = "BadRequest") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "param": param, "type": kind}}


def problem(status: int, code: str, message: str, param: str = "", kind: str = "BadRequest") -> Response:
    return JSONResponse(envelope(code, message, param, kind), status)


def unknown_model(model: Any) -> Response:
    said = f"The model or endpoint {model} does not exist or you do not have access to it."
    return problem(404, "InvalidEndpointOrModel.NotFound", said, kind="NotFound")


def unknown_task() -> Response:
    return problem(404, "NotFound.Task", "The specified task is not found.", "id", "NotFound")


def invalid(found: Sequence[Violation]) -> Response:
    """The first complaint, as theirs."""
    first = found[0]
    name = ".".join(map(str, first.path))
    if first.rule == "missing":
        return problem(400, "MissingParameter", f"the request is missing {name}", name)
    if first.rule == "unknown":
        return problem(400, "InvalidParameter.UnsupportedParameter", f"the parameter {name} is not supported", name)
    if first.path == ("content",) and first.rule == "value":
        return problem(400, "InvalidParameter.TaskTypeConstraint", str(first.limit), name)
    demanded = first.limit if isinstance(first.limit, str) else f"{first.rule} {first.limit}"
    return problem(400, "InvalidParameter", f"the parameter {name} is not valid: {demanded}", name)


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    if plan.has("input_refused"):
        raise RefusalError(problem(400, *REFUSED_TEXT))
    if plan.has("spend_cap"):
        raise RefusalError(problem(429, "SetLimitExceeded", "The spending limit has been reached.", kind="Quota"))
    busy = "The requests of the account exceed its rate limit for this model."
    refuse_by_fault(
        plan,
        {
            "submit_401": (401, _UNAUTHENTICATED),
            "submit_402": (
                403,
                envelope("AccountOverdueError", "Your account has an overdue balance.", "", "Forbidden"),
            ),
            "submit_404": (404, envelope("ModelNotOpen", "The model is not activated.", "", "NotFound")),
            "submit_422": (400, envelope("InvalidParameter", "the parameter prompt is not valid", "prompt")),
            "submit_429": (429, envelope("ModelAccountRpmRateLimitExceeded", busy, "", "TooManyRequests")),
            "submit_500": (500, envelope(*INTERNAL, "", "InternalServerError")),
            "submit_503": (429, envelope("ServerOverloaded", "The service is overloaded.", "", "TooManyRequests")),
        },
    )


_UNAUTHENTICATED = envelope(
    "AuthenticationError", "the API key or AK/SK in the request is missing or invalid.", "", "Unauthorized"
)


async def body_of(request: Request) -> dict[str, Any]:
    """The members of the body. A null is as good as none: the vendor's own client sends one for whatever is not set."""
    body = await json_body(request)
    if not isinstance(body, dict):
        raise RefusalError(problem(400, "InvalidParameter", "the request body is not a JSON object"))
    return {name: value for name, value in body.items() if value is not None}


def guarded(endpoint: Endpoint) -> Endpoint:
    """Asks for the key, and gives every answer its request id."""

    async def answered(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {credentials.API_KEY}":
            response: Response = JSONResponse(_UNAUTHENTICATED, 401)
        else:
            try:
                response = await endpoint(request)
            except RefusalError as refusal:
                response = refusal.response
        response.headers.setdefault("x-request-id", request_id())
        if code := _code(response):
            response.headers["x-error-code"] = code
        return response

    return answered


def _code(response: Response) -> str | None:
    if response.status_code < 400 or response.media_type != "application/json":
        return None
    error: Mapping[str, Any] = json.loads(bytes(response.body)).get("error") or {}
    return error.get("code")


def request_id() -> str:
    """38 characters, as theirs."""
    return "02" + secrets.token_hex(18)
