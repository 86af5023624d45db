"""How large the head of a request may be, and how slowly it may come: the HTTP server itself limits neither."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 32 * 1024  # request line and headers together
HEADERS_MAX = 100
HEAD_WITHIN_S = 20.0  # from the first byte, or from the connection, to the end of the head


class _HeadTooLarge(Exception):
    """Raised inside the parser, which ends the connection with a 400."""


class BoundedHeads(HttpToolsProtocol):
    """Ends a connection whose request head is too large, has too many lines or does not come to its end."""

    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_ended()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")
        elif self._head_bytes > 0 and self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        if len(self.headers) > HEADERS_MAX:
            raise _HeadTooLarge
        if self._head_bytes > HEAD_BYTES_MAX:  # all of it, or a part of the body has come along
            lines = sum(len(name) + len(value) for name, value in self.headers)
            if len(self.url) + lines > HEAD_BYTES_MAX:
                raise _HeadTooLarge
        self._head_ended()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_WITHIN_S, self._head_did_not_come)

    def _head_ended(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_did_not_come(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
