"""`python -m bench`: what a generation costs beside the raw engine, in one run on one machine.

(a) the raw engine: the same number and kinds of steps, empty. (b) a generation, with providers that answer at once.
Both on the same dev server, in alternation; figures are medians over the rounds, and ratios to (a). Machines differ by
a factor of two: only the ratios mean something elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
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
from embedded.child import Report
from embedded.config import StackConfig, StackPorts
from embedded.running import RunningStack
from embedded.stack import Stack
from store.migrate import migrate

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


async def main() -> None:
    options = _options()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="bs-bench-") as folder:
        async with _running(Path(folder), console) as stack, _raw_worker(stack) as raw_pid:
            figures = await _measure(stack, raw_pid, options, console)
    _print(figures)
    _write(figures, Path(options.output))
    console.print(f"written to {options.output}")


async def _measure(
    stack: RunningStack, raw_pid: int, options: argparse.Namespace, console: Console
) -> dict[str, float]:
    client = await Client.connect(stack.config.temporal_address)
    raw_pids = {"temporal": stack.pids["temporal"], "worker": raw_pid}
    own_pids = {name: stack.pids[name] for name in ("temporal", *OWN_PROCESSES, "sandbox")}
    rounds: dict[tuple[str, int], list[Round]] = {}
    async with httpx.AsyncClient(
        base_url=stack.config.api_url, timeout=60, limits=httpx.Limits(max_connections=64)
    ) as http:
        keys = await _accounts(stack, max(LEVELS))
        raw, own = _raw_step(client), _generation_step(client, http, keys)
        for step in (raw, own):
            await closed_loop(step, total=options.warm_up, in_flight=8)
        for number in range(options.rounds):
            for level in LEVELS:
                for name, step, pids in (("raw", raw, raw_pids), ("generation", own, own_pids)):
                    done = await _round(client, step, pids, total=options.total, level=level)
                    rounds.setdefault((name, level), []).append(done)
                    console.print(
                        f"round {number + 1}/{options.rounds}: {name} at {level} in flight: "
                        f"{done.measured.per_second:.1f}/s"
                    )
    return _figures(rounds)


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
    return {name: round(value, 4) for name, value in figures.items()}


# --- one round ----------------------------------------------------------------------------------------------------


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


# --- what is measured ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def _running(folder: Path, console: Console) -> AsyncIterator[RunningStack]:
    """The embedded stack on free ports, with providers that answer at once."""
    config = StackConfig(folder, StackPorts(0, 0, 0, 0))
    os.environ["BABYSEA_PROVIDER_RATE_SHARE"] = "1000"  # simulated providers have no published rate to keep to
    stack = Stack(config, _Quiet(console), _prepare, latency_scale=0)
    try:
        yield await stack.start()
    finally:
        await stack.stop()


def _prepare(database_url: str) -> None:
    migrate(database_url)


class _Quiet(Report):
    def __init__(self, console: Console) -> None:
        self._console = console

    def ready(self, part: str, seconds: float) -> None:
        self._console.print(f"{part} ready after {seconds:.1f} s")

    def ended(self, part: str, how: str, pause_s: float) -> None:  # noqa: ARG002 - the port has it
        self._console.print(f"{part} ended ({how}); the figures of this run are worthless")

    def note(self, text: str) -> None:
        self._console.print(text)


@asynccontextmanager
async def _raw_worker(stack: RunningStack) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.raw", stack.config.temporal_address)
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _accounts(stack: RunningStack, count: int) -> list[str]:
    """One account with credits per lane, so that no account's request limit is what is measured."""
    return await open_accounts(stack.settings_environment(), count)


def _write(figures: dict[str, float], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


# --- words --------------------------------------------------------------------------------------------------------


def _print(figures: dict[str, float]) -> None:
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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="alternations of raw and generation (default 3)")
    parser.add_argument("--total", type=int, default=200, help="jobs per round and level (default 200)")
    parser.add_argument("--warm-up", type=int, default=40, help="jobs of each kind before the first round (default 40)")
    parser.add_argument("--output", default="build/bench.json", help="where the figures go (default build/bench.json)")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
