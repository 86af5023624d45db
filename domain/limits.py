"""Sliding windows: what is counted, how much of a limit is left, when there is more; and the port of what counts.

A window begins with the first thing counted in it. It is approximated by two buckets: what was counted in the window
before this one fades away evenly while this one passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple, Protocol

MINUTE = timedelta(minutes=1)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Limit:
    """At most `most` (1 or more) in any `window`. Limits of different names count apart."""

    name: str
    most: int
    window: timedelta = MINUTE

    @cached_property
    def window_ms(self) -> int:
        return self.window // _MS


class Ask(NamedTuple):
    """Whether one more fits into a limit of `key`; it is counted when it does, unless this is only a look."""

    limit: Limit
    key: str
    counted: bool = True


class Standing(NamedTuple):
    """Where a limit stands after an ask. Times are Unix milliseconds by the clock of whoever counts."""

    limit: Limit
    fits: bool
    remaining: int
    now_ms: int
    resets_ms: int  # when this window ends
    free_ms: int  # when one more fits; not after `now_ms` when it does already


class CountersUnavailable(Exception):
    """Whoever counts does not answer."""


class Counters(Protocol):
    """Counts atomically: over all processes that share it, exactly as many fit as the limit says."""

    async def take(self, asks: Sequence[Ask]) -> list[Standing]:
        """Answer the asks in order, up to and including the first that does not fit: later ones are not counted.

        Never fails: while nobody can count, everything fits.
        """
        ...

    async def ping(self) -> timedelta:
        """How long an answer takes. Raises CountersUnavailable."""
        ...

    async def close(self) -> None: ...


class Buckets(NamedTuple):
    """What is counted in the window that began at `start_ms`, and in the one before it."""

    start_ms: int
    before: int = 0
    current: int = 0

    def at(self, now_ms: int, window_ms: int) -> Buckets:
        """The same, seen now: a window that is over has become the older one, or is forgotten."""
        windows_over = (now_ms - self.start_ms) // window_ms
        if windows_over == 1:
            return Buckets(self.start_ms + window_ms, before=self.current)
        if windows_over > 1 or now_ms < self.start_ms:  # a clock that was set back begins anew
            return Buckets(now_ms)
        return self


def fits(limit: Limit, seen: Buckets, now_ms: int) -> bool:
    """Whether one more fits. In whole milliseconds, so that every implementation of the port agrees to the last one."""
    return _used_ms(limit, seen, now_ms) + limit.window_ms <= limit.most * limit.window_ms


def standing(limit: Limit, seen: Buckets, now_ms: int, *, fitted: bool) -> Standing:
    """After an ask that fitted, or did not; `seen` holds it already when it was counted."""
    window = limit.window_ms
    left = limit.most * window - _used_ms(limit, seen, now_ms)
    return Standing(
        limit=limit,
        fits=fitted,
        remaining=max(0, left // window),
        now_ms=now_ms,
        resets_ms=seen.start_ms + window,
        free_ms=now_ms if left >= window else seen.start_ms + _free_after_ms(limit, seen),
    )


def _used_ms(limit: Limit, seen: Buckets, now_ms: int) -> int:
    """What counts, times the length of the window."""
    left_ms = limit.window_ms - (now_ms - seen.start_ms)
    return seen.before * left_ms + seen.current * limit.window_ms


def _free_after_ms(limit: Limit, seen: Buckets) -> int:
    """From the beginning of this window until the older bucket has faded enough for one more."""
    window = limit.window_ms
    if seen.before and seen.current < limit.most:
        return window - (limit.most - 1 - seen.current) * window // seen.before
    return 2 * window - (limit.most - 1) * window // seen.current  # only when this window has become the older one
