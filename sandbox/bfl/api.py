"""The BFL API under /bfl/v1: submit, credits. Tasks live on a cluster: /bfl/eu1/v1/get_result, and only there."""

from __future__ import annotations

import time
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.bfl import credentials, problems
from sandbox.bfl.models import MODELS, violations
from sandbox.bfl.tasks import PREFIX, Tasks, failure
from sandbox.callbacks import FINAL
from sandbox.connection import reset
from sandbox.jobs import Job, clock, phase
from sandbox.simulated import Parts
from sandbox.submissions import base_url, json_body

CLUSTER = f"{PREFIX}/eu1"
TASKS_MAX = {"flux-kontext-max": 6}
TASKS_MAX_OTHERWISE = 24
_FORGOTTEN_AFTER_S = 600  # a task that never ends does not count for ever, because nothing can cancel it


class BflApi:
    def __init__(self, parts: Parts, tasks: Tasks) -> None:
        self._journal = parts.journal
        self._desk = parts.desk
        self._tasks = tasks

    def routes(self) -> list[Route]:
        return [
            Route(f"{PREFIX}/v1/get_result", self.read_at_base),
            Route(f"{CLUSTER}/v1/get_result", self.read_at_cluster),
            Route(f"{PREFIX}/v1/credits", self.credits),
            Route(f"{PREFIX}/v1/{{model}}", self.submit, methods=["POST"]),
        ]

    async def submit(self, request: Request) -> Response:
        authenticate(request)
        model, given = request.path_params["model"], await json_body(request)
        if not isinstance(given, dict):
            raise problems.refused(400, "The request body is not a JSON object")
        submit = self._desk.received("bfl", given)
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        if not MODELS.lists(model):
            raise problems.no_such_model()
        if found := violations(model, given):
            return problems.invalid_input(found)
        if self._active(model) >= TASKS_MAX.get(model, TASKS_MAX_OTHERWISE):
            raise problems.too_many_tasks()

        queue_s, run_s = self._desk.latency("bfl", model, submit)
        job = Job(
            id=str(uuid.uuid4()),
            provider="bfl",
            endpoint=model,
            input=given,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=failure(submit.faults, model),
            webhook_url=given.get("webhook_url"),
            webhook_events=(FINAL,),
        )
        job = await self._desk.accepted(request, job)
        return JSONResponse({"id": job.id, **_whereabouts(job), **self._tasks.price(job)})

    def _active(self, model: str) -> int:
        """Tasks that have not ended, of this model where it has a limit of its own."""
        now = time.time()
        endpoints = [model] if model in TASKS_MAX else None
        jobs = self._journal.jobs(provider="bfl", endpoints=endpoints, created_after=now - _FORGOTTEN_AFTER_S)
        return sum(not phase(job, now).state.ended for job in jobs)

    async def read_at_base(self, request: Request) -> Response:
        """Knows a task only where its submit named no other address."""
        job = self._journal.job("bfl", request.query_params.get("id", ""))
        return await self._drawn(request, job if job is not None and job.webhook_url is not None else None)

    async def read_at_cluster(self, request: Request) -> Response:
        return await self._drawn(request, self._journal.job("bfl", request.query_params.get("id", "")))

    async def _drawn(self, request: Request, job: Job | None) -> Response:
        if job is None:
            unknown = {"id": request.query_params.get("id"), "status": "Task not found", "result": None}
            return JSONResponse(unknown | {"progress": None, "details": None, "preview": None})
        failing = job.faults.failing_polls
        if failing and self._journal.count_poll(job.id) <= failing:
            raise problems.refused(500, "Internal Server Error")
        return JSONResponse(await self._tasks.document(job, time.time(), base_url(request)))

    async def credits(self, request: Request) -> Response:
        authenticate(request)
        return JSONResponse({"credits": 812.5})


def authenticate(request: Request) -> None:
    """Refuses a request without the sandbox's key. There is no 401, and no other header."""
    key = request.headers.get("x-key")
    if key is None:
        raise problems.unauthenticated()
    if len(key) < len(credentials.KEY):
        raise problems.malformed_key()
    if key != credentials.KEY:
        raise problems.stranger()


def _whereabouts(job: Job) -> dict[str, Any]:
    """Where the task is to be asked for; with a webhook, nothing is said."""
    if job.webhook_url is not None:
        return {"status": "Pending", "webhook_url": job.webhook_url}
    return {"polling_url": f"{job.base_url}{CLUSTER}/v1/get_result?id={job.id}"}
