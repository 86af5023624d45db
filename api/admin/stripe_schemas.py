"""What the operator API says of payments."""

from __future__ import annotations

from pydantic import Field

from api.schemas import Contract, Timestamp


class StripeEvent(Contract):
    event_id: str
    type: str
    object_id: str = Field(description="The object at Stripe that it is about.")
    state: str = Field(description="received, applied, ignored (nobody's money) or parked.")
    reason: str | None = Field(description="Why it is parked.")
    explanation: str | None
    tries: int
    received_at: str = Timestamp
    tried_at: str | None


class StripeEventList(Contract):
    events: list[StripeEvent]


class Linked(Contract):
    account_id: str
    customer_id: str


class DifferenceShown(Contract):
    source_id: str = Field(description="The charge, refund, dispute or payment at Stripe.")
    difference: str = Field(description="missing_here, missing_there, amount, currency or duplicate.")
    explanation: str
    found_at: str = Timestamp


class DifferenceList(Contract):
    differences: list[DifferenceShown]
