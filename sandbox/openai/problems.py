"""OpenAI's error bodies, and what the faults answer in them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.faults import FaultPlan
from sandbox.openai import credentials
from sandbox.problems import RefusalError, refuse_by_fault
from sandbox.validation import Violation

_INVALID, _USER_ERROR = "invalid_request_error", "image_generation_user_error"


def error(
    message: str, kind: str = _INVALID, *, code: str | None = None, param: str | None = None, **more: Any
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code} | more}


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(body, status, _headers())


def _headers() -> dict[str, str]:
    """Of every answer but those of the edge."""
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
    }


def refused(status: int, message: str, **facts: Any) -> RefusalError:
    return RefusalError(answer(error(message, **facts), status))


def authenticate(request: Request) -> None:
    """Raises the refusal of a wrong key."""
    if request.headers.get("authorization") != f"Bearer {credentials.KEY}":
        raise RefusalError(answer(_WRONG_KEY, 401))


def no_such_model(model: Any) -> RefusalError:
    """Of images: 400, not 404."""
    return refused(400, f"The model '{model}' does not exist.", kind=_USER_ERROR)


def no_such_video(video_id: str) -> RefusalError:
    return refused(404, f"Video with id '{video_id}' not found.")


def not_a_picture(param: str) -> RefusalError:
    message = "Invalid image file or mode for image 1, please check your image file."
    return refused(400, message, kind=_USER_ERROR, code="invalid_image_file", param=param)


def invalid(found: Sequence[Violation]) -> RefusalError:
    """The first of the violations: they are told one at a time."""
    first = found[0]
    name, limit, value = ".".join(map(str, first.path)), first.limit, first.value
    if first.rule == "choice":
        limit = ", ".join(f"'{choice}'" for choice in limit)
    code, message = {
        "missing": ("missing_required_parameter", f"Missing required parameter: '{name}'."),
        "unknown": ("unknown_parameter", f"Unknown parameter: '{name}'."),
        "type": (
            "invalid_type",
            f"Invalid type for '{name}': expected {limit}, but got {type(value).__name__} instead.",
        ),
        "choice": ("invalid_value", f"Invalid value: '{value}'. Supported values are: {limit}."),
        "value": ("invalid_value", f"Invalid value: '{value}'. Expected {limit}."),
        "minimum": ("integer_below_min_value", f"Invalid '{name}': expected a value >= {limit}, but got {value}."),
        "maximum": ("integer_above_max_value", f"Invalid '{name}': expected a value <= {limit}, but got {value}."),
        "too_many": ("array_above_max_length", f"Invalid '{name}': expected at most {limit} items."),
        "too_few": ("array_below_min_length", f"Invalid '{name}': expected at least {limit} items."),
        "too_long": ("string_above_max_length", f"Invalid '{name}': expected a string of at most {limit} characters."),
    }.get(first.rule, ("invalid_value", f"Invalid '{name}'."))
    return refused(400, message, code=code, param=name)


_WRONG_KEY = error(
    "Incorrect API key provided: sk-…abcd. You can find your API key in your account settings.", code="invalid_api_key"
)
_NO_QUOTA = error(
    "You exceeded your current quota, please check your plan and billing details.",
    "insufficient_quota",
    code="insufficient_quota",
)
_BLOCKED = "Your request was rejected by the safety system. If you believe this is an error, contact us and include the"
_SERVER = error("The server had an error while processing your request. Sorry about that!", "server_error")


def refuse_submit(plan: FaultPlan) -> None:
    """Raises what a submit fault demands."""
    if plan.has("billing_limit"):
        raise refused(400, "Billing hard limit has been reached", kind="billing_limit_user_error",
                      code="billing_hard_limit_reached")  # fmt: skip
    if plan.has("retired_model"):
        raise no_such_model("that model")
    if plan.has("not_entitled"):
        raise refused(403, "Your organization must be verified to use this model.")
    if plan.has("gone"):
        raise refused(410, "This endpoint has been shut down.")
    if plan.has("overloaded_text"):
        raise RefusalError(PlainTextResponse("overloaded", 503))
    throttled = error("Rate limit reached for images per minute.", "requests", code="rate_limit_exceeded")
    try:
        refuse_by_fault(
            plan,
            {
                "submit_401": (401, _WRONG_KEY),
                "submit_402": (429, _NO_QUOTA),
                "submit_404": (
                    404,
                    error("The model does not exist or you do not have access to it.", code="model_not_found"),
                ),
                "submit_422": (400, error("Invalid value: 'prompt'.", code="invalid_value", param="prompt")),
                "submit_429": (429, throttled),
                "submit_500": (500, _SERVER),
                "submit_503": (
                    503,
                    error("The engine is currently overloaded, please try again later.", "server_error"),
                ),
            },
        )
    except RefusalError as refusal:
        if not plan.has("submit_502"):
            refusal.response.headers.update(_headers())
        raise


def image_failure(plan: FaultPlan) -> dict[str, Any] | None:
    """Status and body with which the making of an image ends."""
    if plan.has("content_refused"):
        blocked = {"moderation_stage": "input", "categories": ["sexual"]}
        message = f"{_BLOCKED} request ID req_0. safety_violations=[sexual]."
        return _ending(400, error(message, _USER_ERROR, code="moderation_blocked", moderation_details=blocked))
    if plan.has("content_refused_nsfw"):
        return _ending(400, error(f"{_BLOCKED} request ID.", code="content_policy_violation"))
    if plan.has("job_failed_e6716") or plan.has("job_failed_timeout"):
        return _ending(408, error("The request took too long.", "server_error"))
    if plan.first("job_failed"):
        return _ending(500, error("The image could not be made.", "image_generation_server_error"))
    return None


def video_failure(plan: FaultPlan) -> dict[str, Any] | None:
    """The `error` of a failed video."""
    if plan.first("content_refused"):
        legacy = plan.has("content_refused_nsfw")
        return {
            "code": "content_policy_violation" if legacy else "moderation_blocked",
            "message": "Your request was blocked by our moderation system.",
        }
    if plan.first("job_failed"):
        return {"code": "video_generation_failed", "message": "The video could not be made."}
    return None


def _ending(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"status": status, "body": body}
