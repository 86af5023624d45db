"""What a fal job answers: the result document, the error documents, and the signed callback that carries them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.callbacks import Signed, final_due
from sandbox.fal import credentials, problems
from sandbox.fal.models import MODELS
from sandbox.faults import FaultPlan
from sandbox.files import Gallery
from sandbox.jobs import Job, Phase, State, phase

_CANCELED_STATUS = 499
_TIMED_OUT_STATUS = 504
_CANCELED = "Request was cancelled by the client"

# by fault word: status, error type, text
FAILURES: Mapping[str, tuple[int, str, str]] = {
    "job_failed": (500, "internal_server_error", "Internal Server Error"),
    "job_failed_e6716": (504, "startup_timeout", "Runner did not start in time"),
    "job_failed_e1000": (500, "internal_server_error", "Internal Server Error"),
    "job_failed_e1001": (500, "runner_server_error", "Runner ran out of memory"),
    "job_failed_oom": (500, "internal_server_error", "CUDA out of memory"),
    "job_failed_interrupted": (503, "runner_disconnected", "Runner disconnected"),
    "job_failed_timeout": (504, "generation_timeout", "Generation timed out"),
    "job_failed_downstream": (400, "downstream_service_error", "The downstream service refused the request"),
}
_REFUSED = "The content could not be processed because it was flagged by a content checker."
_NO_PAYLOAD = "Response payload is not JSON serializable. Either return a JSON serializable object or use a file."
_NOTHING = "The model did not generate any media for this request."


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


def failure(faults: FaultPlan, prompt: str) -> dict[str, Any] | None:
    """What the job will answer instead of an output, as kept in the job."""
    if faults.has("content_refused"):
        return model_failure(problems.details([("content_policy_violation", ("prompt",), _REFUSED, {}, prompt)]), False)
    if faults.has("content_refused_nsfw"):
        return model_failure(problems.details([("no_media_generated", ("prompt",), _NOTHING, {}, prompt)]), False)
    if faults.has("job_failed_asset"):
        unread = problems.details([("image_load_error", ("image_url",), "Could not load the image.", {}, "")])
        return model_failure(unread, False)
    for word, (status, error_type, text) in FAILURES.items():
        if faults.has(word):
            return {"status": status, "body": {"detail": text, "error_type": error_type}, "retryable": status >= 500}
    return None


def model_failure(body: dict[str, Any], retryable: bool) -> dict[str, Any]:
    """A 422 of the model itself."""
    return {"status": 422, "body": body, "retryable": retryable}


class Results:
    """Draws what a finished job answers."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def of(self, job: Job, seen: Phase, base_url: str | None = None) -> Result:
        match seen.state:
            case State.SUCCEEDED:
                return await self._success(job, seen, base_url or job.base_url)
            case State.CANCELED:
                return _infrastructure(job, _CANCELED_STATUS, "client_cancelled", _CANCELED)
            case State.ABORTED:
                return _infrastructure(
                    job,
                    _TIMED_OUT_STATUS,
                    "request_timeout",
                    "Request timed out",
                    {"X-Fal-Request-Timeout-Type": "user"},
                )
        failed = job.failure or {}
        headers = {"x-fal-request-id": job.id, "X-Fal-Retryable": "true" if failed["retryable"] else "false"}
        if error_type := failed["body"].get("error_type"):
            headers["X-Fal-Error-Type"] = error_type
        return Result(failed["status"], failed["body"], headers)

    def status(self, job: Job, seen: Phase) -> int:
        """The status alone, without making the body."""
        match seen.state:
            case State.SUCCEEDED:
                return 200
            case State.CANCELED:
                return _CANCELED_STATUS
            case State.ABORTED:
                return _TIMED_OUT_STATUS
        return int((job.failure or {})["status"])

    async def _success(self, job: Job, seen: Phase, base_url: str) -> Result:
        model, specs = MODELS.of(job.endpoint), self._gallery.specs(job)
        urls = await self._gallery.urls(job, base_url)
        headers = {"x-fal-request-id": job.id, "x-fal-billable-units": str(max(1, len(specs)))}
        if model.kind == "video":
            video = None
            if specs:
                video = {
                    "url": urls[0],
                    "content_type": specs[0].content_type,
                    "file_name": "output.mp4",
                    "file_size": await self._gallery.size(job, 0, specs[0]),
                }
            return Result(200, {"video": video, "seed": job.seed}, headers)
        images = [
            {"url": url, "width": spec.width, "height": spec.height, "content_type": spec.content_type}
            for url, spec in zip(urls, specs, strict=True)
        ]
        one = model.output == "image"
        body: dict[str, Any] = {
            **({"image": images[0] if images else None} if one else {"images": images}),
            "timings": {"inference": inference_s(seen)},
            "seed": job.seed,
            "prompt": job.prompt,
        }
        if model.flags_nsfw or job.faults.has("black_image"):
            body["has_nsfw_concepts"] = [job.faults.has("black_image")] * len(images)
        return Result(200, body, headers)


