"""BytePlus ModelArk, API v3. Source: the vendor's reference and its Python client 3.0.63, read 2026-11.

Pictures (Seedream) come in the answer to their submit. If that answer is lost, so are they, and they are billed. One
picture of several may be refused while the others are delivered.
Videos (Seedance) are tasks. A DELETE cancels a task that is queued, cannot stop one that runs, and destroys the record
of one that has ended. The list of tasks shows neither their input nor our callback address.
A repeated POST is billed twice: there is no idempotency key. Callbacks are not signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers import byteplus_prices
from adapters.providers.answers import looking, patient_post, pooled_client, submitting
from adapters.providers.byteplus_answers import accepted, failure, refusal, seen
from adapters.providers.kept import kept, with_outputs
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import (
    JobNotFound,
    ProviderError,
    ProviderInvalidOutput,
    ProviderTimedOut,
    SubmitAmbiguous,
)
from domain.generation import JobRef
from domain.provider import CallbackNotice, Job, JobState, Output, ProviderLimits, Submission, Tools

CLOCK_SKEW = timedelta(seconds=5)
EXPIRY_S = (3600, 259_200)  # the least and the most that a task's expiry may be
_LISTED_MAX = 100  # tasks in one look for a lost one; the list may be asked for once a second
_IMAGES, _TASKS = "/images/generations", "/contents/generations/tasks"


class Settings(ProviderSettings):
    model_config = environment("BYTEPLUS")

    key: SecretStr | None = Field(None, description="BytePlus ModelArk API key.")
    base_url: str = Field(
        "https://ark.ap-southeast.bytepluses.com/api/v3",
        description="BytePlus ModelArk address; keys and models belong to its region.",
    )


def build(settings: Settings, tools: Tools) -> ByteplusProvider | None:
    if not settings.key:
        return None
    key = settings.key.get_secret_value().strip()
    return ByteplusProvider(pooled_client(settings.base_url, f"Bearer {key}", tools.timeout))


class ByteplusProvider:
    name = "byteplus"
    limits = ProviderLimits(requests_per_second=8)  # 500 pictures and 600 tasks a minute, of each model

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http  # base address, credential and time limits are set by `build`

    async def submit(self, submission: Submission) -> Job:
        if is_video(submission):
            with submitting("BytePlus"):
                response = await self._http.post(_TASKS, json=to_task(submission))
            return Job(JobRef(task_id(accepted(response))), JobState.QUEUED)
        body = to_picture(submission)
        response = await patient_post(self._http, "BytePlus", _IMAGES, deadline=submission.deadline, json=body)
        request_id = response.headers.get("x-request-id") or submission.attempt_id
        return to_pictures(request_id, accepted(response))

    async def read(self, ref: JobRef) -> Job:
        return kept(ref) or to_job(await self._task(ref))

    async def cancel(self, ref: JobRef) -> bool:
        """Only a queued task: a DELETE of a finished one would destroy its result."""
        try:
            if kept(ref) is not None or (await self._task(ref)).get("status") != "queued":
                return False
        except JobNotFound:
            return False
        with looking("BytePlus"):
            response = await self._http.delete(_path(ref))
        if response.is_success:
            return True
        if response.status_code in (404, 409):  # it has ended or begun meanwhile
            return False
        raise refusal(response)

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        """Lists the newest tasks of the model. Nobody lists pictures."""
        if not is_video(submission):
            return []
        query = {"page_num": "1", "page_size": str(_LISTED_MAX), "filter.model": submission.native_model}
        with looking("BytePlus"):
            response = await self._http.get(_TASKS, params=query)
        listed = seen(response).get("items")
        tasks = [task for task in listed if isinstance(task, dict)] if isinstance(listed, list) else []
        earliest = submitted_after - CLOCK_SKEW
        return [JobRef(task["id"]) for task in tasks if is_of(submission, task, earliest)]

    def job_named(self, job_id: str, native_model: str) -> JobRef:  # noqa: ARG002 - the id is enough here
        return JobRef(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:  # noqa: ARG002
        """A doorbell: only the token in our own address says that BytePlus rang it."""
        return CallbackNotice(event_id=hashlib.sha256(body).hexdigest(), job_id=None)

    async def check(self) -> None:
        with looking("BytePlus"):
            response = await self._http.get(_TASKS, params={"page_num": "1", "page_size": "1"})
        if not response.is_success:
            raise refusal(response)

    async def _task(self, ref: JobRef) -> dict[str, Any]:
        with looking("BytePlus"):
            response = await self._http.get(_path(ref))
        return seen(response)


# --- our words to theirs ------------------------------------------------------------------------------------------


def is_video(submission: Submission) -> bool:
    return "content" in submission.native_input


def to_picture(submission: Submission) -> dict[str, Any]:
    return {**submission.native_input, "model": submission.native_model}


def to_task(submission: Submission) -> dict[str, Any]:
    body: dict[str, Any] = {
        **submission.native_input,
        "model": submission.native_model,
        "content": [without_commands(item) for item in submission.native_input["content"]],
        "execution_expires_after": expiry_s(submission),
    }
    if submission.callback_url is not None:
        body["callback_url"] = submission.callback_url
    return body


def without_commands(item: Mapping[str, Any]) -> dict[str, Any]:
    """Seedance obeys parameters in its prompt (`--dur 12`). A dash in their place leaves the words as they were."""
    if item.get("type") != "text":
        return dict(item)
    return {**item, "text": re.sub(r"-{2,}", "—", str(item.get("text", "")))}


def expiry_s(submission: Submission) -> int:
    """Never before our own deadline, and to the second one that no other attempt is likely to have: every look at a
    task echoes it, and nothing else that we chose and that leaves the video alone."""
    least = min(max(EXPIRY_S[0], int(submission.deadline.total_seconds())), EXPIRY_S[1])
    drawn = int.from_bytes(hashlib.sha256(submission.attempt_id.encode()).digest()[:8])
    return least + drawn % (EXPIRY_S[1] - least + 1)


def is_of(submission: Submission, task: Mapping[str, Any], earliest: datetime) -> bool:
    """Whether a listed task is the one that was submitted."""
    created = task.get("created_at")
    return (
        isinstance(task.get("id"), str)
        and type(created) is int
        and 0 <= created < 2**33
        and datetime.fromtimestamp(created, UTC) >= earliest
        and task.get("execution_expires_after") == expiry_s(submission)
    )


def _path(ref: JobRef) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", ref.job_id):
        raise JobNotFound("BytePlus has no task with such an id.")
    return f"{_TASKS}/{ref.job_id}"


# --- their words to ours ------------------------------------------------------------------------------------------

_STATES = {"queued": JobState.QUEUED, "running": JobState.RUNNING, "cancelled": JobState.CANCELED}


def to_pictures(request_id: str, answer: Mapping[str, Any]) -> Job:
    """The pictures that were made. Raises what the first complaint stands for where there is none."""
    data = answer.get("data")
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    urls = [item["url"] for item in items if isinstance(item.get("url"), str)]
    if not urls:
        raise next((failure(item) for item in items if item.get("error")), _no_file())
    return with_outputs(request_id, urls, byteplus_prices.of_pictures(answer))


def to_job(task: Mapping[str, Any]) -> Job:
    """Raises the ProviderError that a failed task stands for."""
    ref, status = JobRef(str(task["id"])), task.get("status")
    if status == "failed":
        raise failure(task)
    if status == "expired":
        raise ProviderTimedOut("BytePlus did not begin the task in time.")
    if status != "succeeded":
        return Job(ref, _STATES.get(str(status), JobState.RUNNING))
    content = task.get("content")
    url = content.get("video_url") if isinstance(content, dict) else None
    if not isinstance(url, str) or not url:
        raise _no_file()
    return Job(ref, JobState.SUCCEEDED, (Output(url),), cost_microcredits=byteplus_prices.of_video(task))


def task_id(created: Mapping[str, Any]) -> str:
    if not isinstance(created.get("id"), str):
        raise SubmitAmbiguous("BytePlus accepted a submit without naming the task.")
    return str(created["id"])


def _no_file() -> ProviderError:
    return ProviderInvalidOutput("BytePlus answered with a result without a file.")
