"""What can be generated, by whom, and what it costs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import library_samples, schemas
from api.dependencies import Handles, LibraryReader
from api.envelope import success
from api.errors import documented
from api.samples import answering
from catalog.views import estimate_view, library_models, library_providers
from domain.errors import DatabaseUnavailable, InvalidInput, ModelNotFound, ModelUnpriced, ParameterOutOfRange
from domain.estimating import estimate_from_query
from store import ledger
from store.connection import Pool, single

router = APIRouter(prefix="/v1", tags=["library"])


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    given = {"name": name, "in": "query", "schema": schema, "description": description}
    example = library_samples.ESTIMATE_QUERY.get(name)
    return given if example is None else given | {"example": example}


_ESTIMATE_QUERY = [
    _query("count", {"type": "integer", "default": 1}, "1 to 100; values outside are clamped."),
    _query("duration", {"type": "number"}, "Seconds; required for videos."),
    _query("resolution", {"type": "string"}, "Default: the model's."),
    _query("audio", {"type": "boolean", "default": False}, "For models that are priced by audio."),
]


@router.get(
    "/estimate/{model_identifier:path}",
    responses={
        200: {"model": schemas.Success[schemas.Estimate]},
        **documented(ModelNotFound, InvalidInput, ParameterOutOfRange, ModelUnpriced),
    },
    openapi_extra={"parameters": _ESTIMATE_QUERY, **answering(library_samples.ESTIMATE)},
)
async def estimate_cost(request: Request, model_identifier: str, caller: LibraryReader, handles: Handles) -> Response:
    """What a generation would cost, and whether the balance pays for it. Costs and reserves nothing."""
    day = _today()
    model = handles.catalogue.on(day).model(model_identifier)
    estimate = estimate_from_query(model, request.query_params, on=day)
    balance = await _balance(handles.pool, caller.account_id)
    return success(request, "Estimate", estimate_view(estimate, balance))


@router.get(
    "/library/models",
    responses={200: {"model": schemas.Success[schemas.LibraryModels]}, **documented()},
    openapi_extra=answering(library_samples.MODELS),
)
async def list_models(request: Request, _: LibraryReader, handles: Handles) -> Response:
    """Every model with its accepted fields and its price."""
    return success(request, "Model library", library_models(handles.catalogue, on=_today()))


@router.get(
    "/library/providers",
    responses={200: {"model": schemas.Success[schemas.LibraryProviders]}, **documented()},
    openapi_extra=answering(library_samples.PROVIDERS),
)
async def list_providers(request: Request, _: LibraryReader, handles: Handles) -> Response:
    """Every inference provider and how it is driven; one that is paused, or unavailable because this deployment has no
    key for it, gets no new generations."""
    paused, available = await handles.paused.names(), handles.available_providers
    return success(request, "Provider library", library_providers(handles.catalogue, paused, available=available))


def _today() -> date:
    """By which prices hold, and which models are offered."""
    return datetime.now(UTC).date()


async def _balance(pool: Pool, account_id: str) -> int | None:
    """Spendable micro-credits. None when they cannot be read: the estimate is worth having without them."""
    try:
        async with single(pool) as conn:
            return (await ledger.balance(conn, account_id)).available
    except DatabaseUnavailable:
        return None
