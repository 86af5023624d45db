"""The head of a request is bounded in size and time, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api import http_heads
from api.http_heads import HEAD_BYTES_MAX, HEADERS_MAX, BoundedHeads


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(0.4)
    await PlainTextResponse("heard")(scope, receive, send)


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(answering, port=0, http=BoundedHeads, ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


async def told(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Everything that comes back until the server closes, or has answered the last request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


CLOSE = b"Host: x\r\nConnection: close\r\n\r\n"


async def test_an_ordinary_request_is_answered(port: int):
    assert b"heard" in await told(port, b"GET / HTTP/1.1\r\n" + CLOSE)


async def test_requests_that_follow_each_other_on_a_connection_are_answered(port: int):
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n"

    answers = await told(port, one, b"b" * 40_000, one + b"b" * 40_000, b"GET / HTTP/1.1\r\n" + CLOSE, pause_s=0.05)

    assert answers.count(b"heard") == 3


async def test_a_body_may_be_larger_than_a_head(port: int):
    body = b"b" * (3 * HEAD_BYTES_MAX)

    answer = await told(port, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n" % len(body) + CLOSE + body)

    assert b"heard" in answer


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX + b"\r\n" + CLOSE, id="one long header"),
        pytest.param(b"GET /" + b"p" * HEAD_BYTES_MAX + b" HTTP/1.1\r\n" + CLOSE, id="a long path"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 4 * HEAD_BYTES_MAX, id="a header that does not end"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * HEADERS_MAX + CLOSE, id="many headers"),
    ],
)
async def test_a_head_that_is_too_large_is_refused(port: int, head: bytes):
    answer = await told(port, head)

    assert b"heard" not in answer
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")) or answer == b""


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHos"], ids=["nothing sent", "half a head"])
async def test_a_head_that_does_not_come_ends_the_connection(port: int, begun: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_heads, "HEAD_WITHIN_S", 0.1)

    assert await told(port, begun) == b""


async def test_half_a_second_head_ends_the_connection_too(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_heads, "HEAD_WITHIN_S", 0.1)

    answer = await told(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HT", pause_s=0.05)

    assert answer.count(b"heard") == 1


async def test_a_slow_answer_is_not_cut_off(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_heads, "HEAD_WITHIN_S", 0.1)

    assert b"heard" in await told(port, b"GET /slow HTTP/1.1\r\n" + CLOSE)


async def test_a_slow_body_is_not_cut_off(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_heads, "HEAD_WITHIN_S", 0.1)

    answer = await told(port, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n" + CLOSE, b"bo", b"dy", pause_s=0.2)

    assert b"heard" in answer
