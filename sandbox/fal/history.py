"""fal's platform API: the history of finished requests."""

from __future__ import annotations

import base64
import time
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.fal.queue import PLATFORM, authenticate
from sandbox.fal.result import Results
from sandbox.jobs import Job, Phase, iso, phase
from sandbox.journal import Journal

_WINDOW_S = 86400
_SCANNED_MAX = 1000
_STATUSES = {"success": range(200, 400), "user_error": range(400, 500), "error": range(500, 600)}


class FalHistory:
    def __init__(self, journal: Journal, results: Results) -> None:
        self._journal = journal
        self._results = results

    def routes(self) -> list[Route]:
        return [
            Route(f"{PLATFORM}/models/requests/by-endpoint", self.requests),
            Route(f"{PLATFORM}/meta", self.meta),
        ]

    async def requests(self, request: Request) -> Response:
        """Finished requests only, by end time, newest first."""
        authenticate(request)
        query, now = request.query_params, time.time()
        try:
            start, end = _instant(query.get("start"), now - _WINDOW_S), _instant(query.get("end"), now)
            limit, offset = min(int(query.get("limit", 50)), 100), _offset(query.get("cursor"))
        except ValueError:
            return JSONResponse({"detail": "Invalid query parameter"}, 400)
        endpoints = query.getlist("endpoint_id")
        if not endpoints:
            return JSONResponse({"detail": "endpoint_id is required"}, 400)

        statuses, request_id = _STATUSES.get(query.get("status", ""), range(1000)), query.get("request_id")
        found = [
            (job, seen)
            for job in self._journal.jobs(provider="fal", endpoints=endpoints, limit=_SCANNED_MAX)
            if (seen := phase(job, now)).ended_at is not None
            and start <= seen.ended_at <= end
            and self._results.status(job, seen) in statuses
            and request_id in {None, job.id}
        ]
        found.sort(key=lambda pair: pair[1].ended_at or 0, reverse=True)
        page, more = found[offset : offset + limit], len(found) > offset + limit
        items = [await self._item(job, seen, query.get("expand") == "payloads") for job, seen in page]
        cursor = base64.b64encode(str(offset + limit).encode()).decode() if more else None
        return JSONResponse({"items": items, "next_cursor": cursor, "has_more": more})

    async def meta(self, _request: Request) -> Response:
        return JSONResponse({"webhook_ip_ranges": ["127.0.0.1/32"]})

    async def _item(self, job: Job, seen: Phase, payloads: bool) -> dict[str, Any]:
        ended = seen.ended_at or job.created_at
        item: dict[str, Any] = {
            "request_id": job.id,
            "endpoint_id": job.endpoint,
            "sent_at": iso(job.created_at),
            "started_at": iso(seen.started_at) if seen.started_at else None,
            "ended_at": iso(ended),
            "status_code": self._results.status(job, seen),
            "duration": round(ended - (seen.started_at or ended), 4),
        }
        if payloads:
            item |= {"json_input": job.input, "json_output": (await self._results.of(job, seen)).body}
        return item


def _instant(value: str | None, otherwise: float) -> float:
    return datetime.fromisoformat(value).timestamp() if value else otherwise


def _offset(cursor: str | None) -> int:
    return int(base64.b64decode(cursor)) if cursor else 0
