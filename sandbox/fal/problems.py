"""fal's error bodies: a list for errors of the model, a string for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse

from sandbox.faults import FaultPlan
from sandbox.problems import RefusalError, refuse_by_fault
from sandbox.validation import Violation


def refused(status: int, detail: str) -> RefusalError:
    return RefusalError(JSONResponse({"detail": detail}, status))


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    refuse_by_fault(
        plan,
        {
            "submit_401": (401, {"detail": "No user found for Key ID and Secret"}),
            "submit_402": (403, {"detail": _LOCKED}),
            "submit_404": (404, {"detail": "Application 'x' not found"}),
            "submit_422": (
                422,
                details([("value_error", ("prompt",), "Value error, prompt is not acceptable", {}, "")]),
            ),
            "submit_429": (429, {"detail": "Too many requests"}),
            "submit_500": (500, {"detail": "Internal Server Error", "error_type": "internal_error"}),
            "submit_503": (503, {"detail": "Failed to schedule", "error_type": "runner_scheduling_failure"}),
        },
    )


_LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."


def details(found: Sequence[tuple[str, tuple[str | int, ...], str, Any, Any]]) -> dict[str, Any]:
    """The body of a model error for (type, path, message, ctx, input) tuples."""
    return {
        "detail": [
            {
                "loc": ["body", *path],
                "msg": message,
                "type": kind,
                "url": f"https://docs.fal.ai/errors/#{kind}",
                "ctx": context,
                "input": given,
            }
            for kind, path, message, context, given in found
        ]
    }


def invalid_input(found: Sequence[Violation]) -> dict[str, Any]:
    return details([_tuple(violation) for violation in found])


def _tuple(violation: Violation) -> tuple[str, tuple[str | int, ...], str, Any, Any]:
    limit = violation.limit
    if violation.rule == "choice":
        limit = " or ".join(f"'{choice}'" for choice in limit)
    kind, message, context = {
        "missing": ("missing", "Field required", {}),
        "unknown": ("extra_forbidden", "Extra inputs are not permitted", {}),
        "type": (f"{limit}_type".replace(" ", "_"), f"Input should be a valid {limit}", {}),
        "choice": ("literal_error", f"Input should be {limit}", {"expected": limit}),
        "minimum": ("greater_than_equal", f"Input should be greater than or equal to {limit}", {"ge": limit}),
        "maximum": ("less_than_equal", f"Input should be less than or equal to {limit}", {"le": limit}),
        "multiple_of": ("multiple_of", f"Input should be a multiple of {limit}", {"multiple_of": limit}),
        "too_many": ("sequence_too_long", f"Should have at most {limit} items", {"max_length": limit}),
        "too_few": ("sequence_too_short", f"Should have at least {limit} items", {"min_length": limit}),
        "value": ("value_error", f"Value error, {limit}", {}),
    }[violation.rule]
    return kind, violation.path, message, context, violation.value
