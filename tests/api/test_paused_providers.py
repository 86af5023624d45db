"""A provider that the operator has paused gets no new generations."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool

from api.admin import schemas as shapes
from api.remembered import RememberedNames
from api.schemas import GenerationAccepted, LibraryProviders
from store import paused_providers
from store.connection import Pool, single
from tests.api.conftest import Customer, generate
from tests.api.reading import data_of, page_of, refusal_of

PROVIDERS = "/admin/v1/providers"


@pytest.fixture
async def resumed(http: httpx.AsyncClient, operator: dict[str, str]) -> AsyncIterator[None]:
    """Whatever a test pauses runs again afterwards."""
    yield
    for provider in ("replicate", "fal"):
        await http.post(f"{PROVIDERS}/{provider}/resume", headers=operator)


async def test_a_paused_provider_is_passed_over_until_it_is_resumed(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, resumed: None
):
    paused = await http.post(f"{PROVIDERS}/replicate/pause", headers=operator, json={"reason": "incident"})
    during = await generate(http, customer, generation_provider_order="replicate, fal")
    await http.post(f"{PROVIDERS}/replicate/resume", headers=operator)
    afterwards = await generate(http, customer, generation_provider_order="replicate, fal")

    state = data_of(paused, shapes.ProviderState)
    assert (state["state"], state["paused_by"], state["reason"]) == ("paused", "tester", "incident")
    orders = [data_of(one, GenerationAccepted)["generation_provider_order"] for one in (during, afterwards)]
    assert orders == [["fal"], ["replicate", "fal"]]


async def test_when_all_are_paused_the_refusal_names_each_and_nothing_is_held(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, resumed: None
):
    for provider in ("replicate", "fal"):
        await http.post(f"{PROVIDERS}/{provider}/pause", headers=operator)

    refused = await generate(http, customer, generation_provider_order="replicate, fal")

    assert refused.status_code == 503
    assert refusal_of(refused) == {
        "code": "BSE4007",
        "type": "provider_paused",
        "message": "Every provider of bfl/flux-schnell that could serve this is paused by the operator.",
        "retryable": False,
        "provider_errors": [
            {
                "provider": provider,
                "code": "BSE4007",
                "type": "provider_paused",
                "message": f"The operator has paused {provider}.",
                "retryable": False,
            }
            for provider in ("replicate", "fal")
        ],
    }


async def test_the_library_and_the_operator_see_the_pause(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, resumed: None
):
    await http.post(f"{PROVIDERS}/fal/pause", headers=operator)

    listed = data_of(await http.get("/v1/library/providers", headers=customer.auth), LibraryProviders)
    states = page_of(await http.get(PROVIDERS, headers=operator), shapes.ProviderStateList)["providers"]

    assert {one["provider_id"]: one["provider_status"] for one in listed["providers"]}["fal"] == "paused"
    shown = {one["provider"]: one["state"] for one in states}
    assert {"fal": shown.pop("fal"), "replicate": shown.pop("replicate")} == {"fal": "paused", "replicate": "active"}
    assert set(shown.values()) == {"unconfigured"}


async def test_a_pause_is_made_and_ended_once(http: httpx.AsyncClient, operator: dict[str, str], resumed: None):
    answers = [
        await http.post(f"{PROVIDERS}/fal/{verb}", headers=operator) for verb in ("pause", "pause", "resume", "resume")
    ]
    unknown = await http.post(f"{PROVIDERS}/nobody/pause", headers=operator)

    assert [answer.status_code for answer in answers] == [200, 409, 200, 409]
    assert refusal_of(unknown)["code"] == "BSE3006"


async def test_the_pauses_are_read_once_a_second(pool: Pool, app: FastAPI, resumed: None):
    clock = [100.0]
    reader = RememberedNames("paused", pool, paused_providers.by_provider, clock=lambda: clock[0])

    seen = [await reader.names()]
    async with single(pool) as conn:
        await paused_providers.pause(conn, "fal", paused_by="a test", reason=None)
    seen.append(await reader.names())
    clock[0] += 1
    seen.append(await reader.names())

    assert seen == [frozenset(), frozenset(), {"fal"}]


async def test_without_the_database_what_was_read_last_holds(pool: Pool, app: FastAPI):
    clock = [100.0]
    closed: Pool = AsyncConnectionPool("", open=False)
    reader = RememberedNames("paused", closed, paused_providers.by_provider, clock=lambda: clock[0])

    assert await reader.names() == frozenset()
