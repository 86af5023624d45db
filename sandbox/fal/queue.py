"""fal's APIs: the queue under /fal/queue, keys under /fal/rest, request history under /fal/platform/v1."""

from __future__ import annotations

import asyncio
import json
import math
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.callbacks import FINAL, Bell
from sandbox.connection import reset
from sandbox.fal import credentials, problems
from sandbox.fal.models import MODELS
from sandbox.fal.result import Results, failure, inference_s, model_failure, status_error
from sandbox.jobs import Job, Phase, State, clock, fate, phase
from sandbox.journal import Journal
from sandbox.submissions import Desk, base_url, json_body

QUEUE = "/fal/queue"
REST = "/fal/rest"
PLATFORM = "/fal/platform/v1"

_NAMESPACES = {"workflows", "comfy"}
_QUEUE_LENGTH = 3
_STREAM_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class RequestPath:
    """`<owner>/<alias>/requests/<id>[/<action>]`; `short` is False for the form with the whole endpoint."""

    app: str
    request_id: str
    action: str
    short: bool


class FalQueue:
    def __init__(self, journal: Journal, desk: Desk, bell: Bell, results: Results, retention_s: float) -> None:
        self._journal = journal
        self._desk = desk
        self._bell = bell
        self._results = results
        self._retention_s = retention_s

    def routes(self) -> list[Route]:
        return [
            Route(f"{QUEUE}/{{path:path}}", self.submit, methods=["POST"]),
            Route(f"{QUEUE}/{{path:path}}", self.look, methods=["GET"]),
            Route(f"{QUEUE}/{{path:path}}", self.cancel, methods=["PUT"]),
            Route(f"{REST}/.well-known/jwks.json", self.jwks),
        ]

    async def submit(self, request: Request) -> Response:
        authenticate(request)
        endpoint = request.path_params["path"].strip("/")
        if len(endpoint.split("/")) < 2 or request_path(endpoint):
            raise problems.refused(404, f"Application '{endpoint}' not found")
        given = await json_body(request)
        if not isinstance(given, dict):
            raise problems.refused(400, "The request body is not a JSON object")
        submit = self._desk.received("fal", given)
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)

        queue_s, run_s = self._desk.latency("fal", endpoint, submit)
        failed = failure(submit.faults, submit.prompt)
        if found := MODELS.violations(endpoint, given):
            failed, run_s = (
                model_failure(problems.invalid_input(found), False),
                0.0,
            )  # the model looks at it, not the queue
        job = Job(
            id=str(uuid.uuid4()),
            provider="fal",
            endpoint=endpoint,
            input=given,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=failed,
            start_timeout_s=_start_timeout(request),
            webhook_url=request.query_params.get("fal_webhook"),
            webhook_events=(FINAL,),
        )
        job = await self._desk.accepted(request, job)
        return JSONResponse(
            {"status": "IN_QUEUE", "request_id": job.id, **_urls(job, job.base_url), "queue_position": 0},
            headers={"x-fal-request-id": job.id},
        )

    async def look(self, request: Request) -> Response:
        authenticate(request)
        path = request_path(request.path_params["path"].strip("/"))
        job = self._kept(path) if path else None
        if path is None or job is None:
            raise problems.refused(404, "Request not found")
        if not path.short:
            raise problems.refused(405, "Method Not Allowed")
        failing = job.faults.failing_polls
        if failing and self._journal.count_poll(job.id) <= failing:
            return JSONResponse({"detail": "Internal Server Error", "error_type": "internal_error"}, 500)
        logs = request.query_params.get("logs", "").lower() in {"1", "true"}
        match path.action:
            case "status":
                seen = phase(job, time.time())
                return JSONResponse(
                    _status(job, seen, logs, base_url(request)), 200 if seen.state.ended else 202, _named(job)
                )
            case "status/stream":
                return StreamingResponse(self._stream(job, logs, base_url(request)), media_type="text/event-stream")
            case "" | "response":
                return await self._result(job, base_url(request))
        raise problems.refused(404, "Not found")

    async def _result(self, job: Job, base: str) -> Response:
        seen = phase(job, time.time())
        if not seen.state.ended:
            return JSONResponse({"detail": "Request is still in progress"}, 400, _named(job))
        result = await self._results.of(job, seen, base)
        return JSONResponse(result.body, result.status, result.headers)

    async def cancel(self, request: Request) -> Response:
        authenticate(request)
        path = request_path(request.path_params["path"].strip("/"))
        job = self._kept(path) if path else None
        if path is None or job is None or path.action != "cancel":
            return JSONResponse({"status": "NOT_FOUND"}, 404)
        now = time.time()
        seen = phase(job, now)
        if seen.state.ended:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
        self._journal.cancel(job.id, now)
        self._bell.changed(job.id)
        if seen.state is State.QUEUED and not job.faults.has("ignores_cancel"):
            return JSONResponse({"status": "OK"}, 200)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

    async def jwks(self, _request: Request) -> Response:
        """The next key is published once something was signed with it."""
        rotated = any(job.faults.has("callback_new_key") for job in self._journal.jobs(provider="fal"))
        keys = [credentials.signing_key, credentials.next_signing_key][: 1 + rotated]
        return JSONResponse(credentials.jwks(*keys))

    def _kept(self, path: RequestPath) -> Job | None:
        """The job, unless it is another application's or forgotten after retention."""
        job = self._journal.job("fal", path.request_id)
        if job is None or path.app not in {application(job.endpoint), job.endpoint}:
            return None
        return job if time.time() < fate(job)[1] + self._retention_s else None

    async def _stream(self, job: Job, logs: bool, base: str) -> AsyncIterator[str]:
        ended = False
        while not ended:
            job = self._journal.job("fal", job.id) or job
            seen = phase(job, time.time())
            ended = seen.state.ended
            yield f"data: {json.dumps(_status(job, seen, logs, base))}\n\n"
            if not ended:
                await asyncio.sleep(_STREAM_EVERY_S)


