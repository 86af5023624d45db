"""The tasks under /contents/generations/tasks: create, read, list, and the DELETE that means two things."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.byteplus import problems
from sandbox.byteplus.asked import prompt_of
from sandbox.byteplus.checks import violations
from sandbox.byteplus.models import CANVASES, SCREENS
from sandbox.byteplus.tasks import EVENTS, Tasks
from sandbox.callbacks import Bell
from sandbox.connection import reset
from sandbox.faults import FaultPlan
from sandbox.jobs import Job, State, clock, phase
from sandbox.journal import Journal
from sandbox.problems import RefusalError
from sandbox.submissions import Desk, base_url

_PAGE_MAX = 500
_LISTED_MAX = 10_000
_PREFIX = "cgt-"
_REFUSED = ("OutputVideoSensitiveContentDetected", "The output video may contain sensitive information.")
_POLICY = ("OutputVideoSensitiveContentDetected.PolicyViolation", _REFUSED[1])
_FAILURES = {"content_refused": _REFUSED, "content_refused_nsfw": _POLICY}  # every other one is internal


class Videos:
    def __init__(self, journal: Journal, desk: Desk, bell: Bell, tasks: Tasks) -> None:
        self._journal = journal
        self._desk = desk
        self._bell = bell
        self._tasks = tasks

    async def create(self, request: Request) -> Response:
        body = await problems.body_of(request)
        submit = self._desk.received("byteplus", body, prompt=prompt_of(body))
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        model = _checked(body)
        queue_s, run_s = self._desk.latency("byteplus", model, submit)
        late = submit.faults.has("job_failed_e6716")
        job = Job(
            id=f"{_PREFIX}{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(4)}",
            provider="byteplus",
            endpoint=model,
            input=body,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=None if late else _failure(submit.faults),
            start_timeout_s=-0.001 if late else float(body.get("execution_expires_after") or 172_800),
            webhook_url=body.get("callback_url"),
            webhook_events=EVENTS,
        )
        job = await self._desk.accepted(request, job)
        return JSONResponse({"id": job.id})

    async def read(self, request: Request) -> Response:
        job = self._job(request)
        failing = job.faults.failing_polls
        if failing and self._journal.count_poll(job.id) <= failing:
            return problems.problem(500, *problems.INTERNAL, kind="InternalServerError")
        return JSONResponse(await self._tasks.document(job, time.time(), base_url(request)))

    async def page(self, request: Request) -> Response:
        """Newest first. Neither input nor callback address is in it."""
        query = request.query_params
        number, size = (_whole(query.get(name), default) for name, default in (("page_num", 1), ("page_size", 10)))
        if number is None or size is None or size > _PAGE_MAX:
            return problems.problem(400, "InvalidParameter", f"page_size must be 1 to {_PAGE_MAX}", "page_size")
        named, model, now = query.getlist("filter.task_ids"), query.get("filter.model"), time.time()
        jobs = self._journal.jobs(provider="byteplus", endpoints=[model] if model else None, limit=_LISTED_MAX)
        shown = [
            await self._tasks.document(job, now, base_url(request))
            for job in jobs
            if job.id.startswith(_PREFIX) and (not named or job.id in named)
        ]
        wanted = {name: query[f"filter.{name}"] for name in ("status", "service_tier") if query.get(f"filter.{name}")}
        found = [task for task in shown if all(task[name] == value for name, value in wanted.items())]
        return JSONResponse({"total": len(found), "items": found[(number - 1) * size : number * size]})

    async def delete(self, request: Request) -> Response:
        """A queued task is canceled, a running one goes on, and of one that has ended the record goes."""
        job, now = self._job(request), time.time()
        state = phase(job, now).state
        if state is State.RUNNING:
            said = "The task is running and cannot be deleted."
            return problems.problem(409, "InvalidAction.RunningTaskDeletion", said, kind="Conflict")
        if state is State.CANCELED:
            said = "A cancelled task cannot be deleted."
            return problems.problem(409, "InvalidAction", said, kind="Conflict")
        if state is State.QUEUED:
            self._journal.cancel(job.id, now)
            self._bell.changed(job.id)
        else:
            self._journal.remove(job.id)
        return JSONResponse({})

    def _job(self, request: Request) -> Job:
        job = self._journal.job("byteplus", request.path_params["id"])
        if job is None or not job.id.startswith(_PREFIX):
            raise RefusalError(problems.unknown_task())
        return job


def _checked(body: dict[str, Any]) -> str:
    """The model, when it exists, makes videos and takes such a body."""
    model = body.get("model")
    if model is None:
        raise RefusalError(problems.problem(400, "MissingParameter", "the request is missing model", "model"))
    if model in CANVASES:
        said = f"The model {model} does not support content generation."
        raise RefusalError(problems.problem(400, "InvalidParameter.TaskTypeMismatch", said, "model"))
    if model not in SCREENS:
        raise RefusalError(problems.unknown_model(model))
    if found := violations(model, {name: value for name, value in body.items() if name != "model"}):
        raise RefusalError(problems.invalid(found))
    return str(model)


def _failure(faults: FaultPlan) -> dict[str, Any] | None:
    word = faults.first("job_failed") or faults.first("content_refused")
    if word is None:
        return None
    code, message = _FAILURES.get(word.name, problems.INTERNAL)
    return {"code": code, "message": message}


def _whole(value: str | None, default: int) -> int | None:
    if value is None:
        return default
    return int(value) if value.isdigit() and int(value) > 0 else None
