"""Replicate predictions API, v1. Source: the vendor's OpenAPI document and client source, read 2026-11.

A repeated POST makes a second prediction: there is no idempotency key. Outputs are deleted an hour after the end.
`succeeded` without an output means that a filter took all of it. Prices are not told.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers import standard_webhooks
from adapters.providers.answers import (
    base_of,
    json_object,
    looking,
    moment,
    object_in,
    objects_in,
    pooled_client,
    retry_after,
    seconds,
    submitting,
)
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import (
    ContentRefused,
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
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission, Tools

CLOCK_SKEW = timedelta(seconds=5)
PAGES_MAX = 10  # of 100 predictions each, when a lost one is looked for
_CANCEL_AFTER_MIN_S = 5


class Settings(ProviderSettings):
    model_config = environment("REPLICATE")

    api_token: SecretStr | None = Field(None, description="Replicate API token.")
    base_url: str = Field("https://api.replicate.com/v1", description="Replicate API address.")
    webhook_secret: SecretStr | None = Field(None, description="whsec_... of the Replicate account.")


def build(settings: Settings, tools: Tools) -> ReplicateProvider | None:
    if not settings.api_token:
        return None
    return ReplicateProvider(
        client(settings.base_url, settings.api_token.get_secret_value(), tools.timeout),
        webhook_secret=settings.webhook_secret.get_secret_value() if settings.webhook_secret else None,
    )


def client(base_url: str, credential: str, timeout: timedelta) -> httpx.AsyncClient:
    """`credential` is the API token, r8_..."""
    return pooled_client(base_url, f"Bearer {credential.strip()}", timeout)


class ReplicateProvider:
    name = "replicate"
    limits = ProviderLimits(requests_per_second=60)  # 600 predictions and 3000 other calls a minute

    def __init__(
        self, http: httpx.AsyncClient, *, webhook_secret: str | None, clock: Callable[[], float] = time.time
    ) -> None:
        """Raises ValueError for a webhook secret that is not of the form `whsec_<base64>`."""
        self._http = http  # base address, credential and time limits are set by `client`
        self._callback_key = (
            standard_webhooks.key_of(webhook_secret, "Replicate") if webhook_secret is not None else None
        )
        self._clock = clock

    async def submit(self, submission: Submission) -> Job:
        path, body = to_wire(submission)
        with submitting("Replicate"):
            response = await self._http.post(path, json=body, headers={"Cancel-After": _cancel_after(submission)})
        return to_job(accepted(response))

    async def read(self, ref: JobRef) -> Job:
        with looking("Replicate"):
            response = await self._http.get(f"/predictions/{_path_id(ref)}")
        job = to_job(seen(response))
        return replace(job, outputs=tuple(map(self._reachable, job.outputs)))

    async def cancel(self, ref: JobRef) -> bool:
        with looking("Replicate"):
            response = await self._http.post(f"/predictions/{_path_id(ref)}/cancel")
        if response.is_success:
            return True
        failure = refusal(response)
        if isinstance(failure, ProviderRejectedInput):  # unknown to it, or finished already
            return False
        raise failure

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        """Lists the newest predictions: our callback address is not echoed, so model, input and time must match."""
        earliest = submitted_after - CLOCK_SKEW
        matches: list[tuple[timedelta, str]] = []
        address: str | None = "/predictions"
        for _ in range(PAGES_MAX):
            if address is None:
                break
            with looking("Replicate"):
                response = await self._http.get(address)
            page = seen(response)
            listed = objects_in(page.get("results"))
            for item in listed:
                created = moment(item.get("created_at"))
                if created is not None and created >= earliest and is_of(submission, item):
                    matches.append((abs(created - submitted_after), str(item["id"])))
            oldest = moment(listed[-1].get("created_at")) if listed else None
            address = self._next_page(page) if oldest is not None and oldest >= earliest else None
        return [JobRef(job_id) for _, job_id in sorted(matches)]

    def job_named(self, job_id: str, native_model: str) -> JobRef:  # noqa: ARG002 - the id is enough here
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        event_id = standard_webhooks.verified_event(self._callback_key, headers, body, now=self._clock())
        job_id = (object_in(body) or {}).get("id")
        return CallbackNotice(event_id=event_id, job_id=job_id if isinstance(job_id, str) else None)

    async def check(self) -> None:
        with looking("Replicate"):
            response = await self._http.get("/account")
        if not response.is_success:
            raise refusal(response)

    def _reachable(self, output: Output) -> Output:
        """Files of the API itself are behind our credential, which no other address may see."""
        if not output.url.startswith(f"{base_of(self._http)}files/"):
            return output
        return replace(output, headers={"Authorization": self._http.headers["Authorization"]})

    def _next_page(self, page: Mapping[str, Any]) -> str | None:
        """The next page, only where our credential may go."""
        address = page.get("next")
        return address if isinstance(address, str) and address.startswith(base_of(self._http)) else None


# --- our words to theirs ------------------------------------------------------------------------------------------


def to_wire(submission: Submission) -> tuple[str, dict[str, Any]]:
    """Path and body. A model with a pinned version (`owner/name:hash`) has another path than an official one."""
    body: dict[str, Any] = {"input": dict(submission.native_input)}
    if submission.callback_url is not None:
        body |= {"webhook": submission.callback_url, "webhook_events_filter": ["completed"]}
    model, _, version = submission.native_model.partition(":")
    if version:
        return "/predictions", {"version": version} | body
    return f"/models/{model}/predictions", body


def _cancel_after(submission: Submission) -> str:
    return f"{max(_CANCEL_AFTER_MIN_S, int(submission.deadline.total_seconds()))}s"


def _path_id(ref: JobRef) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", ref.job_id):
        raise JobNotFound("Replicate has no prediction with such an id.")
    return ref.job_id


def is_of(submission: Submission, prediction: Mapping[str, Any]) -> bool:
    """Whether a listed prediction could be the one that was submitted."""
    model, _, version = submission.native_model.partition(":")
    return (
        isinstance(prediction.get("id"), str)
        and prediction.get("model") == model
        and (not version or prediction.get("version") == version)
        and prediction.get("input") == dict(submission.native_input)
    )


# --- their words to ours ------------------------------------------------------------------------------------------

_RUNNING = {"starting": JobState.QUEUED, "processing": JobState.RUNNING}

_FAILURES: tuple[
    tuple[str, type[ProviderError], str], ...
] = (  # the first found in the lower-cased text of a failed job
    (r"(?<![\w-])e005", ContentRefused, "A safety filter refused the input or the output."),
    ("flagged", ContentRefused, "A safety filter refused the input or the output."),
    ("nsfw", ContentRefused, "A safety filter refused the output."),
    (r"(?<!case-)sensitive", ContentRefused, "A safety filter refused the input or the output."),
    (r"(?<![\w-])e6716", ProviderTimedOut, "Replicate did not start the job in time."),
    (r"(?<![\w-])e4875", ProviderRejectedInput, "Replicate got an empty callback address."),
    (r"(?<![\w-])e1001", ProviderFailed, "The job ran out of memory."),
    ("out of memory", ProviderFailed, "The job ran out of memory."),
    ("interrupted", ProviderFailed, "Replicate interrupted the job."),
)


def to_job(prediction: Mapping[str, Any]) -> Job:
    """Raises the ProviderError that a failed prediction stands for."""
    ref, status = JobRef(str(prediction["id"])), prediction.get("status")
    metrics = prediction.get("metrics")
    predict_time_s = seconds(metrics.get("predict_time")) if isinstance(metrics, dict) else None
    if status == "succeeded":
        return Job(ref, JobState.SUCCEEDED, _outputs(prediction), predict_time_s=predict_time_s)
    if status == "failed":
        raise _failure(str(prediction.get("error") or ""))
    if status == "aborted" or (status == "canceled" and _deadline_passed(prediction)):
        raise ProviderTimedOut("Replicate did not finish the job before its deadline.")
    if status == "canceled":
        return Job(ref, JobState.CANCELED, predict_time_s=predict_time_s)
    return Job(ref, _RUNNING.get(str(status), JobState.RUNNING))


def _outputs(prediction: Mapping[str, Any]) -> tuple[Output, ...]:
    if prediction.get("data_removed"):
        raise ProviderInvalidOutput("Replicate has already deleted the output.")
    output = prediction.get("output")
    urls = output if isinstance(output, list) else [output] if output else []
    if not urls:
        raise ContentRefused("Every output was filtered out.")
    if not all(isinstance(url, str) for url in urls):
        raise ProviderInvalidOutput("Replicate answered with an output of an unknown form.")
    return tuple(Output(url) for url in urls)


def _failure(text: str) -> ProviderError:
    lowered = text.lower()
    for pattern, error, message in _FAILURES:  # a code is a word: the ids of files have the same letters
        if re.search(pattern, lowered):
            return error(message)
    number = re.search(r"\bE\d{4}\b", text)
    return ProviderFailed(f"The job failed at Replicate ({number[0]})." if number else "The job failed at Replicate.")


def _deadline_passed(prediction: Mapping[str, Any]) -> bool:
    deadline, ended = moment(prediction.get("deadline")), moment(prediction.get("completed_at"))
    return deadline is not None and ended is not None and ended >= deadline


# --- answers ------------------------------------------------------------------------------------------------------

_REFUSALS: Mapping[int, type[ProviderError]] = {
    401: ProviderAuthFailed,
    402: ProviderCreditsExhausted,
    403: ProviderAuthFailed,
    429: ProviderBusy,
    500: ProviderFailed,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderTimedOut,
}


def accepted(response: httpx.Response) -> dict[str, Any]:
    """The prediction that a submit made. A gateway's error, or one without a problem document, is ambiguous."""
    body = json_object(response)
    if response.is_success:
        if body is None or not isinstance(body.get("id"), str):
            raise SubmitAmbiguous("Replicate accepted a submit without naming the prediction.")
        return body
    if response.status_code in (502, 504) or (response.status_code >= 500 and (body is None or "detail" not in body)):
        raise SubmitAmbiguous(f"The edge of Replicate answered a submit with {response.status_code}.")
    raise refusal(response)


