"""How Runway refuses: one sentence, and for a body of the wrong shape a list of zod issues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from sandbox.faults import FaultPlan
from sandbox.problems import RefusalError, refuse_by_fault
from sandbox.runway.checks import NO_SUCH_MODEL
from sandbox.validation import Violation

_DOCS = "https://docs.dev.runwayml.com/api"
_NO_CREDIT = "You do not have enough credits to run this task."
_DAILY = "You have reached the daily task limit for this model."
_UNAUTHORIZED = "API key is not valid."


def refused(status: int, error: str) -> RefusalError:
    return RefusalError(JSONResponse({"error": error}, status))


def unauthenticated() -> RefusalError:
    return refused(401, _UNAUTHORIZED)


def no_version() -> RefusalError:
    return refused(400, "X-Runway-Version header is missing or not a known version.")


def no_task() -> RefusalError:
    return refused(404, "Could not find Task")


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    wrong = Violation(("promptText",), "value", None, "Invalid input")
    refuse_by_fault(
        plan,
        {
            "submit_401": (401, {"error": _UNAUTHORIZED}),
            "submit_402": (400, {"error": _NO_CREDIT}),
            "submit_404": (400, _body([Violation(("model",), "value", None, NO_SUCH_MODEL)])),
            "submit_422": (400, _body([wrong])),
            "submit_429": (429, {"error": _DAILY}),
            "submit_500": (500, {"error": "Internal server error"}),
            "submit_503": (503, {"error": "Service temporarily unavailable"}),
        },
    )


def invalid_body(found: Sequence[Violation]) -> Response:
    return JSONResponse(_body(found), 400)


def _body(found: Sequence[Violation]) -> dict[str, Any]:
    issues = [_issue(violation) for violation in found]
    return {"error": "Validation of body failed", "issues": issues, "docUrl": _DOCS}


def _issue(violation: Violation) -> dict[str, Any]:
    path, limit = list(violation.path), violation.limit
    match violation.rule:
        case "missing":
            return _wrong_type(path, "a value", "undefined")
        case "type":
            return _wrong_type(path, str(limit), type(violation.value).__name__)
        case "minimum" | "too_few":
            return _bound("too_small", "minimum", violation, ">=")
        case "maximum" | "too_many" | "too_long":
            return _bound("too_big", "maximum", violation, "<=")
    return {"path": path} | _told(violation)


def _told(violation: Violation) -> dict[str, Any]:
    limit = violation.limit
    if violation.rule == "unknown":
        name = violation.path[-1]
        message = f'Unrecognized key: "{name}"'
        return {"code": "unrecognized_keys", "keys": [name], "path": list(violation.path[:-1]), "message": message}
    if violation.rule == "choice":
        listed = "|".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in limit)
        message = f"Invalid option: expected one of {listed}"
        return {"code": "invalid_value", "values": list(limit), "message": message}
    if limit == NO_SUCH_MODEL:
        return {"code": "invalid_union", "note": limit, "discriminator": "model", "message": "Invalid input"}
    return {"code": "custom", "message": str(limit)}


def _wrong_type(path: list[str | int], expected: str, received: str) -> dict[str, Any]:
    message = f"Invalid input: expected {expected}, received {received}"
    return {"code": "invalid_type", "expected": expected, "path": path, "message": message}


def _bound(code: str, name: str, violation: Violation, sign: str) -> dict[str, Any]:
    origin = {"too_few": "array", "too_many": "array", "too_long": "string"}.get(violation.rule, "number")
    unit = {"array": " items", "string": " characters"}.get(origin, "")
    message = f"{code.replace('_', ' ').capitalize()}: expected {origin} to have {sign}{violation.limit}{unit}"
    return {
        "code": code,
        name: violation.limit,
        "inclusive": True,
        "origin": origin,
        "path": list(violation.path),
        "message": message,
    }
