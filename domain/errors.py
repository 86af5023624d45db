"""Every failure we name on purpose, as a tree. `code` and `type` are public and permanent.

ControlPlaneError
├── AuthenticationError      AuthenticationRequired, AuthenticationFailed, InsufficientPermissions,
│                            IpNotAllowed, AccountNotFound
├── LimitError               RateLimitExceeded, AuthRateLimited, ConcurrencyLimitExceeded
├── CreditError              InsufficientCredits, SpendingLimitReached, AccountFrozen
├── InputError               InvalidInput, ParameterOutOfRange, PayloadTooLarge, ModelNotFound,
│                            UnsupportedProviderOrder, ModelTypeMismatch, ModelUnpriced,
│                            InvalidIdempotencyKey, IdempotencyKeyReused, IdempotencyInProgress,
│                            UnsupportedMediaType
├── ResourceError            GenerationNotFound, GenerationNotCancelable, GenerationInProgress,
│                            RouteNotFound, MethodNotAllowed, ResourceNotFound, StateConflict: PaymentsOff
├── ProviderError            what one provider did to one attempt; each carries a `fault`
│   ├── ProviderFailed, ProviderTimedOut, ProviderUnavailable, ProviderBusy, ProviderAtCapacity,
│   │   ProviderInvalidOutput: FileTooBig; JobNotFound             (the provider's fault)
│   ├── ProviderPaused, ProviderCreditsExhausted, ProviderAuthFailed, ProviderRejectedInput     (our fault)
│   ├── ContentRefused, InputFileRefused: InputImageTooLarge, InputImageTooSmall, InputFormatUnsupported,
│   │   InputFileTooBig, InputFileUnreachable                       (the customer's fault)
│   └── SubmitAmbiguous      the job may or may not exist: adopt, never blindly repeat
├── AllProvidersFailed, GenerationExpired, OutputPersistFailed     how a generation ends badly
├── CallbackRefused          a provider callback that is forged, stale or misaddressed
├── AddressRefused           a URL that must not be fetched
└── PlatformError            InternalError, FailedAfterStart, StorageUnavailable, DatabaseUnavailable,
                             EngineUnavailable, PaymentsUnavailable, AdmissionUnknown

The codes and types are those of the public contract; the HTTP status of each is in `api/errors.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar


@dataclass(frozen=True)
class ProviderRefusal:
    """Why one provider is no candidate: a row of the public `provider_errors`. `message` is safe to show."""

    provider: str
    code: str
    type: str
    message: str
    retryable: bool


class ControlPlaneError(Exception):
    """Base of every named failure. `message` is safe to show: no secrets, prompts or upstream bodies."""

    code: ClassVar[str] = "BSE5001"
    type: ClassVar[str] = "internal_error"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after: timedelta | None = None,
        provider_errors: Sequence[ProviderRefusal] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        self.provider_errors = tuple(provider_errors)


# --- authentication -----------------------------------------------------------------------------------------------


class AuthenticationError(ControlPlaneError):
    """The caller could not be identified, or may not do this."""


class AuthenticationRequired(AuthenticationError):
    """No API key was sent."""

    code, type = "BSE1001", "authentication_required"


class AuthenticationFailed(AuthenticationError):
    """The key is unknown, expired, revoked or belongs to another region: one answer for all, on purpose."""

    code, type = "BSE1002", "authentication_failed"


class InsufficientPermissions(AuthenticationError):
    """The key lacks the scope of this route."""

    code, type = "BSE1003", "insufficient_permissions"


class IpNotAllowed(AuthenticationError):
    """The caller's address is outside the key's allowlist."""

    code, type = "BSE1007", "ip_not_allowed"


class AccountNotFound(AuthenticationError):
    """The account of the key does not exist any more."""

    code, type = "BSE1008", "account_not_found"


# --- limits -------------------------------------------------------------------------------------------------------


class LimitError(ControlPlaneError):
    """Too much at once; the same request works later."""


class RateLimitExceeded(LimitError):
    """The account's requests of this minute are used up. `details`: `retry_after_seconds` and `limit`."""

    code, type, retryable = "BSE1005", "rate_limit_exceeded", True


class AuthRateLimited(LimitError):
    """Too many failed authentications from one address; asked before any key is looked at."""

    code, type, retryable = "BSE1006", "auth_rate_limited", True


class ConcurrencyLimitExceeded(LimitError):
    """The account has as many generations in flight as its plan allows; nothing was held."""

    code, type, retryable = "BSE1009", "concurrency_limit_exceeded", True


# --- credits ------------------------------------------------------------------------------------------------------


class CreditError(ControlPlaneError):
    """The account may not spend this."""


class InsufficientCredits(CreditError):
    """The spendable balance is below the quote; nothing was held and nothing started."""

    code, type = "BSE1004", "insufficient_credits"


