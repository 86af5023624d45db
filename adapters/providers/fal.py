"""fal queue API. Source: the vendor's documentation and client source, read 2026-11.

A repeated POST makes a second request: there is no idempotency key. COMPLETED means finished, not succeeded: the status
code of the result decides. A filtered picture comes as a black image with a flag. The result document lives an hour.
Addresses are used as fal returned them, because they drop part of the model's path. Prices are not told.

fal's own retries are switched off: one attempt is one run, and what to try next is decided by those who see every
provider. Its time limit covers the wait for a start only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers import fal_signature
from adapters.providers.answers import (
    base_of,
    json_object,
    looking,
    moment,
    pooled_client,
    retry_after,
    seconds,
    submitting,
)
from adapters.providers.settings import ProviderSettings, environment
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
    ProviderInvalidOutput,
    ProviderRejectedInput,
    ProviderTimedOut,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission, Tools

CLOCK_SKEW = timedelta(seconds=5)
PAGES_MAX = 10  # of 100 requests each, when a lost one is looked for


class Settings(ProviderSettings):
    model_config = environment("FAL")

    key: SecretStr | None = Field(None, description="fal key, as key_id:key_secret.")
    queue_url: str = Field("https://queue.fal.run", description="fal queue address.")
    rest_url: str = Field("https://rest.fal.ai", description="fal address that serves the JWKS.")
    platform_url: str = Field("https://api.fal.ai/v1", description="fal platform address: request history.")


def build(settings: Settings, tools: Tools) -> FalProvider | None:
    if not settings.key:
        return None
    return FalProvider(
        client(settings.queue_url, settings.key.get_secret_value(), tools.timeout),
        rest_url=settings.rest_url,
        platform_url=settings.platform_url,
    )


def client(base_url: str, credential: str, timeout: timedelta) -> httpx.AsyncClient:
    """`credential` is the API key, key_id:key_secret."""
    return pooled_client(base_url, f"Key {credential.strip()}", timeout)


class FalProvider:
    name = "fal"
    limits = ProviderLimits(requests_per_second=None)  # none is published: above its concurrency the queue waits

    def __init__(
        self, http: httpx.AsyncClient, *, rest_url: str, platform_url: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._http = http  # base address, credential and time limits are set by `client`
        self._queue_url = base_of(http)
        self._keys_url = f"{rest_url.rstrip('/')}/.well-known/jwks.json"
        self._history_url = f"{platform_url.rstrip('/')}/models/requests/by-endpoint"
        self._keys = fal_signature.KeySet(self._published_keys, clock)
        self._clock = clock

    async def submit(self, submission: Submission) -> Job:
        callback = {"fal_webhook": submission.callback_url} if submission.callback_url is not None else None
        with submitting("fal"):
            response = await self._http.post(
                f"/{submission.native_model}",
                params=callback,
                json=dict(submission.native_input),
                headers={
                    "X-Fal-Request-Timeout": str(max(1, int(submission.deadline.total_seconds()))),
                    "X-Fal-No-Retry": "1",
                },
            )
        return Job(ref_of(accepted(response), submission.native_model, self._queue_url), JobState.QUEUED)

    async def read(self, ref: JobRef) -> Job:
        with looking("fal"):
            response = await self._http.get(self._address(ref, "status_url"))
        status = seen(response)
        if status.get("status") != "COMPLETED" or status.get("error_type"):
            return unfinished(ref, status)
        with looking("fal"):
            result = await self._http.get(self._address(ref, "response_url"))
        return to_job(ref, status, result)

    async def cancel(self, ref: JobRef) -> bool:
        with looking("fal"):
            response = await self._http.put(self._address(ref, "cancel_url"))
        if response.is_success:
            return True
        if response.status_code in (400, 404):  # already completed, not found
            return False
        raise refusal(response)

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        """Reads the request history, which lists finished requests: a lost one is found once it has ended."""
        earliest = submitted_after - CLOCK_SKEW
        query = {
            "endpoint_id": submission.native_model,
            "start": earliest.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "expand": "payloads",
            "limit": "100",
        }
        matches: list[tuple[timedelta, str]] = []
        for _ in range(PAGES_MAX):
            with looking("fal"):
                response = await self._http.get(self._history_url, params=query)
            page = seen(response)
            for item in page.get("items") or ():
                sent = moment(item.get("sent_at")) if isinstance(item, dict) else None
                if sent is not None and sent >= earliest and is_of(submission, item):
                    matches.append((abs(sent - submitted_after), item["request_id"]))
            if not page.get("has_more") or not page.get("next_cursor"):
                break
            query["cursor"] = str(page["next_cursor"])
        return [rebuilt(job_id, submission.native_model, self._queue_url) for _, job_id in sorted(matches)]

    def job_named(self, job_id: str, native_model: str) -> JobRef:
        """The callback names the request only; its addresses are rebuilt from the model."""
        return rebuilt(job_id, native_model, self._queue_url)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        request_id = await fal_signature.verified(self._keys, headers, body, now=self._clock())
        return CallbackNotice(event_id=request_id, job_id=request_id)

    async def check(self) -> None:
        with looking("fal"):
            response = await self._http.get(
                self._history_url, params={"endpoint_id": "fal-ai/flux/schnell", "limit": "1"}
            )
        if not response.is_success:
            raise refusal(response)

    def _address(self, ref: JobRef, name: str) -> str:
        """An address of the handle, only where our credential may go."""
        address = ref.handle.get(name, "")
        if not address.startswith(self._queue_url):
            raise JobNotFound("The job has no address at fal.")
        return address

    async def _published_keys(self) -> dict[str, Any] | None:
        request = self._http.build_request("GET", self._keys_url)
        del request.headers["Authorization"]  # public: the credential stays here
        try:
            response = await self._http.send(request)
        except httpx.TransportError:
            return None
        return json_object(response) if response.is_success else None


# --- addresses of a request ---------------------------------------------------------------------------------------

_ENDINGS = {"status_url": "/status", "response_url": "", "cancel_url": "/cancel"}


def ref_of(body: Mapping[str, Any], native_model: str, queue_url: str) -> JobRef:
    """The addresses as returned. Where one leads away from the queue, all are rebuilt: the job is not lost for it."""
    handle = {name: str(body.get(name)) for name in _ENDINGS}
    if all(address.startswith(queue_url) for address in handle.values()):
        return JobRef(body["request_id"], handle)
    return rebuilt(body["request_id"], native_model, queue_url)


def rebuilt(request_id: str, native_model: str, queue_url: str) -> JobRef:
    """The first two segments of the model, but three in the namespaces of workflows, and the request id."""
    segments = native_model.split("/")
    short = "/".join(segments[: 3 if segments[0] in ("workflows", "comfy") else 2])
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", request_id):
        return JobRef(request_id)
    return JobRef(
        request_id,
        {name: f"{queue_url}{short}/requests/{request_id}{ending}" for name, ending in _ENDINGS.items()},
    )


def is_of(submission: Submission, item: Mapping[str, Any]) -> bool:
    """Whether a request of the history could be the one that was submitted."""
    return (
        isinstance(item.get("request_id"), str)
        and item.get("endpoint_id") == submission.native_model
        and item.get("json_input") == dict(submission.native_input)
    )


# --- their words to ours ------------------------------------------------------------------------------------------

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

_WAITING = {"IN_QUEUE": JobState.QUEUED, "IN_PROGRESS": JobState.RUNNING}


def unfinished(ref: JobRef, status: Mapping[str, Any]) -> Job:
    """A job that its status alone describes. Raises what a named failure stands for."""
    kind = status.get("error_type")
    if status.get("status") != "COMPLETED":
        return Job(ref, _WAITING.get(str(status.get("status")), JobState.RUNNING))
    if kind in ("client_cancelled", "client_disconnected"):
        return Job(ref, JobState.CANCELED)
    raise _TYPES.get(str(kind), ProviderFailed)("The job failed at fal.", details=_details([kind]))


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


# --- answers ------------------------------------------------------------------------------------------------------


def accepted(response: httpx.Response) -> dict[str, Any]:
    """The queue's receipt for a submit. A gateway's error, or one that is not fal's own, is ambiguous."""
    body = json_object(response)
    if response.is_success:
        if body is None or not isinstance(body.get("request_id"), str):
            raise SubmitAmbiguous("fal accepted a submit without naming the request.")
        return body
    kinds, _ = _complaints(body or {}, response.headers)
    gateway = response.status_code in (502, 504) and not any(kind in _TYPES for kind in kinds)
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
    by_type = [_TYPES[kind] for kind in kinds if kind in _TYPES]
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
