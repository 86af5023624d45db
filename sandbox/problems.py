"""Refusals: how a route ends early, and what the faults at submit answer whichever the provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from sandbox.faults import WORDS, FaultPlan

_EDGE_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
_THROTTLED = "submit_429"


class RefusalError(Exception):
    """The request is answered with an error of the provider."""

    def __init__(self, response: Response) -> None:
        self.response = response


async def refusal_response(_request: Request, refusal: Exception) -> Response:
    """The handler of RefusalError."""
    assert isinstance(refusal, RefusalError)
    return refusal.response


async def unknown_fault_response(_request: Request, error: Exception) -> Response:
    """The handler of UnknownFaultError."""
    return JSONResponse({"detail": str(error), "status": 400, "known_faults": sorted(WORDS)}, 400)


def retry_after(plan: FaultPlan) -> int | None:
    """Seconds to announce with a 429; None: not announced."""
    if plan.has("submit_429_bare"):
        return None
    return int(plan.number("submit_429_retry") or 1)


def refuse_by_fault(plan: FaultPlan, answers: Mapping[str, tuple[int, Any]]) -> None:
    """Raises the refusal that a submit fault demands, in the provider's words (`answers`: by fault word)."""
    fault = plan.first("submit_")
    if fault is None:
        return
    if fault.name == "submit_502":
        raise RefusalError(HTMLResponse(_EDGE_PAGE, 502))
    headers: dict[str, str] = {}
    if fault.name.startswith(_THROTTLED):
        seconds = retry_after(plan)
        headers = {} if seconds is None else {"Retry-After": str(seconds)}
    status, body = answers[_THROTTLED if fault.name.startswith(_THROTTLED) else fault.name]
    raise RefusalError(JSONResponse(body, status, headers))
