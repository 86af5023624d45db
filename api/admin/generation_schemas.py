"""One generation as operators are shown it: why these providers, what became of each field, what came out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas import Contract, MediaTypeName, StatusName, Timestamp


class FieldsAtProvider(Contract):
    """Where the fields of the normal form went, by name; no value of the customer's."""

    provider: str
    mapping_version: str = Field(description="Changes with the catalogue's rules for this model at this provider.")
    used: dict[str, str] = Field(description="Field to native member: passed on as it is.")
    mapped: dict[str, str] = Field(description="Field to native member: passed on in the provider's spelling.")
    implied: dict[str, str] = Field(description="Field to why nothing is lost without sending it.")


class SkippedProvider(Contract):
    provider: str
    reason: Literal["cannot_serve", "unavailable", "paused", "retired"]
    field: str | None = Field(description="The field that it cannot honour.")
    value: str | None = Field(
        description="What was asked of it; of files their number, of the customer's words nothing."
    )


class DecisionShown(Contract):
    """How the ask became candidates."""

    defaulted: list[str] = Field(description="Fields that the caller did not send.")
    routing: list[str] = Field(description="Fields that are not for a provider.")
    candidates: list[FieldsAtProvider] = Field(description="In the order in which they are tried.")
    skipped: list[SkippedProvider]
    demoted: list[str] = Field(description="Providers that are tried last, because their circuit breakers are open.")


class DeviationShown(Contract):
    """What was delivered is not what was asked for."""

    measure: Literal["count", "ratio", "resolution", "seconds", "type"]
    asked: str
    delivered: str
    output: int | None = Field(description="Which output, from 0. Null: all of them together.")


class ProviderAttempt(Contract):
    number: int
    provider: str
    native_model: str
    state: str = Field(description="submitting, refused, accepted, used, failed, canceled or discarded.")
    fault: str | None = Field(description="Against whom a failure counts: customer, provider, capacity or ours.")
    error_code: str | None
    error_message: str | None
    cost: float | None = Field(description="Credits that the provider charges us; null until it has ended.")
    begun_at: str = Timestamp
    ended_at: str | None


class GenerationShown(Contract):
    generation_id: str
    account_id: str
    model_identifier: str
    media_type: MediaTypeName
    region: str
    status: StatusName
    provider_order: list[str]
    provider_used: str | None
    error_code: str | None
    error_message: str | None
    price_version: str
    quote: float = Field(description="Credits.")
    settled: float | None = Field(description="Credits, once it has succeeded.")
    replay_of: str | None
    created_at: str = Timestamp
    started_at: str | None
    completed_at: str | None
    deleted_at: str | None
    decision: DecisionShown | None = Field(description="Null: it was never admitted, or before this was kept.")
    attempts: list[ProviderAttempt]
    deviations: list[DeviationShown] = Field(description="Of the outputs from what was asked for.")
