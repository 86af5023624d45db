"""Replicate's error bodies: problem documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from sandbox.faults import FaultPlan
from sandbox.problems import RefusalError, refuse_by_fault, retry_after
from sandbox.validation import Violation


def problem(status: int, detail: str, title: str | None = None, headers: Mapping[str, str] | None = None) -> Response:
    body: dict[str, Any] = {"title": title} if title else {}
    return JSONResponse(body | {"detail": detail, "status": status}, status, headers)


def not_found() -> Response:
    return problem(404, "The requested resource could not be found.")


def unauthenticated() -> Response:
    return problem(401, "You did not pass a valid authentication token", "Unauthenticated")


def bad_version() -> Response:
    return problem(
        422,
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
        "Invalid version or not permitted",
    )


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    if plan.has("bad_version"):
        raise RefusalError(bad_version())
    if plan.has("low_credit"):
        raise RefusalError(JSONResponse(_LOW_CREDIT, 429, {"Retry-After": "10"}))
    seconds = retry_after(plan)
    throttled: dict[str, Any] = {
        "detail": f"Request was throttled. Your rate limit resets in ~{seconds or 1}s.",
        "status": 429,
    }
    if seconds is not None:
        throttled["retry_after"] = seconds
    refuse_by_fault(
        plan,
        {
            "submit_401": (401, _problem(401, "You did not pass a valid authentication token", "Unauthenticated")),
            "submit_402": (402, _problem(402, _NO_CREDIT, "Insufficient credit")),
            "submit_404": (404, {"detail": "The requested resource could not be found.", "status": 404}),
            "submit_422": (422, input_problem([("invalid", "input.prompt", "prompt is not acceptable")])),
            "submit_429": (429, throttled),
            "submit_500": (500, _problem(500, "An unexpected error occurred.", "Internal server error")),
            "submit_503": (503, _problem(503, "The service is temporarily unavailable.", "Service unavailable")),
        },
    )


_LOW_CREDIT = {
    "detail": (
        "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a "
        "burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~10s."
    ),
    "status": 429,
    "retry_after": 10,
}
_NO_CREDIT = (
    "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to purchase "
    "credit. Once you purchase credit, please wait a few minutes before trying again."
)


def _problem(status: int, detail: str, title: str) -> dict[str, Any]:
    return {"title": title, "detail": detail, "status": status}


def input_problem(invalid: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """The 422 body for (type, field, description) triples."""
    return {
        "detail": "".join(f"- {field}: {description}\n" for _, field, description in invalid),
        "status": 422,
        "title": "Input validation failed",
        "invalid_fields": [
            {"type": kind, "field": field, "description": description} for kind, field, description in invalid
        ],
    }


def invalid_input(found: Sequence[Violation]) -> Response:
    return JSONResponse(input_problem([_triple(violation) for violation in found]), 422)


def _triple(violation: Violation) -> tuple[str, str, str]:
    name = ".".join(map(str, violation.path))
    field, limit, value = f"input.{name}", violation.limit, violation.value
    if violation.rule == "choice":
        limit = ", ".join(f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in limit)
    kind, where, description = {
        "missing": ("required", "input", f"{name} is required"),
        "unknown": ("additional_property_not_allowed", "input", f"Additional property {name} is not allowed"),
        "type": ("invalid_type", field, f"Invalid type. Expected: {limit}, given: {_json_type(value)}"),
        "choice": ("enum", field, f"{field} must be one of the following: {limit}"),
        "minimum": ("number_gte", field, f"Must be greater than or equal to {limit}"),
        "maximum": ("number_lte", field, f"Must be less than or equal to {limit}"),
        "multiple_of": ("multiple_of", field, f"Must be a multiple of {limit}"),
        "too_many": ("array_max_items", field, f"Array must have at most {limit} items"),
        "too_few": ("array_min_items", field, f"Array must have at least {limit} items"),
        "value": ("invalid", field, str(limit)),
    }[violation.rule]
    return kind, where, description


def _json_type(value: Any) -> str:
    names = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")
