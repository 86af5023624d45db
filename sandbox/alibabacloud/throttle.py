"""One account's limit on looks, lists and cancels: 20 a second together, for jobs with the fault `looks_limited`."""

from __future__ import annotations

from sandbox.alibabacloud import problems
from sandbox.faults import FaultPlan
from sandbox.problems import RefusalError

LOOKS_PER_SECOND = 20


class Throttle:
    """A bucket of as many looks as a second allows, refilled all the time."""

    def __init__(self) -> None:
        self._left, self._at = float(LOOKS_PER_SECOND), 0.0

    def pass_or_refuse(self, faults: FaultPlan, now: float) -> None:
        """Raises RefusalError. `now` in seconds, never smaller than before."""
        if not faults.has("looks_limited"):
            return
        self._left = min(LOOKS_PER_SECOND, self._left + (now - self._at) * LOOKS_PER_SECOND)
        self._at = now
        if self._left < 1:
            raise RefusalError(problems.problem(429, "Throttling.RateQuota", "Requests rate limit exceeded."))
        self._left -= 1
