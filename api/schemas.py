"""The public contract: what every answer looks like. Fields that do not apply are left out.

Answers are built from these models, or, where a body has names of its own (a generation's parameters), checked
against them by the tests.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

Data = TypeVar("Data")

RequestId = Field(pattern=r"^req_[0-9a-f]{32}$", description="The same as the header X-Request-Id.")
Timestamp = Field(
    pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
    description="ISO 8601 in UTC with milliseconds.",
    examples=["2026-06-02T08:15:30.412Z"],
)
MediaTypeName = Literal["image", "video"]
StatusName = Literal["pending", "processing", "succeeded", "failed", "canceled"]


Absent = SkipJsonSchema[None]  # in the type of a field that is left out where it does not apply, and never null


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


# --- envelopes ----------------------------------------------------------------------------------------------------


class Success(Contract, Generic[Data]):
    status: Literal["success"]
    request_id: str = RequestId
    message: str = Field(description="For people; not part of the contract.")
    timestamp: str = Timestamp
    data: Data


class Page(Success[Data], Generic[Data]):
    total: int
    limit: int
    offset: int


class ProviderErrorItem(Contract):
    provider: str
    code: str
    type: str
    message: str
    retryable: bool


class ErrorBody(Contract):
    code: str = Field(pattern="^BSE[0-9]{4}$", examples=["BSE1004"])
    type: str = Field(pattern="^[a-z0-9_]+$", examples=["insufficient_credits"])
    message: str
    retryable: bool = Field(description="True: nothing was started and nothing is held; the same request may work.")
    details: dict[str, Any] | Absent = None
    provider_errors: list[ProviderErrorItem] | Absent = None


class Failure(Contract):
    status: Literal["error"]
    request_id: str = RequestId
    error: ErrorBody


# --- generations --------------------------------------------------------------------------------------------------


class GenerationAccepted(Contract):
    """Recorded and paid for; a provider is being asked."""

    model_identifier: str
    generation_provider_order: list[str]
    generation_prediction_id: str
    generation_id: str
    generation_initialized: Literal[True]


class GenerationAlreadyCanceled(Contract):
    """The answer to a repeated request whose generation was canceled before it was first answered."""

    generation_id: str
    generation_status: Literal["canceled"]


class Generation(BaseModel):
    """One generation. Its other `generation_*` parameters appear under their own names."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    account_id: str
    generation_id: str
    model_identifier: str
    generation_provider_order: list[str]
    generation_provider_used: str | None
    generation_prediction_id: str | None
    generation_status: StatusName
    generation_prompt: str
    generation_ratio: str | Absent = None
    generation_output_format: str
    generation_output_number: int
    generation_input_file: list[str] | None = Field(description="As they were asked for.")
    generation_input_file_last_content: str | Absent = Field(None, description="Videos with a last frame only.")
    generation_duration: float | Absent = Field(None, description="Seconds; videos only.")
    generation_resolution: str | Absent = None
    generation_generate_audio: bool | Absent = None
    generation_audio_mode: Literal["audio", "noaudio"] | Absent = None
    generation_output_file: list[str] | None = Field(description="Signed addresses, when succeeded.")
    generation_created_at: str = Timestamp
    generation_started_at: str | None
    generation_completed_at: str | None
    generation_metrics_total_time: float | None = Field(description="Seconds from creation to the end.")
    generation_metrics_predict_time: float | None = Field(description="Seconds, as the provider reports them.")
    generation_error: str | Absent = Field(None, description="Only when failed.")
    generation_error_code: str | Absent = Field(None, description="Only when failed.")
    generation_removed: bool | Absent = Field(None, description="Only after the output files were removed.")


class GenerationList(Contract):
    generations: list[Generation]


class GenerationCanceled(Contract):
    generation_id: str
    generation_status: Literal["canceled"]
    provider_cancel_sent: bool
    credits_refunded: bool


class GenerationDeleted(Contract):
    generation_id: str
    files_deleted: int


# --- account ------------------------------------------------------------------------------------------------------


class KeyStatus(Contract):
    account_id: str
    apikey_id: str
    apikey_name: str | None
    apikey_prefix: str | None
    apikey_created_at: str | None
    apikey_last_used_at: str | None
    apikey_expires_at: str | None


class EndpointUsage(Contract):
    endpoint: str = Field(description="The route, such as `/v1/content/{generation_id}`.")
    total_requests: int
    success_count: int = Field(description="2xx.")
    client_error_count: int = Field(description="4xx; 499: the client had gone before it was answered.")
    server_error_count: int = Field(description="5xx.")
    error_codes: dict[str, int] = Field(description="How often each code was the answer.")


class ProviderUsage(Contract):
    """Attempts at one provider. Those that have not ended are counted in `total_submissions` only."""

    provider: str
    total_submissions: int
    used_count: int
    cancelled_count: int
    discarded_count: int
    failed_count: int
    total_estimated_cost: float = Field(description="USD.")
    wasted_estimated_cost: float = Field(description="USD: of attempts that ended and were not used.")


class Usage(Contract):
    account_id: str
    usage_period_days: int
    usage_credit_balance: float
    usage_total_requests: int
    usage_total_success: int
    usage_total_client_errors: int
    usage_total_server_errors: int
    usage_total_generations: int
    usage_total_provider_submissions: int = Field(description="Each attempt of a failover counts.")
    usage_total_estimated_cost: float = Field(description="USD, as the providers charge it.")
    usage_endpoints: list[EndpointUsage]
    usage_providers: list[ProviderUsage]


class Account(Contract):
    account_id: str
    account_name: str
    account_email: str | None
    account_is_personal: bool
    account_picture_url: str | None
    account_created_at: str = Timestamp


