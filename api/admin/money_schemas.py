"""Bodies and answers about money: alerts, spending limits, adjustments, refunds and statements.

Amounts are credits, exact to the micro-credit: JSON numbers, and in statements decimal strings.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.admin.bodies import NAME, UUID, Body
from api.admin.schemas import Balance, Note
from api.schemas import Contract, Timestamp
from store.alerts import RUNWAY_HOURS_MAX, THRESHOLDS_MAX

Key = Annotated[str, StringConstraints(max_length=255, pattern=NAME)]
Id = Annotated[str, StringConstraints(pattern=UUID)]
Amount = Annotated[float, Field(ge=0, le=10**9)]
_DECIMAL = Field(description="Credits, as a decimal with up to six places.", examples=["24.995"])

# --- what is sent -------------------------------------------------------------------------------------------------


class AlertsUpdate(Body):
    """All thresholds from now on."""

    enabled: bool = True
    thresholds: list[Annotated[float, Field(gt=0, le=10**9)]] = Field(
        max_length=THRESHOLDS_MAX, description="Credits, with at most six decimals; those that stay keep their state."
    )
    runway_hours: int | None = Field(
        None,
        ge=1,
        le=RUNWAY_HOURS_MAX,
        description="Tell by `credits.low_runway` when the balance lasts less at the last hour's rate. Null: never.",
    )


class SpendingLimitCreate(Body):
    period: Literal["day", "month"] = Field(description="Of UTC.")
    amount: Amount = Field(description="Credits, with at most six decimals. Zero: nothing that costs.")
    hard: bool = Field(True, description="True: refuses what would pass it. False: tells once per period.")
    api_key_id: Id | None = Field(None, description="Of this key and its successors alone; without it of the account.")


class AdjustmentCreate(Body):
    amount: float = Field(ge=-(10**9), le=10**9, description="Credits; negative: to be taken away. Not zero.")
    reason: Note = Field(description="Why, for the books.")
    key: Key = Field(description="Names the adjustment: the same key again is the same proposal.")


class RefundCreate(Body):
    generation_id: Id
    amount: Annotated[float, Field(gt=0, le=10**9)] | None = Field(
        None, description="Credits, at most what was settled; without it all that is left of that."
    )
    reason: Note = Field(description="Why, for the books.")
    key: Key = Field(description="Names the refund within the account: the same key again refunds nothing more.")


# --- what is answered ---------------------------------------------------------------------------------------------


class ThresholdShown(Contract):
    threshold: float
    armed: bool = Field(description="False: it has told, or the balance has not reached it yet.")


class RunwayShown(Contract):
    hours: int
    armed: bool = Field(description="False: it has told, and tells again after the balance came back.")
    told_at: str | None = Field(description="The last time.")


class AlertShown(Contract):
    alert_id: str
    balance: float = Field(description="After the transfer that crossed.")
    thresholds_crossed: list[float]
    created_at: str = Timestamp


class AlertsShown(Contract):
    account_id: str
    enabled: bool
    thresholds: list[ThresholdShown] = Field(description="Highest first.")
    runway: RunwayShown | None
    latest: list[AlertShown] = Field(description="The last ten that were told, newest first.")


class SpendingLimitShown(Contract):
    limit_id: str
    account_id: str
    api_key_id: str | None = Field(description="The first key of its line of rotations. Null: of the account.")
    period: Literal["day", "month"]
    amount: float
    hard: bool
    spent: float = Field(description="Settled or held in the period that is now.")
    resets_at: str = Timestamp


class SpendingLimitList(Contract):
    limits: list[SpendingLimitShown]


class SpendingLimitRemoved(Contract):
    limit_id: str


class AdjustmentShown(Contract):
    adjustment_id: str
    account_id: str
    amount: float
    reason: str
    key: str
    state: Literal["proposed", "approved", "rejected", "expired"] = Field(
        description="Only approved has moved credits."
    )
    proposed_by: str
    proposed_at: str = Timestamp
    expires_at: str = Field(description="From then on nobody can approve it.")
    decided_by: str | None
    decided_at: str | None


class AdjustmentList(Contract):
    adjustments: list[AdjustmentShown]


class Refunded(Balance):
    result: Literal["refunded", "already_refunded"]
    generation_id: str
    refunded: float


class StatementBalance(Contract):
    available: str = _DECIMAL
    held: str = _DECIMAL
    debt: str = _DECIMAL


class StatementEntry(Contract):
    number: int = Field(description="Gapless within the account.")
    at: str = Timestamp
    operation: str
    amount: str = Field(description="Credits; negative: taken from the spendable balance.", examples=["-0.005"])
    balance_after: str = _DECIMAL
    generation_id: str | None
    key: str | None


class Statement(Contract):
    """The spendable balance at the end is the one at the beginning and all entries in between."""

    account_id: str
    name: str
    period_start: str = Field(description="The first instant of the period.")
    period_end: str = Field(description="The first instant after it.")
    opening: StatementBalance
    closing: StatementBalance
    entries: list[StatementEntry]
