"""Runway's task document, and the signed addresses of its files, new with every look."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox.faults import FaultPlan
from sandbox.files import Gallery
from sandbox.jobs import Job, State, iso, phase
from sandbox.journal import Journal

PREFIX = "/runway"
CONCURRENT_MAX = 20  # tasks of one model, as on the highest tier
_COUNTS_FOR_S = 600  # a task that never ends does not hold its place for ever
_ARTIFACTS = f"{PREFIX}/artifacts"
_FILES_LIVE_S = 86_400.0
_SIGNING_KEY = b"sandbox: addresses of Runway's files"

# by fault word: failureCode, text, and whether the task is charged all the same
_FAILURES: Mapping[str, tuple[str | None, str, bool]] = {
    "content_refused": ("SAFETY.INPUT.TEXT", "The text content did not pass our moderation.", True),
    "content_refused_nsfw": ("SAFETY.OUTPUT.VIDEO", "The generated content did not pass our moderation.", True),
    "content_refused_image": ("SAFETY.INPUT.IMAGE", "The image content did not pass our moderation.", True),
    "content_refused_early": ("INPUT_PREPROCESSING.SAFETY.TEXT", "The text did not pass our moderation.", False),
    "content_refused_partner": ("INPUT_PREPROCESSING.SAFETY.THIRD_PARTY", "A partner refused the content.", False),
    "job_failed": (None, "An unexpected error occurred.", False),
    "job_failed_e6716": ("THIRD_PARTY.UNAVAILABLE", "The model is temporarily unavailable.", False),
    "job_failed_e1000": ("INTERNAL", "An unexpected error occurred.", False),
    "job_failed_e1001": ("INTERNAL.BAD_OUTPUT.CODE01", "The output did not meet our quality bar.", False),
    "job_failed_oom": ("INTERNAL", "An unexpected error occurred.", False),
    "job_failed_interrupted": ("INPUT_PREPROCESSING.INTERNAL", "The input could not be prepared.", False),
    "job_failed_timeout": ("INTERNAL", "The task took too long.", False),
    "job_failed_downstream": ("THIRD_PARTY.INPUT_VALIDATION", "A partner refused the parameters.", False),
    "job_failed_asset": ("ASSET.INVALID", "An input asset is not usable.", True),
}

# credits a second of video or a picture, where they are known
_PRICES: Mapping[str, int] = {
    "gen4.5": 12, "gen4_turbo": 5, "gen3a_turbo": 5, "gen4_aleph": 15, "act_two": 5, "veo3": 40, "veo3.1": 40,
    "veo3.1_fast": 15, "seedance2": 36, "gen4_image": 8, "gen4_image_turbo": 2, "gemini_2.5_flash": 5,
    "gemini_image3_pro": 20,
}  # fmt: skip
_PRICE_OTHERWISE = 10


def failure(faults: FaultPlan) -> dict[str, Any] | None:
    """What the task will say instead of an output, as kept in the job."""
    for word, (code, text, charged) in _FAILURES.items():
        if faults.has(word):
            return {"failure": text, "failureCode": code, "charged": charged}
    return None


def is_deleted(job: Job) -> bool:
    """Canceled or removed: both make it unknown."""
    return job.cancel_requested_at is not None and not job.faults.has("ignores_cancel")


class Tasks:
    """Draws a task as the poll shows it."""

    def __init__(self, gallery: Gallery, journal: Journal, retention_s: float) -> None:
        self._gallery = gallery
        self._journal = journal
        self._files_live_s = min(_FILES_LIVE_S, retention_s)

    def routes(self) -> list[Route]:
        return [Route(f"{_ARTIFACTS}/files/{{job_id}}/{{name}}", self._deliver)]

    def credits(self, job: Job) -> int:
        specs, price = self._gallery.specs(job), _PRICES.get(job.endpoint, _PRICE_OTHERWISE)
        return math.ceil(sum(price * (spec.duration_s or 1) for spec in specs))

    async def document(self, job: Job, now: float, base_url: str) -> dict[str, Any]:
        seen, cost = phase(job, now), {"credits": self.credits(job)}
        drawn: dict[str, Any] = {"id": job.id, "status": "PENDING", "createdAt": iso(job.created_at)}
        if seen.state is State.SUCCEEDED:
            urls = await self._gallery.urls(job, f"{base_url}{_ARTIFACTS}")
            output = [f"{url}?_jwt={self._token(job.id)}" if _ARTIFACTS in url else url for url in urls]
            return drawn | {"status": "SUCCEEDED", "cost": cost, "output": output}
        if seen.state is State.FAILED and job.failure is not None:
            told = {name: job.failure[name] for name in ("failure", "failureCode")}
            return drawn | {"status": "FAILED", "cost": cost if job.failure["charged"] else {"credits": 0}} | told
        drawn["estimatedCost"] = cost
        if self._waits_for_a_place(job, seen.state, now):
            return drawn | {"status": "THROTTLED"}
        if seen.state is State.RUNNING and seen.started_at is not None:
            share = 0.0 if math.isinf(job.run_s) else min(1.0, (now - seen.started_at) / max(job.run_s, 0.001))
            return drawn | {"status": "RUNNING", "progress": round(share, 2)}
        return drawn

    def _waits_for_a_place(self, job: Job, state: State, now: float) -> bool:
        """By its rank among the tasks of its model. It ends by the clock all the same."""
        if state is State.QUEUED and job.faults.has("throttled"):
            return True
        before = self._journal.jobs(
            provider="runway", endpoints=[job.endpoint], below=job.number, created_after=now - _COUNTS_FOR_S
        )
        live = [one for one in before if not phase(one, now).state.ended and not is_deleted(one)]
        return len(live) >= CONCURRENT_MAX

    def _token(self, job_id: str) -> str:
        claims = {"job": job_id, "exp": time.time() + self._files_live_s, "iat": time.time_ns()}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"eyJhbGciOiJIUzI1NiJ9.{payload}.{_signature(payload)}"

    async def _deliver(self, request: Request) -> Response:
        """The file host: the token opens it, an API key must not be shown to it."""
        job_id = request.path_params["job_id"]
        _, _, signed = request.query_params.get("_jwt", "").partition(".")
        payload, _, signature = signed.partition(".")
        if "authorization" in request.headers:
            return PlainTextResponse("a credential was sent to the file host", 400)
        if not hmac.compare_digest(signature, _signature(payload)):
            return PlainTextResponse("forbidden", 403)
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if claims["job"] != job_id or claims["exp"] <= time.time():
            return PlainTextResponse("forbidden", 403)
        job = self._journal.job("runway", job_id)
        if job is None or is_deleted(job):
            return PlainTextResponse("not found", 404)
        return await self._gallery.serve(request)


def _signature(payload: str) -> str:
    digest = hmac.new(_SIGNING_KEY, payload.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