class FalRinging:
    """One call at the end, repeated about ten times within two hours."""

    timeout_s: float = 15.0
    retry_delays_s: Sequence[float] = (2, 10, 30, 60, 120, 300, 600, 1200, 1800, 2400)

    def __init__(self, results: Results) -> None:
        self._results = results

    def due(self, job: Job, event: str) -> float | None:  # noqa: ARG002 - there is only the final one
        return final_due(job)

    async def signed(self, job: Job, event: str, at: float, *, forged: bool = False) -> Signed:  # noqa: ARG002
        end = final_due(job)
        result = await self._results.of(job, phase(job, max(at, end)))
        notice: dict[str, Any] = {"request_id": job.id, "gateway_request_id": job.id}
        if result.status == 200:
            notice |= {"status": "OK", "payload": result.body}
        else:
            notice |= {
                "status": "ERROR",
                "error": f"Invalid status code: {result.status}",
                "payload": result.body,
            }
        if job.faults.has("callback_without_payload"):
            notice |= {"payload": None, "payload_error": _NO_PAYLOAD}
        body = json.dumps(notice).encode()
        timestamp = str(int(at))
        digest = hashlib.sha256(b"another body" if forged else body).hexdigest()
        key = credentials.next_signing_key if job.faults.has("callback_new_key") else credentials.signing_key
        message = "\n".join((job.id, credentials.USER_ID, timestamp, digest)).encode()
        return Signed(
            body,
            {
                "content-type": "application/json",
                "x-fal-webhook-request-id": job.id,
                "x-fal-webhook-user-id": credentials.USER_ID,
                "x-fal-webhook-timestamp": timestamp,
                "x-fal-webhook-signature": key.sign(message).hex(),
            },
        )


def status_error(job: Job, seen: Phase) -> dict[str, str]:
    """What the status of a finished job adds; nothing for errors of the model itself, which only the result shows."""
    if seen.state is State.CANCELED:
        return {"error": _CANCELED, "error_type": "client_cancelled"}
    if seen.state is State.ABORTED:
        return {"error": "Request timed out", "error_type": "request_timeout"}
    if seen.state is State.FAILED and job.failure and "error_type" in job.failure["body"]:
        return {"error": job.failure["body"]["detail"], "error_type": job.failure["body"]["error_type"]}
    return {}


def inference_s(seen: Phase) -> float:
    return round((seen.ended_at or 0) - (seen.started_at or 0), 4) if seen.started_at else 0.0


def _infrastructure(job: Job, status: int, error_type: str, text: str, more: Mapping[str, str] | None = None) -> Result:
    headers = {"x-fal-request-id": job.id, "X-Fal-Error-Type": error_type, "X-Fal-Retryable": "false"}
    return Result(status, {"detail": text, "error_type": error_type}, headers | dict(more or {}))
