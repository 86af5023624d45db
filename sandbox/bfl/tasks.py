"""BFL's task document, its signed file addresses, and the callbacks that carry both."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox.bfl.models import PRICES, is_image_input
from sandbox.callbacks import Signed, final_due
from sandbox.faults import FaultPlan
from sandbox.files import Gallery
from sandbox.jobs import Job, State, iso, phase

PREFIX = "/bfl"
_DELIVERY = f"{PREFIX}/delivery"
_FILES_LIVE_S = 600.0
_SIGNING_KEY = b"sandbox: addresses of BFL's files"

# by fault word: status, reasons or text
_FAILURES: Mapping[str, tuple[str, Any]] = {
    "content_refused": ("Request Moderated", {"Moderation Reasons": ["Sexual Content"]}),
    "content_refused_nsfw": ("Content Moderated", {"Moderation Reasons": ["Sexual Content"]}),
}
_MODERATED_VIDEO = "The request was moderated."


def failure(faults: FaultPlan, model: str) -> dict[str, Any] | None:
    """What the task will say instead of a result, as kept in the job."""
    for word, (status, details) in _FAILURES.items():
        if faults.has(word):
            return {"status": status, "details": _MODERATED_VIDEO if model == "flux-3-video" else details}
    if fault := faults.first("job_failed"):
        return {"status": "Error", "details": {"error": f"Task failed ({fault.name})"}}
    return None


class Tasks:
    """Draws a task as the poll and the callback show it."""

    def __init__(self, gallery: Gallery, retention_s: float) -> None:
        self._gallery = gallery
        self._files_live_s = min(_FILES_LIVE_S, retention_s)

    def routes(self) -> list[Route]:
        return [Route(f"{_DELIVERY}/files/{{job_id}}/{{name}}", self._deliver)]

    def price(self, job: Job) -> dict[str, Any]:
        """Cost in credits of one US cent, and the megapixels it comes from."""
        specs, price = self._gallery.specs(job), PRICES.get(job.endpoint)
        output_mp = round(sum(spec.width * spec.height for spec in specs) / 1e6, 2)
        images = sum(1 for name, value in job.input.items() if value and is_image_input(name))
        cost = None
        if price is not None:
            cost = round(price.first + price.further * (max(0, math.ceil(output_mp - 0.2) - 1) + images), 2)
        return {"cost": cost, "input_mp": float(images) or None, "output_mp": output_mp}

    async def document(self, job: Job, now: float, base_url: str | None = None) -> dict[str, Any]:
        seen = phase(job, now)
        drawn: dict[str, Any] = {
            "id": job.id,
            "status": "Pending",
            "result": None,
            "progress": None,
            "details": None,
            "preview": None,
        }
        if seen.state is State.FAILED:
            return drawn | (job.failure or {})
        if seen.state is State.SUCCEEDED and seen.started_at is not None and seen.ended_at is not None:
            addresses = await self._addresses(job, seen.ended_at, base_url or job.base_url)
            result = {
                "sample": addresses[0] if addresses else None,
                "prompt": job.prompt,
                "seed": job.seed,
                "start_time": seen.started_at,
                "end_time": seen.ended_at,
                "duration": round(seen.ended_at - seen.started_at, 3),
            }
            return drawn | {"status": "Ready", "result": result}
        if seen.started_at is not None:
            half = not math.isinf(job.run_s) and now - seen.started_at > job.run_s / 2
            drawn["progress"] = 0.5 if half else 0.1
            drawn["status"] = "Generating" if job.endpoint == "flux-3-video" else "Pending"
        return drawn

    async def _addresses(self, job: Job, ended_at: float, base_url: str) -> list[str]:
        urls, expires = await self._gallery.urls(job, f"{base_url}{_DELIVERY}"), ended_at + self._files_live_s
        return [
            f"{url}?se={expires}&sp=r&sr=b&sig={_signature(job.id, str(expires))}" if _DELIVERY in url else url
            for url in urls
        ]

    async def _deliver(self, request: Request) -> Response:
        """The file host: it wants the address's signature, and must never be shown an API key."""
        query = request.query_params
        signed = hmac.compare_digest(
            query.get("sig", ""), _signature(request.path_params["job_id"], query.get("se", ""))
        )
        if "x-key" in request.headers or "authorization" in request.headers:
            return PlainTextResponse("a credential was sent to the file host", 400)
        if not signed or time.time() >= float(query["se"]):
            return PlainTextResponse("Signature not valid in the specified time frame", 403)
        return await self._gallery.serve(request)


def _signature(job_id: str, expires: str) -> str:
    return hmac.new(_SIGNING_KEY, f"{job_id} {expires}".encode(), hashlib.sha256).hexdigest()


class BflRinging:
    """One call at the end. Its form is not published: this is the guide's, or with a fault the other that was seen."""

    timeout_s: float = 10.0
    retry_delays_s: Sequence[float] = (1.0, 5.0, 30.0)

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def due(self, job: Job, event: str) -> float | None:  # noqa: ARG002 - there is only the final one
        return final_due(job)

    async def signed(self, job: Job, event: str, at: float, *, forged: bool = False) -> Signed:  # noqa: ARG002
        end = final_due(job)
        task = await self._tasks.document(job, max(at, end))
        told: dict[str, Any] = {"id": job.id, "status": task["status"], "result": task["result"], "timestamp": iso(end)}
        if job.faults.has("callback_other_form"):
            told = {"task_id": job.id, "status": "SUCCESS", "result": task["result"], "progress": 1}
        body, headers = json.dumps(told).encode(), {"content-type": "application/json"}
        secret = job.input.get("webhook_secret")
        if secret and not job.faults.has("callback_other_form"):
            key = b"not the caller's secret" if forged else str(secret).encode()
            headers["x-bfl-signature"] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
        return Signed(body, headers)
