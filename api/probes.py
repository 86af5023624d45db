"""Whether something beside us answers, and how fast: asked when somebody wants to know, and not too often."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from domain.errors import ControlPlaneError
from domain.limits import CountersUnavailable

WITHIN_S = 2.0
REMEMBERED_S = 5.0

log = logging.getLogger("babysea.api")


@dataclass(frozen=True)
class Probed:
    latency_ms: int
    error: str | None = None  # a sentence that names no address, no path and no secret

    @property
    def healthy(self) -> bool:
        return self.error is None


class Probe:
    """One question at a time, whoever asks; the answer holds for a while. A question that hangs is given up after two
    seconds and not asked again while it hangs, so that nothing piles up behind it."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], Awaitable[timedelta]],
        *,
        within_s: float = WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask` answers how long it took, and raises when something is wrong."""
        self._name = name
        self._ask = ask
        self._within_s = within_s
        self._clock = clock
        self._asking: asyncio.Task[Probed] | None = None
        self._known: tuple[float, Probed] | None = None
        self._turn = asyncio.Lock()

    async def result(self) -> Probed:
        """Never raises."""
        async with self._turn:
            if self._known is None or self._clock() - self._known[0] >= REMEMBERED_S:
                probed = await self._probed()
                self._known = (self._clock(), probed)
            return self._known[1]

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _probed(self) -> Probed:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answer())
        await asyncio.wait({self._asking}, timeout=self._within_s)
        if self._asking.done():
            return self._asking.result()
        return Probed(round(self._within_s * 1000), f"No answer within {self._within_s:g} seconds.")

    async def _answer(self) -> Probed:
        began = self._clock()
        try:
            latency = await self._ask()
        except Exception as error:
            log.warning("probe_failed probe=%s cause=%r", self._name, error)
            return Probed(_ms(timedelta(seconds=self._clock() - began)), _told(error))
        return Probed(_ms(latency))


def timed(check: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[timedelta]]:
    async def ask() -> timedelta:
        began = time.perf_counter()
        await check()
        return timedelta(seconds=time.perf_counter() - began)

    return ask


def _ms(latency: timedelta) -> int:
    return latency // timedelta(milliseconds=1)


def _told(error: Exception) -> str:
    """What the outside may read of it."""
    if isinstance(error, ControlPlaneError):
        return error.message
    return "It does not answer." if isinstance(error, CountersUnavailable) else "It could not be asked."
