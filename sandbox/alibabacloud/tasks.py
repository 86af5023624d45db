"""Draws a job as its task, or as the answer of the synchronous call."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sandbox.alibabacloud.models import IMAGES, PATHS, Served
from sandbox.alibabacloud.sizes import asked_pixels
from sandbox.jobs import Job, State, phase

FORGOTTEN_AFTER_S = 86400.0  # from the end of a task
CHINA = timezone(timedelta(hours=8))  # its times are told without a zone

_STATUS = {
    State.QUEUED: "PENDING",
    State.RUNNING: "RUNNING",
    State.SUCCEEDED: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.CANCELED: "CANCELED",
    State.ABORTED: "FAILED",
}
_PARTLY_FAILED = {
    "code": "InternalError.Timeout",
    "message": "An internal timeout error has occured during execution, please try again later.",
}


def flat(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A body in the words that `sandbox/sizes.py` reads."""
    served = served_by(body["model"])
    asked = asked_of(served, body)
    width, height = asked_pixels(asked)
    return {"width": width, "height": height, "num_outputs": asked.get("n"), "duration": asked.get("duration")}


def served_by(model: str) -> Served:
    return next(models[model] for models in PATHS.values() if model in models)


def asked_of(served: Served, body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a body with their defaults."""
    known = served.model.parameters["parameters"].members
    asked = {name: parameter.default for name, parameter in known.items()} | dict(body.get("parameters") or {})
    if served.sizes is not None and asked.get("size") is None:
        asked["size"] = served.sizes.default
    if served.model.kind == "video" and "size" not in asked and "resolution" not in asked:
        asked["resolution"] = "720P"
    return asked


def status_of(job: Job, now: float) -> str:
    seen = phase(job, now)
    if seen.ended_at is not None and now >= seen.ended_at + FORGOTTEN_AFTER_S:
        return "UNKNOWN"
    return _STATUS[seen.state]


def unknown(task_id: str) -> dict[str, Any]:
    return {"request_id": str(uuid.uuid4()), "output": {"task_id": task_id, "task_status": "UNKNOWN"}}


def task(job: Job, urls: list[str], now: float) -> dict[str, Any]:
    """What the poll answers. `urls`: of the outputs, once there are any."""
    status = status_of(job, now)
    if status == "UNKNOWN":
        return unknown(job.id)
    seen = phase(job, now)
    told = {"submit_time": job.created_at, "scheduled_time": seen.started_at, "end_time": seen.ended_at}
    output: dict[str, Any] = {"task_id": job.id, "task_status": status}
    output |= {name: _written(at) for name, at in told.items() if at is not None}
    answer: dict[str, Any] = {"request_id": str(uuid.uuid4()), "output": output}
    if status == "FAILED":
        output |= job.failure or _PARTLY_FAILED
    if status == "SUCCEEDED":
        served = PATHS[job.origin][job.endpoint]
        asked = asked_of(served, job.input)
        result = _result(job, urls, asked)
        output |= result
        answer["usage"] = _usage(job, len(urls), asked)
    return answer


def _result(job: Job, urls: list[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    if job.origin == IMAGES:
        return {"finished": True, "choices": choices(job, urls)}
    prompts = {"orig_prompt": job.prompt}
    if asked.get("prompt_extend"):
        prompts["actual_prompt"] = f"{job.prompt}, in fine detail"
    if PATHS[job.origin][job.endpoint].model.kind == "video":
        return {**prompts, "video_url": urls[0]} if urls else prompts
    results: list[dict[str, Any]] = [{**prompts, "url": url} for url in urls]
    failed = int(job.faults.has("output_partial") and len(results) > 1)
    if failed:
        results[-1] = dict(_PARTLY_FAILED)
    counts = {"TOTAL": len(results), "SUCCEEDED": len(results) - failed, "FAILED": failed}
    return {"results": results, "task_metrics": counts}


def choices(job: Job, urls: list[str]) -> list[dict[str, Any]]:
    """Images of the messages protocol; Wan puts each into a choice of its own, Qwen all into one."""
    if job.faults.has("output_partial"):
        urls = urls[: max(1, len(urls) - 1)]
    wan = job.endpoint.startswith("wan")
    items = [{"image": url, "type": "image"} if wan else {"image": url} for url in urls]
    grouped = [[item] for item in items] if wan else [items] if items else []
    return [{"finish_reason": "stop", "message": {"role": "assistant", "content": group}} for group in grouped]


def finished_call(job: Job, urls: list[str]) -> dict[str, Any]:
    asked = asked_of(PATHS[job.origin][job.endpoint], job.input)
    width, height = asked_pixels(asked)
    drawn = choices(job, urls)
    output: dict[str, Any] = {"choices": drawn}
    usage: dict[str, Any] = {"image_count": sum(len(choice["message"]["content"]) for choice in drawn)}
    if job.endpoint.startswith("wan"):
        output["finished"] = True
        usage["size"] = f"{width}*{height}"
    else:
        output["task_metric"] = {"TOTAL": len(urls), "FAILED": 0, "SUCCEEDED": len(urls)}
        usage |= {"width": width, "height": height}
    return {"output": output, "usage": usage, "request_id": job.id}


def _usage(job: Job, count: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    width, height = asked_pixels(asked)
    size, lines = f"{width}*{height}", min(width, height)
    if job.origin == IMAGES:
        return {"size": size, "image_count": count, "total_tokens": 0, "input_tokens": 0, "output_tokens": 0}
    if PATHS[job.origin][job.endpoint].model.kind == "image":
        return {"image_count": count}
    seconds = asked.get("duration") or 5
    if job.endpoint.startswith(("wan2.1", "wan2.2", "wan2.5")):
        return {"video_count": 1, "video_duration": seconds, "video_ratio": size, "SR": lines}
    usage = {"duration": seconds, "output_video_duration": seconds, "video_count": 1, "SR": lines}
    if "ratio" in asked:
        return {**usage, "ratio": asked["ratio"]}
    return {**usage, "size": size, "input_video_duration": 0}


def listed(job: Job, now: float) -> dict[str, Any]:
    """One line of the list of tasks: times in milliseconds, nothing of the input."""
    seen, service = phase(job, now), job.origin.removeprefix("/services/").replace("/", ":")
    told = {"gmt_create": job.created_at, "start_time": seen.started_at, "end_time": seen.ended_at}
    account = {"api_key_id": "90814", "caller_parent_id": "5082716394401257", "caller_uid": "5082716394401257"}
    return {
        **account,
        **{name: int(at * 1000) for name, at in told.items() if at is not None},
        "region": "ap-southeast-1",
        "request_id": request_id(job),
        "status": _STATUS[seen.state],
        "task_id": job.id,
        "user_api_unique_key": f"apikey:v1:{service}:{job.endpoint}",
        "model_name": job.endpoint,
    }


def request_id(job: Job) -> str:
    """Of the submit."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, job.id))


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, CHINA).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def moment(written: str) -> float:
    """A time of the list's query, YYYYMMDDhhmmss. Raises ValueError."""
    return datetime.strptime(written, "%Y%m%d%H%M%S").replace(tzinfo=CHINA).astimezone(UTC).timestamp()
