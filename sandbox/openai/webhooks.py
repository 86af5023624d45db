"""OpenAI's webhooks: endpoints of the whole project, and the signed events that carry nothing but an id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.callbacks import Signed, final_due
from sandbox.jobs import Job, State, clock, fate
from sandbox.openai import credentials, problems
from sandbox.submissions import json_body

_ID = "we_sandbox"


class Endpoints:
    """At most one, in memory. Its secret is always the same; after a rotation the next one, or both for a day."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.secrets: tuple[str, ...] = (credentials.WEBHOOK_SECRET,)
        self._named: dict[str, Any] = {}

    def routes(self, prefix: str) -> list[Route]:
        base = f"{prefix}/webhook_endpoints"
        return [
            Route(base, self.create, methods=["POST"]),
            Route(base, self.page),
            Route(f"{base}/{_ID}", self.delete, methods=["DELETE"]),
            Route(f"{base}/{_ID}/rotate_secret", self.rotate, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        problems.authenticate(request)
        body = await json_body(request)
        if not isinstance(body, dict) or set(body) != {"event_types", "name", "url"}:
            raise problems.refused(400, "Expected event_types, name and url.")
        self.url, self.secrets = str(body["url"]), (credentials.WEBHOOK_SECRET,)
        self._named = {"id": _ID, "object": "webhook_endpoint", "created_at": int(clock()), **body}
        return problems.answer({**self._named, "signing_secret": self.secrets[0]})

    async def page(self, request: Request) -> Response:
        problems.authenticate(request)
        listed = [self._named] if self.url else []
        return problems.answer({"object": "list", "data": listed, "has_more": False})

    async def rotate(self, request: Request) -> Response:
        problems.authenticate(request)
        body = await json_body(request)
        keeps = isinstance(body, dict) and body.get("keep_old_secret_active_for_24_hours") is True
        self.secrets = (credentials.NEXT_WEBHOOK_SECRET, *((credentials.WEBHOOK_SECRET,) if keeps else ()))
        return problems.answer({**self._named, "signing_secret": self.secrets[0]})

    async def delete(self, request: Request) -> Response:
        problems.authenticate(request)
        self.url = None
        return problems.answer({"id": _ID, "object": "webhook_endpoint.deleted", "deleted": True})


class OpenAIRinging:
    timeout_s: float = 10.0
    retry_delays_s: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def due(self, job: Job, event: str) -> float | None:  # noqa: ARG002 - only the end is told
        return final_due(job)

    async def signed(self, job: Job, event: str, at: float, *, forged: bool = False) -> Signed:
        kind = "video.completed" if fate(job)[2] is State.SUCCEEDED else "video.failed"
        number = hashlib.blake2b(f"{job.id} {event}".encode(), digest_size=16).hexdigest()
        about = {"id": f"evt_{number}", "object": "event", "created_at": int(fate(job)[1]), "type": kind}
        body = json.dumps(about | {"data": {"id": job.id}}).encode()
        message_id, timestamp = f"wh_{number}", str(int(at))
        used = ("whsec_" + base64.b64encode(b"not the key").decode(),) if forged else self._endpoints.secrets
        signatures = [_signature(secret, f"{message_id}.{timestamp}.".encode() + body) for secret in used]
        return Signed(
            body,
            {
                "content-type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": timestamp,
                "webhook-signature": " ".join(signatures),
            },
        )


def _signature(secret: str, message: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
