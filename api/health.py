"""For load balancers: is the process alive, and can it take work. No key needed, nothing told but that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.dependencies import Handles
from api.envelope import json_response
from api.samples import answering
from store.connection import Pool, single

CHECK_WITHIN_S = 2.0

router = APIRouter(tags=["operation"])


@router.get("/livez", responses={200: {"model": schemas.Alive}}, openapi_extra=answering({"status": "alive"}))
async def alive() -> Response:
    """The process answers. Asks nothing of anyone, so that an outage elsewhere restarts nothing here."""
    return json_response({"status": "alive"}, 200)


@router.get(
    "/readyz",
    responses={
        200: {"model": schemas.Readiness},
        503: {"model": schemas.Readiness, "description": "PostgreSQL or Temporal does not answer."},
    },
    openapi_extra=answering({"status": "ready", "checks": {"database": "ok", "engine": "ok"}}),
)
async def ready(handles: Handles) -> Response:
    """Whether PostgreSQL and Temporal answer within two seconds."""
    names = ("database", "engine")
    answers = await asyncio.gather(
        _answers(_database(handles.pool)), _answers(handles.temporal.service_client.check_health())
    )
    checks = {name: "ok" if good else "unavailable" for name, good in zip(names, answers, strict=True)}
    if all(answers):
        return json_response({"status": "ready", "checks": checks}, 200)
    return json_response({"status": "unavailable", "checks": checks}, 503)


async def _database(pool: Pool) -> bool:
    async with single(pool) as conn:
        await conn.execute("SELECT 1")
    return True


async def _answers(check: Awaitable[bool]) -> bool:
    """Any failure means the same here: not ready."""
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            return await check
    except Exception:
        return False
