"""What the end of an attempt means for its generation: stop or go on, what it costs, which outcome is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import (
    AllProvidersFailed,
    ContentRefused,
    ControlPlaneError,
    Fault,
    GenerationExpired,
    InternalError,
    OutputPersistFailed,
    ProviderError,
)
from domain.generation import Asset, AttemptFailure, GenerationRequest, GenerationStatus, Outcome
from domain.measuring import deviations

REFUSALS_MAX = 2  # with failover: content that two providers refuse is refused for what it is


def failure_of(provider: str, error: ControlPlaneError) -> AttemptFailure:
    """One attempt's failure as a value, with nothing in it that a customer must not see."""
    fault = error.fault if isinstance(error, ProviderError) else Fault.OURS
    return AttemptFailure(
        provider=provider,
        code=error.code,
        type=error.type,
        message=error.message,
        retryable=error.retryable,
        fault=fault.value,
    )


def is_final(request: GenerationRequest, failures: Sequence[AttemptFailure]) -> bool:
    """Whether the last of them ends the generation. The customer's fault is not shopped around, but for a refusal of
    the content where the account's policy says so, once; an output that we cannot store will not store elsewhere."""
    last = failures[-1]
    if last.code == ContentRefused.code and request.moderation_failover:
        return len(_refusals(failures)) >= REFUSALS_MAX
    return last.fault == Fault.CUSTOMER or last.code == OutputPersistFailed.code


def _refusals(failures: Sequence[AttemptFailure]) -> list[AttemptFailure]:
    return [failure for failure in failures if failure.code == ContentRefused.code]


def settlement_microcredits(request: GenerationRequest, delivered: int) -> int:
    """The quote is whole credits-per-output times outputs, so a part of the outputs costs an exact part of it."""
    return request.quote_microcredits * min(delivered, request.output_count) // request.output_count


def succeeded(
    request: GenerationRequest,
    *,
    attempt_number: int,
    provider: str,
    assets: list[Asset],
    failures: Sequence[AttemptFailure],
    cost_microcredits: int | None,
    predict_time_s: float | None,
) -> Outcome:
    return Outcome(
        generation_id=request.generation_id,
        account_id=request.account_id,
        status=GenerationStatus.SUCCEEDED,
        assets=assets,
        attempt_number=attempt_number,
        provider_used=provider,
        settle_microcredits=settlement_microcredits(request, len(assets)),
        cost_microcredits=cost_microcredits,
        provider_errors=list(failures),
        predict_time_s=predict_time_s,
        deviations=deviations(request.params, assets, defaulted=request.decision.defaulted if request.decision else ()),
    )


def failed(request: GenerationRequest, failures: Sequence[AttemptFailure]) -> Outcome:
    """A final failure gives the generation its own code; an exhausted chain says so and lists every provider. Where one
    of them refused the content, that is what the customer can do something about."""
    reason = failures[-1] if is_final(request, failures) else next(iter(_refusals(failures)), None)
    if reason is not None:
        code, message = reason.code, reason.message
    else:
        code, message = AllProvidersFailed.code, "No provider delivered this generation."
    return Outcome(
        generation_id=request.generation_id,
        account_id=request.account_id,
        status=GenerationStatus.FAILED,
        error_code=code,
        error_message=message,
        provider_errors=list(failures),
    )


def expired(*, generation_id: str, account_id: str) -> Outcome:
    """For a generation that nothing works on any more. It takes no request: that went with its workflow."""
    return Outcome(
        generation_id=generation_id,
        account_id=account_id,
        status=GenerationStatus.FAILED,
        error_code=GenerationExpired.code,
        error_message="The generation was interrupted and did not end in time.",
    )


def broken(request: GenerationRequest, failures: Sequence[AttemptFailure]) -> Outcome:
    """Something of ours gave up half-way: the customer pays nothing, and the record says whose fault it was."""
    return Outcome(
        generation_id=request.generation_id,
        account_id=request.account_id,
        status=GenerationStatus.FAILED,
        error_code=InternalError.code,
        error_message="The generation could not be completed.",
        provider_errors=list(failures),
    )


def canceled(request: GenerationRequest, failures: Sequence[AttemptFailure]) -> Outcome:
    return Outcome(
        generation_id=request.generation_id,
        account_id=request.account_id,
        status=GenerationStatus.CANCELED,
        provider_errors=list(failures),
    )
