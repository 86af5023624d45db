"""The routes of the simulated Workers AI."""

from __future__ import annotations

import base64
import re
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.cloudflare import credentials, problems
from sandbox.cloudflare.models import FILE_SIDE_MAX, FORM_FILES, MODELS, manner_of
from sandbox.connection import reset
from sandbox.forms import Part, form_parts, picture_size
from sandbox.jobs import Job, clock
from sandbox.parameters import Model
from sandbox.simulated import Parts
from sandbox.submissions import base_url, ended, json_body
from sandbox.validation import violations

PREFIX = "/cloudflare/client/v4"


class WorkersAI:
    def __init__(self, parts: Parts) -> None:
        self._desk = parts.desk
        self._gallery = parts.gallery

    def routes(self) -> list[Route]:
        base = f"{PREFIX}/accounts/{{account}}/ai"
        return [
            Route(f"{base}/run/{{model:path}}", self.run, methods=["POST"]),
            Route(f"{base}/models/search", self.search),
        ]

    async def search(self, request: Request) -> Response:
        _authenticate(request)
        listed = [{"id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "name": name, "task": {"name": "Text-to-Image"}}
                  for name in MODELS.known]  # fmt: skip
        most = int(request.query_params.get("per_page", 50))
        return JSONResponse({"success": True, "errors": [], "messages": [], "result": listed[:most]})

    async def run(self, request: Request) -> Response:
        _authenticate(request)
        name = request.path_params["model"]
        if not MODELS.lists(name):
            raise problems.no_such_model()
        model, manner = MODELS.of(name), manner_of(name)
        given = await (_of_form(request, model) if manner.form else _of_json(request))
        submit = self._desk.received("cloudflare", given)
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        if found := violations(model, given):
            raise problems.invalid(found)
        queue_s, run_s = self._desk.latency("cloudflare", name, submit)
        job = Job(
            id=str(uuid.uuid4()),
            provider="cloudflare",
            endpoint=name,
            input=given,
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=problems.failure(submit.faults),
        )
        job = await self._desk.accepted(request, job)
        await ended(request, job)
        if job.failure:
            return JSONResponse(job.failure["body"], job.failure["status"])
        return await self._picture(request, job, raw=manner.raw != submit.faults.has("other_shape"))

    async def _picture(self, request: Request, job: Job, *, raw: bool) -> Response:
        specs = self._gallery.specs(job)
        if raw and specs:
            return await self._gallery.served(request, job, 0, specs[0])
        pictures = [await self._gallery.content(job, 0, spec) for spec in specs]
        result = {"image": base64.b64encode(pictures[0]).decode()} if pictures else {}
        return JSONResponse({"result": result, "success": True, "errors": [], "messages": []})


def _authenticate(request: Request) -> None:
    if request.headers.get("authorization") != f"Bearer {credentials.TOKEN}":
        raise problems.unauthenticated()
    if request.path_params["account"] != credentials.ACCOUNT_ID:
        raise problems.no_such_account(request.url.path)


async def _of_json(request: Request) -> dict[str, Any]:
    body = await json_body(request)
    if not isinstance(body, dict):
        raise problems.bad_input("the body is not a JSON object", 3003)
    return body


async def _of_form(request: Request, model: Model) -> dict[str, Any]:
    """Text fields become the numbers that the model takes; a file is kept as an address that names it."""
    parts = form_parts(request.headers.get("content-type", ""), await request.body())
    if parts is None:
        raise problems.bad_input("required properties at '/' are 'multipart'")
    return {part.name: _value(part, model) for part in parts}


def _value(part: Part, model: Model) -> Any:
    if part.name in FORM_FILES:
        size = picture_size(part.content)
        if size is None or max(size) > FILE_SIDE_MAX:
            raise problems.refused(400, problems.of_model(3030, f"3030: {part.name} has to be at most 512x512"))
        return f"data:,{part.file_name}"
    known = model.parameters.get(part.name)
    if known is None or known.type not in {"integer", "number"} or not re.fullmatch(r"-?\d+(\.\d+)?", part.text):
        return part.text
    return float(part.text) if "." in part.text else int(part.text)
