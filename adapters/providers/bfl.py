"""Black Forest Labs API, v1. Source: the vendor's OpenAPI document of 2026-05 with the statuses added in 2026-09, and
recorded traffic; read 2026-11.

A repeated POST makes a second task: there is no idempotency key, no list and no cancel. A task is asked for at the
address that its submit named, because another cluster does not know it. Files live ten minutes, at hosts that must not
see the key. The cost is told at the submit, in credits of one US cent; a moderated task costs nothing.

With a callback address the submit names no address to ask at, and how the call is signed is not published: polling is
the better way here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers.answers import (
    base_of,
    json_object,
    looking,
    microcredits_from_cents,
    object_in,
    pooled_client,
    seconds,
    submitting,
)
from adapters.providers.bfl_answers import accepted, refusal, seen
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import (
    CallbackRefused,
    ContentRefused,
    JobNotFound,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderUnavailable,
)
from domain.generation import JobRef
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission, Tools


class Settings(ProviderSettings):
    model_config = environment("BFL")

    key: SecretStr | None = Field(None, description="BFL API key.")
    base_url: str = Field("https://api.bfl.ai", description="BFL API address.")
    webhook_secret: SecretStr | None = Field(None, description="A secret of yours that BFL signs its callbacks with.")


def build(settings: Settings, tools: Tools) -> BflProvider | None:
    if not settings.key:
        return None
    return BflProvider(
        client(settings.base_url, settings.key.get_secret_value(), tools.timeout),
        webhook_secret=settings.webhook_secret.get_secret_value() if settings.webhook_secret else None,
    )


def client(base_url: str, credential: str, timeout: timedelta) -> httpx.AsyncClient:
    return pooled_client(base_url, None, timeout, {"x-key": credential.strip()})


class BflProvider:
    name = "bfl"
    limits = ProviderLimits(requests_per_second=None)  # none is published, only a number of tasks at once

    def __init__(self, http: httpx.AsyncClient, *, webhook_secret: str | None) -> None:
        self._http = http  # base address, credential and time limits are set by `client`
        self._base_url = base_of(http)
        self._webhook_secret = webhook_secret

    async def submit(self, submission: Submission) -> Job:
        path, body = to_wire(submission, self._webhook_secret)
        with submitting("BFL"):
            response = await self._http.post(path, json=body)
        return Job(ref_of(accepted(response), self._base_url), JobState.QUEUED)

    async def read(self, ref: JobRef) -> Job:
        address = ref.handle.get("polling_url", "")
        named = may_have_key(address, self._base_url)
        with looking("BFL"):
            if named:
                response = await self._http.get(address)
            else:
                response = await self._http.get("/v1/get_result", params={"id": ref.job_id})
        try:
            return to_job(ref, seen(response))
        except JobNotFound as unknown:
            if named:
                raise
            raise ProviderUnavailable("BFL does not know the task at its global address.") from unknown

    async def cancel(self, ref: JobRef) -> bool:  # noqa: ARG002 - there is no such call: the task runs and is billed
        return False

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:  # noqa: ARG002 - no list
        return []

    def job_named(self, job_id: str, native_model: str) -> JobRef:  # noqa: ARG002 - the id is all there is
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        """Without a secret of ours a call is a doorbell that names nothing."""
        event_id = hashlib.sha256(body).hexdigest()
        if self._webhook_secret is None:
            return CallbackNotice(event_id, job_id=None)
        signature = hmac.new(self._webhook_secret.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(headers.get("x-bfl-signature", "").encode(), f"sha256={signature}".encode()):
            raise CallbackRefused("The signature of the callback does not match.")
        return CallbackNotice(event_id, job_id=named_in(body))

    async def check(self) -> None:
        with looking("BFL"):
            response = await self._http.get("/v1/credits")
        if not response.is_success:
            raise refusal(response)
        balance = (json_object(response) or {}).get("credits")
        if isinstance(balance, int | float) and balance <= 0:
            raise ProviderCreditsExhausted("The balance of the BFL account is used up.")


# --- our words to theirs ------------------------------------------------------------------------------------------


def to_wire(submission: Submission, webhook_secret: str | None) -> tuple[str, dict[str, Any]]:
    """Path and body: the model is in the path only."""
    body = dict(submission.native_input)
    if submission.callback_url is not None:
        body |= {"webhook_url": submission.callback_url}
        body |= {"webhook_secret": webhook_secret} if webhook_secret is not None else {}
    return f"/v1/{submission.native_model}", body


# --- their words to ours ------------------------------------------------------------------------------------------

_CLUSTER = re.compile(r"api(\.[a-z]{2,6}[0-9]{0,3})?\.bfl\.ai")  # api.bfl.ai, api.eu.bfl.ai, api.us1.bfl.ai

_WAITING = {"Pending": JobState.QUEUED, "Reasoning": JobState.RUNNING, "Generating": JobState.RUNNING}

_ENDS: Mapping[str, tuple[type[ProviderError], str]] = {
    "Request Moderated": (ContentRefused, "A safety filter refused the input."),
    "Content Moderated": (ContentRefused, "A safety filter refused the output."),
    "Error": (ProviderFailed, "The job failed at BFL."),
    "Failed": (ProviderFailed, "The job failed at BFL."),
    "Task not found": (JobNotFound, "BFL does not know the task."),
}


def may_have_key(address: str, base_url: str) -> bool:
    """Whether our key may go to an address: below the one that was set, or at an API host of BFL's clusters."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return False
    at_cluster = url.scheme == "https" and url.port is None and not url.userinfo
    return address.startswith(base_url) or (at_cluster and _CLUSTER.fullmatch(url.host) is not None)


def ref_of(task: Mapping[str, Any], base_url: str) -> JobRef:
    """The handle keeps where to ask, where the key may go, and the cost, which is told this once."""
    cost, address = microcredits_from_cents(task.get("cost")), str(task.get("polling_url") or "")
    handle = {"polling_url": address} if may_have_key(address, base_url) else {}
    return JobRef(task["id"], handle | ({"cost_microcredits": str(cost)} if cost is not None else {}))


def to_job(ref: JobRef, task: Mapping[str, Any]) -> Job:
    """Raises the ProviderError that an end without a file stands for. An unknown status is not an end."""
    status, result = str(task.get("status")), task.get("result")
    if status in _ENDS:
        error, message = _ENDS[status]
        raise error(message)
    if status != "Ready":
        return Job(ref, _WAITING.get(status, JobState.RUNNING))
    if not isinstance(result, dict) or not isinstance(result.get("sample"), str):
        raise ProviderInvalidOutput("BFL answered with a result without a file.")
    settled, told = microcredits_from_cents(task.get("cost")), ref.handle.get("cost_microcredits")
    return Job(
        ref,
        JobState.SUCCEEDED,
        (Output(result["sample"]),),
        cost_microcredits=settled if settled is not None else int(told) if told else None,
        predict_time_s=seconds(result.get("duration")),
    )


def named_in(callback: bytes) -> str | None:
    """The task of a callback, in either of the forms that were seen."""
    told = object_in(callback) or {}
    job_id = told.get("id") or told.get("task_id")
    return job_id if isinstance(job_id, str) else None
