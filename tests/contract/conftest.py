"""The served API of tests/api, behind a client that holds every answer against the OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from api.openapi import document
from tests.api.conftest import (  # noqa: F401 - fixtures
    NewCustomer,
    app,
    customer,
    database_url,
    engine,
    new_customer,
    objects,
    operator,
    own_address,
    pool,
    reaching,
    replicate,
    settings,
    settings_app,
    worker,
)
from tests.contract.conforming import Conformance
from tests.support.sdk import BabySea


@pytest.fixture(scope="session")
def conformance(app: FastAPI) -> Conformance:  # noqa: F811
    return Conformance(document(app))


@pytest.fixture
async def http(app: FastAPI, conformance: Conformance) -> AsyncIterator[httpx.AsyncClient]:  # noqa: F811
    async with reaching(app, own_address()) as client:
        client.event_hooks = {"response": [conformance.hook]}
        yield client


async def no_pause(_: float) -> None:
    """In place of every sleep of the SDK."""


@pytest.fixture
def sdk(http: httpx.AsyncClient):
    """The published client's double, for a key."""

    def with_key(key: str) -> BabySea:
        return BabySea(key, base_url="http://testserver/", http=http, pause=no_pause)

    return with_key
