"""Real connection failures: the HTTP protocol that lets a route reset the connection it is answering on."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import NoReturn

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TRANSPORT = "sandbox.transport"
_HANG_LIMIT_S = 600


class ConnectionGoneError(Exception):
    """The connection of this request is closed; there is nobody to answer."""


class Silence(Response):
    """Sends nothing, on a connection that is already gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await asyncio.sleep(0.01)  # the server notices the loss in its next rounds


async def say_nothing(_request: Request, _gone: Exception) -> Response:
    """The handler of ConnectionGoneError."""
    return Silence()


class ResettableProtocol(HttpToolsProtocol):
    """Puts the transport into the scope of every request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


async def reset(request: Request) -> NoReturn:
    """End the connection with RST: the peer sees a reset, not an orderly close."""
    transport: asyncio.Transport = request.scope["extensions"][_TRANSPORT]["transport"]
    peer = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    raise ConnectionGoneError


async def hang(request: Request) -> NoReturn:
    """Never answer: returns when the peer has given up, or after ten minutes."""
    try:
        async with asyncio.timeout(_HANG_LIMIT_S):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        await reset(request)
    raise ConnectionGoneError