def authenticate(request: Request) -> None:
    """Refuses a request without the sandbox's key."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Key" or ":" not in key:
        expected = "Invalid Key Authorization header format. Expected '<key_id>:<key_secret>'."
        raise problems.refused(401, expected)
    if key != credentials.KEY:
        raise problems.refused(401, "No user found for Key ID and Secret")


def application(endpoint: str) -> str:
    """The part of an endpoint that its request URLs keep: owner and alias, and the namespace before them."""
    parts = endpoint.split("/")
    return "/".join(parts[: 3 if parts[0] in _NAMESPACES else 2])


def request_path(path: str) -> RequestPath | None:
    parts = path.split("/")
    if "requests" not in parts[:-1]:
        return None
    at = parts.index("requests")
    app = "/".join(parts[:at])
    return RequestPath(app, parts[at + 1], "/".join(parts[at + 2 :]), at >= 2 and app == application(app))


def _urls(job: Job, base: str) -> dict[str, str]:
    url = f"{base}{QUEUE}/{application(job.endpoint)}/requests/{job.id}"
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def _status(job: Job, seen: Phase, logs: bool, base: str) -> dict[str, Any]:
    status: dict[str, Any] = {"status": "IN_QUEUE", "request_id": job.id, **_urls(job, base)}
    if seen.state is State.QUEUED:
        return status | {"queue_position": _position(job, time.time())}
    lines = None
    if logs and seen.started_at is not None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seen.started_at))
        lines = [{"message": f"Using seed: {job.seed}", "level": "INFO", "source": "USER", "timestamp": when}]
    if not seen.state.ended:
        return status | {"status": "IN_PROGRESS", "logs": lines}
    metrics = {"inference_time": inference_s(seen)} if seen.state is State.SUCCEEDED else {}
    return status | {"status": "COMPLETED", "logs": lines, "metrics": metrics} | status_error(job, seen)


def _position(job: Job, now: float) -> int:
    """Counts down while the job waits."""
    if math.isinf(job.queue_s) or not job.queue_s:
        return _QUEUE_LENGTH
    return max(0, math.ceil(_QUEUE_LENGTH * (1 - (now - job.created_at) / job.queue_s)) - 1)


def _start_timeout(request: Request) -> float | None:
    try:
        return float(request.headers["x-fal-request-timeout"])
    except (KeyError, ValueError):
        return None


def _named(job: Job) -> dict[str, str]:
    return {"x-fal-request-id": job.id}