class SpendingLimitReached(CreditError):
    """A hard spending limit of the account or the key would be passed; nothing was held.

    `details`: `limited` (account or key), `period`, `limit_microcredits`, `spent_microcredits` and `resets_at`.
    """

    code, type = "BSE1010", "spending_limit_reached"


class AccountFrozen(CreditError):
    """New holds are refused for this account; open ones may end."""

    code, type = "BSE1003", "insufficient_permissions"


# --- input --------------------------------------------------------------------------------------------------------


class InputError(ControlPlaneError):
    """The request itself is wrong; the same request will always be refused."""


class InvalidInput(InputError):
    """A malformed, missing or unknown parameter. `details.field` names it, `details.problems` lists all."""

    code, type = "BSE2001", "invalid_input"


class ParameterOutOfRange(InputError):
    """A number or enum value outside what the model accepts."""

    code, type = "BSE2008", "parameter_out_of_range"


class PayloadTooLarge(InputError):
    """The request body is over 100 KB."""

    code, type = "BSE2010", "payload_too_large"


class ModelNotFound(InputError):
    """No such model identifier."""

    code, type = "BSE2011", "model_not_found"


class UnsupportedProviderOrder(InputError):
    """The provider order names a provider that does not host this model, or one twice."""

    code, type = "BSE2012", "unsupported_provider_order"


class ModelTypeMismatch(InputError):
    """An image model on the video route, or the reverse."""

    code, type = "BSE2013", "model_type_mismatch"


class ModelUnpriced(InputError):
    """The model has no price on this day, or none for this resolution or sound; nothing is sold without one."""

    code, type = "BSE2018", "model_unpriced"


class InvalidIdempotencyKey(InputError):
    """The Idempotency-Key header is empty, too long or has characters outside A-Z a-z 0-9 _ - : ."""

    code, type = "BSE2014", "invalid_idempotency_key"


class IdempotencyKeyReused(InputError):
    """The same Idempotency-Key came with another body."""

    code, type = "BSE2015", "idempotency_key_reused"


class IdempotencyInProgress(InputError):
    """The first request with this Idempotency-Key has not been answered yet."""

    code, type, retryable = "BSE2016", "idempotency_in_progress", True


class UnsupportedMediaType(InputError):
    """A generate body that is not declared as JSON."""

    code, type = "BSE2017", "unsupported_media_type"


# --- resources ----------------------------------------------------------------------------------------------------


class ResourceError(ControlPlaneError):
    """The thing addressed is absent or in the wrong state."""


class GenerationNotFound(ResourceError):
    """Unknown, deleted or another account's generation: indistinguishable on purpose."""

    code, type = "BSE3001", "generation_not_found"


class GenerationNotCancelable(ResourceError):
    """The generation has already ended."""

    code, type = "BSE3002", "generation_not_cancelable"


class GenerationInProgress(ResourceError):
    """Delete was asked for a generation that has not ended; cancel it first."""

    code, type = "BSE3003", "generation_in_progress"


class RouteNotFound(ResourceError):
    """No such path."""

    code, type = "BSE3004", "route_not_found"


class MethodNotAllowed(ResourceError):
    """The path exists, the method does not."""

    code, type = "BSE3005", "method_not_allowed"


class ResourceNotFound(ResourceError):
    """Nothing of this kind has this id. Operator API only."""

    code, type = "BSE3006", "resource_not_found"


class StateConflict(ResourceError):
    """What is there already, or the state that it is in, does not allow this. Operator API and billing only."""

    code, type = "BSE3007", "conflict"


class PaymentsOff(StateConflict):
    """This deployment takes no payments: it has no key for the payment service."""


# --- providers ----------------------------------------------------------------------------------------------------


class Fault(StrEnum):
    """Against whom a failed attempt counts."""

    CUSTOMER = "customer"  # billed nothing and tried no further
    PROVIDER = "provider"  # fails over and is recorded as the provider's
    CAPACITY = "capacity"  # fails over; a signal of load, not of illness
    OURS = "ours"  # fails over, is recorded as ours, does not count against the provider


class ProviderError(ControlPlaneError):
    """One attempt at one provider went wrong. Raised by adapters only."""

    code, type, retryable = "BSE4001", "provider_error", True
    fault: ClassVar[Fault] = Fault.PROVIDER


class ProviderFailed(ProviderError):
    """The provider answered with an error, or its job failed."""


class JobNotFound(ProviderError):
    """The provider does not know a job that it accepted."""


class ProviderTimedOut(ProviderError):
    """The provider gave no answer, or no result, within the limit."""

    code, type = "BSE4002", "provider_timeout"


class ProviderUnavailable(ProviderError):
    """The provider could not be reached, or says that it is down. The request was certainly not accepted."""

    code, type = "BSE4004", "provider_unavailable"


class ProviderBusy(ProviderError):
    """The provider asked us to slow down (its HTTP 429)."""

    code, type, fault = "BSE4005", "provider_rate_limited", Fault.CAPACITY


class ProviderAtCapacity(ProviderError):
    """The provider has no machine for the job."""

    code, type, fault = "BSE4006", "provider_capacity", Fault.CAPACITY


