"""When a refusal is worth waiting for at the same provider, and how often a running job is looked at."""

from __future__ import annotations

from datetime import timedelta

from domain.errors import Fault, ProviderError, ProviderUnavailable

SAME_PROVIDER_TRIES_MAX = 3
BUSY_WAIT_MAX = timedelta(seconds=5)  # longer, and the next candidate is the better choice
UNAVAILABLE_PAUSE = timedelta(milliseconds=300)
LOOK_PAUSE_MAX = timedelta(seconds=30)
POLL_GROWTH = 1.3
POLL_GROWTH_MAX = 10.0


def pause_before_resubmit(error: ProviderError, tries: int) -> timedelta | None:
    """How long to wait before submitting to the same provider again; None: fail over now.

    Only refusals that certainly left no job behind come here. `tries` counts the submits made, from 1.
    """
    if tries >= SAME_PROVIDER_TRIES_MAX:
        return None
    if error.fault is Fault.CAPACITY and error.retry_after is not None and error.retry_after <= BUSY_WAIT_MAX:
        return error.retry_after
    if isinstance(error, ProviderUnavailable) and tries == 1:
        return UNAVAILABLE_PAUSE
    return None


def pause_after_failed_look(error: ProviderError, otherwise: timedelta) -> timedelta:
    """Until the next look. The pause that was asked for is kept up to a limit: one beyond the job's deadline would end
    the looking at once and leave a job that may be finished, and files that go soon."""
    return min(error.retry_after, LOOK_PAUSE_MAX) if error.retry_after is not None else otherwise


def poll_pause(interval: timedelta, looks: int) -> timedelta:
    """The pause after look number `looks` (from 1): grows to ten times the interval, so that long jobs cost little."""
    return interval * min(POLL_GROWTH ** (looks - 1), POLL_GROWTH_MAX)
