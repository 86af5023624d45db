"""The object store behind ModelArk: signed addresses, dead after a day, videos also after a hundred downloads."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.files import Gallery
from sandbox.jobs import Job, fate
from sandbox.journal import Journal

LIVES_S = 86_400
DOWNLOADS_MAX = 100
_PATH = "/byteplus/tos"
_SIGNATURE = f"X-Tos-Expires={LIVES_S}&X-Tos-Max-Requests={DOWNLOADS_MAX}&X-Tos-Signature=51aa"
_DENIED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    "<Message>Request has expired</Message></Error>"
)


async def signed_urls(gallery: Gallery, job: Job, base_url: str) -> list[str]:
    """The addresses of a finished job's files."""
    ours = f"{base_url}/files/"
    return [
        f"{base_url}{_PATH}/{url.removeprefix(ours)}?{_SIGNATURE}" if url.startswith(ours) else url
        for url in await gallery.urls(job, base_url)
    ]


class ObjectStore:
    def __init__(self, journal: Journal, gallery: Gallery) -> None:
        self._journal = journal
        self._gallery = gallery
        self._downloads: dict[str, int] = {}  # of a job; a restart forgives

    def routes(self) -> list[Route]:
        return [Route(f"{_PATH}/{{job_id}}/{{name}}", self.serve)]

    async def serve(self, request: Request) -> Response:
        job = self._journal.job("byteplus", request.path_params["job_id"])
        before = self._downloads.get(request.path_params["job_id"], 0)
        if job is None or is_denied(job, request.query_params, before, time.time()):
            return Response(_DENIED, 403, media_type="application/xml")
        self._downloads[job.id] = before + 1
        return await self._gallery.serve(request)


def is_denied(job: Job, query: Mapping[str, str], downloads_before: int, now: float) -> bool:
    return (
        "X-Tos-Signature" not in query
        or job.faults.has("output_expired")
        or now >= fate(job)[1] + LIVES_S
        or ("content" in job.input and downloads_before >= DOWNLOADS_MAX)
    )
