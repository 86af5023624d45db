"""OpenAI's videos (Sora): jobs that are listed, read and deleted, with their file behind the key.

The vendor shut them down on 2026-09-24; other servers answer in the same way.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sandbox.callbacks import FINAL
from sandbox.connection import reset
from sandbox.forms import form_parts, picture_size
from sandbox.jobs import Job, State, clock, fate, phase
from sandbox.openai import problems
from sandbox.openai.models import VIDEOS, VIDEOS_PATH, of_input
from sandbox.openai.webhooks import Endpoints
from sandbox.simulated import Parts
from sandbox.submissions import base_url, json_body

_STATUS = {State.QUEUED: "queued", State.RUNNING: "in_progress", State.SUCCEEDED: "completed", State.FAILED: "failed"}
_LIVES_S = 24 * 3600
_UNREACHABLE = "http://169.254.169.254/latest/meta-data/"
_PAGE = 20


class Videos:
    def __init__(self, parts: Parts, endpoints: Endpoints) -> None:
        self._journal = parts.journal
        self._desk = parts.desk
        self._gallery = parts.gallery
        self._endpoints = endpoints

    def routes(self, prefix: str) -> list[Route]:
        base = f"{prefix}{VIDEOS_PATH}"
        return [
            Route(base, self.submit, methods=["POST"]),
            Route(base, self.page),
            Route(f"{base}/{{id}}", self.read),
            Route(f"{base}/{{id}}", self.delete, methods=["DELETE"]),
            Route(f"{base}/{{id}}/content", self.content),
        ]

    async def submit(self, request: Request) -> Response:
        problems.authenticate(request)
        body = await _body(request)
        submit = self._desk.received("openai", body)
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        name = str(body.pop("model", "sora-2"))
        if name not in VIDEOS:
            raise problems.refused(400, f"Invalid value: '{name}'.", code="invalid_value", param="model")
        if found := of_input(VIDEOS[name], body):
            raise problems.invalid(found)
        queue_s, run_s = self._desk.latency("openai", name, submit)
        job = Job(
            id=f"video_{secrets.token_hex(24)}",
            provider="openai",
            endpoint=name,
            input={"size": "720x1280", "seconds": "4", **body},
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=problems.video_failure(submit.faults),
            webhook_url=self._endpoints.url,
            webhook_events=(FINAL,),
        )
        job = await self._desk.accepted(request, job)
        return problems.answer(document(job, job.created_at - 1))

    async def read(self, request: Request) -> Response:
        job = self._job(request)
        failing = job.faults.failing_polls
        if failing and self._journal.count_poll(job.id) <= failing:
            raise problems.refused(500, "The server had an error.", kind="server_error")
        return problems.answer(document(job, time.time()))

    async def page(self, request: Request) -> Response:
        problems.authenticate(request)
        query = request.query_params
        limit = min(int(query.get("limit", _PAGE)), 100)
        after = self._journal.job("openai", query.get("after", ""))
        below = after.number if after is not None else None
        jobs = self._journal.jobs(provider="openai", endpoints=list(VIDEOS), below=below, limit=limit + 1)
        listed = [document(job, time.time()) for job in jobs[:limit] if not _is_deleted(job)]
        ends = {"first_id": listed[0]["id"] if listed else None, "last_id": listed[-1]["id"] if listed else None}
        return problems.answer({"object": "list", "data": listed, **ends, "has_more": len(jobs) > limit})

    async def content(self, request: Request) -> Response:
        """The file, for whoever shows the key."""
        job = self._job(request)
        specs = self._gallery.specs(job)
        if document(job, time.time())["status"] != "completed" or not specs or job.faults.has("output_expired"):
            raise problems.refused(404, "Video is not ready yet, or has expired.")
        if request.query_params.get("variant", "video") != "video":
            raise problems.refused(400, "Only the video itself is simulated.", param="variant")
        if job.faults.has("output_private"):
            return RedirectResponse(_UNREACHABLE, 302)
        return await self._gallery.served(request, job, 0, specs[0])

    async def delete(self, request: Request) -> Response:
        """Only of what has ended: there is no cancel."""
        job = self._job(request)
        if document(job, time.time())["status"] not in {"completed", "failed"}:
            raise problems.refused(409, "Only videos that have ended can be deleted.", code="video_in_progress")
        self._journal.cancel(job.id, time.time())  # after its end that changes nothing else
        return problems.answer({"id": job.id, "object": "video.deleted", "deleted": True})

    def _job(self, request: Request) -> Job:
        problems.authenticate(request)
        job = self._journal.job("openai", request.path_params["id"])
        if job is None or job.endpoint not in VIDEOS or _is_deleted(job):
            raise problems.no_such_video(request.path_params["id"])
        return job


def _is_deleted(job: Job) -> bool:
    return job.cancel_requested_at is not None


def document(job: Job, now: float) -> dict[str, Any]:
    """All thirteen members, always."""
    seen, (start, end, _) = phase(job, now), fate(job)
    ended = int(seen.ended_at) if seen.ended_at is not None else None
    progress = {State.QUEUED: 0, State.SUCCEEDED: 100}.get(seen.state, 0)
    if seen.state is State.RUNNING:
        progress = max(1, min(99, int(100 * (now - start) / (end - start))))
    return {
        "id": job.id,
        "object": "video",
        "model": job.endpoint,
        "status": _STATUS[seen.state],
        "progress": progress,
        "created_at": int(job.created_at),
        "completed_at": ended,
        "expires_at": ended + _LIVES_S if ended is not None and seen.state is State.SUCCEEDED else None,
        "prompt": job.prompt,
        "size": job.input["size"],
        "seconds": job.input["seconds"],
        "remixed_from_video_id": None,
        "error": job.failure if seen.state is State.FAILED else None,
    }


async def _body(request: Request) -> dict[str, Any]:
    """From JSON or a form; a first frame becomes an address."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/"):
        body = await json_body(request)
        if not isinstance(body, dict):
            raise problems.refused(400, "We could not parse the body of your request.")
        frame = body.get("input_reference")
        if frame is not None and not (isinstance(frame, dict) and set(frame) in ({"image_url"}, {"file_id"})):
            raise problems.refused(400, "Invalid type for 'input_reference'.", code="invalid_type",
                                   param="input_reference")  # fmt: skip
        return body | ({"input_reference": f"data:,{next(iter(frame.values()))}"} if frame else {})
    parts = form_parts(kind, await request.body())
    if parts is None:
        raise problems.refused(400, "We could not parse the body of your request.")
    body = {part.name: part.text for part in parts if part.file_name is None}
    for part in parts:
        if part.file_name is None:
            continue
        size = picture_size(part.content)
        if size is None or "{}x{}".format(*size) != body.get("size", "720x1280"):
            message = "Inpaint image must match the requested width and height"
            raise problems.refused(400, message, code="invalid_value", param="input_reference")
        body[part.name] = f"data:,{part.file_name}"
    return body
