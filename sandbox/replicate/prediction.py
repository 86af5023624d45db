"""Replicate's prediction object, and the signed calls that carry it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Sequence
from typing import Any

from sandbox.callbacks import FINAL, Signed, final_due
from sandbox.files import Gallery
from sandbox.jobs import Job, Phase, State, fate, iso, phase
from sandbox.replicate import credentials
from sandbox.replicate.models import MODELS

PREFIX = "/replicate/v1"
EVENTS = ("start", "output", "logs", FINAL)  # in the order in which they are sent

_STATUS = {
    State.QUEUED: "starting",
    State.RUNNING: "processing",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELED: "canceled",
    State.ABORTED: "aborted",
}


class Predictions:
    """Draws the prediction object of a job, as GET and the webhooks show it."""

    def __init__(self, gallery: Gallery, retention_s: float) -> None:
        self._gallery = gallery
        self._retention_s = retention_s

    async def document(self, job: Job, now: float, base_url: str | None = None) -> dict[str, Any]:
        base = base_url or job.base_url
        seen = phase(job, now)
        removed = seen.ended_at is not None and now >= seen.ended_at + self._retention_s
        output = None
        if seen.state is State.SUCCEEDED and not removed:
            output = await self._output(job, base)
        return self._drawn(job, seen, output, removed, base)

    async def started(self, job: Job) -> dict[str, Any]:
        """The object as it was when the job began to run."""
        return self._drawn(job, Phase(State.RUNNING, fate(job)[0], None), None, False, job.base_url)

    async def producing(self, job: Job) -> dict[str, Any]:
        """The object as it was when the output appeared, just before the end."""
        output = await self._output(job, job.base_url)
        return self._drawn(job, Phase(State.RUNNING, fate(job)[0], None), output, False, job.base_url)

    async def _output(self, job: Job, base: str) -> str | list[str] | None:
        urls = await self._gallery.urls(job, base)
        if not urls:
            return None
        return urls[0] if MODELS.of(job.endpoint).output == "string" else urls

    def _drawn(self, job: Job, seen: Phase, output: Any, removed: bool, base: str) -> dict[str, Any]:
        started, ended = seen.started_at, seen.ended_at
        url = f"{base}{PREFIX}/predictions/{job.id}"
        kind, _, named = job.origin.partition(" ")
        document: dict[str, Any] = {
            "id": job.id,
            "model": job.endpoint,
            "version": named if kind == "version" else "hidden",
            "input": {} if removed else job.input,
            "logs": "" if removed or started is None else f"Using seed: {job.seed}\n",
            "output": output,
            "data_removed": removed,
            "error": None,
            "source": "api",
            "status": _STATUS[seen.state],
            "created_at": iso(job.created_at),
            "urls": {"cancel": f"{url}/cancel", "get": url, "web": f"{base}/?job={job.id}"},
        }
        if started is not None:
            document["started_at"] = iso(started)
        if ended is not None:
            document["completed_at"] = iso(ended)
            document["metrics"] = self._metrics(job, seen, ended)
        if seen.state is State.FAILED and job.failure:
            document["error"] = job.failure["error"]
        if job.deadline_s is not None:
            document["deadline"] = iso(job.created_at + job.deadline_s)
        if kind == "deployment":
            document["deployment"] = named
        return document

    def _metrics(self, job: Job, seen: Phase, ended: float) -> dict[str, Any]:
        metrics: dict[str, Any] = {"total_time": round(ended - job.created_at, 6)}
        if seen.started_at is not None:
            metrics["predict_time"] = round(ended - seen.started_at, 6)
        if seen.state is State.SUCCEEDED:
            specs = self._gallery.specs(job)
            if specs and specs[0].duration_s:
                metrics["video_output_duration_seconds"] = specs[0].duration_s
            else:
                metrics["image_count"] = len(specs)
        return metrics


class ReplicateRinging:
    """Only the final call is repeated, the last time about a minute after the end."""

    timeout_s: float = 10.0
    retry_delays_s: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions

    def due(self, job: Job, event: str) -> float | None:
        start, end, final = fate(job)
        if event == FINAL:
            return final_due(job)
        if event == "start":
            return start if start <= end and final is not State.ABORTED and not math.isinf(start) else None
        return end if final is State.SUCCEEDED else None

    async def signed(self, job: Job, event: str, at: float, *, forged: bool = False) -> Signed:
        match event:
            case "start":
                document = await self._predictions.started(job)
            case "output" | "logs":
                document = await self._predictions.producing(job)
            case _:
                document = await self._predictions.document(job, max(at, fate(job)[1]))
        body = json.dumps(document).encode()
        message_id = "msg_" + hashlib.blake2b(f"{job.id} {event}".encode(), digest_size=13).hexdigest()
        timestamp = str(int(at))
        key = b"not the key of this account" if forged else credentials.webhook_key
        mac = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        return Signed(
            body,
            {
                "content-type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": timestamp,
                "webhook-signature": "v1," + base64.b64encode(mac).decode(),
            },
        )
