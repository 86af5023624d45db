"""The embedded stack as the bench runs it: free ports, providers that answer at once, plans without limits."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import yaml
from rich.console import Console

from embedded.child import Report
from embedded.config import StackConfig, StackPorts
from embedded.running import RunningStack
from embedded.stack import Stack
from store.migrate import migrate

UNLIMITED = 10**9


@asynccontextmanager
async def running(folder: Path, console: Console) -> AsyncIterator[RunningStack]:
    """A stack of its own in `folder`; it ends with the block."""
    without_limits(folder)
    stack = Stack(StackConfig(folder, StackPorts(0, 0, 0, 0)), _Quiet(console), prepare, latency_scale=0)
    try:
        yield await stack.start()
    finally:
        await stack.stop()


def without_limits(folder: Path) -> None:
    """What a stack that is started from here on holds nobody to."""
    os.environ["BABYSEA_PROVIDER_RATE_SHARE"] = "1000"  # simulated providers have no published rate to keep to
    os.environ["BABYSEA_PLANS_FILE"] = str(_plans_without_limits(folder).absolute())


def _plans_without_limits(folder: Path) -> Path:
    """The plans as they are, counted and held to like any other, with limits that nothing here reaches."""
    plans = yaml.safe_load((resources.files("catalog") / "plans.yml").read_text("utf-8"))
    for plan in plans.values():
        plan["requests_per_minute"] = UNLIMITED
        plan["in_flight"] = dict.fromkeys(plan["in_flight"], UNLIMITED)
    target = folder / "plans.yml"
    target.write_text(yaml.safe_dump(plans))
    return target


def prepare(database_url: str) -> None:
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