class Billing(Contract):
    """Null is what only a subscription would know. On the free plan, that is everything but the balance."""

    account_id: str
    billing_plan: str | None = Field(examples=["Scale"])
    billing_credit_balance: float
    billing_subscription_status: (
        Literal["active", "trialing", "past_due", "canceled", "unpaid", "incomplete", "incomplete_expired", "paused"]
        | None
    )
    billing_cancel_at_period_end: bool | None
    billing_currency: str | None
    billing_period_starts_at: str | None
    billing_period_ends_at: str | None
    billing_created_at: str | None
    billing_updated_at: str | None


# --- buying credits -----------------------------------------------------------------------------------------------


class Offer(Contract):
    name: str
    label: str
    credits: float | None = Field(
        description="What one of it brings; of a subscription, each period. Null: what is paid."
    )


class Offers(Contract):
    packs: list[Offer]
    subscriptions: list[Offer]


class PaymentPage(Contract):
    url: str = Field(description="Of the payment service; for the customer's browser, and for a while only.")


class TopUpRule(Contract):
    enabled: bool
    amount: float = Field(description="Credits of one top-up.")
    daily_max: int = Field(description="Top-ups within 24 hours.")
    payment_method_saved: bool
    stopped_because: str | None = Field(description="Why it stopped by itself; enable it again once that is mended.")


# --- library ------------------------------------------------------------------------------------------------------


class Estimate(Contract):
    model_identifier: str
    model_type: MediaTypeName
    assets_count: int
    cost_per_second: float | Absent = Field(None, description="Credits; videos only.")
    duration_seconds: float | Absent = Field(None, description="Videos only.")
    resolution: str | Absent = Field(None, description="Videos priced by resolution only.")
    cost_per_generation: float
    cost_total_consumed: float
    credit_balance: float | None = Field(description="Null when the balance could not be read.")
    credit_balance_can_afford: bool | None
    credit_balance_max_affordable: int | None


class ModelSchema(Contract):
    generation_prompt: bool
    generation_ratio: list[str]
    generation_output_format: list[str]
    generation_output_number: int
    generation_input_file: bool
    generation_duration: list[float] | Absent = Field(None, description="Seconds; videos only.")
    generation_resolution: list[str] | Absent = None
    generation_generate_audio: bool | Absent = None


class LibraryModel(Contract):
    model_config = ConfigDict(populate_by_name=True)

    model_type: MediaTypeName
    model_identifier: str
    model_pricing: float | dict[str, float] | Absent = Field(
        None, description="Credits per file or second, or by tier; absent while it has no price."
    )
    model_supported_provider: list[str]
    accepted: ModelSchema = Field(alias="schema")
    specific_schema: list[str]


class LibraryModels(Contract):
    models: list[LibraryModel]
    models_total: int


class ProviderImplementation(Contract):
    delivery_method: str
    cancel_method: str | None
    webhook_verification: str | None
    error_mapping: Literal["bse_error_codes"]
    cost_tracking: Literal["per_generation_usd"]
    schema_conversion: Literal["unified_to_native"]
    failover_strategy: Literal["sequential_provider_chain"]
    health_monitoring: Literal["circuit_breaker"]
    supported_media_types: list[MediaTypeName]
    supported_models_total: int


class LibraryProvider(Contract):
    provider_id: str
    provider_name: str
    provider_description: str
    provider_website: str
    provider_docs: str
    provider_status: str = Field(
        description="active, beta, paused (by the operator) or unavailable (this deployment has no key for it)."
    )
    babysea_implementation: ProviderImplementation


class LibraryProviders(Contract):
    providers: list[LibraryProvider]
    providers_total: int


# --- health -------------------------------------------------------------------------------------------------------


class HealthWindow(Contract):
    """Attempts that were used, or that failed by the provider's own fault."""

    total_attempts: int
    failures: int
    successes: int
    duration_seconds: int


class ProviderHealth(Contract):
    provider: str
    status: Literal["healthy", "recovering", "degraded", "unknown"]
    failure_rate: float = Field(ge=0, le=1)
    window: HealthWindow


class ProvidersHealth(Contract):
    service: Literal["providers"]
    healthy: bool = Field(description="No provider is degraded.")
    providers_total: int
    providers: list[ProviderHealth]


class ModelProvider(Contract):
    available: bool = Field(description="This deployment has a key for it, and it is not paused.")
    raw_model_id: str | None = Field(description="The provider's own name of the model.")


class ModelHealth(Contract):
    model_identifier: str
    model_type: Literal["image", "video", "unknown"]
    model_pricing: float | Absent = Field(None, description="Credits per file or second; of the cheapest tier.")
    providers: dict[str, ModelProvider]


class ModelsHealth(Contract):
    service: Literal["models"]
    healthy: bool = Field(description="Every model has a provider that is available.")
    models_total: int
    models: list[ModelHealth]


class StorageHealth(Contract):
    service: Literal["storage"]
    healthy: bool
    latency_ms: int
    bucket: str
    error: str | Absent = Field(None, description="Only when not healthy.")


class CacheHealth(Contract):
    service: Literal["redis"] = Field(description="Whatever the cache is.")
    healthy: bool
    latency_ms: int
    error: str | Absent = Field(None, description="Only when not healthy.")


# --- beside the envelope ------------------------------------------------------------------------------------------


class Alive(Contract):
    status: Literal["alive"]


class Readiness(Contract):
    status: Literal["ready", "unavailable"]
    checks: dict[str, Literal["ok", "unavailable"]]


class CallbackAnswer(Contract):
    status: Literal["accepted", "ignored"]


class StripeAnswer(Contract):
    status: Literal["accepted", "known"]
