"""OpenAI's images API and its videos protocol (Sora), v1, as other servers speak them too. Source: the vendor's client
source and recorded traffic, read 2026-11.

Images are made while the connection waits and come as base64, from some servers as addresses; when that answer is lost
nothing is left to be found. Videos are jobs without a cancel; the vendor's own were shut down on 2026-09-24, other
servers have theirs. No call is idempotent, and no price is told: an image's tokens are kept with its reference.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import Field, SecretStr

from adapters.providers import standard_webhooks
from adapters.providers.answers import base_of, looking, object_in, objects_in, patient_post, pooled_client, submitting
from adapters.providers.kept import kept
from adapters.providers.openai_answers import NAME, accepted, is_id, refusal, seen, to_images, to_video
from adapters.providers.settings import ProviderSettings, environment
from domain.errors import JobNotFound, ProviderUnavailable
from domain.generation import JobRef
from domain.provider import CallbackNotice, Job, Output, ProviderLimits, ReadFile, Submission, Tools

VIDEOS = "/videos"
CLOCK_SKEW = timedelta(seconds=5)
PAGES_MAX = 10  # of 100 videos each, when a lost one is looked for

_PATH = "path"  # in a reference: where its job is; an image has none
_FILES = ("image", "input_reference")  # parameters that hold addresses of ours; the API wants the files themselves
_COMPARED = ("prompt", "seconds", "size")  # what a listed video repeats of its submit


class Settings(ProviderSettings):
    model_config = environment("OPENAI")

    key: SecretStr | None = Field(None, description="OpenAI API key, sk-...; of another server whatever it wants.")
    base_url: str = Field(
        "https://api.openai.com/v1", description="OpenAI API address, or that of any server that speaks the same API."
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="whsec_... of the OpenAI project's webhook endpoint. Nothing is called back by OpenAI today: videos"
        " are polled.",
    )


def build(settings: Settings, tools: Tools) -> OpenAIProvider | None:
    if not settings.key:
        return None
    secret = settings.webhook_secret
    return OpenAIProvider(
        client(settings.base_url, settings.key.get_secret_value(), tools.timeout),
        read_file=tools.read_file,
        webhook_secret=secret.get_secret_value() if secret else None,
    )


def client(base_url: str, credential: str, timeout: timedelta) -> httpx.AsyncClient:
    """`credential` is the API key, sk-..."""
    return pooled_client(base_url, f"Bearer {credential.strip()}", timeout)


class OpenAIProvider:
    name = "openai"
    limits = ProviderLimits(requests_per_second=None)  # by organisation, tier and model

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        read_file: ReadFile,
        webhook_secret: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """A secret without `whsec_` is used as it is. Raises ValueError for one with it that is not base64."""
        self._http = http  # base address, credential and time limits are set by `client`
        self._read_file = read_file
        self._callback_key = _callback_key(webhook_secret) if webhook_secret else None
        self._clock = clock

    async def submit(self, submission: Submission) -> Job:
        path, body = path_of(submission), await self._wire(submission)
        if path == VIDEOS:
            with submitting(NAME):
                response = await self._http.post(path, **body)
            video = accepted(response, "id")
            return self._video(_video_named(video["id"]), video)
        response = await patient_post(self._http, NAME, path, deadline=submission.deadline, **body)
        return to_images(_request_id(response) or submission.attempt_id, accepted(response, "data"))

    async def read(self, ref: JobRef) -> Job:
        job = kept(ref)
        if job is not None:
            return job
        if ref.handle.get(_PATH) != VIDEOS or not is_id(ref.job_id):
            raise JobNotFound("OpenAI keeps nothing of this job.")
        with looking(NAME):
            response = await self._http.get(f"{VIDEOS}/{ref.job_id}")
        return self._video(ref, seen(response, "id"))

    async def cancel(self, ref: JobRef) -> bool:  # noqa: ARG002 - a video can be deleted, but not while it is made
        return False

    async def find(self, submission: Submission, submitted_after: datetime) -> list[JobRef]:
        """Lists the newest videos: what was asked and when must match. Images are not listed."""
        if path_of(submission) != VIDEOS:
            return []
        earliest = submitted_after - CLOCK_SKEW
        matches: list[tuple[timedelta, str]] = []
        query = {"order": "desc", "limit": "100"}
        for _ in range(PAGES_MAX):
            with looking(NAME):
                response = await self._http.get(VIDEOS, params=query)
            page = seen(response, "data")
            listed = objects_in(page["data"])
            for item in listed:
                created = _created(item)
                if created is not None and created >= earliest and is_of(submission, item):
                    matches.append((abs(created - submitted_after), str(item["id"])))
            oldest = _created(listed[-1]) if listed else None
            if not page.get("has_more") or oldest is None or oldest < earliest:
                break
            query["after"] = str(listed[-1].get("id"))
        return [_video_named(job_id) for _, job_id in sorted(matches)]

    def job_named(self, job_id: str, native_model: str) -> JobRef:  # noqa: ARG002 - only videos have callbacks
        return _video_named(job_id)

    async def verify_callback(self, headers: Mapping[str, str], body: bytes) -> CallbackNotice:
        event_id = standard_webhooks.verified_event(self._callback_key, headers, body, now=self._clock())
        about = (object_in(body) or {}).get("data")
        job_id = about.get("id") if isinstance(about, dict) else None
        return CallbackNotice(event_id=event_id, job_id=job_id if isinstance(job_id, str) else None)

    async def check(self) -> None:
        with looking(NAME):
            response = await self._http.get("/models")
        if response.status_code in (404, 405):
            raise ProviderUnavailable("The address of OpenAI, with /models after it, leads nowhere.")
        if not response.is_success:
            raise refusal(response)

    async def _wire(self, submission: Submission) -> dict[str, Any]:
        """The body: JSON, or with files in it a form, which more servers understand than files by address."""
        scalars = {"model": submission.native_model, **submission.native_input}
        named = [(name, _listed(scalars.pop(name))) for name in _FILES if name in scalars]
        if not named:
            return {"json": scalars}
        files = []
        for name, addresses in named:
            part = f"{name}[]" if len(addresses) > 1 else name
            for index, address in enumerate(addresses):
                file = await self._read_file(address)
                file_name = f"{name}-{index}.{file.content_type.rpartition('/')[2]}"
                files.append((part, (file_name, file.content, file.content_type)))
        return {"data": {name: _text(value) for name, value in scalars.items()}, "files": files}

    def _video(self, ref: JobRef, video: Mapping[str, Any]) -> Job:
        """Its file is behind our credential."""
        content = f"{base_of(self._http)}{VIDEOS.lstrip('/')}/{ref.job_id}/content"
        headers = {"Authorization": self._http.headers["Authorization"]}
        return to_video(ref, video, Output(content, "video/mp4", headers))


def path_of(submission: Submission) -> str:
    """The catalogue names what the input does not tell."""
    if submission.endpoint:
        return submission.endpoint
    return "/images/edits" if "image" in submission.native_input else "/images/generations"


def is_of(submission: Submission, video: Mapping[str, Any]) -> bool:
    """Whether a listed video could be the one that was submitted."""
    asked = submission.native_input
    return (
        is_id(video.get("id"))
        and video.get("model") == submission.native_model
        and all(str(video.get(name)) == str(asked[name]) for name in _COMPARED if name in asked)
    )


def _video_named(job_id: str) -> JobRef:
    return JobRef(job_id, {_PATH: VIDEOS})


def _callback_key(secret: str) -> bytes:
    has_prefix = secret.startswith(standard_webhooks.PREFIX)
    return standard_webhooks.key_of(secret, NAME) if has_prefix else secret.encode()


def _request_id(response: httpx.Response) -> str | None:
    """The vendor's; what other servers put there may not be unique."""
    named = response.headers.get("x-request-id", "")
    return named if re.fullmatch(r"req_[A-Za-z0-9]{1,64}", named) else None


def _created(video: Mapping[str, Any]) -> datetime | None:
    at = video.get("created_at")
    return datetime.fromtimestamp(at, UTC) if type(at) is int and 0 <= at < 2**33 else None


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
