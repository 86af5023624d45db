"""How a request of fal ended. COMPLETED means finished, not succeeded: the status code of the result decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from adapters.providers.answers import json_object, seconds
from adapters.providers.fal_answers import failed, refusal
from domain.errors import ContentRefused, ProviderFailed, ProviderInvalidOutput, ProviderUnavailable
from domain.generation import JobRef
from domain.provider import Job, JobState, Output

_WAITING = {"IN_QUEUE": JobState.QUEUED, "IN_PROGRESS": JobState.RUNNING}


def unfinished(ref: JobRef, status: Mapping[str, Any]) -> Job:
    """A job that its status alone describes. Raises what a named failure stands for."""
    kind = status.get("error_type")
    if status.get("status") != "COMPLETED":
        return Job(ref, _WAITING.get(str(status.get("status")), JobState.RUNNING))
    if kind in ("client_cancelled", "client_disconnected"):
        return Job(ref, JobState.CANCELED)
    raise failed(kind)


def to_job(ref: JobRef, status: Mapping[str, Any], result: httpx.Response) -> Job:
    """A completed job by its result, which carries the model's own status code: a 503 here is the job's end."""
    body = json_object(result)
    if not result.is_success:
        if body is None or "detail" not in body:
            raise ProviderUnavailable(f"fal answered with {result.status_code} where a result should be.")
        if result.status_code == 400 and body["detail"] == "Request is still in progress":
            return Job(ref, JobState.RUNNING)
        if result.status_code == 499:  # canceled while it ran
            return Job(ref, JobState.CANCELED)
        if result.status_code == 404:
            raise ProviderInvalidOutput("fal has already deleted the result.")
        failure = refusal(result)
        raise (
            ProviderFailed(failure.message, details=failure.details)
            if type(failure) is ProviderUnavailable
            else failure
        )
    if status.get("error"):
        raise ProviderFailed("The job failed at fal.")
    if body is None:
        raise ProviderInvalidOutput("fal answered with a result of an unknown form.")
    flags = body.get("has_nsfw_concepts")
    if isinstance(flags, list) and any(flag is True for flag in flags):
        raise ContentRefused("A safety filter blackened the output.")
    outputs = tuple(_outputs(body))
    if not outputs:
        raise ProviderInvalidOutput("fal answered with a result without files.")
    return Job(ref, JobState.SUCCEEDED, outputs, predict_time_s=_predict_time_s(status, body))


def _outputs(body: Mapping[str, Any]) -> Iterator[Output]:
    for name in ("images", "image", "videos", "video"):
        files = body.get(name)
        for file in files if isinstance(files, list) else [files]:
            if isinstance(file, dict) and isinstance(file.get("url"), str):
                kind = file.get("content_type")
                yield Output(file["url"], kind if isinstance(kind, str) else None)


def _predict_time_s(status: Mapping[str, Any], body: Mapping[str, Any]) -> float | None:
    metrics, timings = status.get("metrics"), body.get("timings")
    told = metrics.get("inference_time") if isinstance(metrics, dict) else None
    return seconds(told if told is not None else timings.get("inference") if isinstance(timings, dict) else None)
