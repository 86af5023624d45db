"""Composition root of the HTTP side: what is opened and closed, the routers, the error handlers.

`uvicorn api.app:create_app --factory` serves it. It starts when PostgreSQL or Temporal is down: `/readyz` says so.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

import composition
from adapters.local_store import LocalStore
from api import account, callbacks, content, docs_page, files, generations, health, library
from api.authentication import Authenticator
from api.edge import Edge
from api.envelope import json_response
from api.errors import answer_invalid_query, answer_named_failure, answer_routing_failure
from api.openapi import document
from api.rate_limits import RateLimiter
from api.services import Services
from catalog.loader import load_catalog
from domain.errors import ControlPlaneError
from settings import Settings
from store.connection import open_pool

TITLE = "BabySea Control Plane"
VERSION = version("babysea-control-plane")

log = logging.getLogger("babysea.api")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; settings come from the environment when none are given."""
    if settings is None:
        settings = Settings()  # type: ignore[call-arg]  # the required ones come from the environment
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        servers=[{"url": settings.public_url}],
        lifespan=_lifespan(settings),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Edge)
    app.add_exception_handler(ControlPlaneError, answer_named_failure)
    app.add_exception_handler(HTTPException, answer_routing_failure)
    app.add_exception_handler(RequestValidationError, answer_invalid_query)
    for resource in (generations, content, library, account, callbacks, health, docs_page):
        app.include_router(resource.router)
    if not settings.storage_bucket:
        app.include_router(files.router)
    app.add_api_route("/openapi.json", _openapi_route(app), include_in_schema=False)
    return app


def _openapi_route(app: FastAPI) -> Callable[[], Any]:
    async def openapi() -> Response:
        return json_response(document(app), 200)

    return openapi


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        keys = composition.keys(settings)
        objects = composition.object_store(settings, file_urls_key=keys.file_urls)
        providers = composition.providers(settings)
        catalogue = load_catalog()
        temporal = await composition.engine(settings, lazy=True)
        pool = await open_pool(
            settings.database_url.get_secret_value(), size_max=settings.database_pool_max, wait=False
        )
        authenticator = Authenticator(pool, pepper=keys.api_keys, region=settings.region, limiter=RateLimiter())
        app.state.services = Services(
            region=settings.region,
            pool=pool,
            temporal=temporal,
            catalogue=catalogue,
            objects=objects,
            files=objects if isinstance(objects, LocalStore) else None,
            authenticator=authenticator,
            verifiers=providers,
            callback_key=keys.callback_tokens,
            available_providers=frozenset(providers),
            deadlines=composition.deadlines(settings),
            admission_wait_s=settings.admission_timeout_s,
            file_url_ttl=timedelta(seconds=settings.file_url_ttl_s),
        )
        log.info("api_started region=%s providers=%s", settings.region, ",".join(providers) or "none")
        try:
            yield
        finally:
            await authenticator.close()
            await pool.close()

    return lifespan
