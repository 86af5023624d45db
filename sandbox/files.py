"""The outputs of finished jobs: their URLs, and the route that serves them."""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox.connection import ConnectionGoneError, Silence, reset
from sandbox.jobs import Job, State, fate, fraction_bits, phase
from sandbox.journal import Journal
from sandbox.media import BLACK, COLOURS, Studio
from sandbox.sizes import MediaSpec

_ERROR_PAGE = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_UNREACHABLE = "http://169.254.169.254/latest/meta-data/"


class Gallery:
    """Outputs are named by job and index and made when they are fetched."""

    def __init__(
        self,
        journal: Journal,
        studio: Studio,
        lifetimes_s: Mapping[str, float],
        outputs: Callable[[Job], list[MediaSpec]],
    ) -> None:
        self._journal = journal
        self._studio = studio
        self._lifetimes_s = lifetimes_s  # by provider, from the end of the job
        self._outputs = outputs

    def specs(self, job: Job) -> list[MediaSpec]:
        if job.faults.has("output_none"):
            return []
        return self._outputs(job)

    async def urls(self, job: Job, base_url: str) -> list[str]:
        specs = self.specs(job)
        if job.faults.has("output_private"):
            return [_UNREACHABLE] * len(specs)
        if job.faults.has("output_data_url") or job.input.get("sync_mode") is True:
            return [
                f"data:{spec.content_type};base64,{base64.b64encode(await self._bytes(job, index, spec)).decode()}"
                for index, spec in enumerate(specs)
            ]
        return [f"{base_url}/files/{job.id}/out-{index}.{spec.extension}" for index, spec in enumerate(specs)]

    async def size(self, job: Job, index: int, spec: MediaSpec) -> int:
        return len(await self._bytes(job, index, spec))

    def routes(self) -> list[Route]:
        return [Route("/files/{job_id}/{name}", self.serve)]

    async def serve(self, request: Request) -> Response:
        """Public, as the providers' file hosts are."""
        job = self._journal.any_job(request.path_params["job_id"])
        found = self._output(job, request.path_params["name"], time.time()) if job else None
        if job is None or found is None:
            return PlainTextResponse("not found", 404)
        return await self.served(request, job, *found)

    async def served(self, request: Request, job: Job, index: int, spec: MediaSpec) -> Response:
        """One output as an answer, as its faults leave it."""
        content = await self.content(job, index, spec)
        if job.faults.has("output_cut"):
            return await _half(request, content, spec)
        return Response(content, media_type=spec.content_type, headers={"cache-control": "public, max-age=3600"})

    async def content(self, job: Job, index: int, spec: MediaSpec) -> bytes:
        """The bytes of one output, as its faults leave them."""
        content = _ERROR_PAGE if job.faults.has("output_wrong_type") else await self._bytes(job, index, spec)
        if job.faults.has("output_empty"):
            return b""
        return content[: len(content) // 2] if job.faults.has("output_truncated") else content

    def _output(self, job: Job, name: str, now: float) -> tuple[int, MediaSpec] | None:
        seen, specs = phase(job, now), self.specs(job)
        if seen.state is not State.SUCCEEDED or job.faults.has("output_expired"):
            return None
        if now >= fate(job)[1] + self._lifetimes_s.get(job.provider, math.inf):
            return None
        return next(
            ((index, spec) for index, spec in enumerate(specs) if name == f"out-{index}.{spec.extension}"), None
        )

    async def _bytes(self, job: Job, index: int, spec: MediaSpec) -> bytes:
        colour = BLACK if job.faults.has("black_image") else fraction_bits(job.seed, index) % COLOURS
        return await self._studio.file(spec, colour, f"{job.id} output {index}")


async def _half(request: Request, content: bytes, spec: MediaSpec) -> Response:
    """Promise the whole file, send half of it, reset the connection."""
    headers = [(b"content-type", spec.content_type.encode()), (b"content-length", str(len(content)).encode())]
    await request._send({"type": "http.response.start", "status": 200, "headers": headers})
    await request._send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
    await asyncio.sleep(0.1)  # so that the half arrives before the reset discards what is not yet read
    with suppress(ConnectionGoneError):
        await reset(request)
    return Silence()
