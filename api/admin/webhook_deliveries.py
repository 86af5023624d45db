"""What an endpoint was sent, and sending by hand. Whatever is sent has an id, a time and a signature of its own."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from psycopg import AsyncConnection
from starlette.responses import Response

from api import schemas
from api.admin import webhook_samples as samples
from api.admin import webhook_schemas as shapes
from api.admin.access import OperatorCaller, documented
from api.admin.bodies import Paged
from api.admin.targets import id_of, not_found, open_account
from api.admin.webhooks import endpoint_of, live_endpoint, note_of
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.failures import engine_unanswered
from api.samples import answering
from api.services import Services
from domain import errors as e
from domain.webhook_events import webhook_test_body
from store import webhook_log, webhooks
from store.connection import single, transaction
from store.webhook_endpoints import Endpoint
from store.webhook_log import LoggedDelivery

STARTED_WITHIN_S = 5.0

log = logging.getLogger("babysea.api")

router = APIRouter(prefix="/admin/v1/accounts/{account_id}/webhooks/{endpoint_id}", tags=["operator: webhooks"])


@router.post(
    "/test",
    responses={
        200: {"model": schemas.Success[shapes.DeliveryShown]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.TESTING),
)
async def send_test_webhook(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, endpoint_id: str
) -> Response:
    """Send a `webhook.test`, once, whatever comes of it; it does not count as a failure. Read the delivery to see."""
    delivery_id, at = str(uuid.uuid4()), datetime.now(UTC)
    async with transaction(handles.pool) as conn:
        endpoint = await _enabled(conn, account_id, endpoint_id)
        await webhooks.insert_test(
            conn,
            delivery_id=delivery_id,
            endpoint_id=endpoint.endpoint_id,
            account_id=endpoint.account_id,
            body=webhook_test_body(endpoint.account_id, delivery_id, at),
            at=at,
        )
        made = await _delivery_of(conn, endpoint, delivery_id)
        await note_of(conn, request, caller, "webhook.test", endpoint, {"delivery_id": delivery_id})
    await _ring(handles, delivery_id)
    return success(request, "Test delivery started", _shown(made))


@router.post(
    "/drain",
    responses={
        200: {"model": schemas.Success[shapes.Drain]},
        **documented(e.ResourceNotFound, e.StateConflict, e.EngineUnavailable),
    },
    openapi_extra=answering(samples.DRAINING),
)
async def drain_webhook(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, endpoint_id: str
) -> Response:
    """Send what was queued while the endpoint was disabled, oldest first, one after the other.

    The first that fails ends it, and the rest stays queued; drain again to go on. A drain that is running is joined.
    """
    async with transaction(handles.pool) as conn:
        endpoint = await _enabled(conn, account_id, endpoint_id)
        await note_of(conn, request, caller, "webhook.drain", endpoint, {"queued": endpoint.queued})
    if endpoint.queued:
        try:
            async with asyncio.timeout(STARTED_WITHIN_S):
                await handles.start_drain(endpoint.endpoint_id)
        except Exception as failure:
            log.warning("drain_not_started endpoint=%s cause=%r", endpoint.endpoint_id, failure)
            raise engine_unanswered() from failure
    message = "Drain started" if endpoint.queued else "Nothing is queued"
    return success(request, message, shapes.Drain(endpoint_id=endpoint.endpoint_id, queued=endpoint.queued))


@router.get(
    "/deliveries",
    responses={200: {"model": schemas.Page[shapes.DeliveryList]}, **documented(e.InvalidInput, e.ResourceNotFound)},
    openapi_extra=answering(samples.DELIVERIES),
)
async def list_webhook_deliveries(
    request: Request,
    _: OperatorCaller,
    handles: Handles,
    account_id: str,
    endpoint_id: str,
    part: Paged,
    state: Annotated[shapes.StateName | None, Query(description="Only those in this state.")] = None,
) -> Response:
    """What the endpoint was sent, and what waits for it, newest first."""
    wanted = None if state is None else webhooks.DeliveryState(state)
    async with single(handles.pool) as conn:
        endpoint = await endpoint_of(conn, account_id, endpoint_id)
        found, total = await webhook_log.page(
            conn, endpoint.account_id, endpoint.endpoint_id, state=wanted, limit=part.limit, offset=part.offset
        )
    data = shapes.DeliveryList(deliveries=[_shown(each) for each in found])
    return success(request, "Webhook deliveries", data, total=total, limit=part.limit, offset=part.offset)


@router.get(
    "/deliveries/{delivery_id}",
    responses={200: {"model": schemas.Success[shapes.DeliveryShown]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.DELIVERY),
)
async def read_webhook_delivery(
    request: Request, _: OperatorCaller, handles: Handles, account_id: str, endpoint_id: str, delivery_id: str
) -> Response:
    """One delivery: its payload, and every attempt at it."""
    async with single(handles.pool) as conn:
        endpoint = await endpoint_of(conn, account_id, endpoint_id)
        return success(request, "Webhook delivery", _shown(await _delivery_of(conn, endpoint, delivery_id)))


@router.post(
    "/deliveries/{delivery_id}/replay",
    responses={
        200: {"model": schemas.Success[shapes.DeliveryShown]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.REPLAYING),
)
async def replay_webhook_delivery(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, endpoint_id: str, delivery_id: str
) -> Response:
    """Send the same event once more, as a delivery of its own: one attempt, which does not count as a failure."""
    async with transaction(handles.pool) as conn:
        endpoint = await _enabled(conn, account_id, endpoint_id)
        first = await _delivery_of(conn, endpoint, delivery_id)
        replay_id = await webhooks.replay(conn, first.delivery_id)
        made = await _delivery_of(conn, endpoint, replay_id)
        await note_of(
            conn,
            request,
            caller,
            "webhook.replay",
            endpoint,
            {"delivery_id": replay_id, "replay_of": first.delivery_id},
        )
    await _ring(handles, replay_id)
    return success(request, "Replay started", _shown(made))


async def _enabled(conn: AsyncConnection[Any], account_id: str, endpoint_id: str) -> Endpoint:
    """Nothing is attempted while an endpoint is disabled. Raises ResourceNotFound, StateConflict."""
    await open_account(conn, account_id)
    endpoint = await live_endpoint(conn, account_id, endpoint_id)
    if not endpoint.enabled:
        raise e.StateConflict("The endpoint is disabled; enable it first.")
    return endpoint


async def _delivery_of(conn: AsyncConnection[Any], endpoint: Endpoint, delivery_id: str) -> LoggedDelivery:
    known_form = id_of(delivery_id, "webhook delivery")
    found = await webhook_log.one(conn, endpoint.account_id, endpoint.endpoint_id, known_form)
    if found is None:
        raise not_found("webhook delivery")
    return found


async def _ring(handles: Services, delivery_id: str) -> None:
    """It is written down: when the engine does not answer now, the next sweep starts it."""
    try:
        async with asyncio.timeout(STARTED_WITHIN_S):
            await handles.start_delivery(delivery_id)
    except Exception as failure:
        log.warning("delivery_not_rung delivery=%s cause=%r", delivery_id, failure)


def _shown(delivery: LoggedDelivery) -> shapes.DeliveryShown:
    last = delivery.attempts[-1] if delivery.attempts else None
    return shapes.DeliveryShown(
        delivery_id=delivery.delivery_id,
        endpoint_id=delivery.endpoint_id,
        account_id=delivery.account_id,
        generation_id=delivery.generation_id,
        event=delivery.event,
        purpose=delivery.purpose.value,
        state=delivery.state.value,
        replay_of=delivery.replay_of,
        payload=delivery.payload,
        status_code=last.status_code if last else None,
        error=last.error if last else None,
        attempts=[
            shapes.AttemptShown(
                number=attempt.number,
                status_code=attempt.status_code,
                error=attempt.error,
                reply_head=attempt.reply_head,
                created_at=timestamp(attempt.created_at),
            )
            for attempt in delivery.attempts
        ],
        created_at=timestamp(delivery.created_at),
        ended_at=optional_timestamp(delivery.ended_at),
    )
