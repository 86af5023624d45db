"""The Replicate API under /replicate/v1: submit, read, list and cancel predictions, account, webhook secret."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.callbacks import FINAL, Bell
from sandbox.connection import reset
from sandbox.faults import FaultPlan
from sandbox.jobs import Job, clock, fate, phase
from sandbox.journal import Journal
from sandbox.problems import RefusalError
from sandbox.replicate import credentials, problems
from sandbox.replicate.models import MODELS
from sandbox.replicate.prediction import EVENTS, PREFIX, Predictions
from sandbox.replicate.versions import COMMUNITY, version_owner
from sandbox.submissions import Desk, base_url, json_body

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

_PAGE = 100
_FIELDS = {"input", "webhook", "webhook_events_filter", "stream"}
_PREFER = re.compile(r"wait(?:=([1-9]|[1-5][0-9]|60))?")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_DEADLINE_LEAST_S = 5
_DEFAULT_EVENTS = ("output", FINAL)

FAILURES = {
    "job_failed": "Prediction failed for an unknown reason.",
    "job_failed_e6716": "Director: unexpected error handling prediction (E6716)",
    "job_failed_e1000": "Prediction failed with an unknown error (E1000)",
    "job_failed_e1001": "Prediction ran out of memory (E1001)",
    "job_failed_e4875": "Webhook URL was empty (E4875)",
    "job_failed_e8765": "The model failed its health check (E8765)",
    "job_failed_e9243": "The prediction could not be started (E9243)",
    "job_failed_e9825": "The output file could not be uploaded (E9825)",
    "job_failed_oom": "CUDA out of memory. Tried to allocate 2.50 GiB (GPU 0; 79.15 GiB total capacity)",
    "job_failed_interrupted": "Prediction interrupted; please retry (code: PA)",
    "job_failed_timeout": "Prediction timed out",
    "job_failed_downstream": "The upstream service refused the request",
    "content_refused": "The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
    "content_refused_nsfw": "NSFW content detected. Try running it again, or try a different prompt.",
}


class ReplicateApi:
    def __init__(self, journal: Journal, desk: Desk, bell: Bell, predictions: Predictions) -> None:
        self._journal = journal
        self._desk = desk
        self._bell = bell
        self._predictions = predictions

    def routes(self) -> list[Route]:
        return [
            Route(f"{PREFIX}/predictions/{{id}}", authenticated(self.read)),
            Route(f"{PREFIX}/models/{{owner}}/{{name}}/predictions", authenticated(self.of_model), methods=["POST"]),
            Route(f"{PREFIX}/predictions", authenticated(self.of_version), methods=["POST"]),
            Route(f"{PREFIX}/predictions", authenticated(self.page)),
            Route(
                f"{PREFIX}/deployments/{{owner}}/{{name}}/predictions",
                authenticated(self.of_deployment),
                methods=["POST"],
            ),
            Route(f"{PREFIX}/predictions/{{id}}/cancel", authenticated(self.cancel), methods=["POST"]),
            Route(f"{PREFIX}/account", authenticated(account)),
            Route(f"{PREFIX}/webhooks/default/secret", authenticated(webhook_secret)),
        ]

    # submit

    async def of_model(self, request: Request) -> Response:
        """Official models; a community model answers 404 here."""
        return await self._submit(request, "{owner}/{name}".format(**request.path_params), "", _FIELDS)

    async def of_deployment(self, request: Request) -> Response:
        named = "{owner}/{name}".format(**request.path_params)
        return await self._submit(request, named, f"deployment {named}", _FIELDS)

    async def of_version(self, request: Request) -> Response:
        return await self._submit(request, None, "", _FIELDS | {"version"})

    async def _submit(self, request: Request, model: str | None, origin: str, fields: set[str]) -> Response:
        body = await json_body(request)
        if not isinstance(body, dict):
            raise RefusalError(problems.problem(400, "The request body is not a JSON object.", "Bad request"))
        submit = self._desk.received("replicate", body.get("input"))
        if submit.faults.has("reset_before"):
            await reset(request)
        problems.refuse_submit(submit.faults)
        _check_body(body, fields)
        if model is None:
            model, origin = _model_of_version(body["version"])
        elif not origin and model in COMMUNITY:
            raise RefusalError(problems.not_found())
        _check_input(model, body["input"])
        wait_s, deadline_s = _wait_seconds(request), _deadline_seconds(request)

        queue_s, run_s = self._desk.latency("replicate", model, submit)
        asked = body.get("webhook_events_filter")
        job = Job(
            id=_new_id(),
            provider="replicate",
            endpoint=model,
            input=body["input"],
            prompt=submit.prompt,
            created_at=clock(),
            queue_s=queue_s,
            run_s=run_s,
            base_url=base_url(request),
            faults=submit.faults,
            failure=_failure(submit.faults),
            deadline_s=deadline_s,
            webhook_url=body.get("webhook"),
            webhook_events=tuple(event for event in EVENTS if event in (asked or _DEFAULT_EVENTS)),
            origin=origin,
        )
        job = await self._desk.accepted(request, job)
        if wait_s is None:
            return JSONResponse(await self._predictions.document(job, job.created_at - 1), 201)
        job = await self._finished(job, wait_s)
        return JSONResponse(await self._predictions.document(job, time.time()), 201)

    async def _finished(self, job: Job, wait_s: float) -> Job:
        """The job as it is when it has ended, or when the wait is over."""
        until = time.time() + wait_s
        while (now := time.time()) < until and now < fate(job)[1]:
            await asyncio.sleep(max(0.0, min(fate(job)[1], until, now + 0.25) - now))  # looks for a cancel meanwhile
            job = self._journal.job("replicate", job.id) or job
        return job

    # look and cancel

    async def read(self, request: Request) -> Response:
        job = self._job(request)
        failing = job.faults.failing_polls
        if failing and self._journal.count_poll(job.id) <= failing:
            return problems.problem(500, "An unexpected error occurred.", "Internal server error")
        return JSONResponse(await self._predictions.document(job, time.time(), base_url(request)))

    async def page(self, request: Request) -> Response:
        """Newest first, 100 a page; the webhook URL is nowhere in it."""
        query, base, now = request.query_params, base_url(request), time.time()
        try:
            below = _cursor_rank(query.get("cursor"))
            after, before = (_instant(query.get(name)) for name in ("created_after", "created_before"))
        except ValueError:
            return problems.problem(400, "Invalid query parameter.", "Bad request")
        jobs = self._journal.jobs(
            provider="replicate", below=below, created_after=after, created_before=before, limit=_PAGE + 1
        )
        more = len(jobs) > _PAGE
        following = None
        if more:
            kept = {name: query[name] for name in ("created_after", "created_before") if name in query}
            cursor = base64.urlsafe_b64encode(str(jobs[_PAGE - 1].number).encode()).decode()
            following = str(request.url.replace(query="").include_query_params(cursor=cursor, **kept))
        results = [await self._predictions.document(job, now, base) for job in jobs[:_PAGE]]
        return JSONResponse({"next": following, "previous": None, "results": results})

    async def cancel(self, request: Request) -> Response:
        job = self._job(request)
        now = time.time()
        if not phase(job, now).state.ended and job.cancel_requested_at is None:
            self._journal.cancel(job.id, now)
            self._bell.changed(job.id)
            job = self._journal.job("replicate", job.id) or job
        return JSONResponse(await self._predictions.document(job, now, base_url(request)))

    def _job(self, request: Request) -> Job:
        job = self._journal.job("replicate", request.path_params["id"])
        if job is None:
            raise RefusalError(problems.not_found())
        return job


async def account(_request: Request) -> Response:
    return JSONResponse({"type": "organization", "username": "sandbox", "name": "Sandbox", "github_url": None})


async def webhook_secret(_request: Request) -> Response:
    return JSONResponse({"key": credentials.WEBHOOK_SECRET})


def authenticated(endpoint: Endpoint) -> Endpoint:
    accepted = {f"{scheme} {credentials.API_TOKEN}" for scheme in ("Bearer", "Token")}

    async def guarded(request: Request) -> Response:
        if request.headers.get("authorization") not in accepted:
            return problems.unauthenticated()
        return await endpoint(request)

    return guarded


def _check_body(body: dict[str, Any], fields: set[str]) -> None:
    """Refuses a body whose top level is wrong."""
    invalid = [
        ("additional_property_not_allowed", "", f"Additional property {name} is not allowed")
        for name in body
        if name not in fields
    ]
    invalid += [
        ("required", "", f"{name} is required") for name in ("input", "version") if name in fields and name not in body
    ]
    if "input" in body and not isinstance(body["input"], dict):
        invalid.append(("invalid_type", "input", "Invalid type. Expected: object"))
    webhook, events = body.get("webhook"), body.get("webhook_events_filter")
    if webhook is not None and not (isinstance(webhook, str) and webhook.startswith(("https://", "http://"))):
        invalid.append(("format", "webhook", "Does not match format 'uri'"))
    if events is not None and not (isinstance(events, list) and all(event in EVENTS for event in events)):
        invalid.append(("enum", "webhook_events_filter", f"must be among: {', '.join(EVENTS)}"))
    if invalid:
        raise RefusalError(JSONResponse(problems.input_problem(invalid), 422))


def _model_of_version(named: Any) -> tuple[str, str]:
    """(model, origin) of a version as submitted: <64 hex>, <owner>/<name>:<64 hex>, or an official <owner>/<name>."""
    model, colon, version = named.rpartition(":") if isinstance(named, str) else ("", "", "")
    if not colon and "/" in version and version not in COMMUNITY:
        return version, ""
    owner = version_owner(version)
    if owner is not None and model in {"", owner}:
        return owner, f"version {version}"
    if owner is None and model and not MODELS.lists(model) and re.fullmatch(r"[0-9a-f]{64}", version):
        return model, f"version {version}"
    raise RefusalError(problems.bad_version())


def _check_input(model: str, given: dict[str, Any]) -> None:
    if found := MODELS.violations(model, given):
        raise RefusalError(problems.invalid_input(found))


def _failure(faults: FaultPlan) -> dict[str, Any] | None:
    return next(({"error": text} for word, text in FAILURES.items() if faults.has(word)), None)


def _wait_seconds(request: Request) -> float | None:
    prefer = request.headers.get("prefer")
    if prefer is None:
        return None
    match = _PREFER.fullmatch(prefer.strip())
    if match is None:
        raise RefusalError(problems.problem(400, "The Prefer header is not wait or wait=1...60.", "Bad request"))
    return float(match[1] or 60)


def _deadline_seconds(request: Request) -> float | None:
    value = request.headers.get("cancel-after")
    if value is None:
        return None
    match = _DURATION.fullmatch(value.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total < _DEADLINE_LEAST_S:
        raise RefusalError(problems.problem(400, "Cancel-After is a duration of at least 5 seconds.", "Bad request"))
    return float(total)


def _cursor_rank(cursor: str | None) -> int | None:
    return int(base64.urlsafe_b64decode(cursor)) if cursor else None


def _instant(value: str | None) -> float | None:
    return datetime.fromisoformat(value).timestamp() if value else None


def _new_id() -> str:
    """26 characters, as theirs."""
    return base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26].translate(_TO_THEIR_ALPHABET)


_TO_THEIR_ALPHABET = str.maketrans("ilou", "0189")
