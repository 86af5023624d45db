"""How BFL answers: a task, or `detail`, which is a text or a list of what is wrong with the parameters."""

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
    401: (ProviderAuthFailed, "BFL refused the key."),
    402: (ProviderCreditsExhausted, "The balance of the BFL account is used up."),
    403: (ProviderAuthFailed, "BFL refused the key."),
    429: (ProviderBusy, "BFL has as many tasks of this account as it takes."),
    503: (ProviderUnavailable, "BFL says that it is down."),
}


def accepted(response: httpx.Response) -> dict[str, Any]:
    """The task that a submit made. A gateway's error, or one that is not BFL's own, is ambiguous."""
    body = json_object(response)
    if response.is_success:
        if body is None or not isinstance(body.get("id"), str):
            raise SubmitAmbiguous("BFL accepted a submit without naming the task.")
        return body
    if response.status_code in (502, 504) or (response.status_code >= 500 and (body is None or "detail" not in body)):
        raise SubmitAmbiguous(f"The edge of BFL answered a submit with {response.status_code}.")
    raise refusal(response)


def seen(response: httpx.Response) -> dict[str, Any]:
    """The object of a look. A look that did not work says nothing about the job."""
    body = json_object(response)
    if response.is_success and body is not None and "status" in body:
        return body
    if response.status_code == 404:
        raise JobNotFound("BFL does not know the task.")
    failure = refusal(response)
    if isinstance(failure, ProviderAuthFailed | ProviderBusy | ProviderCreditsExhausted):
        raise failure
    raise ProviderUnavailable(f"BFL answered a look with {response.status_code}.")


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means. 422 is a list of wrong parameters; as a mere text it is about the key."""
    status, detail = response.status_code, (json_object(response) or {}).get("detail")
    if status == 422 and isinstance(detail, str):
        return ProviderAuthFailed("BFL says that the key is malformed.")
    otherwise = ProviderFailed if status >= 500 or status < 400 else ProviderRejectedInput
    error, message = _REFUSALS.get(status, (otherwise, f"BFL answered with {status}."))
    problems = [item for item in detail if isinstance(item, dict)] if isinstance(detail, list) else []
    places = [problem["loc"] for problem in problems if isinstance(problem.get("loc"), list)]
    return error(
        message,
        details=field_names(".".join(map(str, place[1:])) for place in places),  # all begin with "body"
        retry_after=retry_after(response.headers) if status in (429, 503) else None,
    )
