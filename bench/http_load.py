"""A light HTTP client in a process of its own: each connection asks again as soon as it is answered.

Raw sockets, uvloop and a parser in C, so that the client takes little of the machine from the server that it loads.
`python -m bench.http_load` reads a Job as JSON from its input and writes a Load.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from statistics import quantiles
from typing import cast

import httptools
import uvloop

PATIENCE_S = 60  # for the answers that are still owed at the end


@dataclass(frozen=True)
class Job:
    port: int  # on 127.0.0.1
    requests: list[str]  # whole requests as they go over the wire, asked in turn
    connections: int
    seconds: float


@dataclass(frozen=True)
class Load:
    """What was answered with 200. Anything else ends the process with a message."""

    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    client_cpu_s: float

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds


async def run(job: Job) -> Load:
    """In another process. Raises RuntimeError when an answer was not a 200."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.http_load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    written, _ = await process.communicate(json.dumps(asdict(job)).encode())
    if process.returncode != 0:
        raise RuntimeError("the load ended early; its message is above")
    return Load(**json.loads(written))


def request(method: str, path: str, *, key: str | None = None, body: object = None) -> str:
    """One request as the published client words it, less its telemetry."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    content = "" if body is None else json.dumps(body)
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content.encode())}"]
    return "\r\n".join([*lines, "", content])


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], until: float, durations: list[float], ended: asyncio.Future[None]):
        self._requests, self._until, self._durations, self.ended = requests, until, durations, ended
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body = body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._durations.append(now - self._asked_at)
        if (status := self._parser.get_status_code()) != 200:
            self._end(RuntimeError(f"answered {status}: {self._body[:300]!r}"))
        elif now < self._until:
            self._ask()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or RuntimeError("the server closed the connection"))

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(next(self._requests))

    def _end(self, failure: Exception | None) -> None:
        if self.ended.done():
            return
        if failure is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(failure)
        self._transport.close()


async def _load(job: Job) -> Load:
    loop = asyncio.get_running_loop()
    requests = cycle([request.encode() for request in job.requests])
    durations: list[float] = []
    began = time.perf_counter()
    ends = []
    for _ in range(job.connections):
        ends.append(loop.create_future())
        connection = _Connection(requests, began + job.seconds, durations, ends[-1])
        await loop.create_connection(lambda made=connection: made, "127.0.0.1", job.port)  # type: ignore[misc]
    async with asyncio.timeout(job.seconds + PATIENCE_S):
        await asyncio.gather(*ends)
    taken = time.perf_counter() - began
    percentiles = quantiles(durations, n=100)
    return Load(len(durations), taken, percentiles[49] * 1000, percentiles[98] * 1000, time.process_time())


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_load(Job(**json.load(sys.stdin)))))))
