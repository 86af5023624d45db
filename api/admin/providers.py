"""Providers: which get new generations, and the switch for that."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import schemas
from api.admin import samples
from api.admin import schemas as shapes
from api.admin.access import OperatorCaller, documented, note
from api.admin.bodies import Paged, accepting, body
from api.admin.targets import not_found
from api.dependencies import Handles
from api.envelope import success, timestamp
from api.samples import answering
from api.services import Services
from domain import errors as e
from domain.model import ProviderFacts
from store import paused_providers
from store.connection import single, transaction
from store.paused_providers import Pause

router = APIRouter(prefix="/admin/v1/providers", tags=["operator: providers"])


@router.get(
    "",
    responses={200: {"model": schemas.Page[shapes.ProviderStateList]}, **documented(e.InvalidInput)},
    openapi_extra=answering(samples.PROVIDERS),
)
async def list_provider_states(request: Request, _: OperatorCaller, handles: Handles, part: Paged) -> Response:
    """Every provider of the catalogue, and whether it gets new generations."""
    async with single(handles.pool) as conn:
        pauses = await paused_providers.by_provider(conn)
    providers = list(handles.catalogue.providers.values())
    shown = [_shown(handles, provider, pauses.get(provider.identifier)) for provider in part.of(providers)]
    data = shapes.ProviderStateList(providers=shown)
    return success(request, "Providers", data, total=len(providers), limit=part.limit, offset=part.offset)


@router.post(
    "/{provider}/pause",
    responses={
        200: {"model": schemas.Success[shapes.ProviderState]},
        **documented(e.InvalidInput, e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=accepting(shapes.ProviderPause, samples.PAUSE_BODY, samples.PAUSED),
)
async def pause_provider(
    request: Request,
    caller: OperatorCaller,
    handles: Handles,
    provider: str,
    asked: Annotated[shapes.ProviderPause, Depends(body(shapes.ProviderPause))],
) -> Response:
    """Send no new generation there, within a second. Those that were admitted before may still go there."""
    facts = _provider(handles, provider)
    async with transaction(handles.pool) as conn:
        if not await paused_providers.pause(conn, facts.identifier, paused_by=caller.name, reason=asked.reason):
            raise e.StateConflict("The provider is paused already.")
        await note(
            conn,
            request,
            caller,
            "provider.pause",
            target_type="provider",
            target_id=facts.identifier,
            details={"reason": asked.reason},
        )
        pauses = await paused_providers.by_provider(conn)
    handles.paused.forget()
    return success(request, "Provider paused", _shown(handles, facts, pauses[facts.identifier]))


@router.post(
    "/{provider}/resume",
    responses={
        200: {"model": schemas.Success[shapes.ProviderState]},
        **documented(e.ResourceNotFound, e.StateConflict),
    },
    openapi_extra=answering(samples.RESUMED),
)
async def resume_provider(request: Request, caller: OperatorCaller, handles: Handles, provider: str) -> Response:
    """Send new generations there again."""
    facts = _provider(handles, provider)
    async with transaction(handles.pool) as conn:
        if not await paused_providers.resume(conn, facts.identifier):
            raise e.StateConflict("The provider is not paused.")
        await note(conn, request, caller, "provider.resume", target_type="provider", target_id=facts.identifier)
    handles.paused.forget()
    return success(request, "Provider resumed", _shown(handles, facts, None))


def _provider(handles: Services, identifier: str) -> ProviderFacts:
    facts = handles.catalogue.providers.get(identifier)
    if facts is None:
        raise not_found("provider")
    return facts


def _shown(handles: Services, facts: ProviderFacts, pause: Pause | None) -> shapes.ProviderState:
    configured = facts.identifier in handles.available_providers
    return shapes.ProviderState(
        provider=facts.identifier,
        name=facts.name,
        state="paused" if pause else "active" if configured else "unconfigured",
        paused_at=timestamp(pause.paused_at) if pause else None,
        paused_by=pause.paused_by if pause else None,
        reason=pause.reason if pause else None,
    )
