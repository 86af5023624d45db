"""A generation from request to outcome, as the frozen records that pass between the layers.

Temporal carries these as JSON: only str, int, float, bool, None, lists, dicts, enums and other records appear.
Durations end in `_s` (seconds) where they cross a wire; money is whole micro-credits (1 credit = 1 USD = 1,000,000).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

WORKFLOW_ID_PREFIX = "generation/"


class MediaType(StrEnum):
    IMAGE = "image"
    VIDEO = "video"


class GenerationStatus(StrEnum):
    PENDING = "pending"  # admitted: recorded, credits held
    PROCESSING = "processing"  # a provider accepted a job
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({GenerationStatus.SUCCEEDED, GenerationStatus.FAILED, GenerationStatus.CANCELED})


class AttemptState(StrEnum):
    """One submission to one provider. The first two are the journal that makes a submit safe to repeat."""

    SUBMITTING = "submitting"  # intent written; the provider may or may not have the job
    REFUSED = "refused"  # the provider certainly has no job; may be submitted again
    ACCEPTED = "accepted"  # the provider's job id is known
    USED = "used"  # its outputs were delivered
    FAILED = "failed"  # the provider, or our mapping, failed
    CANCELED = "canceled"  # ended by the customer's cancel or by a deadline
    DISCARDED = "discarded"  # abandoned while ambiguous, or delivered too late


class Delivery(StrEnum):
    """How a provider's result reaches us."""

    CALLBACK = "callback"  # the provider rings; polling is the backup
    POLLING = "polling"
    SYNCHRONOUS = "synchronous"  # in the answer to the submit, which holds the connection until the job has ended


@dataclass(frozen=True)
class Candidate:
    """One provider that can serve the request, with the native request already compiled."""

    provider: str
    native_model: str
    native_input: dict[str, Any]
    delivery: Delivery
    cost_microcredits: int  # what the provider is expected to charge us
    mapping_version: str
    endpoint: str = ""  # the path or kind of call, where the native model does not tell it


class SkipReason(StrEnum):
    """Why a provider of the order is no candidate."""

    CANNOT_SERVE = "cannot_serve"  # it has not the value asked for in a field
    UNAVAILABLE = "unavailable"  # this deployment has no key for it
    PAUSED = "paused"  # by the operator
    RETIRED = "retired"  # it does not offer the model any more


@dataclass(frozen=True)
class Skipped:
    """A provider of the order that is not tried."""

    provider: str
    reason: SkipReason
    field: str | None = None  # the one that it cannot honour
    value: str | None = None  # what was asked of it, as text; of files their number, of the customer's words nothing


@dataclass(frozen=True)
class FieldsAt:
    """Where the fields of the normal form go at one candidate: names, and the catalogue's words, but no value."""

    provider: str
    mapping_version: str
    used: dict[str, str]  # field to native member: passed on as it is
    mapped: dict[str, str]  # field to native member: passed on in the provider's spelling
    implied: dict[str, str]  # field to why nothing is lost without sending it


@dataclass(frozen=True)
class Decision:
    """How an ask became candidates: what answers "why this provider" and "what became of my field"."""

    defaulted: list[str] = field(default_factory=list)  # fields that the caller did not send
    routing: list[str] = field(default_factory=list)  # fields for us, not for a provider
    candidates: list[FieldsAt] = field(default_factory=list)  # in the order in which they are tried
    skipped: list[Skipped] = field(default_factory=list)
    demoted: list[str] = field(default_factory=list)  # tried last: their circuit breakers are open


@dataclass(frozen=True)
class GenerationRequest:
    """All that a generation needs from here to its end. The same ask gives the same request, but for its id."""

    generation_id: str
    account_id: str
    region: str
    model: str
    media_type: MediaType
    params: dict[str, Any]  # the normal form: every `generation_*` field, defaults applied
    output_count: int
    output_format: str
    quote_microcredits: int
    price_version: str
    candidates: list[Candidate]  # in order of preference, never empty
    deadline_s: int  # per attempt; from the media type
    admit_by: float  # Unix seconds by the database's clock after which admission is refused
    api_key_id: str | None = None
    replay_of: str | None = None
    in_flight_max: int | None = None  # the plan's cap for the media type, this one included; None: not capped
    moderation_failover: bool = False  # the account's policy: content that one provider refuses is shown to another
    decision: Decision | None = None

    @property
    def provider_order(self) -> list[str]:
        return [candidate.provider for candidate in self.candidates]

    @property
    def workflow_id(self) -> str:
        return workflow_id(self.generation_id)

    @property
    def admission(self) -> Admission:
        """The answer to the client, if it is admitted: it holds nothing that the request does not."""
        return Admission(
            generation_id=self.generation_id,
            model=self.model,
            provider_order=self.provider_order,
            prediction_id=attempt_id(self.generation_id, 1),
        )


def workflow_id(generation_id: str) -> str:
    return f"{WORKFLOW_ID_PREFIX}{generation_id}"


def attempt_id(generation_id: str, number: int) -> str:
    """The id of attempt `number` (from 1): derived, so that whoever asks gets the same one."""
    return str(uuid.uuid5(uuid.UUID(generation_id), f"attempt/{number}"))


@dataclass(frozen=True)
class Admission:
    """The answer to the client: recorded and paid for, nothing submitted yet."""

    generation_id: str
    model: str
    provider_order: list[str]
    prediction_id: str  # our id of the first attempt


@dataclass(frozen=True)
class JobRef:
    """What an adapter needs to find its job again. `handle` holds addresses the provider told us to use."""

    job_id: str
    handle: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CallbackReceived:
    """A verified provider callback, as the workflow hears it: a doorbell with a name plate."""

    attempt_number: int
    event_id: str
    job_id: str | None = None


@dataclass(frozen=True)
class AttemptFailure:
    """Why one attempt did not deliver; also one row of the public `provider_errors`."""

    provider: str
    code: str
    type: str
    message: str
    retryable: bool
    fault: str


@dataclass(frozen=True)
class Asset:
    """A finished file in our object store."""

    key: str
    content_type: str
    size_bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


class Measure(StrEnum):
    """What an output is measured by."""

    COUNT = "count"
    RATIO = "ratio"
    RESOLUTION = "resolution"
    SECONDS = "seconds"
    TYPE = "type"


@dataclass(frozen=True)
class Deviation:
    """What was delivered is not what was asked for, both as text. It is delivered all the same."""

    measure: Measure
    asked: str
    delivered: str
    output: int | None = None  # which of them, from 0; None: all of them together


@dataclass(frozen=True)
class Outcome:
    """How a generation ended. Written once, in the transaction that settles or releases the hold."""

    generation_id: str
    account_id: str
    status: GenerationStatus
    assets: list[Asset] = field(default_factory=list)
    attempt_number: int | None = None  # the attempt that delivered
    provider_used: str | None = None
    settle_microcredits: int = 0  # 0: everything is released
    cost_microcredits: int | None = None  # what the provider charged for the attempt that delivered; None: silent
    error_code: str | None = None
    error_message: str | None = None
    provider_errors: list[AttemptFailure] = field(default_factory=list)
    predict_time_s: float | None = None
    deviations: list[Deviation] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """What the finishing transaction did."""

    status: GenerationStatus  # the recorded one: a repeat reads it, it does not write again
    deliveries: list[str] = field(default_factory=list)  # webhook delivery ids to be rung
    credits_released: bool = False


@dataclass(frozen=True)
class Cancellation:
    """The answer to a cancel that won the race."""

    generation_id: str
    provider_cancel_sent: bool
    credits_refunded: bool
