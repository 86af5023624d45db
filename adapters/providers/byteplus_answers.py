"""What ModelArk's status and error codes mean. Source: the vendor's list of error codes, read 2026-11.

There is no 402: money is behind 403 and 429. Moderation is told by a part of the code, whose ends say where and why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from adapters.providers.answers import field_names, json_object, retry_after
from domain.errors import (
    ContentRefused,
    JobNotFound,
    ProviderAtCapacity,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)

_CODES: tuple[tuple[str, type[ProviderError]], ...] = (  # the first that stands in the code
    ("SensitiveContentDetected", ContentRefused),  # with prefixes and suffixes that say where and why
    ("AccountOverdueError", ProviderCreditsExhausted),
    ("ServiceOverdue", ProviderCreditsExhausted),
    ("QuotaExceeded", ProviderCreditsExhausted),
    ("SetLimitExceeded", ProviderCreditsExhausted),
    ("ServerOverloaded", ProviderAtCapacity),
    ("InflightBatchsizeExceeded", ProviderAtCapacity),
    ("InvalidParameter", ProviderRejectedInput),
    ("InvalidImageURL", ProviderRejectedInput),  # of our own copy of the customer's file
)

_REFUSALS: Mapping[int, type[ProviderError]] = {
    401: ProviderAuthFailed,
    403: ProviderAuthFailed,
    429: ProviderBusy,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderTimedOut,
}


def accepted(response: httpx.Response) -> dict[str, Any]:
    """The answer to a submit. A gateway's error, or one without an error object, is ambiguous."""
    body = json_object(response)
    if response.is_success:
        if body is None:
            raise SubmitAmbiguous("BytePlus accepted a submit with an answer that is no JSON.")
        if not body.get("error"):
            return body
        raise failure(body)
    if response.status_code in (502, 504) or (response.status_code >= 500 and not (body and body.get("error"))):
        raise SubmitAmbiguous(f"The edge of BytePlus answered a submit with {response.status_code}.")
    raise refusal(response)


def seen(response: httpx.Response) -> dict[str, Any]:
    """The object of a look. A look that did not work says nothing about the job."""
    body = json_object(response)
    if response.is_success and body is not None and (isinstance(body.get("id"), str) or "items" in body):
        return body
    if response.status_code == 404:
        raise JobNotFound("BytePlus does not know the task.")
    if response.status_code in (401, 403, 429):
        raise refusal(response)
    raise ProviderUnavailable(f"BytePlus answered a look with {response.status_code}.")


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means: by its code where it has one we know, else by its status."""
    status = response.status_code
    code, details = _complaint(json_object(response) or {})
    other = ProviderFailed if status >= 500 or status < 400 else ProviderRejectedInput
    error = _of_code(code) or _REFUSALS.get(status, other)
    named = f"BytePlus answered with {status} ({code})." if code else f"BytePlus answered with {status}."
    return error(named, details=details, retry_after=retry_after(response.headers) if status in (429, 503) else None)


def failure(ended: Mapping[str, Any]) -> ProviderError:
    """Why a task or one picture failed. That is its end, even where the code speaks of load or of money."""
    code, details = _complaint(ended)
    error = _of_code(code)
    return (error if error in (ContentRefused, ProviderRejectedInput) else ProviderFailed)(
        "A safety filter refused the input or the output."
        if error is ContentRefused
        else "The job failed at BytePlus.",
        details=details,
    )


def _of_code(code: str) -> type[ProviderError] | None:
    return next((error for part, error in _CODES if part in code), None)


def _complaint(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The code, and the parameter complained about: names only, messages may hold a customer's words."""
    error = body.get("error")
    told = error if isinstance(error, dict) else {}
    code = str(told.get("code") or "")
    return code if re.fullmatch(r"[A-Za-z0-9_.]{1,100}", code) else "", field_names([told.get("param")])
