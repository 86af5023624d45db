"""What a generation costs beside the raw engine: both on the same dev server, in alternation, medians over the rounds.

(a) the raw engine: the same number and kinds of steps, empty. (b) a generation, with providers that answer at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from bench import cpu
from bench.accounts import open_accounts
from bench.load import Done, Measured, Step, closed_loop
from bench.raw import QUEUE, Ask, Raw
from domain.generation import workflow_id
from embedded.child import die_with_parent
from embedded.running import RunningStack

LEVELS = (8, 32)
MODEL = "bfl/flux-schnell"
OWN_PROCESSES = ("api", "worker", "postgres")


@dataclass(frozen=True)
class Round:
    """One kind of job at one level, once."""

    measured: Measured
    cpu_ms: dict[str, float]  # per job, by process
    events: int
    history_bytes: int


async def measure(stack: RunningStack, console: Console, *, rounds: int, total: int, warm_up: int) -> dict[str, float]:
    """Its figures by name. `total` jobs of each kind, at each level, in each round."""
    async with _raw_worker(stack) as raw_pid, _generations(stack) as (client, raw, own):
        raw_pids = {"temporal": stack.pids["temporal"], "worker": raw_pid}
        own_pids = {name: stack.pids[name] for name in ("temporal", *OWN_PROCESSES, "sandbox")}
        for step in (raw, own):
            await closed_loop(step, total=warm_up, in_flight=8)
        made: dict[tuple[str, int], list[Round]] = {}
        for number in range(rounds):
            for level in LEVELS:
                for name, step, pids in (("raw", raw, raw_pids), ("generation", own, own_pids)):
                    done = await _round(client, step, pids, total=total, level=level)
                    made.setdefault((name, level), []).append(done)
                    console.print(
                        f"round {number + 1}/{rounds}: {name} at {level} in flight: {done.measured.per_second:.1f}/s"
                    )
    return _figures(made)


def _figures(rounds: dict[tuple[str, int], list[Round]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for level in LEVELS:
        raw, own = rounds[("raw", level)], rounds[("generation", level)]
        at = f"at_{level}"
        for name, which in (("raw", raw), ("generation", own)):
            figures[f"{name}.{at}.per_second"] = median(r.measured.per_second for r in which)
            for what, label in (("submits", "submit"), ("ends", "end_to_end")):
                for percent in (50, 95, 99):
                    figures[f"{name}.{at}.{label}_p{percent}_ms"] = median(
                        r.measured.percentile_ms(what, percent) for r in which
                    )
            for process in which[0].cpu_ms:
                figures[f"{name}.{at}.cpu_ms.{process}"] = median(r.cpu_ms[process] for r in which)
        figures[f"generation.{at}.throughput_vs_raw"] = median(
            b.measured.per_second / a.measured.per_second for a, b in zip(raw, own, strict=True)
        )
        for what, label in (("submits", "submit"), ("ends", "overhead")):
            for percent in (50, 95, 99):
                figures[f"generation.{at}.{label}_p{percent}_vs_raw"] = median(
                    b.measured.percentile_ms(what, percent) / a.measured.percentile_ms(what, percent)
                    for a, b in zip(raw, own, strict=True)
                )
        figures[f"generation.{at}.own_cpu_ms"] = median(sum(r.cpu_ms[p] for p in OWN_PROCESSES) for r in own)
        figures[f"generation.{at}.own_cpu_vs_raw"] = median(
            sum(b.cpu_ms[p] for p in OWN_PROCESSES) / sum(a.cpu_ms.values()) for a, b in zip(raw, own, strict=True)
        )
    figures["raw.history_events"] = max(r.events for r in rounds[("raw", LEVELS[0])])
    figures["generation.history_events"] = max(r.events for level in LEVELS for r in rounds[("generation", level)])
    figures["generation.history_bytes"] = max(r.history_bytes for r in rounds[("generation", LEVELS[0])])
    figures["generation.throughput_vs_raw"] = min(figures[f"generation.at_{n}.throughput_vs_raw"] for n in LEVELS)
    figures["generation.submit_p50_vs_raw"] = max(figures[f"generation.at_{n}.submit_p50_vs_raw"] for n in LEVELS)
    figures["generation.own_cpu_vs_raw"] = max(figures[f"generation.at_{n}.own_cpu_vs_raw"] for n in LEVELS)
    figures["generation.own_cpu_ms"] = max(figures[f"generation.at_{n}.own_cpu_ms"] for n in LEVELS)
    return figures


# --- the two kinds of job -----------------------------------------------------------------------------------------


@asynccontextmanager
async def _generations(stack: RunningStack) -> AsyncIterator[tuple[Client, Step, Step]]:
    """The engine's client, and the step of each kind. One account a lane: nobody waits for another's ledger row."""
    client = await Client.connect(stack.config.temporal_address)
    keys = [account.key for account in await open_accounts(stack.settings_environment(), max(LEVELS))]
    limits = httpx.Limits(max_connections=2 * max(LEVELS))
    async with httpx.AsyncClient(base_url=stack.config.api_url, timeout=60, limits=limits) as http:
        yield client, _raw_step(client), _generation_step(client, http, keys)


@asynccontextmanager
async def _raw_worker(stack: RunningStack) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.raw", stack.config.temporal_address), preexec_fn=die_with_parent()
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _round(client: Client, step: Step, pids: dict[str, int], *, total: int, level: int) -> Round:
    before = {name: cpu.seconds(pid) for name, pid in pids.items()}
    measured = await closed_loop(step, total=total, in_flight=level)
    spent = {name: (cpu.seconds(pid) - before[name]) * 1000 / total for name, pid in pids.items()}
    described = await asyncio.gather(
        *(client.get_workflow_handle(each).describe() for each in measured.executions[-5:])
    )
    return Round(
        measured,
        spent,
        events=int(median(d.history_length for d in described)),
        history_bytes=int(median(d.raw_description.workflow_execution_info.history_size_bytes for d in described)),
    )


def _raw_step(client: Client) -> Step:
    async def step(_: int) -> Done:
        ask = Ask(uuid.uuid4().hex)
        began = time.perf_counter()
        start = WithStartWorkflowOperation(
            Raw.run,
            ask,
            id=f"raw/{ask.id}",
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        await client.execute_update_with_start_workflow(Raw.admitted, start_workflow_operation=start)
        submitted = time.perf_counter() - began
        handle = client.get_workflow_handle(f"raw/{ask.id}")
        await handle.signal(Raw.ring)
        await handle.result()
        return Done(submitted, time.perf_counter() - began, handle.id)

    return step


def _generation_step(client: Client, http: httpx.AsyncClient, keys: list[str]) -> Step:
    body = {"generation_prompt": "a harbour at dawn", "generation_ratio": "1:1", "generation_output_format": "png"}

    async def step(number: int) -> Done:
        began = time.perf_counter()
        answer = await http.post(
            f"/v1/generate/image/{MODEL}",
            json=body,
            headers={"authorization": f"Bearer {keys[number % len(keys)]}"},
        )
        submitted = time.perf_counter() - began
        if answer.status_code != 200:
            raise RuntimeError(f"the API answered {answer.status_code}: {answer.text[:300]}")
        handle = client.get_workflow_handle(workflow_id(answer.json()["data"]["generation_id"]))
        status = await handle.result()
        if status != "succeeded":
            raise RuntimeError(f"{handle.id} ended {status}")
        return Done(submitted, time.perf_counter() - began, handle.id)

    return step


def show(figures: dict[str, float]) -> None:
    for level in LEVELS:
        table = Table(title=f"{level} in flight", title_justify="left")
        for column in ("", "raw engine", "generation", "ratio"):
            table.add_column(column, justify="left" if not column else "right")
        at = f"at_{level}"
        rows = [
            ("per second", "per_second", "throughput_vs_raw"),
            *((f"submit p{p} ms", f"submit_p{p}_ms", f"submit_p{p}_vs_raw") for p in (50, 95, 99)),
            *((f"end to end p{p} ms", f"end_to_end_p{p}_ms", f"overhead_p{p}_vs_raw") for p in (50, 95, 99)),
        ]
        for title, name, ratio in rows:
            table.add_row(
                title,
                f"{figures[f'raw.{at}.{name}']:.1f}",
                f"{figures[f'generation.{at}.{name}']:.1f}",
                f"{figures[f'generation.{at}.{ratio}']:.2f}",
            )
        for process in ("temporal", "worker", "api", "postgres", "sandbox"):
            raw = figures.get(f"raw.{at}.cpu_ms.{process}")
            own = figures[f"generation.{at}.cpu_ms.{process}"]
            table.add_row(
                f"CPU ms, {process}",
                "" if raw is None else f"{raw:.1f}",
                f"{own:.1f}",
                "" if not raw else f"{own / raw:.2f}",
            )
        raw_cpu = sum(figures[f"raw.{at}.cpu_ms.{process}"] for process in ("temporal", "worker"))
        table.add_row(
            "CPU ms, our three beside all of raw",
            f"{raw_cpu:.1f}",
            f"{figures[f'generation.{at}.own_cpu_ms']:.1f}",
            f"{figures[f'generation.{at}.own_cpu_vs_raw']:.2f}",
        )
        Console().print(table)
    Console().print(
        f"history: {figures['generation.history_events']:.0f} events, {figures['generation.history_bytes']:.0f} bytes "
        f"(raw: {figures['raw.history_events']:.0f} events)"
    )
