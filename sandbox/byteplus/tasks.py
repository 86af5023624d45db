"""ModelArk's task object, as a look and the callbacks show it. The callbacks are not signed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from sandbox.byteplus.asked import FRAMES_PER_SECOND, of_video
from sandbox.byteplus.models import SCREENS
from sandbox.byteplus.store import signed_urls
from sandbox.callbacks import FINAL, Signed
from sandbox.files import Gallery
from sandbox.jobs import Job, Phase, State, fate, phase

EVENTS = ("queued", "running", FINAL)  # in the order in which they are sent

_STATUS = {
    State.QUEUED: "queued",
    State.RUNNING: "running",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELED: "cancelled",
    State.ABORTED: "expired",
}
_SHOWN = ("resolution", "ratio", "duration", "generate_audio", "draft", "priority")
_TOKEN_PIXELS = 1024


class Tasks:
    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def document(self, job: Job, now: float, base_url: str | None = None) -> dict[str, Any]:
        return await self.drawn(job, phase(job, now), base_url)

    async def drawn(self, job: Job, seen: Phase, base_url: str | None = None) -> dict[str, Any]:
        asked = of_video(job.input)
        document: dict[str, Any] = {
            "id": job.id,
            "model": job.endpoint,
            "status": _STATUS[seen.state],
            "created_at": int(job.created_at),
            "updated_at": int(seen.ended_at or seen.started_at or job.created_at),
            "service_tier": asked.get("service_tier", "default"),
            "execution_expires_after": asked["execution_expires_after"],
        }
        if seen.state is State.FAILED:
            document["error"] = job.failure
        if seen.state is State.SUCCEEDED:
            urls = await signed_urls(self._gallery, job, base_url or job.base_url)
            document["content"] = {"video_url": urls[0]} if urls else {}
            document["usage"] = usage(job.endpoint, asked)
            document |= {name: asked.get(name) for name in _SHOWN if asked.get(name) is not None}
            document |= {"seed": job.seed, "framespersecond": FRAMES_PER_SECOND}
        return document


def usage(model: str, asked: dict[str, Any]) -> dict[str, int]:
    """Tokens: pixels of every frame, and one frame more than the seconds have."""
    pixels = math.prod(SCREENS[model].pixels(asked["resolution"], asked["ratio"]))
    tokens = pixels * (FRAMES_PER_SECOND * asked["duration"] + 1) // _TOKEN_PIXELS
    return {"completion_tokens": tokens, "total_tokens": tokens}


class Ringing:
    """On every change of the status but a cancel. Only the final call is repeated, three times."""

    timeout_s: float = 5.0
    retry_delays_s: Sequence[float] = (1.0, 2.0, 4.0)

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def due(self, job: Job, event: str) -> float | None:
        start, end, final = fate(job)
        match event:
            case "queued":
                return job.created_at
            case "running":
                return start if start <= end and final is not State.ABORTED and not math.isinf(start) else None
            case _:
                return None if final is State.CANCELED else end

    async def signed(self, job: Job, event: str, at: float, *, forged: bool = False) -> Signed:
        start, end, _ = fate(job)
        match event:
            case "queued":
                document = await self._tasks.drawn(job, Phase(State.QUEUED, None, None))
            case "running":
                document = await self._tasks.drawn(job, Phase(State.RUNNING, start, None))
            case _:
                document = await self._tasks.document(job, max(at, end))
        if forged:  # nothing in it shows that it is
            document |= {"status": "succeeded", "content": {"video_url": "https://forged.example.test/video.mp4"}}
        return Signed(json.dumps(document).encode(), {"content-type": "application/json"})
