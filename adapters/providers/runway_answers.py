"""How Runway answers: a task, or `error` with a list of issues where a body has the wrong shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from adapters.providers.answers import field_names, json_object, retry_after
from domain.errors import (
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderRejectedInput,
    ProviderUnavailable,
    SubmitAmbiguous,
)

_REFUSALS: Mapping[int, tuple[type[ProviderError], str]] = {
    401: (ProviderAuthFailed, "Runway refused the key."),
    403: (ProviderAuthFailed, "Runway refused the key."),
    429: (ProviderBusy, "Runway has as many tasks of this organization as it takes in a day, or too many requests."),
    503: (ProviderUnavailable, "Runway is shedding load."),
}


def accepted(response: httpx.Response) -> dict[str, Any]:
    """The task that a submit made. A gateway's error, or one that is not Runway's own, is ambiguous."""
    body = json_object(response)
    if response.is_success:
        if body is None or not isinstance(body.get("id"), str):
            raise SubmitAmbiguous("Runway accepted a submit without naming the task.")
        return body
    if response.status_code in (502, 504) or (response.status_code >= 500 and (body is None or "error" not in body)):
        raise SubmitAmbiguous(f"The edge of Runway answered a submit with {response.status_code}.")
    raise refusal(response)


def seen(response: httpx.Response) -> dict[str, Any]:
    """The object of a look. A look that did not work says nothing about the job."""
    body = json_object(response)
    if response.is_success and body is not None and isinstance(body.get("id"), str):
        return body
    if response.status_code == 404:
        raise JobNotFound("Runway does not know the task.")
    if response.status_code in (401, 403, 429):
        raise refusal(response)
    raise ProviderUnavailable(f"Runway answered a look with {response.status_code}.")


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means. An empty balance is a 400 like a wrong value, but without a list of them."""
    status, body = response.status_code, json_object(response) or {}
    issues = body.get("issues")
    if status == 400 and not isinstance(issues, list) and "credits" in str(body.get("error")).lower():
        return ProviderCreditsExhausted("The balance of the Runway organization is used up.")
    otherwise = ProviderFailed if status >= 500 or status < 400 else ProviderRejectedInput
    error, message = _REFUSALS.get(status, (otherwise, f"Runway answered with {status}."))
    named = [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    paths = [issue["path"] for issue in named if isinstance(issue.get("path"), list)]
    return error(
        message,
        details=field_names(".".join(map(str, path)) for path in paths),
        retry_after=retry_after(response.headers) if status in (429, 503) else None,
    )
