"""The simulated Alibaba Cloud under /alibabacloud/api/v1: services, tasks, their list and their cancel.

A task is made of whatever has a known model: what is wrong with its input shows as the end of the task. The
synchronous path says it at once.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.alibabacloud import credentials, problems, tasks
from sandbox.alibabacloud.checking import wrong
from sandbox.alibabacloud.models import MESSAGES, PATHS
from sandbox.alibabacloud.throttle import Throttle
from sandbox.connection import hang, reset
from sandbox.jobs import Job, State, clock, fate, phase
from sandbox.problems import RefusalError
from sandbox.simulated import Parts
from sandbox.submissions import Submit, base_url, json_body

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

PREFIX = "/alibabacloud/api/v1"
_CALL_LASTS_MAX_S = 300
_LIST_SPAN_MAX_S = 86400


class AlibabaCloudApi:
    def __init__(self, parts: Parts) -> None:
        self._journal, self._desk, self._gallery = parts.journal, parts.desk, parts.gallery
        self._throttle = Throttle()

    def routes(self) -> list[Route]:
        return [
            *(Route(f"{PREFIX}{path}", authenticated(self.submit), methods=["POST"]) for path in PATHS),
            Route(f"{PREFIX}/tasks", authenticated(self.page)),
            Route(f"{PREFIX}/tasks/", authenticated(self.page)),
            Route(f"{PREFIX}/tasks/{{id}}", authenticated(self.read)),
            Route(f"{PREFIX}/tasks/{{id}}/cancel", authenticated(self.cancel), methods=["POST"]),
        ]

    # submit

    async def submit(self, request: Request) -> Response:
        path = request.url.path.removeprefix(PREFIX)
        body = await json_body(request)
        given = body.get("input") if isinstance(body, dict) else None
        submit = self._desk.received("alibabacloud", given, prompt=prompt_of(given))
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        _check_header(request, path)
        model = _check_body(body)
        if model not in PATHS[path]:
            raise RefusalError(problems.problem(400, "InvalidParameter", "url error, please check url!"))
        found = wrong(PATHS[path][model], {name: value for name, value in body.items() if name != "model"})
        failure = problems.failure_of(found[0]) if found else _demanded(submit)
        if path != MESSAGES:
            job = await self._accepted(request, path, model, body, submit, failure)
            made = {"task_status": "PENDING", "task_id": job.id}
            return JSONResponse({"output": made, "request_id": tasks.request_id(job)})
        if failure:
            return problems.failed_call(failure)
        return await self._call(request, await self._accepted(request, path, model, body, submit, None))

    async def _accepted(
        self,
        request: Request,
        path: str,
        model: str,
        body: dict[str, Any],
        submit: Submit,
        failure: problems.Failure | None,
    ) -> Job:
        queue_s, run_s = self._desk.latency("alibabacloud", model, submit)
        job = Job(
            id=str(uuid.uuid4()),
            provider="alibabacloud",
            endpoint=model,
            input=body,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=dict(failure) if failure else None,
            origin=path,
        )
        return await self._desk.accepted(request, job)

    async def _call(self, request: Request, job: Job) -> Response:
        """Holds the connection until the images are there."""
        end = fate(job)[1]
        if math.isinf(end):
            await hang(request)
        await asyncio.sleep(max(0.0, min(end, job.created_at + _CALL_LASTS_MAX_S) - time.time()))
        if end > job.created_at + _CALL_LASTS_MAX_S:
            return problems.failed_call(problems.FAILURES["job_failed_timeout"])
        return JSONResponse(tasks.finished_call(job, await self._gallery.urls(job, base_url(request))))

    # look and cancel

    async def read(self, request: Request) -> Response:
        if "x-dashscope-async" in request.headers:
            return problems.wrong_header("asynchronous")
        task_id, now = request.path_params["id"], time.time()
        job = self._task(task_id)
        if job is None:
            return JSONResponse(tasks.unknown(task_id))
        self._throttle.pass_or_refuse(job.faults, now)
        failing = job.faults.failing_polls
        if failing and self._journal.count_poll(job.id) <= failing:
            return problems.problem(500, "InternalError", "An internal error has occured.")
        return JSONResponse(tasks.task(job, await self._gallery.urls(job, base_url(request)), now))

    async def cancel(self, request: Request) -> Response:
        job, now = self._task(request.path_params["id"]), time.time()
        if job is not None:
            self._throttle.pass_or_refuse(job.faults, now)
        if job is None or (phase(job, now).state is not State.QUEUED and not job.faults.has("ignores_cancel")):
            pending = "Failed to cancel the task, please confirm if the task is in PENDING status."
            return problems.problem(400, "UnsupportedOperation", pending)
        self._journal.cancel(job.id, now)
        return JSONResponse({"request_id": str(uuid.uuid4())})

    async def page(self, request: Request) -> Response:
        """Newest first, every task of the account."""
        query, now = request.query_params, time.time()
        try:
            number, size = int(query.get("page_no", 1)), int(query.get("page_size", 10))
            until = tasks.moment(query["end_time"]) if "end_time" in query else now + 1
            since = tasks.moment(query["start_time"]) if "start_time" in query else until - _LIST_SPAN_MAX_S
        except ValueError:
            return problems.problem(400, "InvalidParameter", "A query parameter is malformed.")
        if number < 1 or not 1 <= size <= 100 or until - since > _LIST_SPAN_MAX_S + 1:
            return problems.problem(400, "InvalidParameter", "A query parameter is out of range.")
        model = query.get("model_name")
        jobs = self._journal.jobs(
            provider="alibabacloud",
            endpoints=[model] if model else None,
            created_after=since,
            created_before=until,
            limit=10_000,
        )
        lines = [tasks.listed(job, now) for job in jobs if job.origin != MESSAGES]
        lines = [line for line in lines if query.get("status") in {None, line["status"]}]
        shown = lines[(number - 1) * size : number * size]
        pages = {"total": len(lines), "total_page": -(-len(lines) // size), "page_no": number, "page_size": size}
        return JSONResponse({"request_id": str(uuid.uuid4()), "data": shown, **pages})

    def _task(self, task_id: str) -> Job | None:
        job = self._journal.job("alibabacloud", task_id)
        return None if job is None or job.origin == MESSAGES or job.faults.has("job_lost") else job


def authenticated(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        given = request.headers.get("authorization")
        if given != f"Bearer {credentials.KEY}":
            return problems.unauthenticated(given)
        return await endpoint(request)

    return guarded


def prompt_of(given: Any) -> str | None:
    """Of an `input`: at its top, or the text of its first message."""
    if not isinstance(given, dict):
        return None
    prompt = given.get("prompt")
    if isinstance(prompt, str):
        return prompt
    try:
        content = given["messages"][0]["content"]
        return next((item["text"] for item in content if isinstance(item.get("text"), str)), None)
    except (LookupError, TypeError, AttributeError):
        return None


def _check_header(request: Request, path: str) -> None:
    asynchronous = request.headers.get("x-dashscope-async") == "enable"
    if asynchronous is (path == MESSAGES):
        raise RefusalError(problems.wrong_header("asynchronous" if asynchronous else "synchronous"))


def _check_body(body: Any) -> str:
    """The model of a body that has one and an input; these mistakes are told at once on every path."""
    code, message = "InvalidParameter", "Required body invalid, please check the request body format."
    if isinstance(body, dict):
        code, message = "BadRequest.EmptyModel", "Required parameter(s) missing: model"
        if isinstance(model := body.get("model"), str):
            code, message = "InvalidParameter", "Model not exist."
            if any(model in models for models in PATHS.values()):
                code, message = "BadRequest.EmptyInput", "Required parameter(s) missing: input"
                if isinstance(body.get("input"), dict):
                    return model
    raise RefusalError(problems.problem(400, code, message))


def _demanded(submit: Submit) -> Mapping[str, str] | None:
    return next((failure for word, failure in problems.FAILURES.items() if submit.faults.has(word)), None)
