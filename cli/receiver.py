"""A small customer: an HTTP server on loopback that takes webhooks and checks their signatures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from domain.signature import verify_webhook

HOST = "127.0.0.1"
BODY_BYTES_MAX = 1 << 20
SIGNATURE_HEADER = "x-babysea-signature"


@dataclass(frozen=True)
class ReceivedWebhook:
    delivery_id: str
    event: str
    generation_id: str | None
    verified: bool
    received_at: float  # Unix seconds


class Receiver:
    """Listens on a free port for as long as it is entered; answers 204 to what verifies and 401 to the rest."""

    def __init__(self, secret: str, *, path: str = "/webhooks") -> None:
        self.secret = secret
        self._path = path
        self._server: asyncio.Server | None = None
        self._news = asyncio.Condition()
        self.received: list[ReceivedWebhook] = []

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}{self._path}"

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def verified(self, event: str, generation_id: str, *, within_s: float) -> ReceivedWebhook | None:
        """Wait for a webhook whose signature is right. None when it has not come in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._news:
                while True:
                    for webhook in self.received:
                        if webhook.verified and (webhook.event, webhook.generation_id) == (event, generation_id):
                            return webhook
                    await self._news.wait()
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
            }
            size = int(headers.get("content-length", "0"))
            body = await reader.readexactly(min(size, BODY_BYTES_MAX))
            status = "204 No Content" if await self._take(headers, body) else "401 Unauthorized"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async def _take(self, headers: dict[str, str], body: bytes) -> bool:
        verified = verify_webhook(self.secret, headers.get(SIGNATURE_HEADER, ""), body, int(time.time()))
        message: dict[str, Any] = json.loads(body) if verified else {}
        webhook = ReceivedWebhook(
            delivery_id=message.get("webhook_delivery_id", ""),
            event=message.get("webhook_event", ""),
            generation_id=message.get("webhook_data", {}).get("generation_id"),
            verified=verified,
            received_at=time.time(),
        )
        async with self._news:
            self.received.append(webhook)
            self._news.notify_all()
        return verified
