"""Who counts requests: this process for itself; `shared_counters.py` is for several together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from domain.limits import Ask, Buckets, Standing, fits, standing


class InProcessCounters:
    """Exact for one process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[int, Buckets]] = {}  # with the moment from which they say nothing
        self._swept_ms = 0

    async def take(self, asks: Sequence[Ask]) -> list[Standing]:
        now_ms = int(self._clock() * 1000)
        self._sweep(now_ms)
        standings: list[Standing] = []
        for ask in asks:
            standings.append(self._take(ask, now_ms))
            if not standings[-1].fits:
                break
        return standings

    async def ping(self) -> timedelta:
        return timedelta(0)

    async def close(self) -> None:
        self._buckets.clear()

    def _take(self, ask: Ask, now_ms: int) -> Standing:
        name, window = (ask.limit.name, ask.key), ask.limit.window_ms
        _, seen = self._buckets.get(name, (0, Buckets(now_ms)))
        seen = seen.at(now_ms, window)
        fitted = fits(ask.limit, seen, now_ms)
        if fitted and ask.counted:
            seen = Buckets(seen.start_ms, seen.before, seen.current + 1)
            self._buckets[name] = (seen.start_ms + 2 * window, seen)
        return standing(ask.limit, seen, now_ms, fitted=fitted)

    def _sweep(self, now_ms: int) -> None:
        """Once a minute, forget what says nothing any more."""
        if 0 <= now_ms - self._swept_ms < 60_000:
            return
        self._swept_ms = now_ms
        self._buckets = {name: kept for name, kept in self._buckets.items() if kept[0] > now_ms}


# One round trip for all asks of a request, by the server's clock. The arithmetic is that of `domain.limits`, in whole
# numbers that stay far below 2^53. KEYS: one per ask; ARGV: limit, window in ms and 1 if counted, for each.