class ProviderPaused(ProviderError):
    """The operator has paused the provider, or every provider of the model."""

    code, type, retryable, fault = "BSE4007", "provider_paused", False, Fault.OURS


class ProviderCreditsExhausted(ProviderError):
    """Our balance at the provider is empty."""

    code, type, retryable, fault = "BSE4008", "provider_credits_exhausted", False, Fault.OURS


class ProviderRejectedInput(ProviderError):
    """The provider refused parameters that we had validated: a mapping of ours is wrong."""

    code, type, retryable, fault = "BSE4009", "provider_rejected_input", False, Fault.OURS


class ProviderInvalidOutput(ProviderError):
    """The output is empty, truncated, of the wrong type or cannot be downloaded."""

    code, type = "BSE4010", "provider_invalid_output"


class FileTooBig(ProviderInvalidOutput):
    """A file has more bytes than we take."""


class ProviderAuthFailed(ProviderError):
    """The provider refused our credential."""

    code, type, retryable, fault = "BSE4011", "provider_auth_failed", False, Fault.OURS


class ContentRefused(ProviderError):
    """A safety filter refused the prompt or the result. Final: not retried, not shopped around."""

    code, type, retryable, fault = "BSE2006", "content_policy_violation", False, Fault.CUSTOMER


class InputFileRefused(ProviderError):
    """An input file was fetched but cannot be used. Final: no other provider will like it better.

    Raised by the provider's adapter, and before any provider is asked, by our own check.
    """

    code, type, retryable, fault = "BSE2005", "file_load_error", False, Fault.CUSTOMER


class InputImageTooLarge(InputFileRefused):
    """An input image has more pixels on a side than is taken."""

    code, type = "BSE2002", "file_too_large"


class InputImageTooSmall(InputFileRefused):
    """An input image has fewer pixels on a side than is taken."""

    code, type = "BSE2003", "file_too_small"


class InputFormatUnsupported(InputFileRefused):
    """An input file is not JPEG, PNG or WebP, or of a format that the model does not read."""

    code, type = "BSE2004", "unsupported_file_format"


class InputFileTooBig(InputFileRefused):
    """An input file has more bytes than is taken."""

    code, type = "BSE2007", "file_size_exceeded"


class InputFileUnreachable(InputFileRefused):
    """The address of an input file could not be fetched."""

    code, type = "BSE2009", "file_download_error"


class SubmitAmbiguous(ProviderError):
    """The submit may have reached the provider: answer lost after the request was sent."""

    code, type = "BSE4002", "provider_timeout"


# --- how a generation ends badly ----------------------------------------------------------------------------------


class AllProvidersFailed(ControlPlaneError):
    """Every candidate was tried and none delivered. To be repeated when one of `provider_errors` is."""

    code, type = "BSE4003", "all_providers_failed"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retryable = any(refusal.retryable for refusal in self.provider_errors)


class GenerationExpired(ControlPlaneError):
    """The generation was interrupted or ran past its deadline; the customer pays nothing."""

    code, type = "BSE5006", "generation_expired"


class OutputPersistFailed(ControlPlaneError):
    """The output was made but could not be stored; the customer pays nothing."""

    code, type = "BSE5005", "output_persist_failed"


# --- edges --------------------------------------------------------------------------------------------------------


class CallbackRefused(ControlPlaneError):
    """A provider callback whose token or signature does not verify, or whose time is out of tolerance."""

    code, type = "BSE1002", "authentication_failed"


class AddressRefused(ControlPlaneError):
    """A URL that must not be fetched: not public, not https, or malformed."""

    code, type = "BSE2009", "file_download_error"


# --- platform -----------------------------------------------------------------------------------------------------


class PlatformError(ControlPlaneError):
    """Our own machinery: ours to mend."""


class InternalError(PlatformError):
    """Unexpected; nothing is held when `retryable` is true."""

    code, type, retryable = "BSE5001", "internal_error", True


class FailedAfterStart(InternalError):
    """Unexpected, after a generation was started: it may be running. `details.generation_id` is what to ask for."""

    retryable = False


class StorageUnavailable(PlatformError):
    """The object store does not answer."""

    code, type, retryable = "BSE5002", "storage_error", True


class DatabaseUnavailable(PlatformError):
    """PostgreSQL does not answer."""

    code, type, retryable = "BSE5003", "database_unavailable", True


class EngineUnavailable(PlatformError):
    """Temporal, or every worker, does not answer."""

    code, type, retryable = "BSE5004", "queue_unavailable", True


class PaymentsUnavailable(PlatformError):
    """The payment service does not answer, or refuses us; nothing was bought."""

    code, type, retryable = "BSE5007", "payments_unavailable", True


class AdmissionUnknown(EngineUnavailable):
    """Neither Temporal nor PostgreSQL can say whether the generation was admitted, so a repeat might pay twice.

    `details.generation_id` is what to ask for later.
    """

    retryable = False
