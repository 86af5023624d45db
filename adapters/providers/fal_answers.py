"""What fal's error types and status codes mean. Source: the vendor's list of errors, read 2026-11."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from adapters.providers.answers import json_object, retry_after
from domain.errors import (
    ContentRefused,
    InputFileRefused,
    InputFileTooBig,
    InputFormatUnsupported,
    InputImageTooLarge,
    InputImageTooSmall,
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

_TYPES: Mapping[str, type[ProviderError]] = {
    "content_policy_violation": ContentRefused,
    "no_media_generated": ContentRefused,
    "image_too_small": InputImageTooSmall,
    "image_too_large": InputImageTooLarge,
    "image_load_error": InputFileRefused,
    "file_download_error": ProviderRejectedInput,  # of our own copy of the customer's file
    "file_too_large": InputFileTooBig,
    "unsupported_image_format": InputFormatUnsupported,
    "unsupported_video_format": InputFormatUnsupported,
    "unsupported_audio_format": InputFormatUnsupported,
    "face_detection_error": InputFileRefused,
    "audio_duration_too_long": InputFileRefused,
    "audio_duration_too_short": InputFileRefused,
    "video_duration_too_long": InputFileRefused,
    "video_duration_too_short": InputFileRefused,
    "invalid_archive": InputFileRefused,
    "downstream_service_error": ProviderFailed,
    "downstream_service_unavailable": ProviderFailed,
    "internal_server_error": ProviderFailed,
    "internal_error": ProviderFailed,
    "runner_server_error": ProviderFailed,
    "runner_incomplete_response": ProviderFailed,
    "runner_scheduling_failure": ProviderAtCapacity,
    "runner_connection_timeout": ProviderFailed,
    "runner_disconnected": ProviderFailed,
    "runner_connection_refused": ProviderFailed,
    "runner_connection_error": ProviderFailed,
    "generation_timeout": ProviderTimedOut,
    "request_timeout": ProviderTimedOut,
    "startup_timeout": ProviderTimedOut,
}

_REFUSALS: Mapping[int, type[ProviderError]] = {
    401: ProviderAuthFailed,
    402: ProviderCreditsExhausted,
    403: ProviderAuthFailed,
    408: ProviderTimedOut,
    429: ProviderBusy,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderTimedOut,
}


def accepted(response: httpx.Response) -> dict[str, Any]:
    """The queue's receipt for a submit. A gateway's error, or one that is not fal's own, is ambiguous."""
    body = json_object(response)
    if response.is_success:
        if body is None or not isinstance(body.get("request_id"), str):
            raise SubmitAmbiguous("fal accepted a submit without naming the request.")
        return body
    kinds, _ = _complaints(body or {}, response.headers)
    gateway = response.status_code in (502, 504) and not any(str(kind) in _TYPES for kind in kinds)
    if gateway or (response.status_code >= 500 and (body is None or "detail" not in body)):
        raise SubmitAmbiguous(f"The edge of fal answered a submit with {response.status_code}.")
    raise refusal(response)


def seen(response: httpx.Response) -> dict[str, Any]:
    """The object of a look. A look that did not work says nothing about the job."""
    body = json_object(response)
    if response.is_success and body is not None:
        return body
    if response.status_code == 404:
        raise JobNotFound("fal does not know the request.")
    if response.status_code in (401, 402, 403, 429):
        raise refusal(response)
    raise ProviderUnavailable(f"fal answered a look with {response.status_code}.")


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means: by its type where it has one we know, else by its status."""
    status, body = response.status_code, json_object(response) or {}
    kinds, fields = _complaints(body, response.headers)
    by_type = [_TYPES[str(kind)] for kind in kinds if str(kind) in _TYPES]
    if status == 403 and "balance" in str(body.get("detail")).lower():
        error: type[ProviderError] = ProviderCreditsExhausted
    elif by_type:
        error = ContentRefused if ContentRefused in by_type else by_type[0]
    else:
        error = _REFUSALS.get(status, ProviderFailed if status >= 500 or status < 400 else ProviderRejectedInput)
    return error(
        f"fal answered with {status}.",
        details=_details(kinds, fields),
        retry_after=retry_after(response.headers) if status in (429, 503) else None,
    )


def failed(kind: object) -> ProviderError:
    """A job that its status names as failed."""
    return _TYPES.get(str(kind), ProviderFailed)("The job failed at fal.", details=_details([kind]))


def _complaints(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[list[Any], list[Any]]:
    """Error types and field names. `detail` is a list from a model, a text from the queue."""
    detail = body.get("detail")
    if isinstance(detail, list):
        items = [item for item in detail if isinstance(item, dict)]
        places = [item["loc"] for item in items if isinstance(item.get("loc"), list)]
        return [item.get("type") for item in items], [".".join(map(str, place[1:])) for place in places]
    return [body.get("error_type") or headers.get("x-fal-error-type")], []


def _details(kinds: list[Any], fields: list[Any] | None = None) -> dict[str, Any]:
    """Names only: values and messages may be a customer's."""
    named = {"types": kinds, "fields": fields or []}
    clean = {
        key: [name for name in names if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_.]{1,64}", name)][:10]
        for key, names in named.items()
    }
    return {key: names for key, names in clean.items() if names}
