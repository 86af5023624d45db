"""What a request to the API costs beside a bare route (bench/bare.py), on the same PostgreSQL with the same client.

Each operation is measured right after its bare routes, in every round, and compared with these neighbours: a machine
that slows down slows both. Throughput tells what one process answers; CPU per request is the steadier ratio.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from statistics import median

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from bench import bare, cpu
from bench.accounts import BenchAccount, open_accounts
from bench.http_load import Job, Load, request, run
from cli.deployment import settings_of
from embedded.child import die_with_parent
from embedded.config import HOST
from embedded.health import get
from embedded.ports import free_ports
from embedded.running import RunningStack

# As `python -m api` serves, less what it guards itself with.
HTTP_FLAGS = (
    *("--loop", "uvloop", "--http", "httptools", "--ws", "none"),
    *("--no-access-log", "--log-level", "warning", "--no-server-header", "--no-proxy-headers"),
)
CONNECTIONS = 16
KEPT_GENERATIONS = 100
BESIDE = {  # each operation, and the bare routes that it is compared with
    "status": ("bare",),
    "get": ("bare",),
    "list": ("bare", "bare_list"),
    "list_50": ("bare", "bare_list_50"),
    "create": ("bare",),
}
MODEL = "bfl/flux-schnell"
ASK = {"generation_prompt": "a harbour at dawn", "generation_ratio": "1:1", "generation_output_format": "png"}


@dataclass(frozen=True)
class Side:
    """One server under load, once."""

    load: Load
    server_cpu_ms: float  # per request
    postgres_cpu_ms: float

    @property
    def cpu_ms(self) -> float:
        return self.server_cpu_ms + self.postgres_cpu_ms


async def measure(stack: RunningStack, console: Console, *, rounds: int, seconds: float) -> dict[str, float]:
    """Its figures by name; each side of each ratio is under load for so many seconds in each round."""
    reader, *writers = await open_accounts(stack.settings_environment(), 1 + CONNECTIONS, name="api")
    asked = _requests(reader, await _kept_generations(stack, reader), writers)
    taken: list[dict[str, dict[str, Side]]] = []  # of each round, by operation and side
    async with _bare_server(stack) as (bare_port, bare_pid):
        for number in range(rounds + 1):  # the first one warms up, and is forgotten
            taken.append({})
            for operation, beside in BESIDE.items():
                sides = taken[-1][operation] = {}
                for name in (*beside, operation):
                    bare_side = name != operation
                    port, pid = (bare_port, bare_pid) if bare_side else (stack.config.ports.api, stack.pids["api"])
                    sides[name] = await _side(Job(port, asked[name], CONNECTIONS, seconds), pid, stack)
                speeds = ", ".join(f"{name} {side.load.per_second:.0f}/s" for name, side in sides.items())
                console.print(f"round {number}/{rounds}: {speeds}")
    return _figures(taken[1:])


def _requests(reader: BenchAccount, generations: list[str], writers: list[BenchAccount]) -> dict[str, list[str]]:
    """What each side of each ratio is asked, in turn."""
    listed = f"/accounts/{reader.account_id}/generations"
    return {
        "bare": [request("GET", f"/accounts/{account.account_id}") for account in (reader, *writers)],
        "bare_list": [request("GET", f"{listed}?limit=10")],
        "bare_list_50": [request("GET", f"{listed}?limit=50")],
        "status": [request("GET", "/v1/status", key=reader.key)],
        "get": [request("GET", f"/v1/content/{each}", key=reader.key) for each in generations],
        "list": [request("GET", "/v1/content/list?limit=10", key=reader.key)],
        "list_50": [request("GET", "/v1/content/list", key=reader.key)],
        "create": [request("POST", f"/v1/generate/image/{MODEL}", key=writer.key, body=ASK) for writer in writers],
    }


async def _side(job: Job, server_pid: int, stack: RunningStack) -> Side:
    """The load and its CPU, with what it leaves behind: a created generation is paid for when it has ended."""
    pids = (server_pid, stack.pids["postgres"])
    before = [cpu.seconds(pid) for pid in pids]
    load = await run(job)
    await _all_ended(stack)
    spent_ms = [(cpu.seconds(pid) - then) * 1000 / load.answered for pid, then in zip(pids, before, strict=True)]
    return Side(load, *spent_ms)


def _figures(rounds: Sequence[Mapping[str, Mapping[str, Side]]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for operation, beside in BESIDE.items():
        for name in beside:
            pairs = [(of_round[operation][operation], of_round[operation][name]) for of_round in rounds]
            ratio = f"api.{operation}_{{}}vs_{name}"
            figures[ratio.format("")] = median(own.load.per_second / bare.load.per_second for own, bare in pairs)
            figures[ratio.format("cpu_")] = median(own.server_cpu_ms / bare.server_cpu_ms for own, bare in pairs)
            figures[ratio.format("cpu_with_postgres_")] = median(own.cpu_ms / bare.cpu_ms for own, bare in pairs)
    by_name: dict[str, list[Side]] = {}
    for sides in (sides for of_round in rounds for sides in of_round.values()):
        for name, side in sides.items():
            by_name.setdefault(name, []).append(side)
    for name, measured in by_name.items():
        figures |= _of_one_side(f"api.{name}", measured)
    every = [side.load for measured in by_name.values() for side in measured]
    figures["api.client_busy_max"] = max(load.client_cpu_s / load.seconds for load in every)
    return figures


def _of_one_side(name: str, sides: list[Side]) -> dict[str, float]:
    return {
        f"{name}.per_second": median(side.load.per_second for side in sides),
        f"{name}.p50_ms": median(side.load.p50_ms for side in sides),
        f"{name}.p99_ms": median(side.load.p99_ms for side in sides),
        f"{name}.cpu_ms": median(side.server_cpu_ms for side in sides),
        f"{name}.cpu_with_postgres_ms": median(side.cpu_ms for side in sides),
    }


# --- what is measured ---------------------------------------------------------------------------------------------


async def _kept_generations(stack: RunningStack, reader: BenchAccount) -> list[str]:
    """Ids of generations that have succeeded, made through the API."""
    headers = {"authorization": f"Bearer {reader.key}"}
    async with httpx.AsyncClient(base_url=stack.config.api_url, headers=headers, timeout=60) as http:
        lanes = asyncio.Semaphore(8)

        async def made() -> str:
            async with lanes:
                answer = await http.post(f"/v1/generate/image/{MODEL}", json=ASK)
                return str(answer.raise_for_status().json()["data"]["generation_id"])

        ids = await asyncio.gather(*(made() for _ in range(KEPT_GENERATIONS)))
    await _all_ended(stack)
    return ids


async def _all_ended(stack: RunningStack) -> None:
    async with await psycopg.AsyncConnection.connect(stack.database_url, autocommit=True) as conn:
        while True:
            cursor = await conn.execute("SELECT count(*) FROM store.generations WHERE completed_at IS NULL")
            if await cursor.fetchone() == (0,):
                return
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _bare_server(stack: RunningStack) -> AsyncIterator[tuple[int, int]]:
    """Its port and its process id."""
    (port,) = free_ports(1)
    settings = settings_of(stack.settings_environment())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "bench.bare:create_app", "--factory"),
        *("--host", HOST, "--port", str(port), *HTTP_FLAGS),
        env={
            **os.environ,
            bare.DATABASE_URL: stack.database_url,
            bare.POOL_MAX: str(settings.database_pool_max),
        },
        preexec_fn=die_with_parent(),
    )
    try:
        await _answering(f"http://{HOST}:{port}/openapi.json")
        yield port, process.pid
    finally:
        process.terminate()
        await process.wait()


async def _answering(url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await get(url)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


# --- words --------------------------------------------------------------------------------------------------------


def show(figures: Mapping[str, float]) -> None:
    table = Table(title=f"API, {CONNECTIONS} connections", title_justify="left")
    columns = ("", "per second", "p50 ms", "p99 ms", "CPU ms", "with PostgreSQL", "per second to bare", "CPU to bare")
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    for name in dict.fromkeys((*chain.from_iterable(BESIDE.values()), *BESIDE)):
        of = f"api.{name}"
        ratios = [figures.get(f"{of}_{kind}vs_bare") for kind in ("", "cpu_")]
        table.add_row(
            name,
            f"{figures[f'{of}.per_second']:.0f}",
            f"{figures[f'{of}.p50_ms']:.1f}",
            f"{figures[f'{of}.p99_ms']:.1f}",
            f"{figures[f'{of}.cpu_ms']:.3f}",
            f"{figures[f'{of}.cpu_with_postgres_ms']:.3f}",
            *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        )
    Console().print(table)
    for name in ("list", "list_50"):
        Console().print(f"{name} to a bare list of as many rows: {figures[f'api.{name}_vs_bare_{name}']:.2f}")
    Console().print(f"the client was busy for at most {figures['api.client_busy_max']:.0%} of a core")
