"""The wire of the simulated Stripe under /stripe/v1: key, idempotency, faults, one transaction, JSON."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.connection import hang, reset
from sandbox.stripe import clock, credentials, problems
from sandbox.stripe.expanding import expanded
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.forms import decoded
from sandbox.stripe.operations import Operations, call_of
from sandbox.stripe.problems import StripeRefusal
from sandbox.stripe.store import Answer
from sandbox.stripe.webhooks import Webhooks
from sandbox.stripe.world import World, token
from sandbox.submissions import base_url

PREFIX = "/stripe"
_KEY_LENGTH_MAX = 255
_KEY_KEPT_S = 24 * 3600


class StripeApi:
    def __init__(self, world: World, operations: Operations, faults: Faults, webhooks: Webhooks) -> None:
        self._world = world
        self._operations = operations
        self._faults = faults
        self._webhooks = webhooks
        self._in_flight: set[str] = set()

    def routes(self) -> list[Route]:
        return [Route(f"{PREFIX}/v1/{{path:path}}", self.answer, methods=["GET", "POST", "DELETE"])]

    async def answer(self, request: Request) -> Response:
        path, request_id = request.url.path.removeprefix(PREFIX), f"req_{token(14)}"
        fault = self._faults.take("request", f"{request.method} {path}")
        try:
            _authenticate(request)
            await _before(request, fault)
            return await self._keyed(request, path, request_id, fault)
        except StripeRefusal as refusal:
            return _response(refusal.status, _error(refusal, request_id), request, request_id)

    async def _keyed(self, request: Request, path: str, request_id: str, fault: Fault | None) -> Response:
        encoded = (await request.body()).decode(errors="replace") if request.method == "POST" else request.url.query
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is None:
            status, body = self._executed(request, path, encoded, request_id, fault, None)
            return await _after(request, fault, _response(status, body, request, request_id))
        if len(key) > _KEY_LENGTH_MAX:
            raise problems.invalid(f"Idempotency keys can only be up to {_KEY_LENGTH_MAX} characters long.")
        if key in self._in_flight or (fault and fault.word == "key_in_use"):
            raise problems.key_in_use(key)
        self._in_flight.add(key)
        try:
            if fault and fault.word == "slow":
                await asyncio.sleep(fault.seconds)
            if known := self._known(key, path, encoded):
                answered = _response(known.status, known.body, request, known.request_id)
                answered.headers["idempotent-replayed"] = "true"
                answered.headers["original-request"] = known.request_id
                return await _after(request, fault, answered)
            status, body = self._executed(request, path, encoded, request_id, fault, key)
        finally:
            self._in_flight.discard(key)
        return await _after(request, fault, _response(status, body, request, request_id))

    def _known(self, key: str, path: str, encoded: str) -> Answer | None:
        """Raises a refusal where the key was first used for something else."""
        known = self._world.store.answer(key)
        if known is None or known.at + _KEY_KEPT_S < self._world.now:
            return None
        if known.path != path:
            raise problems.other_endpoint(path, known.path)
        if known.asked != _sorted(encoded):
            raise problems.other_parameters(key)
        return known

    def _executed(
        self, request: Request, path: str, encoded: str, request_id: str, fault: Fault | None, key: str | None
    ) -> tuple[int, str]:
        """One transaction: the effect, its events and the remembered answer. Raises a refusal that kept nothing."""
        world = self._world
        world.request_id, world.key, world.base_url = request_id, key, base_url(request)
        with world.store.transaction():
            clock.tick(world)
            try:
                status, body = 200, self._run(request.method, path, encoded)
                if fault and fault.word == "error_500_after":
                    raise problems.broken(keeps=True)
            except StripeRefusal as refusal:
                if not refusal.keeps:
                    raise
                status, body = refusal.status, _error(refusal, request_id)
            if key is not None:
                world.store.remember(Answer(key, path, _sorted(encoded), status, body, request_id, world.now))
        self._webhooks.wake()
        return status, body

    def _run(self, method: str, path: str, encoded: str) -> str:
        given = decoded(encoded)
        found = self._operations.match(method, path.removeprefix("/v1"))
        if found is None:
            raise problems.unrecognized(method, path)
        operation, ids = found
        call = call_of(operation, path, ids, given)
        doc = operation.run(self._world, call)
        return _json(expanded(self._world, doc, call.get("expand", [])))


async def _before(request: Request, fault: Fault | None) -> None:
    match fault.word if fault else "":
        case "error_401":
            raise problems.unauthenticated(credentials.KEY)
        case "error_429":
            raise problems.rate_limited()
        case "error_500":
            raise problems.broken()
        case "reset_before":
            await reset(request)
        case "slow" if "idempotency-key" not in request.headers:
            assert fault is not None
            await asyncio.sleep(fault.seconds)


async def _after(request: Request, fault: Fault | None, response: Response) -> Response:
    if fault and fault.word == "answer_lost":
        await reset(request)
    if fault and fault.word == "answer_hangs":
        await hang(request)
    return response


def _authenticate(request: Request) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given).decode().partition(":")[0]
        except ValueError:
            given = ""
    elif scheme.lower() != "bearer":
        raise problems.unauthenticated(None)
    if given.strip() != credentials.KEY:
        raise problems.unauthenticated(given)


def _response(status: int, body: str, request: Request, request_id: str) -> Response:
    headers = {
        "request-id": request_id,
        "stripe-version": request.headers.get("stripe-version", credentials.API_VERSION),
    }
    if "idempotency-key" in request.headers:
        headers["idempotency-key"] = request.headers["idempotency-key"]
    if status >= 500:
        headers["stripe-should-retry"] = "true"
    return Response(body, status, headers, "application/json")


def _error(refusal: StripeRefusal, request_id: str) -> str:
    address = f"https://dashboard.stripe.com/test/logs/{request_id}"
    return _json({"error": {**refusal.error, "request_log_url": address}})


def _sorted(encoded: str) -> str:
    return json.dumps(sorted(parse_qsl(encoded, keep_blank_values=True)))


def _json(doc: Any) -> str:
    return json.dumps(doc, indent=2)
