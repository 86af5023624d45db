"""What OpenAI, and a server that speaks like it, answers: images, videos and errors, in our words.

400 is moderation, a wrong parameter, a retired model and an empty account; 429 is too fast and an empty account. The
`code` of the error decides, then its `type`, then the status. Other servers may answer with plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from adapters.providers.answers import RETRY_AFTER_MAX, data_url, json_object, objects_in, retry_after
from adapters.providers.kept import with_outputs
from domain.errors import (
    ContentRefused,
    InputFileRefused,
    InputFileTooBig,
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import Job, JobState, Output

NAME = "OpenAI"

# --- results ------------------------------------------------------------------------------------------------------

_STATES = {"queued": JobState.QUEUED, "in_progress": JobState.RUNNING, "completed": JobState.SUCCEEDED}
_COUNTED = ("input_tokens", "output_tokens")  # what the vendor bills


def to_images(job_id: str, answer: Mapping[str, Any]) -> Job:
    """A finished job. Addresses are kept in its reference; a picture that came as base64 is only here, in one piece."""
    items, usage = objects_in(answer.get("data")), _members(answer.get("usage"))
    tokens = {name: str(usage[name]) for name in _COUNTED if type(usage.get(name)) is int}
    encoded = [item["b64_json"] for item in items if _is_text(item.get("b64_json"))]
    if encoded:
        return Job(JobRef(job_id, tokens), JobState.SUCCEEDED, tuple(Output(data_url(picture)) for picture in encoded))
    urls = [item["url"] for item in items if _is_text(item.get("url"))]
    if not urls:
        raise ProviderInvalidOutput("OpenAI answered without a picture.")
    job = with_outputs(job_id, urls, None)
    return Job(JobRef(job_id, job.ref.handle | tokens), job.state, job.outputs)


def to_video(ref: JobRef, video: Mapping[str, Any], file: Output) -> Job:
    """`file` is what it has when it is finished. Raises the ProviderError that a failed video stands for."""
    status = video.get("status")
    if status == "failed":
        moderated = str(_members(video.get("error")).get("code")) in _MODERATED
        raise ContentRefused(_SAYS[ContentRefused]) if moderated else ProviderFailed("The job failed at OpenAI.")
    state = _STATES.get(str(status), JobState.RUNNING)
    return Job(ref, state, (file,) if state is JobState.SUCCEEDED else ())


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _members(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# --- answers ------------------------------------------------------------------------------------------------------

_MODERATED = frozenset({"moderation_blocked", "content_policy_violation"})

_BY_CODE: Mapping[str, type[ProviderError]] = {  # by code, or by type where there is none
    **dict.fromkeys(_MODERATED, ContentRefused),
    "insufficient_quota": ProviderCreditsExhausted,
    "billing_hard_limit_reached": ProviderCreditsExhausted,
    "billing_limit_user_error": ProviderCreditsExhausted,
    "invalid_api_key": ProviderAuthFailed,
    "model_not_found": ProviderRejectedInput,
}

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: ProviderAuthFailed,
    402: ProviderCreditsExhausted,
    403: ProviderAuthFailed,
    408: ProviderTimedOut,
    409: ProviderFailed,
    413: InputFileTooBig,
    429: ProviderBusy,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderTimedOut,
}

_SAYS: Mapping[type[ProviderError], str] = {
    ContentRefused: "A safety filter refused the input or the output.",
    InputFileRefused: "OpenAI cannot use an input file.",
    InputFileTooBig: "The input files have more bytes than OpenAI takes.",
    ProviderAuthFailed: "OpenAI refuses the API key, or its account may not use this model.",
    ProviderCreditsExhausted: "The OpenAI account has no credit left.",
}

_OUR_MISTAKE = frozenset({"unknown_parameter", "missing_required_parameter"})  # whatever the parameter


def accepted(response: httpx.Response, member: str) -> dict[str, Any]:
    """What a submit made: it has this member. A gateway's error, or one without a document of theirs, is ambiguous."""
    body, status = json_object(response), response.status_code
    if response.is_success:
        if body is None or not _has(body, member):
            raise SubmitAmbiguous("OpenAI accepted a submit without saying what it made.")
        return body
    if status in (502, 504) or (status >= 500 and (body is None or "error" not in body)):
        raise SubmitAmbiguous(f"The edge of OpenAI answered a submit with {status}.")
    raise refusal(response)


def seen(response: httpx.Response, member: str) -> dict[str, Any]:
    """The object of a look, which has this member. A look that did not work says nothing about the job."""
    body = json_object(response)
    if response.is_success and body is not None and _has(body, member):
        return body
    if response.status_code == 404:
        raise JobNotFound("OpenAI does not know the video.")
    if response.status_code in (401, 403, 429):
        raise refusal(response)
    raise ProviderUnavailable(f"OpenAI answered a look with {response.status_code}.")


def is_id(value: object) -> bool:
    """Whether this may stand in a path."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,128}", value) is not None


def _has(body: Mapping[str, Any], member: str) -> bool:
    return member in body and (member != "id" or is_id(body["id"]))


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means. Any 4xx that nothing names is a mapping of ours that is wrong."""
    status, told = response.status_code, _error_in(response)
    error = _BY_CODE.get(str(told.get("code"))) or _BY_CODE.get(str(told.get("type")))
    if (
        error is None and status == 400 and "safety system" in str(told.get("message"))
    ):  # the oldest wording has no code
        error = ContentRefused
    if error is None and status == 400 and _blames_a_file(told):
        error = InputFileRefused
    if error is None:
        error = _BY_STATUS.get(status, ProviderFailed if status >= 500 or status < 400 else ProviderRejectedInput)
    return error(
        _SAYS.get(error, f"OpenAI answered with {status}."),
        details=_field(told),
        retry_after=_pause(response) if error in (ProviderBusy, ProviderUnavailable) else None,
    )


def _error_in(response: httpx.Response) -> Mapping[str, Any]:
    body = json_object(response) or {}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {"message": error}


def _blames_a_file(told: Mapping[str, Any]) -> bool:
    """A customer's picture that cannot be read. A video's first frame has a size of its own, which others may take."""
    return re.match(r"image\b|mask\b", str(told.get("param"))) is not None and str(told.get("code")) not in _OUR_MISTAKE


def _field(told: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter complained about: its name only, its value may be a customer's."""
    name = told.get("param")
    return {"fields": [name]} if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_.\[\]]{1,64}", name) else {}


def _pause(response: httpx.Response) -> timedelta | None:
    milliseconds = response.headers.get("retry-after-ms", "")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", milliseconds):
        return min(timedelta(milliseconds=float(milliseconds)), RETRY_AFTER_MAX)
    return retry_after(response.headers)
