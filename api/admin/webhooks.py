"""Webhook endpoints of an account: add, list, read, change, rotate the secret, delete."""

from __future__ import annotations

import os
import uuid
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from psycopg import AsyncConnection
from starlette.responses import Response

from api import schemas
from api.admin import webhook_samples as samples
from api.admin import webhook_schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import Paged, accepting, body
from api.admin.targets import account_of, id_of, not_found, open_account
from api.dependencies import Handles
from api.envelope import optional_timestamp, success, timestamp
from api.samples import answering
from api.services import Services
from domain import errors as e
from domain.sealing import seal
from domain.signature import SECRET_RANDOM_BYTES, mint_secret
from domain.webhook_events import subscription
from store import webhook_endpoints as endpoints
from store.connection import single, transaction
from store.operators import Operator
from store.webhook_endpoints import Endpoint

router = APIRouter(prefix="/admin/v1/accounts/{account_id}/webhooks", tags=["operator: webhooks"])


@router.post(
    "",
    responses={
        200: {"model": schemas.Success[shapes.EndpointMade]},
        **documented(e.InvalidInput, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.EndpointCreate, samples.ENDPOINT_BODY, samples.CREATED),
)
async def create_webhook(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    asked: Annotated[shapes.EndpointCreate, Depends(body(shapes.EndpointCreate))],
) -> Response:
    """Add an endpoint, ten at most. The secret that signs what is sent there is shown this once."""
    events = subscription(asked.events)
    await _allowed(handles, asked.url)
    endpoint_id = str(uuid.uuid4())
    secret, secret_sealed = _new_secret(handles, endpoint_id)
    async with transaction(handles.pool) as conn:
        account = await open_account(conn, account_id)
        made = await endpoints.insert(
            conn,
            endpoint_id=endpoint_id,
            account_id=account.account_id,
            url=asked.url,
            secret_sealed=secret_sealed,
            events=events,
        )
        await note_of(conn, request, caller, "webhook.create", made, {"host": _host(made), "events": made.events})
    return success(request, "Webhook created", shapes.EndpointMade(**shown(made).model_dump(), secret=secret))


@router.get(
    "",
    responses={200: {"model": schemas.Page[shapes.EndpointList]}, **documented(e.InvalidInput, e.ResourceNotFound)},
    openapi_extra=answering(samples.LISTED),
)
async def list_webhooks(
    request: Request, _: OperatorCaller, handles: Handles, account_id: str, part: Paged
) -> Response:
    """Oldest first, without their secrets; deleted ones are not listed."""
    async with single(handles.pool) as conn:
        account = await account_of(conn, account_id)
        found = await endpoints.of_account(conn, account.account_id)
    data = shapes.EndpointList(webhooks=[shown(endpoint) for endpoint in part.of(found)])
    return success(request, "Webhooks", data, total=len(found), limit=part.limit, offset=part.offset)


@router.get(
    "/{endpoint_id}",
    responses={200: {"model": schemas.Success[shapes.EndpointShown]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.READ),
)
async def read_webhook(
    request: Request, _: OperatorCaller, handles: Handles, account_id: str, endpoint_id: str
) -> Response:
    """One endpoint, a deleted one too: its deliveries can still be read."""
    async with single(handles.pool) as conn:
        return success(request, "Webhook", shown(await endpoint_of(conn, account_id, endpoint_id)))


@router.patch(
    "/{endpoint_id}",
    responses={
        200: {"model": schemas.Success[shapes.EndpointShown]},
        **documented(e.InvalidInput, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.EndpointUpdate, samples.ENDPOINT_CHANGE, samples.UPDATED),
)
async def update_webhook(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    account_id: str,
    endpoint_id: str,
    asked: Annotated[shapes.EndpointUpdate, Depends(body(shapes.EndpointUpdate))],
) -> Response:
    """Change what is sent and nothing else. What is queued stays queued; a drain sends it once this is enabled."""
    wanted = asked.model_dump(exclude_unset=True)
    if "events" in wanted:
        wanted["events"] = subscription(asked.events)
    if "url" in wanted:
        await _allowed(handles, asked.url)
    async with transaction(handles.pool) as conn:
        await open_account(conn, account_id)
        before = await live_endpoint(conn, account_id, endpoint_id)
        if not await endpoints.change(conn, before.account_id, before.endpoint_id, **wanted):
            raise not_found("webhook")  # deleted meanwhile
        after = await endpoint_of(conn, account_id, endpoint_id)
        if after != before:
            await note_of(conn, request, caller, "webhook.update", after, _changes(before, after))
    return success(request, "Webhook updated", shown(after))


@router.post(
    "/{endpoint_id}/rotate-secret",
    responses={
        200: {"model": schemas.Success[shapes.EndpointMade]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.ROTATED),
)
async def rotate_webhook_secret(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, endpoint_id: str
) -> Response:
    """Make a new secret, shown this once. It signs the very next attempt, alone."""
    async with transaction(handles.pool) as conn:
        await open_account(conn, account_id)
        endpoint = await live_endpoint(conn, account_id, endpoint_id)
        secret, secret_sealed = _new_secret(handles, endpoint.endpoint_id)
        if not await endpoints.replace_secret(
            conn, endpoint.account_id, endpoint.endpoint_id, secret_sealed=secret_sealed
        ):
            raise not_found("webhook")
        await note_of(conn, request, caller, "webhook.rotate_secret", endpoint)
    data = shapes.EndpointMade(**shown(endpoint).model_dump(), secret=secret)
    return success(request, "Webhook secret rotated", data)


@router.delete(
    "/{endpoint_id}",
    responses={200: {"model": schemas.Success[shapes.EndpointShown]}, **documented(e.ResourceNotFound)},
    openapi_extra=answering(samples.DELETED),
)
async def delete_webhook(
    request: Request, caller: OperatorCaller, handles: Handles, account_id: str, endpoint_id: str
) -> Response:
    """Send nothing more there, for good; what is queued expires. The log of its deliveries can be read on."""
    async with transaction(handles.pool) as conn:
        endpoint = await live_endpoint(conn, account_id, endpoint_id)
        if not await endpoints.delete(conn, endpoint.account_id, endpoint.endpoint_id):
            raise not_found("webhook")
        deleted = await endpoint_of(conn, account_id, endpoint_id)
        await note_of(conn, request, caller, "webhook.delete", deleted, {"host": _host(deleted)})
    return success(request, "Webhook deleted", shown(deleted))


async def endpoint_of(conn: AsyncConnection[Any], account_id: str, endpoint_id: str) -> Endpoint:
    """To be read; deleted ones, too. Raises ResourceNotFound."""
    found = await endpoints.get(conn, id_of(account_id, "account"), id_of(endpoint_id, "webhook"))
    if found is None:
        raise not_found("webhook")
    return found


async def live_endpoint(conn: AsyncConnection[Any], account_id: str, endpoint_id: str) -> Endpoint:
    """To be changed or used. Raises ResourceNotFound."""
    found = await endpoint_of(conn, account_id, endpoint_id)
    if found.deleted_at is not None:
        raise not_found("webhook")
    return found


async def note_of(
    conn: AsyncConnection[Any],
    request: Request,
    caller: Operator,
    action: str,
    endpoint: Endpoint,
    details: dict[str, Any] | None = None,
) -> None:
    """The audit row of something done to an endpoint."""
    await note(
        conn,
        request,
        caller,
        action,
        target_type="webhook",
        target_id=endpoint.endpoint_id,
        account_id=endpoint.account_id,
        details=details,
    )


def shown(endpoint: Endpoint) -> shapes.EndpointShown:
    return shapes.EndpointShown(
        endpoint_id=endpoint.endpoint_id,
        account_id=endpoint.account_id,
        url=endpoint.url,
        events=endpoint.events,
        enabled=endpoint.enabled,
        consecutive_failures=endpoint.consecutive_failures,
        disabled_at=optional_timestamp(endpoint.disabled_at),
        queued=endpoint.queued,
        created_at=timestamp(endpoint.created_at),
        deleted_at=optional_timestamp(endpoint.deleted_at),
    )


async def _allowed(handles: Services, url: str) -> None:
    """Looked up before any transaction begins. Raises InvalidInput."""
    try:
        await handles.webhook_address(url)
    except e.AddressRefused as refused:
        raise e.InvalidInput(refused.message, details={"field": "url"}) from refused


def _new_secret(handles: Services, endpoint_id: str) -> tuple[str, bytes]:
    """The secret, and how it is kept."""
    secret = mint_secret(os.urandom(SECRET_RANDOM_BYTES))
    return secret, seal(handles.keys.webhook_secrets, secret.encode(), endpoint_id.encode())


def _changes(before: Endpoint, after: Endpoint) -> dict[str, Any]:
    changed: dict[str, Any] = {
        name: {"from": getattr(before, name), "to": getattr(after, name)}
        for name in ("events", "enabled", "consecutive_failures")
        if getattr(before, name) != getattr(after, name)
    }
    if after.url != before.url:
        changed["host"] = {"from": _host(before), "to": _host(after)}
    return changed


def _host(endpoint: Endpoint) -> str:
    """The audit log forgets nothing, and the rest of an address may hold a token of the customer's."""
    return urlsplit(endpoint.url).netloc
