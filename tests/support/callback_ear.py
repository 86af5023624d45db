"""A listener for callbacks: keeps what it hears and answers with the statuses it was told, then 200."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_LIMIT_S = 15


@dataclass(frozen=True)
class Call:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float


@dataclass
class Ear:
    port: int = 0
    statuses: list[int] = field(default_factory=list)  # answers to the next calls
    calls: list[Call] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str = "/callback") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    async def heard(self, count: int, path: str = "/callback") -> list[Call]:
        """Wait until `count` calls came to this path."""
        async with asyncio.timeout(_LIMIT_S), self._news:
            await self._news.wait_for(lambda: len(self.at(path)) >= count)
        return self.at(path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.split(":", 1) for line in head[1:] if line)
                headers = {name.lower(): value.strip() for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.calls.append(Call(head[0].split(" ")[1], headers, body, time.time()))
                status = self.statuses.pop(0) if self.statuses else 200
                writer.write(f"HTTP/1.1 {status} Answer\r\ncontent-length: 0\r\n\r\n".encode())
                async with self._news:
                    self._news.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening_ear() -> AsyncIterator[Ear]:
    ear = Ear()
    server = await asyncio.start_server(ear._serve, "127.0.0.1", 0)
    ear.port = server.sockets[0].getsockname()[1]
    try:
        yield ear
    finally:
        server.close()
