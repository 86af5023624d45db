"""`babysea demo`: the main job, three times, through the public API, and whether all of it is true afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import typer
from rich.markup import escape

from cli.deployment import DataOption, Deployment, JsonOption, of_stack
from cli.errors import CommandFailed
from cli.output import Progress, credits, err, out, print_json
from cli.stack_options import ApiPort, SandboxPort, TemporalPort, TemporalUiPort
from cli.up import running_stack, until_signal
from embedded import lock, running
from embedded.config import (
    API_PORT,
    DATA_DEFAULT,
    SANDBOX_PORT,
    TEMPORAL_PORT,
    TEMPORAL_UI_PORT,
    StackConfig,
    StackPorts,
)

OTHER_STACK_READY_WITHIN_S = 60.0


def demo(
    data: DataOption = DATA_DEFAULT,
    api_port: ApiPort = API_PORT.default,
    temporal_port: TemporalPort = TEMPORAL_PORT.default,
    temporal_ui_port: TemporalUiPort = TEMPORAL_UI_PORT.default,
    sandbox_port: SandboxPort = SANDBOX_PORT.default,
    as_json: JsonOption = False,
) -> None:
    """Three generations: one that fails over, one with a callback, one video that is polled. Exit code 0 or 1.

    Uses the stack that runs on the data folder; starts one for its own duration when none does.
    """
    ports = StackPorts(api_port, temporal_port, temporal_ui_port, sandbox_port)
    result = asyncio.run(_demo(StackConfig(data.absolute(), ports)))
    if result is None:
        raise CommandFailed("Stopped before the end.")
    if as_json:
        print_json(result)
    else:
        print_result(result)
    if not result["passed"]:
        raise typer.Exit(1)


async def _demo(config: StackConfig) -> dict[str, Any] | None:
    from cli.demo_run import run

    with until_signal():
        began = time.monotonic()
        async with _stack(config) as deployment:
            result = await run(deployment, say=lambda text: err.print(f"  {escape(text)}"))
            return {**result, "seconds": round(time.monotonic() - began, 1)}
    return None


@asynccontextmanager
async def _stack(config: StackConfig) -> AsyncIterator[Deployment]:
    """The stack that is there, or one of our own."""
    if (found := await _running_stack(config)) is not None:
        err.print(f"Using the stack at {found.config.api_url}.")
        yield of_stack(found)
        return
    err.print("Starting a stack for the demo.")
    async with running_stack(config, Progress()) as started:
        yield of_stack(started)


async def _running_stack(config: StackConfig) -> running.RunningStack | None:
    """Waits for a stack that is just starting. Raises CommandFailed when it does not get ready."""
    deadline = time.monotonic() + OTHER_STACK_READY_WITHIN_S
    while lock.is_held(config.data):
        if (found := running.find(config.data)) is not None:
            return found
        if time.monotonic() > deadline:
            raise CommandFailed(f"A stack runs on {config.data} but does not get ready; look into its logs.")
        await asyncio.sleep(0.2)
    return None


def print_result(result: dict[str, Any]) -> None:
    from cli.timeline import print_timeline

    for number, story in enumerate(result["generations"], start=1):
        for take in (*story["earlier"], story):
            out.print()
            print_timeline(out, take, title=f"{number}. {take['title']}", decided=False)
            for check in take["checks"]:
                _print_check(check)
    out.print()
    for check in result["checks"]:
        _print_check(check)
    word, colour = ("passed", "green") if result["passed"] else ("FAILED", "red")
    spent = credits(result["credits"]["charged_microcredits"])
    out.print(f"\n[bold {colour}]Demo {word}[/] in {result['seconds']} s: {spent} credits charged.")


def _print_check(check: dict[str, Any]) -> None:
    mark = "[green]✓[/]" if check["passed"] else "[red]✗[/]"
    out.print(f"  {mark} {escape(check['name'])}{escape(': ' + check['detail']) if check['detail'] else ''}")
