"""Provider health from the outcomes of real attempts: a circuit breaker that is derived from them and kept nowhere.

Only successes and the provider's own faults are outcomes. What the customer or we did wrong says nothing of a provider,
nor does a cancel; too many requests at once is a sign of load and not of illness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


@dataclass(frozen=True)
class Thresholds:
    """When a breaker opens and closes. The contract's proposal: it publishes none."""

    window: timedelta = timedelta(seconds=300)
    attempts_min: int = 5  # fewer prove nothing
    failure_rate: float = 0.5
    open_for: timedelta = timedelta(seconds=30)
    successes_to_close: int = 2  # one after the other


DEFAULT = Thresholds()


@dataclass(frozen=True)
class AttemptOutcome:
    age: timedelta  # since it ended
    succeeded: bool


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"  # being tried again


class ProviderStatus(StrEnum):
    """The contract's words."""

    HEALTHY = "healthy"
    RECOVERING = "recovering"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"


_STATUS = {
    BreakerState.CLOSED: ProviderStatus.HEALTHY,
    BreakerState.HALF_OPEN: ProviderStatus.RECOVERING,
    BreakerState.OPEN: ProviderStatus.DEGRADED,
}


@dataclass(frozen=True)
class ProviderHealth:
    status: ProviderStatus
    attempts: int  # in the window, as the next two
    failures: int

    @property
    def successes(self) -> int:
        return self.attempts - self.failures

    @property
    def failure_rate(self) -> float:
        """0 to 1; 0 without attempts."""
        return self.failures / self.attempts if self.attempts else 0.0


def health_of(outcomes: Sequence[AttemptOutcome], thresholds: Thresholds = DEFAULT) -> ProviderHealth:
    """`outcomes` are oldest first; those before the window are only what the breaker remembers."""
    counted = [outcome for outcome in outcomes if outcome.age <= thresholds.window]
    return ProviderHealth(
        status=_STATUS[breaker_state(outcomes, thresholds)] if counted else ProviderStatus.UNKNOWN,
        attempts=len(counted),
        failures=sum(not outcome.succeeded for outcome in counted),
    )


def breaker_state(outcomes: Sequence[AttemptOutcome], thresholds: Thresholds = DEFAULT) -> BreakerState:
    """Where a breaker stands that saw these outcomes, oldest first.

    It opens when the window holds enough attempts, too many of them failures. After `open_for` it is tried again: one
    failure opens it anew, successes in a row close it, and it counts from the beginning. What ends while it is open was
    on its way before, and says nothing.
    """
    opened: timedelta | None = None  # how long ago
    successes = 0
    seen: deque[AttemptOutcome] = deque()
    failures = 0
    for outcome in outcomes:
        if opened is None:
            seen.append(outcome)
            failures += not outcome.succeeded
            while seen[0].age - outcome.age > thresholds.window:
                failures -= not seen.popleft().succeeded
            if len(seen) >= thresholds.attempts_min and failures >= thresholds.failure_rate * len(seen):
                opened = outcome.age
        elif opened - outcome.age >= thresholds.open_for:
            successes = successes + 1 if outcome.succeeded else 0
            if not outcome.succeeded:
                opened = outcome.age
            elif successes == thresholds.successes_to_close:
                opened, successes, failures = None, 0, 0
                seen.clear()
    if opened is None:
        return BreakerState.CLOSED
    return BreakerState.OPEN if opened < thresholds.open_for else BreakerState.HALF_OPEN
