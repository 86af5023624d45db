"""Stripe rings here. An event is verified over its raw bytes and kept; what it means is found out after the answer."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request
from starlette.responses import Response
from temporalio.service import RPCError

from api import schemas
from api.dependencies import Handles
from api.envelope import json_response
from api.errors import documented_only
from api.samples import answering
from domain.errors import DatabaseUnavailable, InvalidInput, PayloadTooLarge, PaymentsOff
from store import billing
from store.connection import single

log = logging.getLogger("babysea.api")

router = APIRouter(prefix="/v1/stripe", tags=["callbacks"])


@router.post(
    "/webhooks",
    responses={
        200: {"model": schemas.StripeAnswer},
        **documented_only(InvalidInput, PayloadTooLarge, PaymentsOff, DatabaseUnavailable),
    },
    openapi_extra=answering({"status": "accepted"}),
)
async def hear_stripe(request: Request, handles: Handles) -> Response:
    """Keep an event, once, and start what applies it. One that was kept is applied whatever happens after the answer:
    what was not started is found within a minute."""
    verifier = handles.stripe_webhooks
    if verifier is None:
        raise PaymentsOff("This deployment takes no payments.")
    notice = verifier.verify(await request.body(), request.headers.get("stripe-signature"))
    async with single(handles.pool) as conn:
        is_new = await billing.receive(conn, notice)
    if not is_new:
        return json_response({"status": "known"}, 200)
    try:
        await handles.start_stripe_event(notice.event_id)
    except (RPCError, RuntimeError) as failure:
        log.warning("stripe_event_not_started event=%s cause=%r", notice.event_id, failure)
    return json_response({"status": "accepted"}, 200)
