"""The one place where our errors become Temporal's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.errors import ControlPlaneError, DatabaseUnavailable, PaymentsUnavailable, StorageUnavailable

JOB_RUNNING = "job_running"
JOB_NOT_FOUND_YET = "job_not_found_yet"
WEBHOOK_NOT_DELIVERED = "webhook_not_delivered"


@contextmanager
def named_failures(*, keep_trying: bool = False) -> Iterator[None]:
    """What passes by itself is repeated by Temporal; every other named error is an answer, and final.

    `keep_trying` is for steps that have no other way out: whatever is wrong, it is to be mended, not answered.
    """
    try:
        yield
    except ControlPlaneError as error:
        passes = keep_trying or isinstance(error, DatabaseUnavailable | StorageUnavailable | PaymentsUnavailable)
        raise ApplicationError(
            error.message,
            error.details,
            type=error.type,
            non_retryable=not passes,
            next_retry_delay=error.retry_after,
            category=ApplicationErrorCategory.UNSPECIFIED if passes else ApplicationErrorCategory.BENIGN,
        ) from error


def again(kind: str, message: str, pause: timedelta) -> ApplicationError:
    """Not a failure: ask the server to run this activity again after `pause`."""
    return ApplicationError(message, type=kind, next_retry_delay=pause, category=ApplicationErrorCategory.BENIGN)
