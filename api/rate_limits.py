"""How many requests an account may make in a minute: a sliding window of two buckets, counted in this process.

With several API processes each counts on its own, so the effective limit is theirs together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from domain.errors import RateLimitExceeded

WINDOW_S = 60
REQUESTS_PER_MINUTE = {"free": 60, "starter": 120, "pro": 300, "scale": 600, "enterprise": 1200}


@dataclass(frozen=True)
class RateWindow:
    """What the `X-RateLimit-*` headers say. `resets_at`: Unix seconds."""

    limit: int
    remaining: int
    resets_at: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.resets_at),
        ]


def window_of_nobody(now: float) -> RateWindow:
    """For a failure before the account is known: clients believe `Retry-After` only beside some trio."""
    limit = REQUESTS_PER_MINUTE["free"]
    return RateWindow(limit=limit, remaining=limit, resets_at=(int(now // WINDOW_S) + 1) * WINDOW_S)


def limit_of(plan: str) -> int:
    """Plan names may carry the billing period: `Starter Monthly` is `starter`."""
    return REQUESTS_PER_MINUTE.get(plan.partition(" ")[0].lower(), REQUESTS_PER_MINUTE["free"])


class RateLimiter:
    """Counts per account; forgets everything older than two windows."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._window = 0
        self._current: dict[str, int] = {}
        self._previous: dict[str, int] = {}

    def hit(self, account_id: str, limit: int) -> RateWindow:
        """Count one request. Raises RateLimitExceeded, and then it is not counted."""
        now = self._clock()
        self._turn(int(now // WINDOW_S))
        elapsed_s = now % WINDOW_S
        before, count = self._previous.get(account_id, 0), self._current.get(account_id, 0)
        used = before * (1 - elapsed_s / WINDOW_S) + count
        resets_at = (self._window + 1) * WINDOW_S
        if used + 1 > limit:
            wait_s = _seconds_until_free(before, count, limit, elapsed_s)
            raise RateLimitExceeded(
                "Account request limit reached.",
                details={"retry_after_seconds": wait_s, "limit": limit},
                retry_after=timedelta(seconds=wait_s),
            )
        self._current[account_id] = count + 1
        return RateWindow(limit=limit, remaining=int(limit - used - 1), resets_at=resets_at)

    def exhausted(self, limit: int) -> RateWindow:
        """The window to show beside a refusal."""
        return RateWindow(limit=limit, remaining=0, resets_at=(int(self._clock() // WINDOW_S) + 1) * WINDOW_S)

    def _turn(self, window: int) -> None:
        if window == self._window:
            return
        self._previous = self._current if window == self._window + 1 else {}
        self._current = {}
        self._window = window


def _seconds_until_free(before: int, count: int, limit: int, elapsed_s: float) -> int:
    """Whole seconds, at least 1, until the older bucket has faded enough for one more request."""
    if count <= limit - 1 and before > 0:
        free_at_s = WINDOW_S * (1 - (limit - 1 - count) / before)
    else:  # only when this window has become the older one
        free_at_s = WINDOW_S + WINDOW_S * (1 - (limit - 1) / count)
    return max(1, math.ceil(free_at_s - elapsed_s))
