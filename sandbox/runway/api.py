"""The Runway API under /runway/v1: submit by kind of work, look, cancel or remove, organization."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.connection import reset
from sandbox.jobs import Job, clock
from sandbox.runway import credentials, problems
from sandbox.runway.checks import MODELS, violations
from sandbox.runway.models import ENDPOINTS
from sandbox.runway.tasks import CONCURRENT_MAX, PREFIX, Tasks, failure, is_deleted
from sandbox.simulated import Parts
from sandbox.submissions import base_url, json_body

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class RunwayApi:
    def __init__(self, parts: Parts, tasks: Tasks) -> None:
        self._journal = parts.journal
        self._desk = parts.desk
        self._tasks = tasks

    def routes(self) -> list[Route]:
        return [
            *(Route(f"{PREFIX}{path}", authenticated(self.submit), methods=["POST"]) for path in ENDPOINTS),
            Route(f"{PREFIX}/v1/tasks/{{id}}", authenticated(self.read)),
            Route(f"{PREFIX}/v1/tasks/{{id}}", authenticated(self.remove), methods=["DELETE"]),
            Route(f"{PREFIX}/v1/organization", authenticated(organization)),
        ]

    async def submit(self, request: Request) -> Response:
        body = await json_body(request)
        if not isinstance(body, dict):
            raise problems.refused(400, "The request body is not a JSON object.")
        submit = self._desk.received("runway", body, prompt=body.get("promptText"))
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        model, given = body.get("model"), {name: value for name, value in body.items() if name != "model"}
        if found := violations(str(model), request.url.path.removeprefix(PREFIX), given):
            return problems.invalid_body(found)

        queue_s, run_s = self._desk.latency("runway", str(model), submit)
        job = Job(
            id=str(uuid.uuid4()),
            provider="runway",
            endpoint=str(model),
            input=given,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=failure(submit.faults),
        )
        job = await self._desk.accepted(request, job)
        return JSONResponse({"id": job.id, "estimatedCost": {"credits": self._tasks.credits(job)}})

    async def read(self, request: Request) -> Response:
        job = self._job(request)
        failing = job.faults.failing_polls
        if failing and self._journal.count_poll(job.id) <= failing:
            raise problems.refused(500, "Internal server error")
        return JSONResponse(await self._tasks.document(job, time.time(), base_url(request)))

    async def remove(self, request: Request) -> Response:
        """Cancels what has not ended, removes what has: nothing tells the two apart."""
        self._journal.cancel(self._job(request).id, time.time())
        return Response(status_code=204)

    def _job(self, request: Request) -> Job:
        job = self._journal.job("runway", request.path_params["id"])
        if job is None or is_deleted(job):
            raise problems.no_task()
        return job


async def organization(_request: Request) -> Response:
    limits = {"maxConcurrentGenerations": CONCURRENT_MAX, "maxDailyGenerations": 25_000}
    tier = {"maxMonthlyCreditSpend": 10_000_000, "models": dict.fromkeys(MODELS.known, limits)}
    usage = {"models": {name: {"dailyGenerations": 0} for name in MODELS.known}}
    return JSONResponse({"creditBalance": 81_250, "tier": tier, "usage": usage})


def authenticated(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {credentials.KEY}":
            raise problems.unauthenticated()
        if request.headers.get("x-runway-version") != credentials.VERSION:
            raise problems.no_version()
        return await endpoint(request)

    return guarded
