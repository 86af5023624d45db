"""Composition root of the HTTP side: what is opened and closed, the routers, the error handlers.

`python -m api` serves it. It starts when PostgreSQL or Temporal is down: `/readyz` says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.responses import Response

import composition
from adapters.guarded_http import GuardedFetcher
from adapters.local_store import LocalStore
from adapters.webhook_http import AddressCheck
from api import (
    account,
    billing,
    callbacks,
    content,
    dependency_health,
    docs_page,
    files,
    generations,
    health,
    inference_health,
    library,
    stripe_webhooks,
    usage,
)
from api.admin.routes import ROUTERS as ADMIN_ROUTERS
from api.authentication import Authenticator
from api.breakers import Breakers
from api.client_address import ClientAddress
from api.edge import Edge
from api.envelope import encoded
from api.errors import answer_invalid_query, answer_named_failure, answer_routing_failure
from api.input_files import InputFiles
from api.openapi import document
from api.probes import Probe, timed
from api.rate_limits import AttemptLimit, RequestLimit
from api.remembered import RememberedNames
from api.request_log import RequestLog
from api.services import Services
from catalog.loader import load_catalog
from catalog.packs import load_packs
from catalog.plans import load_plans
from domain.errors import ControlPlaneError
from domain.networks import networks_of
from settings import Settings
from store import paused_providers
from store.connection import open_pool

TITLE = "BabySea Control Plane"
VERSION = version("babysea-control-plane")
BREAKERS_READ_S = 2.0  # many attempts are read for them

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
    app.add_middleware(Edge, clients=ClientAddress(networks_of(settings.trusted_proxies)))
    app.add_exception_handler(ControlPlaneError, answer_named_failure)
    app.add_exception_handler(HTTPException, answer_routing_failure)
    app.add_exception_handler(RequestValidationError, answer_invalid_query)
    for resource in (  # the most asked first: they are looked at in turn
        content,
        account,
        generations,
        callbacks,
        stripe_webhooks,
        billing,
        library,
        usage,
        inference_health,
        dependency_health,
        health,
        docs_page,
    ):
        _take_routes(app, resource.router)
    for router in ADMIN_ROUTERS:
        _take_routes(app, router)
    if not settings.storage_bucket:
        _take_routes(app, files.router)
    app.add_api_route("/openapi.json", _openapi_route(app), include_in_schema=False)
    return app


def _take_routes(app: FastAPI, router: APIRouter) -> None:
    """Make its routes the application's own. `include_router` would look at all of them twice for every request."""
    for route in router.routes:
        assert isinstance(route, APIRoute)
        route.operation_id = route.name  # short, and stable when paths change
        app.router.routes.append(route)


def reference() -> str:
    """The OpenAPI document of no deployment in particular, as a text to keep."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        secret_key=SecretStr("none: this application is never started"),
        database_url=SecretStr(""),
        public_url="http://127.0.0.1:8080",
    )
    return json.dumps(document(create_app(settings)), indent=2, ensure_ascii=False)


def _openapi_route(app: FastAPI) -> Callable[[], Any]:
    """It needs no key, so it may cost nothing: the document is spelled out once."""

    @cache
    def spelled() -> bytes:
        return encoded(document(app))

    async def openapi() -> Response:
        return Response(spelled(), media_type="application/json")

    return openapi


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        keys = composition.keys(settings)
        objects = composition.object_store(settings, file_urls_key=keys.file_urls)
        providers = composition.providers(settings)
        catalogue = load_catalog(prices=settings.prices_file)
        deadlines = composition.deadlines(settings)
        breakers = Breakers(
            catalogue.providers, timedelta(seconds=max(deadlines.values())), reorder=settings.breakers_reorder
        )
        plans = load_plans(settings.plans_file)
        temporal = await composition.engine(settings, lazy=True)
        pool = await open_pool(
            settings.database_url.get_secret_value(), size_max=settings.database_pool_max, wait=False
        )
        counters = composition.counters(settings)
        addresses = composition.addresses(settings)
        fetcher = GuardedFetcher(addresses)
        attempts = AttemptLimit(counters)
        authenticator = Authenticator(
            pool,
            pepper=keys.api_keys,
            region=settings.region,
            counters=counters,
            attempts=attempts,
            requests=RequestLimit(plans),
        )
        request_log = RequestLog(pool, address_key=keys.client_addresses)
        request_log.start()
        storage_probe, cache_probe = Probe("storage", timed(objects.check)), Probe("cache", counters.ping)
        app.state.services = Services(
            region=settings.region,
            pool=pool,
            temporal=temporal,
            catalogue=catalogue,
            plans=plans,
            objects=objects,
            files=objects if isinstance(objects, LocalStore) else None,
            authenticator=authenticator,
            request_log=request_log,
            attempts=attempts,
            counters=counters,
            storage_probe=storage_probe,
            cache_probe=cache_probe,
            breakers=breakers,
            verifiers=providers,
            callback_key=keys.callback_tokens,
            keys=keys,
            available_providers=frozenset(providers),
            paused=RememberedNames("paused_providers", pool, paused_providers.by_provider),
            open_breakers=RememberedNames("open_breakers", pool, breakers.open, for_s=BREAKERS_READ_S),
            deadlines=deadlines,
            admission_wait_s=settings.admission_timeout_s,
            addresses=addresses,
            input_files=InputFiles(fetcher=fetcher, objects=objects, pool=pool, catalogue=catalogue),
            file_url_ttl=timedelta(seconds=settings.file_url_ttl_s),
            webhook_address=AddressCheck(allow_private=settings.webhook_private_addresses),
            start_delivery=partial(composition.start_delivery, temporal),
            start_drain=partial(composition.start_drain, temporal),
            offers=load_packs(plans, settings.packs_file),
            payments=composition.payments(settings),
            stripe_webhooks=composition.stripe_webhooks(settings),
            payment_return_url=settings.stripe_return_url or settings.public_url,
            start_stripe_event=partial(composition.start_stripe_event, temporal),
            retry_stripe_event=partial(composition.start_stripe_event, temporal, retry=True),
        )
        log.info("api_started region=%s providers=%s", settings.region, ",".join(providers) or "none")
        try:
            yield
        finally:
            await authenticator.close()
            await request_log.close()
            await storage_probe.close()
            await cache_probe.close()
            await fetcher.aclose()
            await counters.close()
            await pool.close()

    return lifespan
