"""What Alibaba Cloud's errors mean. Source: the vendor's reference and recorded answers, read 2026-11.

The same codes stand at the top of an HTTP error, in a failed task and at one failed image of several. There is no 402:
lack of money hides in 400, 403 and 429. No pause is announced with a 429; it is said to recover in about a minute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from adapters.providers.answers import json_object, retry_after
from domain.errors import (
    ContentRefused,
    InputFileRefused,
    InputFormatUnsupported,
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

_CODES: tuple[tuple[str, type[ProviderError]], ...] = (  # first match at the beginning of a code in its plain form
    ("datainspectionfailed", ContentRefused),
    ("ipinfringementsuspect", ContentRefused),
    ("customroleblocked", ContentRefused),
    ("faqruleblocked", ContentRefused),
    ("arrearage", ProviderCreditsExhausted),
    ("prepaidbilloverdue", ProviderCreditsExhausted),
    ("postpaidbilloverdue", ProviderCreditsExhausted),
    ("commoditynotpurchased", ProviderCreditsExhausted),
    ("allocationquotafreetieronly", ProviderCreditsExhausted),
    ("throttling", ProviderBusy),
    ("insufficientquota", ProviderBusy),
    ("endpointaccessdenied", ProviderRejectedInput),  # the model is retired
    ("invalidimageresolution", InputFileRefused),
    ("invalidimage", InputFormatUnsupported),
    ("invalidfile", InputFileRefused),
    ("invalidapikey", ProviderAuthFailed),
    ("invalid", ProviderRejectedInput),  # parameters, and addresses: of our own copy of the customer's file
    ("badrequest", ProviderRejectedInput),
    ("modelnotfound", ProviderRejectedInput),
    ("internalerrortimeout", ProviderTimedOut),
    ("requesttimeout", ProviderTimedOut),
    ("modelservingerror", ProviderAtCapacity),
    ("modelunavailable", ProviderAtCapacity),
)

_REFUSALS: Mapping[int, type[ProviderError]] = {
    401: ProviderAuthFailed,
    403: ProviderAuthFailed,
    429: ProviderBusy,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderTimedOut,
}

_OF_THE_ACCOUNT = (ProviderAuthFailed, ProviderCreditsExhausted, ProviderBusy)
LOOK_FAILED = (*_OF_THE_ACCOUNT, ProviderUnavailable)  # says nothing about the task


def accepted(response: httpx.Response) -> dict[str, Any]:
    """The answer to a submit. A gateway's error, or one without a code, is ambiguous."""
    body = json_object(response)
    if response.is_success:
        if body is None or not isinstance(body.get("output"), dict):
            raise SubmitAmbiguous("Alibaba Cloud accepted a submit in words that cannot be read.")
        return body
    if response.status_code in (502, 504) or (response.status_code >= 500 and not _code(body)):
        raise SubmitAmbiguous(f"The edge of Alibaba Cloud answered a submit with {response.status_code}.")
    raise refusal(response)


def seen(response: httpx.Response) -> dict[str, Any]:
    """The object of a look. A look that did not work says nothing about the task."""
    body = json_object(response)
    if response.is_success and body is not None:
        return body
    refused = refusal(response)
    if isinstance(refused, _OF_THE_ACCOUNT):
        raise refused
    raise ProviderUnavailable(f"Alibaba Cloud answered a look with {response.status_code}.")


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means: by its code where it is a known one, else by its status."""
    status, code = response.status_code, _code(json_object(response))
    fallback = _REFUSALS.get(status, ProviderFailed if status >= 500 or status < 400 else ProviderRejectedInput)
    return _by_code(code, fallback)(
        f"Alibaba Cloud answered with {status}.",
        details=_details(code),
        retry_after=retry_after(response.headers) if status in (429, 503) else None,
    )


def failure(output: Mapping[str, Any]) -> ProviderError:
    """Of a task. What our account lacks, or what asks us to slow down, would read as a look that did not work."""
    code = _code(output)
    error = _by_code(code, ProviderFailed)
    if error in _OF_THE_ACCOUNT:
        error = ProviderAtCapacity if error is ProviderBusy else ProviderFailed
    return error("The job failed at Alibaba Cloud.", details=_details(code))


def _by_code(code: str, otherwise: type[ProviderError]) -> type[ProviderError]:
    """Codes come as words run together or with underscores."""
    plain = re.sub(r"[^a-z0-9]", "", code.lower())
    return next((error for beginning, error in _CODES if plain.startswith(beginning)), otherwise)


def _code(body: Mapping[str, Any] | None) -> str:
    """Gateways wrap it in an `error`."""
    told = (body or {}).get("code")
    wrapped = (body or {}).get("error")
    told = wrapped.get("code") if told is None and isinstance(wrapped, dict) else told
    return told if isinstance(told, str) else ""


def _details(code: str) -> dict[str, Any]:
    """The code only: messages may carry a customer's words."""
    return {"code": code} if re.fullmatch(r"[A-Za-z0-9_. -]{1,64}", code) else {}
