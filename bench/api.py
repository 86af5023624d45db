"""What a request to the API costs beside a bare route (bench/bare.py), on the same PostgreSQL with the same client.

Each operation is measured right after the bare route, in every round, and compared with that neighbour: a machine that
slows down slows both. Throughput tells what one process answers; CPU per request is the steadier ratio.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from bench import bare, cpu
from bench.accounts import BenchAccount, open_accounts
from bench.http_load import Job, Load, request, run
from cli.deployment import settings_of
from embedded.config import HOST
from embedded.health import get
from embedded.ports import free_ports
from embedded.running import RunningStack
from embedded.stack import HTTP_FLAGS

CONNECTIONS = 16
KEPT_GENERATIONS = 100
OPERATIONS = ("status", "get", "list", "list_50", "create")
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


@dataclass(frozen=True)
class Pair:
    bare: Side
    own: Side


async def measure(stack: RunningStack, console: Console, *, rounds: int, seconds: float) -> dict[str, float]:
    """Its figures by name; each side of each ratio is under load for so many seconds in each round."""
    reader, *writers = await open_accounts(stack.settings_environment(), 1 + CONNECTIONS, name="api")
    generations = await _kept_generations(stack, reader)
    asked = _requests(reader, generations, writers)
    least = [request("GET", f"/accounts/{account.account_id}") for account in (reader, *writers)]
    pairs: dict[str, list[Pair]] = {name: [] for name in OPERATIONS}
    async with _bare_server(stack) as (bare_port, bare_pid):
        postgres = stack.pids["postgres"]
        for number in range(rounds + 1):  # the first one warms up
            for name in OPERATIONS:
                beside = await _side(Job(bare_port, least, CONNECTIONS, seconds), bare_pid, postgres, stack)
                own_job = Job(stack.config.ports.api, asked[name], CONNECTIONS, seconds)
                own = await _side(own_job, stack.pids["api"], postgres, stack)
                if number == 0:
                    continue
                pairs[name].append(Pair(beside, own))
                console.print(
                    f"round {number}/{rounds}: {name} {own.load.per_second:.0f}/s, bare {beside.load.per_second:.0f}/s"
                )
    return _figures(pairs)


def _requests(reader: BenchAccount, generations: list[str], writers: list[BenchAccount]) -> dict[str, list[str]]:
    """What each operation asks for, in turn."""
    return {
        "status": [request("GET", "/v1/status", key=reader.key)],
        "get": [request("GET", f"/v1/content/{each}", key=reader.key) for each in generations],
        "list": [request("GET", "/v1/content/list?limit=10", key=reader.key)],
        "list_50": [request("GET", "/v1/content/list", key=reader.key)],
        "create": [request("POST", f"/v1/generate/image/{MODEL}", key=writer.key, body=ASK) for writer in writers],
    }


async def _side(job: Job, server_pid: int, postgres_pid: int, stack: RunningStack) -> Side:
    """The load and its CPU, with what it leaves behind: a created generation is paid for when it has ended."""
    before = cpu.seconds(server_pid), cpu.seconds(postgres_pid)
    load = await run(job)
    await _all_ended(stack)
    spent = cpu.seconds(server_pid) - before[0], cpu.seconds(postgres_pid) - before[1]
    return Side(load, *(each * 1000 / load.answered for each in spent))


def _figures(pairs: Mapping[str, list[Pair]]) -> dict[str, float]:
    every_bare = [pair.bare for of_one in pairs.values() for pair in of_one]
    figures = _of_one_side("api.bare", every_bare)
    for name, measured in pairs.items():
        own = f"api.{name}"
        figures |= _of_one_side(own, [pair.own for pair in measured])
        figures[f"{own}_vs_bare"] = median(p.own.load.per_second / p.bare.load.per_second for p in measured)
        figures[f"{own}_cpu_vs_bare"] = median(p.own.server_cpu_ms / p.bare.server_cpu_ms for p in measured)
        figures[f"{own}_cpu_with_postgres_vs_bare"] = median(p.own.cpu_ms / p.bare.cpu_ms for p in measured)
    both = every_bare + [pair.own for of_one in pairs.values() for pair in of_one]
    figures["api.client_busy_max"] = max(side.load.client_cpu_s / side.load.seconds for side in both)
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
    columns = ("", "per second", "to bare", "p50 ms", "p99 ms", "CPU ms", "to bare", "with PostgreSQL", "to bare")
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    for name in ("bare", *OPERATIONS):
        of = f"api.{name}"
        table.add_row(
            name,
            f"{figures[f'{of}.per_second']:.0f}",
            _ratio(figures, f"{of}_vs_bare"),
            f"{figures[f'{of}.p50_ms']:.1f}",
            f"{figures[f'{of}.p99_ms']:.1f}",
            f"{figures[f'{of}.cpu_ms']:.3f}",
            _ratio(figures, f"{of}_cpu_vs_bare"),
            f"{figures[f'{of}.cpu_with_postgres_ms']:.3f}",
            _ratio(figures, f"{of}_cpu_with_postgres_vs_bare"),
        )
    Console().print(table)
    Console().print(f"the client was busy for at most {figures['api.client_busy_max']:.0%} of a core")


def _ratio(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.2f}" if name in figures else ""
