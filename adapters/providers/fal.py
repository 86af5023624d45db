"""fal queue API. Source: the vendor's documentation and client source, read 2026-11.

A repeated POST makes a second request: there is no idempotency key. A filtered picture comes as a black image with a
flag. The result document lives an hour. Prices are not told.

fal's own retries are switched off: one attempt is one run, and what to try next is decided by those who see every
provider. Its time limit covers the wait for a start only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers import fal_signature
from adapters.providers.answers import base_of, json_object, looking, moment, objects_in, pooled_client, submitting
from adapters.providers.fal_addresses import rebuilt, ref_of
from adapters.providers.fal_answers import accepted, refusal, seen
from adapters.providers.fal_result import to_job, unfinished
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import JobNotFound
from domain.generation import JobRef
from domain.provider import CallbackNotice, Job, JobState, ProviderLimits, Submission, Tools

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
            for item in objects_in(page.get("items")):
                sent = moment(item.get("sent_at"))
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
        except httpx.RequestError:
            return None
        return json_object(response) if response.is_success else None


def is_of(submission: Submission, item: Mapping[str, Any]) -> bool:
    """Whether a request of the history could be the one that was submitted."""
    return (
        isinstance(item.get("request_id"), str)
        and item.get("endpoint_id") == submission.native_model
        and item.get("json_input") == dict(submission.native_input)
    )
