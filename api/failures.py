"""Temporal's failures as our errors again: the way back of what the activities named."""

from __future__ import annotations

from datetime import timedelta

from temporalio.exceptions import ApplicationError

from domain.errors import ControlPlaneError, EngineUnavailable

RETRY_AFTER = timedelta(seconds=2)


def named_failure(failure: BaseException) -> ControlPlaneError | None:
    """The first failure along the causes whose type is one of ours."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type in _BY_TYPE:
            details = next((detail for detail in cause.details if isinstance(detail, dict)), None)
            return _BY_TYPE[cause.type](cause.message, details=details, retry_after=cause.next_retry_delay)
        cause = cause.__cause__
    return None


def engine_unanswered() -> EngineUnavailable:
    return EngineUnavailable("The workflow engine did not answer in time.", retry_after=RETRY_AFTER)


def _tree(kind: type[ControlPlaneError]) -> list[type[ControlPlaneError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


# Where several kinds share a public type, the most general one answers for all of them.
_BY_TYPE = {kind.type: kind for kind in reversed(_tree(ControlPlaneError)) if kind is not ControlPlaneError}
