"""Webhook endpoints and deliveries, as operators send and are answered them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from api.admin.bodies import Body
from api.schemas import Contract, Timestamp
from domain.addresses import URL_BYTES_MAX
from domain.webhook_events import SUBSCRIBABLE, SUBSCRIBED_BY_DEFAULT

Url = Annotated[str, StringConstraints(min_length=1, max_length=URL_BYTES_MAX)]
EventName = Annotated[str, Field(json_schema_extra={"enum": [event.value for event in SUBSCRIBABLE]})]
StateName = Literal["pending", "queued", "delivered", "failed", "expired"]
PurposeName = Literal["event", "test", "replay", "drain"]

_URL = "Where to POST: https on port 443, a public host, no credentials."


class EndpointCreate(Body):
    url: Url = Field(description=_URL)
    events: list[EventName] = Field(default=[event.value for event in SUBSCRIBED_BY_DEFAULT], min_length=1)


class EndpointUpdate(Body):
    """Only the fields that are sent change."""

    url: Url = Field(default_factory=str, description=_URL)
    events: list[EventName] = Field(default_factory=list, min_length=1)
    enabled: bool = Field(
        default_factory=bool,
        description="False: events are queued for 72 hours. Either way, the count of failures begins anew.",
    )


class EndpointShown(Contract):
    endpoint_id: str
    account_id: str
    url: str
    events: list[str]
    enabled: bool
    consecutive_failures: int = Field(description="Deliveries that failed since the last one that did not.")
    disabled_at: str | None = Field(description="When too many failures disabled it; null when that was done by hand.")
    queued: int = Field(description="Deliveries that wait for a drain.")
    created_at: str = Timestamp
    deleted_at: str | None


class EndpointMade(EndpointShown):
    secret: str = Field(description="Signs what is sent there. Shown this once.", examples=["whsec_..."])


class EndpointList(Contract):
    webhooks: list[EndpointShown]


class Drain(Contract):
    endpoint_id: str
    queued: int = Field(description="Deliveries that are being sent, one after the other, until one fails.")


class AttemptShown(Contract):
    number: int
    status_code: int | None = Field(description="Null: there was no answer, and `error` says why.")
    error: str | None
    reply_head: str | None = Field(description="The first kilobyte of the answer.")
    created_at: str = Timestamp


class DeliveryShown(Contract):
    delivery_id: str
    endpoint_id: str
    account_id: str
    generation_id: str | None = Field(description="Null where no generation is told of.")
    event: str
    purpose: PurposeName = Field(description="Why it is sent: it happened, or by hand.")
    state: StateName = Field(description="`queued`: the endpoint was disabled; a drain delivers it, or it expires.")
    replay_of: str | None = Field(description="The delivery that this one repeats.")
    payload: dict[str, Any]
    status_code: int | None = Field(description="Of the last attempt.")
    error: str | None = Field(description="Of the last attempt.")
    attempts: list[AttemptShown]
    created_at: str = Timestamp
    ended_at: str | None


class DeliveryList(Contract):
    deliveries: list[DeliveryShown]
