"""A lean HTTP/1.1 client that only posts: callbacks must cost little beside the requests they answer.

Connections are kept and used again. A kept connection that turns out to be closed is replaced by a new one, once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools

_AT_ONCE = 64
_Origin = tuple[str, int, bool]


class Sender:
    def __init__(self) -> None:
        self._idle: dict[_Origin, list[_Connection]] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
        """The status of the answer; redirects are not followed. Raises OSError, which TimeoutError is too."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise OSError(f"not an HTTP address: {url!r}")
        secure = parts.scheme == "https"
        origin = (parts.hostname, parts.port or (443 if secure else 80), secure)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {target} HTTP/1.1", f"host: {parts.netloc.rpartition('@')[2]}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        async with self._at_once, asyncio.timeout(timeout_s):
            return await self._exchange(origin, request)

    def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()

    async def _exchange(self, origin: _Origin, request: bytes) -> int:
        idle = self._idle.setdefault(origin, [])
        while idle:
            connection = idle.pop()
            if connection.is_open:
                try:
                    return await self._over(connection, origin, request)
                except ConnectionResetError:
                    if connection.answer_began:
                        raise
                    break  # closed by the peer while idle
        host, port, secure = origin
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, host, port, ssl=ssl.create_default_context() if secure else None
        )
        return await self._over(connection, origin, request)

    async def _over(self, connection: _Connection, origin: _Origin, request: bytes) -> int:
        try:
            status = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            self._idle[origin].append(connection)
        return status


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self.answer_began = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> int:
        assert self._transport is not None
        self._parser, self.answer_began = httptools.HttpResponseParser(self), False
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.answer_began = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionAbortedError(f"not an HTTP answer: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._fail(ConnectionResetError("the connection was closed"))

    # the parser's call

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())

    def _fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