def seen(response: httpx.Response) -> dict[str, Any]:
    """The object of a look. A look that did not work says nothing about the job."""
    body = json_object(response)
    if response.is_success and body is not None and (isinstance(body.get("id"), str) or "results" in body):
        return body
    if response.status_code == 404:
        raise JobNotFound("Replicate does not know the prediction.")
    if response.status_code in (401, 403, 429):
        raise refusal(response)
    raise ProviderUnavailable(f"Replicate answered a look with {response.status_code}.")


def refusal(response: httpx.Response) -> ProviderError:
    """What an explicit error answer means. Any 4xx outside the table is a mapping of ours that is wrong."""
    status = response.status_code
    error = _REFUSALS.get(status, ProviderFailed if status >= 500 or status < 400 else ProviderRejectedInput)
    return error(
        f"Replicate answered with {status}.",
        details=_fields(json_object(response)),
        retry_after=_pause(response) if status in (429, 503) else None,
    )


def _fields(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Names of the parameters complained about: names only, values may be a customer's."""
    invalid = (body or {}).get("invalid_fields")
    if not isinstance(invalid, list):
        return {}
    names = [str(item.get("field")) for item in invalid if isinstance(item, dict)]
    return {"fields": [name for name in names if re.fullmatch(r"[A-Za-z0-9_.]{1,64}", name)][:10]}


def _pause(response: httpx.Response) -> timedelta | None:
    pause = retry_after(response.headers)
    if pause is not None:
        return pause
    told = seconds((json_object(response) or {}).get("retry_after"))
    return timedelta(seconds=min(told, 3600)) if told is not None else None
