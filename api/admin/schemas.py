"""The bodies and the answers of the operator API. Amounts are credits, exact to the micro-credit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from api.admin.bodies import EMAIL, HTTPS, NAME, Body
from api.schemas import Contract, Timestamp
from domain.keys import ALLOWLIST_MAX, PRESETS, Scope

# --- what is sent -------------------------------------------------------------------------------------------------

Name = Annotated[str, StringConstraints(max_length=100, pattern=NAME)]
Email = Annotated[str, StringConstraints(min_length=3, max_length=320, pattern=EMAIL)]
PlanName = Annotated[str, StringConstraints(max_length=100, pattern=NAME)]
PictureUrl = Annotated[str, StringConstraints(max_length=2048, pattern=HTTPS)]
Note = Annotated[str, StringConstraints(max_length=500, pattern=NAME)]
Preset = Annotated[str, Field(json_schema_extra={"enum": list(PRESETS)})]
ScopeName = Annotated[str, Field(json_schema_extra={"enum": [scope.value for scope in Scope]})]
GRACE_HOURS_MAX = 168
GRACE_HOURS_DEFAULT = 24
MODERATION_FAILOVER = (
    "True: content that one provider refuses is shown to the next candidate, once. By default a refusal is final."
)
PLAN = "A plan of this deployment, such as `pro`; it may carry the billing period, such as `Pro Yearly`."


class AccountCreate(Body):
    name: Name
    email: Email | None = None
    plan: PlanName = Field("free", description=PLAN)
    is_personal: bool = True
    picture_url: PictureUrl | None = None


class AccountUpdate(Body):
    """Only the fields that are sent change. `null` removes the email or the picture."""

    name: Name = Field(default_factory=str)
    email: Email | None = None
    plan: PlanName = Field(default_factory=str, description=PLAN)
    picture_url: PictureUrl | None = None
    frozen: bool = Field(default_factory=bool, description="True: no new generations; those in flight may end.")
    moderation_failover: bool = Field(default_factory=bool, description=MODERATION_FAILOVER)


class KeyLimit(Body):
    period: Literal["day", "month"] = Field(description="Of UTC.")
    amount: float = Field(ge=0, le=10**9, description="Credits, with at most six decimals.")
    hard: bool = Field(True, description="True: refuses what would pass it. False: tells once per period.")


class KeyCreate(Body):
    """Either a preset or scopes."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["preset"]}, {"required": ["scopes"]}]})

    name: Name
    preset: Preset = Field(default_factory=str, description="Which scopes, by the name of a usual set.")
    scopes: list[ScopeName] = Field(default_factory=list, min_length=1)
    expires_at: str | None = Field(
        None, description="In the future, with an offset.", json_schema_extra={"format": "date-time"}
    )
    ip_allowlist: list[str] = Field(
        default=[], max_length=ALLOWLIST_MAX, description="Addresses and CIDR blocks it may be used from; empty: any."
    )
    spending_limits: list[KeyLimit] = Field(
        default=[], max_length=4, description="What may be spent with it and its successors, per day or month."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> KeyCreate:
        if len(self.model_fields_set & {"preset", "scopes"}) != 1:
            raise ValueError("Give either a preset or scopes.")
        return self

    @field_validator("expires_at")
    @classmethod
    def _a_moment(cls, text: str | None) -> str | None:
        if text is not None and not _has_a_moment(text):
            raise ValueError("An expiry is a time in ISO 8601 with an offset, such as 2027-01-31T00:00:00Z.")
        return text


def _has_a_moment(text: str) -> bool:
    """Also in UTC, where the last hours of the year 9999 may be those of a year that there is not."""
    try:
        read = datetime.fromisoformat(text)
        return read.tzinfo is not None and read.astimezone(UTC) is not None
    except (ValueError, OverflowError):
        return False


class KeyRotate(Body):
    grace_hours: int = Field(
        GRACE_HOURS_DEFAULT, ge=1, le=GRACE_HOURS_MAX, description="For how long the old key goes on working."
    )


class GrantCreate(Body):
    amount: float = Field(gt=0, le=10**9, description="Credits, with at most six decimals.")
    key: Annotated[str, StringConstraints(max_length=255, pattern=NAME)] = Field(
        description="Names the grant, for example after its invoice: the same key again grants nothing more."
    )
    source: Literal["payment", "promotion", "adjustment"] = "adjustment"
    note: Note | None = Field(None, description="Why, for the books.")
    expires_at: str | None = Field(
        None,
        description="In the future, with an offset: what is left then goes back. Of a `promotion` only.",
        json_schema_extra={"format": "date-time"},
    )

    @field_validator("expires_at")
    @classmethod
    def _a_moment(cls, text: str | None) -> str | None:
        if text is not None and not _has_a_moment(text):
            raise ValueError("An expiry is a time in ISO 8601 with an offset, such as 2027-01-31T00:00:00Z.")
        return text


class ProviderPause(Body):
    reason: Note | None = None


class OperatorCreate(Body):
    name: Name


# --- what is answered ---------------------------------------------------------------------------------------------


class AccountShown(Contract):
    account_id: str
    name: str
    email: str | None
    plan: str
    is_personal: bool
    picture_url: str | None
    frozen: bool
    moderation_failover: bool = Field(description=MODERATION_FAILOVER)
    created_at: str = Timestamp
    closed_at: str | None


class AccountList(Contract):
    accounts: list[AccountShown]


class PlanShown(Contract):
    plan: str
    label: str
    requests_per_minute: int
    in_flight: dict[str, int] = Field(description="The most generations at a time, by media type.")
    retention_hours: dict[str, int]


class PlanList(Contract):
    plans: list[PlanShown]


class KeyShown(Contract):
    api_key_id: str
    account_id: str
    name: str
    prefix: str = Field(description="How it begins; the key itself is kept nowhere.")
    scopes: list[str]
    state: str = Field(description="active, rotated, expired, revoked, or foreign: of another region.")
    region: str
    ip_allowlist: list[str]
    created_at: str = Timestamp
    expires_at: str | None
    rotated_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class KeyList(Contract):
    keys: list[KeyShown]


class KeyMade(KeyShown):
    key: str = Field(description="Shown this once.")


class KeyDeleted(Contract):
    api_key_id: str


class Balance(Contract):
    account_id: str
    available: float
    held: float = Field(description="For generations in flight.")
    debt: float


class Granted(Balance):
    result: Literal["granted", "already_granted"]


class Entry(Contract):
    entry_id: int
    operation: str = Field(
        description="reserve, settle, release, expire, recollect, shortfall, grant, refund, claw_back, dispute, "
        "restore, lose, adjust, repay or burn."
    )
    amount: float = Field(description="Credits; negative: taken from the spendable balance.")
    balance_after: float
    generation_id: str | None
    key: str | None = Field(description="Of a grant, or of what was done with a key.")
    created_at: str = Timestamp


class EntryList(Contract):
    entries: list[Entry]


class LotShown(Contract):
    """Credits that expire. What is left, held, spent and burned of them is what was granted."""

    lot_id: str
    key: str = Field(description="Of its grant.")
    note: str | None
    granted: float
    granted_at: str = Timestamp
    expires_at: str = Timestamp
    state: Literal["open", "spent", "expired"]
    left: float
    held: float = Field(description="For work that has not ended.")
    spent: float
    burned: float = Field(description="Taken back when it had expired.")


class LotList(Contract):
    lots: list[LotShown]


class ProviderState(Contract):
    provider: str
    name: str
    state: Literal["active", "paused", "unconfigured"] = Field(description="unconfigured: this deployment has no key.")
    paused_at: str | None
    paused_by: str | None
    reason: str | None


class ProviderStateList(Contract):
    providers: list[ProviderState]


class OperatorShown(Contract):
    operator_id: str
    name: str
    prefix: str
    created_at: str = Timestamp
    revoked_at: str | None
    last_used_at: str | None


class OperatorList(Contract):
    operators: list[OperatorShown]


class OperatorMade(OperatorShown):
    key: str = Field(description="Shown this once.")


class AuditRow(Contract):
    audit_id: int
    at: str = Timestamp
    actor: str
    action: str
    target_type: str
    target_id: str
    account_id: str | None
    request_id: str | None
    details: dict[str, Any]


class AuditList(Contract):
    entries: list[AuditRow]


class RequestRow(Contract):
    at: str = Timestamp
    request_id: str = Field(description="As it was answered: a replay has that of the first request.")
    api_key_id: str
    key_name: str
    key_prefix: str
    key_state: str = Field(description="active or rotated, when it was used.")
    method: str
    path: str
    endpoint: str = Field(description="The route, such as `/v1/content/{generation_id}`.")
    query: str | None = Field(description="Known parameters only.")
    status: int = Field(description="499: the client had gone before it was answered.")
    code: str | None = Field(description="Of a refusal.", examples=["BSE3001"])
    replayed: bool
    client_ip_hash: str | None = Field(description="SHA-256, keyed and salted by account; the address is kept nowhere.")
    user_agent: str | None
    sdk_name: str | None
    sdk_version: str | None
    sdk_runtime: str | None
    sdk_runtime_version: str | None
    duration_ms: int


class RequestList(Contract):
    requests: list[RequestRow]
    next_before: str | None = Field(description="For the next page, as `before`. Null: this was the last.")
