"""How the object store and the counters are: asked for this answer, or for another one a moment ago."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import samples, schemas
from api.dependencies import Handles, HealthReader
from api.envelope import success
from api.errors import documented
from api.probes import Probed

router = APIRouter(prefix="/v1/health", tags=["health"])


@router.get(
    "/storage",
    responses={200: {"model": schemas.Success[schemas.StorageHealth]}, **documented()},
    openapi_extra=samples.answering(samples.STORAGE_HEALTH),
)
async def storage_health(request: Request, _: HealthReader, handles: Handles) -> Response:
    """Whether the object store can be used, asked at most every five seconds. Unhealthy is an answer: 200."""
    probed = await handles.storage_probe.result()
    return success(request, "Storage health", {"service": "storage", **_shown(probed), "bucket": handles.objects.name})


@router.get(
    "/cache",
    responses={200: {"model": schemas.Success[schemas.CacheHealth]}, **documented()},
    openapi_extra=samples.answering(samples.CACHE_HEALTH),
)
async def cache_health(request: Request, _: HealthReader, handles: Handles) -> Response:
    """Whether what counts requests answers, asked at most every five seconds. Without a shared one, that is the API
    process itself. Unhealthy is an answer: 200.
    """
    probed = await handles.cache_probe.result()
    return success(request, "Cache health", {"service": "redis", **_shown(probed)})


def _shown(probed: Probed) -> dict[str, Any]:
    told = {} if probed.error is None else {"error": probed.error}
    return {"healthy": probed.healthy, "latency_ms": probed.latency_ms, **told}
