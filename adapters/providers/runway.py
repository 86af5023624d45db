"""Runway developer API, version 2024-11-06. Source: the vendor's Python client 5.24.0 and guides; read 2026-11.

A repeated POST makes a second task: there is no idempotency key, no list and no callback. DELETE cancels a task that
has not ended and removes one that has, together with its output; afterwards the task is unknown. Addresses of files
live a day or two, and every look mints new ones. The cost is told at the end, in credits of one US cent; a refused
input is charged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers.answers import (
    json_object,
    looking,
    microcredits_from_cents,
    pooled_client,
    submitting,
)
from adapters.providers.runway_answers import accepted, refusal, seen
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    InputFileRefused,
    JobNotFound,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderRejectedInput,
)
from domain.generation import JobRef
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission, Tools

VERSION = "2024-11-06"


class Settings(ProviderSettings):
    model_config = environment("RUNWAY")

    key: SecretStr | None = Field(None, description="Runway API key, key_...")
    base_url: str = Field("https://api.dev.runwayml.com", description="Runway API address.")


def build(settings: Settings, tools: Tools) -> RunwayProvider | None:
    if not settings.key:
        return None
    return RunwayProvider(client(settings.base_url, settings.key.get_secret_value(), tools.timeout))


def client(base_url: str, credential: str, timeout: timedelta) -> httpx.AsyncClient:
    return pooled_client(base_url, f"Bearer {credential.strip()}", timeout, {"X-Runway-Version": VERSION})


class RunwayProvider:
    name = "runway"
    limits = ProviderLimits(requests_per_second=None)  # none is published: above its concurrency a task waits

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http  # base address, credential, version and time limits are set by `client`

    async def submit(self, submission: Submission) -> Job:
        path, body = to_wire(submission)
        with submitting("Runway"):
            response = await self._http.post(path, json=body)
        return Job(JobRef(accepted(response)["id"]), JobState.QUEUED)

    async def read(self, ref: JobRef) -> Job:
        return to_job(await self._task(ref))

    async def cancel(self, ref: JobRef) -> bool:
        """Looks first, because the same call removes the output of a task that has ended."""
        try:
            if str((await self._task(ref)).get("status")) in _ENDED:
                return False
        except JobNotFound:
            return False
        with looking("Runway"):
            response = await self._http.delete(f"/v1/tasks/{_path_id(ref)}")
        if response.is_success or response.status_code == 404:
            return response.is_success
        raise refusal(response)

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:  # noqa: ARG002 - no list
        return []

    def job_named(self, job_id: str, native_model: str) -> JobRef:  # noqa: ARG002 - the id is all there is
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:  # noqa: ARG002
        raise CallbackRefused("Runway makes no callbacks.")

    async def check(self) -> None:
        with looking("Runway"):
            response = await self._http.get("/v1/organization")
        if not response.is_success:
            raise refusal(response)
        balance = (json_object(response) or {}).get("creditBalance")
        if isinstance(balance, int | float) and balance <= 0:
            raise ProviderCreditsExhausted("The balance of the Runway organization is used up.")

    async def _task(self, ref: JobRef) -> dict[str, Any]:
        with looking("Runway"):
            response = await self._http.get(f"/v1/tasks/{_path_id(ref)}")
        return seen(response)


# --- our words to theirs ------------------------------------------------------------------------------------------


def to_wire(submission: Submission) -> tuple[str, dict[str, Any]]:
    """Path and body: what is made of what is the path, and the model is in the body."""
    return submission.endpoint, {"model": submission.native_model, **submission.native_input}


def _path_id(ref: JobRef) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", ref.job_id):
        raise JobNotFound("Runway has no task with such an id.")
    return ref.job_id


# --- their words to ours ------------------------------------------------------------------------------------------

_ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
_WAITING = {"PENDING": JobState.QUEUED, "THROTTLED": JobState.QUEUED, "RUNNING": JobState.RUNNING}

_FAILURES: tuple[tuple[str, type[ProviderError], str], ...] = (  # the first that the code begins with
    ("SAFETY.INPUT", ContentRefused, "A safety filter refused the input."),
    ("SAFETY.OUTPUT", ContentRefused, "A safety filter refused the output."),
    ("ASSET.INVALID", InputFileRefused, "Runway cannot use an input file."),
    ("INTERNAL.BAD_OUTPUT", ProviderFailed, "Runway held the output back because it is of poor quality."),
    ("THIRD_PARTY.UNAVAILABLE", ProviderFailed, "A partner of Runway that has the model is down."),
    ("THIRD_PARTY.INPUT_VALIDATION", ProviderRejectedInput, "A partner of Runway that has the model refused a value."),
)


def to_job(task: Mapping[str, Any]) -> Job:
    """Raises the ProviderError that a failed task stands for."""
    ref, status, cost = JobRef(str(task["id"])), task.get("status"), task.get("cost")
    charged = microcredits_from_cents(cost.get("credits")) if isinstance(cost, dict) else None
    if status == "FAILED":
        raise _failure(task.get("failureCode"))
    if status == "CANCELLED":
        return Job(ref, JobState.CANCELED, cost_microcredits=charged)
    if status != "SUCCEEDED":
        return Job(ref, _WAITING.get(str(status), JobState.RUNNING))
    urls = task.get("output")
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        raise ProviderInvalidOutput("Runway answered with a result without files.")
    return Job(ref, JobState.SUCCEEDED, tuple(Output(url) for url in urls), cost_microcredits=charged)


def _failure(code: object) -> ProviderError:
    """`code` may be absent. Whatever names safety is a refusal of the content."""
    named = code if isinstance(code, str) else ""
    for prefix, error, message in _FAILURES:
        if named.startswith(prefix):
            return error(message)
    if "SAFETY" in named:
        return ContentRefused("A safety filter refused the input or the output.")
    return ProviderFailed("The job failed at Runway.")
