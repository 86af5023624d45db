"""How inference goes: providers by what became of real attempts, models by who can serve them."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import samples, schemas
from api.dependencies import Handles, HealthReader
from api.envelope import success
from api.errors import documented
from catalog.views import health_models
from domain.breaker import ProviderHealth, ProviderStatus, Thresholds
from store.connection import single

router = APIRouter(prefix="/v1/health/inference", tags=["health"])


@router.get(
    "/providers",
    responses={200: {"model": schemas.Success[schemas.ProvidersHealth]}, **documented()},
    openapi_extra=samples.answering(samples.PROVIDERS_HEALTH),
)
async def providers_health(request: Request, _: HealthReader, handles: Handles) -> Response:
    """The state of each provider's circuit breaker, by the attempts of the last five minutes, of all accounts.

    Refused content and what was our own fault does not count; no attempt: `unknown`. A `degraded` provider is tried
    last where `generation_provider_order` is `fastest`; an order that a request names is kept.
    """
    async with single(handles.pool) as conn:
        health = await handles.breakers.health(conn)
    data = schemas.ProvidersHealth(
        service="providers",
        healthy=all(found.status is not ProviderStatus.DEGRADED for found in health.values()),
        providers_total=len(health),
        providers=[_provider(name, found, handles.breakers.thresholds) for name, found in health.items()],
    )
    return success(request, "Provider health", data)


@router.get(
    "/models",
    responses={200: {"model": schemas.Success[schemas.ModelsHealth]}, **documented()},
    openapi_extra=samples.answering(samples.MODELS_HEALTH),
)
async def models_health(request: Request, _: HealthReader, handles: Handles) -> Response:
    """Which providers a new generation of each model can be sent to: those that this deployment has a key for and that
    are not paused. An open circuit breaker does not make a provider unavailable.
    """
    available = frozenset(handles.available_providers) - await handles.paused.names()
    data = health_models(handles.catalogue, available, on=datetime.now(UTC).date())
    return success(request, "Model health", data)


def _provider(name: str, health: ProviderHealth, thresholds: Thresholds) -> schemas.ProviderHealth:
    return schemas.ProviderHealth(
        provider=name,
        status=health.status.value,
        failure_rate=round(health.failure_rate, 4),
        window=schemas.HealthWindow(
            total_attempts=health.attempts,
            failures=health.failures,
            successes=health.successes,
            duration_seconds=round(thresholds.window.total_seconds()),
        ),
    )
