"""POST /images/generations: holds the connection until the pictures are made."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.byteplus import problems
from sandbox.byteplus.checks import violations
from sandbox.byteplus.models import CANVASES
from sandbox.byteplus.store import signed_urls
from sandbox.connection import hang, reset
from sandbox.faults import FaultPlan
from sandbox.files import Gallery
from sandbox.jobs import Job, clock, fate
from sandbox.problems import RefusalError
from sandbox.submissions import Desk, base_url

_IGNORED = {"n"}  # OpenAI's word, which the real API passes over
_TOKEN_PIXELS = 256
_REFUSED = ("OutputImageSensitiveContentDetected", "The output image may contain sensitive information.")
_FAILURES = {"content_refused": _REFUSED, "content_refused_nsfw": _REFUSED}  # every other one is internal


class Images:
    def __init__(self, desk: Desk, gallery: Gallery) -> None:
        self._desk = desk
        self._gallery = gallery

    async def generate(self, request: Request) -> Response:
        body = await problems.body_of(request)
        submit = self._desk.received("byteplus", body)
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        model = _checked(body)
        queue_s, run_s = self._desk.latency("byteplus", model, submit)
        job = Job(
            id=problems.request_id(),
            provider="byteplus",
            endpoint=model,
            input=body,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=_failure(submit.faults),
        )
        job = await self._desk.accepted(request, job)
        if math.isinf(fate(job)[1]):
            await hang(request)
        await asyncio.sleep(max(0.0, fate(job)[1] - time.time()))
        return await self._answer(job)

    async def _answer(self, job: Job) -> Response:
        headers = {"x-request-id": job.id}
        if job.failure is not None:
            status = 500 if job.failure["code"] == problems.INTERNAL[0] else 400
            return JSONResponse(problems.envelope(**job.failure), status, headers)
        data = await self._pictures(job)
        made = [item for item in data if "error" not in item]
        tokens = round(sum(math.prod(map(int, item["size"].split("x"))) for item in made) / _TOKEN_PIXELS)
        usage = {"generated_images": len(made), "output_tokens": tokens, "total_tokens": tokens}
        answer = {"model": job.endpoint, "created": int(fate(job)[1]), "data": data, "usage": usage}
        return JSONResponse(answer, headers=headers)

    async def _pictures(self, job: Job) -> list[dict[str, Any]]:
        encoded = job.input.get("response_format") == "b64_json"
        asked = replace(job, faults=FaultPlan((*job.faults.words, "output_data_url"))) if encoded else job
        urls = await signed_urls(self._gallery, asked, job.base_url)
        data: list[dict[str, Any]] = [
            ({"b64_json": url.partition(",")[2]} if encoded else {"url": url}) | {"size": f"{spec.width}x{spec.height}"}
            for url, spec in zip(urls, self._gallery.specs(job), strict=True)
        ]
        if data and job.faults.has("partly_refused"):
            code, message = _REFUSED
            data[-1] = {"error": {"code": code, "message": message}}
        return data


def _checked(body: dict[str, Any]) -> str:
    """The model, when it exists and takes such a body."""
    model = body.get("model")
    if model is None:
        raise RefusalError(problems.problem(400, "MissingParameter", "the request is missing model", "model"))
    if model not in CANVASES:
        raise RefusalError(problems.unknown_model(model))
    given = {name: value for name, value in body.items() if name != "model" and name not in _IGNORED}
    if found := violations(model, given):
        raise RefusalError(problems.invalid(found))
    return str(model)


def _failure(faults: FaultPlan) -> dict[str, Any] | None:
    word = faults.first("job_failed") or faults.first("content_refused")
    if word is None:
        return None
    code, message = _FAILURES.get(word.name, problems.INTERNAL)
    return {"code": code, "message": message}
