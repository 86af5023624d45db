"""How BFL refuses. `detail` is a text, or a list of what is wrong with the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from sandbox.faults import FaultPlan
from sandbox.problems import RefusalError, refuse_by_fault
from sandbox.validation import Violation

_STRANGER = "Not authenticated - Invalid Authentication"
_NO_CREDIT = "Insufficient credits"
_TOO_MANY = "Rate limit exceeded: too many active tasks"


def refused(status: int, detail: Any) -> RefusalError:
    return RefusalError(JSONResponse({"detail": detail}, status))


def unauthenticated() -> RefusalError:
    return refused(403, "Not authenticated")


def stranger() -> RefusalError:
    return refused(403, _STRANGER)


def malformed_key() -> RefusalError:
    return refused(422, "Invalid API key format")


def no_such_model() -> RefusalError:
    return refused(404, "Not Found")


def too_many_tasks() -> RefusalError:
    return refused(429, _TOO_MANY)


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    wrong = _detail(Violation(("prompt",), "value", None, "not acceptable"))
    refuse_by_fault(
        plan,
        {
            "submit_401": (403, {"detail": _STRANGER}),
            "submit_402": (402, {"detail": _NO_CREDIT}),
            "submit_404": (404, {"detail": "Not Found"}),
            "submit_422": (422, {"detail": [wrong]}),
            "submit_429": (429, {"detail": _TOO_MANY}),
            "submit_500": (500, {"detail": "Internal Server Error"}),
            "submit_503": (503, {"detail": "Service Unavailable"}),
        },
    )


def invalid_input(found: Sequence[Violation]) -> Response:
    return JSONResponse({"detail": [_detail(violation) for violation in found]}, 422)


def _detail(violation: Violation) -> dict[str, Any]:
    limit = violation.limit
    if violation.rule == "choice":
        limit = " or ".join(repr(choice) for choice in limit)
    kind, message = {
        "missing": ("missing", "Field required"),
        "unknown": ("extra_forbidden", "Extra inputs are not permitted"),
        "type": (f"{_SHORT.get(str(limit), limit)}_type", f"Input should be a valid {limit}"),
        "choice": ("enum", f"Input should be {limit}"),
        "minimum": ("greater_than_equal", f"Input should be greater than or equal to {limit}"),
        "maximum": ("less_than_equal", f"Input should be less than or equal to {limit}"),
        "multiple_of": ("multiple_of", f"Input should be a multiple of {limit}"),
        "too_many": ("too_long", f"List should have at most {limit} items"),
        "too_few": ("too_short", f"List should have at least {limit} items"),
        "too_long": ("string_too_long", f"String should have at most {limit} characters"),
        "value": ("value_error", f"Value error, {limit}"),
    }[violation.rule]
    return {"loc": ["body", *violation.path], "msg": message, "type": kind}


_SHORT = {"integer": "int", "number": "float", "boolean": "bool"}
