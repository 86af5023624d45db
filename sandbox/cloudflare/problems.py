"""Cloudflare's errors: an envelope with codes, and the request's id at the end of each message."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse

from sandbox.faults import FaultPlan
from sandbox.problems import RefusalError, refuse_by_fault
from sandbox.validation import Violation

_FLAGGED = "Your output has been flagged. Please choose another prompt / input image combination"


def error(code: int, message: str) -> dict[str, Any]:
    return {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": {}}


def of_model(code: int, message: str) -> dict[str, Any]:
    return error(code, f"AiError: {message} ({uuid.uuid4()})")


def refused(status: int, body: dict[str, Any]) -> RefusalError:
    return RefusalError(JSONResponse(body, status))


def unauthenticated() -> RefusalError:
    return refused(401, error(10000, "Authentication error"))


def no_such_account(path: str) -> RefusalError:
    return refused(404, error(7003, f"Could not route to {path}, perhaps your object identifier is invalid?"))


def no_such_model() -> RefusalError:
    return refused(400, error(5007, "No such model or task"))


def bad_input(message: str, code: int = 5006) -> RefusalError:
    return refused(400, of_model(code, f"Bad input: Error: {message}"))


def invalid(found: Sequence[Violation]) -> RefusalError:
    """All at once, comma-separated."""
    return bad_input(", ".join(map(_sentence, found)))


def _sentence(violation: Violation) -> str:
    name, limit = "/".join(map(str, violation.path)), violation.limit
    return {
        "missing": f"required properties at '/' are '{name}'",
        "unknown": f"Additional or unevaluated properties '/{name}' at '/' not allowed",
        "type": f"Type mismatch of '/{name}', '{limit}' not in the type of the value",
        "minimum": f"Number '/{name}' must be >= {limit}",
        "maximum": f"Number '/{name}' must be <= {limit}",
        "too_long": f"Length of '/{name}' must be <= {limit}",
    }.get(violation.rule, f"'/{name}' is not valid")


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    if plan.has("not_entitled"):
        raise refused(403, error(5018, "This account is not allowed to access this model"))
    if plan.has("retired_model"):
        raise refused(405, error(5019, "The model is deprecated"))
    refuse_by_fault(
        plan,
        {
            "submit_401": (401, error(10000, "Authentication error")),
            "submit_402": (429, error(4006, "You have used up your daily free allocation of 10,000 neurons")),
            "submit_404": (404, error(3042, "Model not found")),
            "submit_422": (400, of_model(5006, "Bad input: Error: '/prompt' is not valid")),
            "submit_429": (429, error(971, "Please wait and consider throttling your request speed")),
            "submit_500": (500, of_model(1000, "Internal server error")),
            "submit_503": (429, error(3040, "Capacity temporarily exceeded, please try again.")),
        },
    )


_ENDINGS = {  # status, code and message, by the fault that demands it; any other failure of a job is a 500
    "content_refused": (400, 8007, "AiError: Input prompt contains NSFW content."),
    "content_refused_nsfw": (400, 3030, f"3030: {_FLAGGED}"),
    "refused_with_200": (200, 3030, f"3030: {_FLAGGED}"),
    "job_failed_e6716": (408, 3007, "Request timeout"),
    "job_failed_timeout": (408, 3007, "Request timeout"),
    "job_failed_downstream": (400, 3030, "3030: the model could not use the input"),
}


def failure(plan: FaultPlan) -> dict[str, Any] | None:
    """Status and body with which the making of a picture ends."""
    ending = next((ending for word, ending in _ENDINGS.items() if plan.has(word)), None)
    if ending is None:
        return {"status": 500, "body": of_model(1000, "Internal server error")} if plan.first("job_failed") else None
    status, code, message = ending
    return {"status": status, "body": of_model(code, message)}
