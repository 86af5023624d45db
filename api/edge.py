"""What happens to every request before routing and to every answer after it: ids, CORS, body limits, the last catch."""

from __future__ import annotations

import logging
import time

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.client_address import ClientAddress
from api.envelope import new_request_id
from api.errors import error_response
from api.rate_limits import RateWindow
from api.request_entry import CLIENT_GONE
from api.services import Services
from domain.errors import ControlPlaneError, InternalError, PayloadTooLarge

BODY_BYTES_MAX = 100 * 1024
CALLBACK_BODY_BYTES_MAX = 2**20
CALLBACKS_PREFIXES = ("/v1/callbacks/", "/v1/stripe/")
ADMIN_PREFIX = "/admin/"  # no CORS: operators are no browsers

_ALLOWED_HEADERS = (
    "Authorization, Content-Type, Accept, Idempotency-Key, X-BabySea-SDK-Name, X-BabySea-SDK-Version, "
    "X-BabySea-SDK-Runtime, X-BabySea-SDK-Runtime-Version"
)
_EXPOSED_HEADERS = (
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, Idempotency-Replayed, X-Request-Id"
)
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
    "Access-Control-Max-Age": "600",
}
_NOT_KEPT = (b"cache-control", b"no-store")  # answers may hold keys
_V1_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED_HEADERS.encode()),
    _NOT_KEPT,
]

log = logging.getLogger("babysea.api")


class Edge:
    """Pure ASGI middleware, outermost of ours. No credentials mode: any origin may call with its own key."""

    def __init__(self, app: ASGIApp, clients: ClientAddress) -> None:
        self._app = app
        self._clients = clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["state"] = {
            **scope.get("state", {}),
            "request_id": new_request_id(),
            "client_ip": self._clients.of(scope),
        }
        came_at, began = time.time(), time.perf_counter()
        finisher = _Finisher(scope, send)
        try:
            await self._guarded(scope, _limited(scope, receive), finisher)
        finally:
            caller = scope["state"].get("caller")
            if caller is not None:
                services: Services = scope["app"].state.services
                status = CLIENT_GONE if finisher.status is None else finisher.status
                services.request_log.note(
                    scope, caller, status=status, came_at=came_at, duration_s=time.perf_counter() - began
                )

    async def _guarded(self, scope: Scope, receive: Receive, finisher: _Finisher) -> None:
        if scope["method"] == "OPTIONS" and _is_v1(scope):
            await Response(status_code=204, headers=_PREFLIGHT_HEADERS)(scope, receive, finisher)
            return
        try:
            _refuse_declared_length(scope)
            await self._app(scope, receive, finisher)
        except ClientDisconnect:
            return
        except ControlPlaneError as error:
            await error_response(Request(scope), error)(scope, receive, finisher)
        except Exception:
            log.exception("request_failed id=%s", scope["state"]["request_id"])
            if finisher.status is not None:
                raise
            unexpected = InternalError("An unexpected error occurred.")
            await error_response(Request(scope), unexpected)(scope, receive, finisher)


class _Finisher:
    """Sends the answer on with the headers that every answer has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.status: int | None = None  # null until the answer begins

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            state = self._scope["state"]
            headers: list[tuple[bytes, bytes]] = list(message["headers"])
            headers.append((b"x-request-id", state["request_id"].encode()))
            headers.append((b"x-content-type-options", b"nosniff"))
            window: RateWindow | None = state.get("rate_window")
            if window is not None:
                headers.extend(window.headers())
            if _is_v1(self._scope):
                headers.extend(_V1_HEADERS)
            elif _path(self._scope).startswith(ADMIN_PREFIX):
                headers.append(_NOT_KEPT)
            message = {**message, "headers": headers}
        await self._send(message)


def _is_v1(scope: Scope) -> bool:
    return _path(scope).startswith("/v1/")


def _path(scope: Scope) -> str:
    """Without the prefix under which a proxy may have mounted us."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _bytes_max(scope: Scope) -> int:
    return CALLBACK_BODY_BYTES_MAX if _path(scope).startswith(CALLBACKS_PREFIXES) else BODY_BYTES_MAX


def _refuse_declared_length(scope: Scope) -> None:
    """A length that says too much is refused without reading."""
    for name, declared in scope["headers"]:
        if name == b"content-length" and declared.isdigit() and int(declared) > _bytes_max(scope):
            raise _too_large(scope)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Count what is really read: a chunked body declares no length."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > _bytes_max(scope):
            raise _too_large(scope)
        return message

    return counted


def _too_large(scope: Scope) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is over {_bytes_max(scope) // 1024} KB.")
