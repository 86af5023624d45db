"""Alibaba Cloud Model Studio (DashScope). Source: the vendor's reference and client 2.0.2, read 2026-11.

One path holds the connection and answers with the finished images; every other one makes a task. A task that was
accepted is not yet a valid one: most mistakes in the input come as a failed task. There is no idempotency key and no
callback. Tasks are listed by model and time without their input; results live a day. Nothing tells what was charged.
Query, list and cancel together are limited to 20 a second for the whole account.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers import alibabacloud_listing as listing
from adapters.providers.alibabacloud_errors import LOOK_FAILED, accepted, failure, refusal, seen
from adapters.providers.alibabacloud_listing import Listed
from adapters.providers.answers import looking, objects_in, patient_post, pooled_client, submitting
from adapters.providers.kept import kept, with_outputs
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import (
    CallbackRefused,
    JobNotFound,
    ProviderError,
    ProviderInvalidOutput,
    ProviderRejectedInput,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission, Tools

SYNCHRONOUS_ENDPOINT = "/services/aigc/multimodal-generation/generation"
PAGES_MAX = 10  # of 100 tasks each, when a lost one is looked for


class Settings(ProviderSettings):
    model_config = environment("ALIBABACLOUD")

    key: SecretStr | None = Field(None, description="Model Studio API key, sk-..., of the same region as the address.")
    base_url: str = Field("https://dashscope-intl.aliyuncs.com/api/v1", description="Model Studio API address.")


def build(settings: Settings, tools: Tools) -> AlibabaCloudProvider | None:
    if not settings.key:
        return None
    authorization = f"Bearer {settings.key.get_secret_value().strip()}"
    return AlibabaCloudProvider(pooled_client(settings.base_url, authorization, tools.timeout))


class AlibabaCloudProvider:
    name = "alibabacloud"
    limits = ProviderLimits(requests_per_second=20)  # of looks; submits have 1 to 5 a second for each model

    def __init__(self, http: httpx.AsyncClient, clock: Callable[[], float] = time.time) -> None:
        self._http = http  # base address, credential and time limits are set by `build`
        self._clock = clock

    async def submit(self, submission: Submission) -> Job:
        body = {"model": submission.native_model, **submission.native_input}
        if submission.endpoint == SYNCHRONOUS_ENDPOINT:
            response = await patient_post(
                self._http, "Alibaba Cloud", submission.endpoint, deadline=submission.deadline, json=body
            )
            return to_finished_job(submission.attempt_id, accepted(response))
        with submitting("Alibaba Cloud"):
            response = await self._http.post(submission.endpoint, json=body, headers={"X-DashScope-Async": "enable"})
        task_id = accepted(response)["output"].get("task_id")
        if not isinstance(task_id, str):
            raise SubmitAmbiguous("Alibaba Cloud accepted a submit without naming the task.")
        return Job(JobRef(task_id), JobState.QUEUED)

    async def read(self, ref: JobRef) -> Job:
        if (finished := kept(ref)) is not None:
            return finished
        with looking("Alibaba Cloud"):
            response = await self._http.get(f"/tasks/{_path_id(ref)}")
        return to_job(ref, seen(response))

    async def cancel(self, ref: JobRef) -> bool:
        """Only a task that has not begun can be stopped."""
        if kept(ref) is not None:
            return False
        with looking("Alibaba Cloud"):
            response = await self._http.post(f"/tasks/{_path_id(ref)}/cancel")
        if response.is_success:
            return True
        refused = refusal(response)
        if isinstance(refused, ProviderRejectedInput):  # unknown to it, begun or finished
            return False
        raise refused

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        """Looks at the account's tasks of the model and the time. A synchronous call leaves nothing to find."""
        if submission.endpoint == SYNCHRONOUS_ENDPOINT:
            return []
        listed: list[Listed] = []
        query = listing.query(submission, submitted_after)
        for page_no in range(1, PAGES_MAX + 1):
            with looking("Alibaba Cloud"):
                response = await self._http.get("/tasks/", params=query | {"page_no": str(page_no)})
            page = seen(response)
            listed += listing.tasks(page, submission.native_model)
            if not page.get("data") or page_no == page.get("total_page"):
                break
        near = listing.near(listed, submission, submitted_after, now=self._clock())
        return [ref for ref in near if await self._may_be(ref)]

    def job_named(self, job_id: str, native_model: str) -> JobRef:  # noqa: ARG002 - the id is enough here
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:  # noqa: ARG002
        raise CallbackRefused("Alibaba Cloud sends no callbacks.")

    async def check(self) -> None:
        with looking("Alibaba Cloud"):
            seen(await self._http.get("/tasks/", params={"page_no": "1", "page_size": "1"}))

    async def _may_be(self, ref: JobRef) -> bool:
        """A task that failed is worth nothing, and one that shows another prompt is another request's."""
        try:
            return (await self.read(ref)).state is not JobState.CANCELED
        except LOOK_FAILED:
            raise
        except ProviderError:
            return False


# --- their words to ours ------------------------------------------------------------------------------------------

_STATES = {
    "PENDING": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "CANCELED": JobState.CANCELED,
}


def to_job(ref: JobRef, body: Mapping[str, Any]) -> Job:
    """The task as told. Raises the ProviderError that a failed one stands for."""
    output = body["output"] if isinstance(body.get("output"), dict) else {}
    status = output.get("task_status")
    if status == "UNKNOWN":  # never existed, or older than a day
        raise JobNotFound("Alibaba Cloud does not know the task.")
    if status == "FAILED":
        raise failure(output)
    if status != "SUCCEEDED":
        return Job(ref, _STATES.get(str(status), JobState.RUNNING))
    if not listing.is_of(ref, output):
        raise JobNotFound("The task that was found at Alibaba Cloud belongs to another request.")
    return Job(ref, JobState.SUCCEEDED, _outputs(output), predict_time_s=_predict_time_s(output))


def to_finished_job(attempt_id: str, body: Mapping[str, Any]) -> Job:
    """The images of a synchronous answer."""
    request_id = body.get("request_id")
    urls = [output.url for output in _outputs(body["output"])]
    return with_outputs(request_id if isinstance(request_id, str) else attempt_id, urls, None)


def _outputs(output: Mapping[str, Any]) -> tuple[Output, ...]:
    """Raises what it says of an output that is missing, when all of them are."""
    urls = tuple(Output(url) for url in _urls(output))
    if not urls:
        lost = next((item for item in objects_in(output.get("results")) if item.get("code")), None)
        raise failure(lost) if lost else ProviderInvalidOutput("Alibaba Cloud answered with a result without files.")
    return urls


def _urls(output: Mapping[str, Any]) -> Iterator[str]:
    """Videos, images of the older protocol (some may have failed), images of the newer one."""
    contents = [
        item
        for choice in objects_in(output.get("choices"))
        for message in objects_in([choice.get("message")])
        for item in objects_in(message.get("content"))
    ]
    for url in (
        output.get("video_url"),
        *(item.get("url") for item in objects_in(output.get("results"))),
        *(item.get("image") for item in contents),
    ):
        if isinstance(url, str):
            yield url


def _predict_time_s(output: Mapping[str, Any]) -> float | None:
    """From being scheduled to the end. The times have no zone, but the same one."""
    try:
        scheduled, ended = (datetime.fromisoformat(str(output.get(name))) for name in ("scheduled_time", "end_time"))
        return max(0.0, (ended - scheduled).total_seconds())
    except (ValueError, TypeError):
        return None


def _path_id(ref: JobRef) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", ref.job_id):
        raise JobNotFound("Alibaba Cloud has no task with such an id.")
    return ref.job_id
