"""A closed loop: so many jobs in flight, each followed from its submit to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from statistics import quantiles


@dataclass(frozen=True)
class Done:
    """One job: seconds until its submit was answered, seconds to its end, and the id of its execution."""

    submit_s: float
    end_s: float
    execution: str


Step = Callable[[int], Awaitable[Done]]  # takes the job's number


@dataclass
class Measured:
    """One run of the loop."""

    seconds: float = 0.0
    submits: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.ends) / self.seconds

    def percentile_ms(self, which: str, percent: int) -> float:
        values: list[float] = getattr(self, which)
        return quantiles(values, n=100)[percent - 1] * 1000


async def closed_loop(step: Step, *, total: int, in_flight: int) -> Measured:
    """Runs `total` jobs, `in_flight` at a time."""
    measured = Measured()
    numbers: Iterator[int] = iter(range(total))

    async def one_lane() -> None:
        for number in numbers:
            done = await step(number)
            measured.submits.append(done.submit_s)
            measured.ends.append(done.end_s)
            measured.executions.append(done.execution)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as lanes:
        for _ in range(in_flight):
            lanes.create_task(one_lane())
    measured.seconds = time.perf_counter() - began
    return measured
