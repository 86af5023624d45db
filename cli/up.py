"""`babysea up`: the whole system on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import ctypes
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Annotated

import typer

from cli.deployment import DataOption, of_stack
from cli.output import Progress, err, out
from cli.stack_options import ApiPort, SandboxPort, TemporalPort, TemporalUiPort
from embedded.config import (
    API_PORT,
    DATA_DEFAULT,
    SANDBOX_PORT,
    TEMPORAL_PORT,
    TEMPORAL_UI_PORT,
    StackConfig,
    StackPorts,
    secret_key,
)
from embedded.errors import StackError
from embedded.running import RunningStack

_PR_SET_PDEATHSIG = 1


def up(
    data: DataOption = DATA_DEFAULT,
    api_port: ApiPort = API_PORT.default,
    temporal_port: TemporalPort = TEMPORAL_PORT.default,
    temporal_ui_port: TemporalUiPort = TEMPORAL_UI_PORT.default,
    sandbox_port: SandboxPort = SANDBOX_PORT.default,
    latency_scale: Annotated[
        float, typer.Option(min=0, help="How slow the simulated providers are; 1 is realistic.")
    ] = 1.0,
    stop_with_parent: Annotated[bool, typer.Option(help="Stop when the program that started this ends.")] = False,
) -> None:
    """Start database, workflow engine, simulated providers, API and worker, and keep them running."""
    if stop_with_parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    ports = StackPorts(api_port, temporal_port, temporal_ui_port, sandbox_port)
    asyncio.run(_stay_up(StackConfig(data.absolute(), ports), latency_scale))


async def _stay_up(config: StackConfig, latency_scale: float) -> None:
    with until_signal():
        progress = Progress()
        err.print("Starting the stack.")
        async with running_stack(config, progress, latency_scale=latency_scale) as stack:
            key = await _demo_key(stack)
            _print_welcome(stack, key, progress.elapsed_s())
            try:
                await asyncio.Event().wait()
            finally:
                err.print("\nStopping; Ctrl-C again kills at once.")
    err.print("Stopped. Everything is kept; the next start goes on with it.")


@asynccontextmanager
async def running_stack(
    config: StackConfig, progress: Progress, *, latency_scale: float = 1.0
) -> AsyncIterator[RunningStack]:
    """A healthy stack for as long as this is entered. Raises StackError."""
    from embedded.stack import Stack

    stack = Stack(config, progress, prepare=partial(_prepare, config), stock=_stock, latency_scale=latency_scale)
    try:
        yield await stack.start()
    finally:
        try:
            await stack.stop()
        except asyncio.CancelledError:  # told twice
            stack.kill()
            raise


def _prepare(config: StackConfig, database_url: str) -> None:
    """The schema, and the operator as whom the other commands manage this stack."""
    from cli import local_operator
    from store.migrate import MigrationError, migrate

    try:
        migrate(database_url)
    except MigrationError as error:
        raise StackError(f"The database's schema cannot be brought up to date: {error}.") from error
    asyncio.run(local_operator.prepare(database_url, secret_key(config.data), config.data))


def _stock(config: StackConfig) -> None:
    """What is for sale, at the simulated Stripe, and where that sends its events."""
    from cli import sandbox_shop

    sandbox_shop.stock(config.sandbox_url, config.api_url)


async def _demo_key(stack: RunningStack) -> str:
    from cli import demo_account

    deployment = of_stack(stack)
    async with deployment.database() as pool:
        return (await demo_account.prepare(deployment, pool, stack.config.data)).key


def _print_welcome(stack: RunningStack, key: str, seconds: float) -> None:
    config = stack.config
    curl = (
        f"curl -s {config.api_url}/v1/generate/image/bfl/flux-schnell "
        f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' "
        f'-d \'{{"generation_prompt": "a lighthouse at dusk"}}\''
    )
    out.print(f"\n[bold green]Up[/] after {seconds:.1f} s.\n")
    out.print(f"  API           {config.api_url}")
    out.print(f"  API docs      {config.api_url}/docs")
    out.print(f"  Temporal UI   {config.temporal_ui_url}")
    out.print(f"  Sandbox       {config.sandbox_url}  (simulated providers)")
    out.print(f"  Data, logs    {shlex.quote(str(config.data))}")
    out.print("\nTry it:\n")
    out.print(f"  {curl}", markup=False)
    out.print("\nThen `babysea show GENERATION_ID` tells its story. Ctrl-C stops everything.")


@contextmanager
def until_signal() -> Iterator[None]:
    """The block ends, cleaning up, at SIGINT, SIGTERM or SIGHUP; a second one cancels the cleaning up, too."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    told = False

    def tell() -> None:
        nonlocal told
        told = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, tell)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        task.uncancel()
