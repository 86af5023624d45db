"""The simulator's own API under /sandbox, and its front page."""

from __future__ import annotations

import html
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sandbox.callbacks import Bell
from sandbox.faults import PROVIDERS, WORDS, UnknownFaultError, checked
from sandbox.jobs import Job, iso, phase
from sandbox.journal import Journal
from sandbox.registry import SIMULATED
from sandbox.submissions import base_url, json_body


class Control:
    def __init__(self, journal: Journal, bell: Bell) -> None:
        self._journal = journal
        self._bell = bell

    def routes(self) -> list[Route]:
        return [
            Route("/", self.front_page),
            Route("/sandbox/health", self.health),
            Route("/sandbox/jobs", self.jobs),
            Route("/sandbox/jobs", self.forget, methods=["DELETE"]),
            Route("/sandbox/faults", self.faults),
            Route("/sandbox/faults", self.configure_faults, methods=["PUT"]),
            Route("/sandbox/faults", self.clear_faults, methods=["DELETE"]),
        ]

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def jobs(self, request: Request) -> Response:
        """Jobs, newest first, and how many submits came per prompt, refused ones included.

        Filters: provider, prompt (equal), contains (part of the prompt), state, limit (100).
        """
        query, now = request.query_params, time.time()
        provider, prompt, contains = query.get("provider"), query.get("prompt"), query.get("contains")
        try:
            limit = int(query.get("limit", 100))
        except ValueError:
            return JSONResponse({"detail": "limit is a whole number"}, 400)
        found = self._journal.jobs(provider=provider, prompt=prompt, contains=contains, limit=limit)
        submits = self._journal.submits(provider, prompt, contains)
        received = {(line["provider"], line["prompt"]): line["received"] for line in submits}
        drawn = [self._drawn(job, now) for job in found]
        for line in drawn:
            line["submits_received"] = received.get((line["provider"], line["prompt"]), 0)
        wanted = query.get("state")
        return JSONResponse({"jobs": [line for line in drawn if wanted in {None, line["state"]}], "submits": submits})

    async def forget(self, _request: Request) -> Response:
        """Forget every job, submit, callback, upload and configured fault. Callbacks on their way stay on it."""
        self._journal.clear()
        return JSONResponse({"status": "ok"})

    async def faults(self, _request: Request) -> Response:
        return JSONResponse({"configured": self._journal.configured_faults(), "known_faults": WORDS})

    async def configure_faults(self, request: Request) -> Response:
        """`{"replicate": {"faults": ["submit_429"], "times": 2}}`; without `times` until deleted."""
        body = await json_body(request)
        try:
            asked = _configuration(body)
        except UnknownFaultError:
            raise
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, 400)
        for provider, (words, times) in asked.items():
            self._journal.configure_faults(provider, words, times)
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self._journal.clear_faults(request.query_params.get("provider"))
        return await self.faults(request)

    def _drawn(self, job: Job, now: float) -> dict[str, Any]:
        seen, callbacks = phase(job, now), self._journal.callbacks(job.id)
        return {
            "id": job.id,
            "provider": job.provider,
            "model": job.endpoint,
            "prompt": job.prompt,
            "input": job.input,
            "state": seen.state.value,
            "created_at": iso(job.created_at),
            "started_at": iso(seen.started_at) if seen.started_at else None,
            "ended_at": iso(seen.ended_at) if seen.ended_at else None,
            "cancel_requested": job.cancel_requested_at is not None,
            "faults": list(job.faults.words),
            "webhook_url": job.webhook_url,
            "callbacks_sent": len(callbacks),
            "callbacks": callbacks,
        }

    async def front_page(self, request: Request) -> Response:
        now, base = time.time(), base_url(request)
        rows = "".join(_row(job, now) for job in self._journal.jobs(limit=25))
        words = "".join(f"<dt><code>{word}</code></dt><dd>{html.escape(why)}</dd>" for word, why in WORDS.items())
        page = _PAGE.replace("{base}", html.escape(base)).replace("{rows}", rows or _NO_ROWS)
        named = [one.title for one in SIMULATED.values()]
        page = page.replace("{titles}", f"{', '.join(named[:-1])} and {named[-1]}")
        addresses = (f"{base}{path}" for one in SIMULATED.values() for path in one.addresses)
        page = page.replace("{addresses}", " &middot; ".join(f"<code>{html.escape(each)}</code>" for each in addresses))
        return HTMLResponse(page.replace("{words}", words))


def _configuration(body: Any) -> dict[str, tuple[list[str], int | None]]:
    """Raises UnknownFaultError for a word, ValueError for any other mistake."""
    if not isinstance(body, dict):
        raise ValueError("the body is an object: provider -> {faults, times}")  # noqa: TRY004
    asked: dict[str, tuple[list[str], int | None]] = {}
    for provider, entry in body.items():
        if provider not in PROVIDERS:
            raise ValueError(f"unknown provider {provider!r}; known: {', '.join(PROVIDERS)}")
        words, times = (entry.get("faults"), entry.get("times")) if isinstance(entry, dict) else (None, None)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{provider}: faults is a list of words")
        if times is not None and not (type(times) is int and times > 0):
            raise ValueError(f"{provider}: times is a whole number above 0")
        asked[provider] = checked(words), times
    return asked


def _row(job: Job, now: float) -> str:
    cells = (iso(job.created_at)[11:19], job.provider, job.endpoint, phase(job, now).state.value, job.prompt[:90])
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


_NO_ROWS = "<tr><td colspan=5>No jobs yet.</td></tr>"
_PAGE = """<!doctype html><html lang=en><head><meta charset=utf-8><title>Provider sandbox</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#223}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #dde}
dt{float:left;clear:left;width:15rem}dd{margin:0 0 .2rem 15rem}
code{background:#eef2f7;padding:0 .25rem;border-radius:3px}
</style></head><body><h1>Provider sandbox</h1>
<p>A simulator of the APIs of {titles}: jobs run on the clock, outputs are real files, callbacks are signed.
Nothing here reaches a real provider.</p>
<p>{addresses} &middot; <a href="/sandbox/jobs">jobs</a> &middot;
<a href="/sandbox/faults">faults</a> &middot; <a href="/sandbox/stripe">Stripe</a></p>
<h2>Recent jobs</h2>
<table><tr><th>Time<th>Provider<th>Model<th>State<th>Prompt</tr>{rows}</table>
<h2>Faults on demand</h2>
<p>In a prompt: <code>[sandbox:replicate=latency_3,duplicate_callback;fal=job_failed]</code>. A word ending in
<code>x1</code> acts on the first submit of that prompt only.</p><dl>{words}</dl></body></html>"""
