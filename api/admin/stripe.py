"""Payments: the events of Stripe and what became of them, links of customers, and differences between the books."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response
from temporalio.service import RPCError

from api import schemas
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import STRIPE_CUSTOMER, UUID, Body, Paged, accepting, body
from api.admin.stripe_schemas import (
    DifferenceList,
    DifferenceShown,
    Linked,
    StripeEvent,
    StripeEventList,
)
from api.admin.targets import not_found, open_account
from api.billing_samples import DIFFERENCES, EVENT_RETRIED, EVENTS, LINK_BODY, LINKED
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.samples import answering
from domain import errors as e
from store import billing
from store.billing import Event, EventState
from store.connection import single, transaction

router = APIRouter(prefix="/admin/v1/stripe", tags=["operator: payments"])

StateName = Literal["received", "applied", "ignored", "parked"]


class LinkCreate(Body):
    account_id: str = Field(pattern=UUID, description="The account that pays.")
    customer_id: str = Field(pattern=STRIPE_CUSTOMER, description="The customer at Stripe.")


@router.get(
    "/events",
    responses={200: {"model": schemas.Page[StripeEventList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(EVENTS),
)
async def list_stripe_events(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    part: Paged,
    state: Annotated[StateName | None, Query(description="Only those in this state, for example parked.")] = None,
) -> Response:
    """Newest first. A parked event could not be applied; `reason` says why, and what may mend it."""
    async with single(handles.pool) as conn:
        chosen = None if state is None else EventState(state)
        found, total = await billing.events(conn, state=chosen, limit=part.limit, offset=part.offset)
    data = StripeEventList(events=[_shown(event) for event in found])
    return success(request, "Stripe events", data, total=total, limit=part.limit, offset=part.offset)


@router.post(
    "/events/{event_id}/retry",
    responses={
        200: {"model": schemas.Success[StripeEvent]},
        **documented(e.ResourceNotFound, e.StateConflict, e.PaymentsOff, e.EngineUnavailable),
    },
    openapi_extra=answering(EVENT_RETRIED),
)
async def retry_stripe_event(request: Request, caller: OperatorCaller, handles: Handles, event_id: str) -> Response:
    """Try a parked event now. What it is about is read afresh, and what was applied before is not applied again."""
    if handles.payments is None:
        raise e.PaymentsOff("This deployment takes no payments.")
    async with transaction(handles.pool) as conn:
        event = None if "\x00" in event_id else await billing.event(conn, event_id)
        if event is None:
            raise not_found("event")
        if event.ended:
            raise e.StateConflict("The event was applied already.")
        await note(conn, request, caller, "stripe.retry", target_type="stripe_event", target_id=event_id)
    try:
        await handles.retry_stripe_event(event_id)
    except (RPCError, RuntimeError) as failure:
        raise e.EngineUnavailable("The workflow engine does not answer.") from failure
    return success(request, "Stripe event", _shown(event))


@router.post(
    "/customers",
    responses={
        200: {"model": schemas.Success[Linked]},
        **documented(e.InvalidInput, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(LinkCreate, LINK_BODY, LINKED),
)
async def link_customer(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    asked: Annotated[LinkCreate, Depends(body(LinkCreate))],
) -> Response:
    """Say which account a customer pays for. A link never changes: what is booked stays where it is."""
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, asked.account_id)
        linked = await billing.link_customer(conn, account.account_id, asked.customer_id)
        if linked != asked.customer_id:
            raise e.StateConflict("The account has another customer.", details={"field": "account_id"})
        await note(
            conn,
            request,
            caller,
            "stripe.link",
            target_type="stripe_customer",
            target_id=asked.customer_id,
            account_id=account.account_id,
        )
    data = Linked(account_id=account.account_id, customer_id=asked.customer_id)
    return success(request, "Customer linked", data)


@router.get(
    "/differences",
    responses={200: {"model": schemas.Success[DifferenceList]}, **documented()},
    openapi_extra=answering(DIFFERENCES),
)
async def list_stripe_differences(request: Request, _: OperatorCaller, handles: Handles) -> Response:
    """Where Stripe's books and ours did not agree when they were compared last; oldest first."""
    async with single(handles.pool) as conn:
        found = await billing.differences(conn)
    shown = [
        DifferenceShown(
            source_id=one.source_id,
            difference=one.difference,
            explanation=one.message,
            found_at=timestamp(one.found_at),
        )
        for one in found
    ]
    return success(request, "Differences", DifferenceList(differences=shown))


def _shown(event: Event) -> StripeEvent:
    return StripeEvent(
        event_id=event.event_id,
        type=event.type,
        object_id=event.object_id,
        state=event.state.value,
        reason=event.reason,
        explanation=event.message,
        tries=event.tries,
        received_at=timestamp(event.received_at),
        tried_at=optional_timestamp(event.tried_at),
    )
