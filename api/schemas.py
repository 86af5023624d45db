"""The public contract: what every answer looks like. Fields that do not apply are left out.

Answers are built from these models, or, where a body has names of its own (a generation's parameters), checked
against them by the tests.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Data = TypeVar("Data")

RequestId = Field(description="`req_` and 32 hexadecimal digits; the same as the header X-Request-Id.")
Timestamp = Field(description="ISO 8601 in UTC with milliseconds.", examples=["2026-06-02T08:15:30.412Z"])
MediaTypeName = Literal["image", "video"]
StatusName = Literal["pending", "processing", "succeeded", "failed", "canceled"]


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
    code: str = Field(examples=["BSE1004"])
    type: str = Field(examples=["insufficient_credits"])
    message: str
    retryable: bool = Field(description="True: nothing was started and nothing is held; the same request may work.")
    details: dict[str, Any] | None = None
    provider_errors: list[ProviderErrorItem] | None = None


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
    generation_ratio: str | None = None
    generation_output_format: str
    generation_output_number: int
    generation_input_file: list[str] | None
    generation_duration: float | None = Field(None, description="Seconds; videos only.")
    generation_resolution: str | None = None
    generation_generate_audio: bool | None = None
    generation_audio_mode: Literal["audio", "noaudio"] | None = None
    generation_output_file: list[str] | None = Field(description="Signed addresses, when succeeded.")
    generation_created_at: str = Timestamp
    generation_started_at: str | None
    generation_completed_at: str | None
    generation_metrics_total_time: float | None = Field(description="Seconds from creation to the end.")
    generation_metrics_predict_time: float | None = Field(description="Seconds, as the provider reports them.")
    generation_error: str | None = Field(None, description="Only when failed.")
    generation_error_code: str | None = Field(None, description="Only when failed.")
    generation_removed: bool | None = Field(None, description="Only after the output files were removed.")


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


# --- library ------------------------------------------------------------------------------------------------------


class Estimate(Contract):
    model_identifier: str
    model_type: MediaTypeName
    assets_count: int
    cost_per_second: float | None = Field(None, description="Credits; videos only.")
    duration_seconds: float | None = Field(None, description="Videos only.")
    resolution: str | None = Field(None, description="Videos priced by resolution only.")
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
    generation_duration: list[float] | None = Field(None, description="Seconds; videos only.")
    generation_resolution: list[str] | None = None
    generation_generate_audio: bool | None = None


class LibraryModel(Contract):
    model_config = ConfigDict(populate_by_name=True)

    model_type: MediaTypeName
    model_identifier: str
    model_pricing: float | dict[str, float] = Field(description="Credits per file or second, or by tier.")
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
    provider_status: str
    babysea_implementation: ProviderImplementation


class LibraryProviders(Contract):
    providers: list[LibraryProvider]
    providers_total: int


# --- beside the envelope ------------------------------------------------------------------------------------------


class Alive(Contract):
    status: Literal["alive"]


class Readiness(Contract):
    status: Literal["ready", "unavailable"]
    checks: dict[str, Literal["ok", "unavailable"]]


class CallbackAnswer(Contract):
    status: Literal["accepted", "ignored"]
