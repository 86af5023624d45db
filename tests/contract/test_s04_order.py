"""Section 4: the checks of a request in their order. Each test breaks two neighbours; the earlier one answers."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import idempotency as fingerprints
from domain.generation import MediaType
from store import idempotency
from store.connection import Pool, single
from tests.api.conftest import PROMPT, SCHNELL, Customer, NewCustomer, reaching
from tests.api.reading import error_of

JSON = {"Content-Type": "application/json"}
BODY = {"generation_prompt": PROMPT, "generation_provider_order": "replicate"}
WRONG_KEY = {"Authorization": "Bearer bye_" + "a" * 43}
ATTEMPTS_MAX, FREE_REQUESTS_MAX = 30, 60
SCHNELL_MICROCREDITS = 5_000
_hosts = itertools.count(1)


@dataclass(frozen=True)
class Blocked:
    """A client whose address has used up its failed authentications."""

    http: httpx.AsyncClient


@pytest.fixture
async def blocked(app: FastAPI) -> AsyncIterator[Blocked]:
    async with reaching(app, f"198.51.100.{next(_hosts)}") as http:
        for _ in range(ATTEMPTS_MAX):
            assert error_of(await http.get("/v1/status", headers=WRONG_KEY)) == (401, "BSE1002")
        yield Blocked(http)


@pytest.fixture
async def exhausted(http: httpx.AsyncClient, new_customer: NewCustomer) -> Customer:
    """On the free plan, with this minute's requests used up."""
    customer = await new_customer(plan="free")
    for _ in range(FREE_REQUESTS_MAX):
        if (await http.get("/v1/status", headers=customer.auth)).status_code == 429:
            break
    return customer


async def closed(pool: Pool, customer: Customer) -> Customer:
    """Whose account is gone, and whose key is not."""
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.accounts SET closed_at = now(), frozen_at = now() WHERE account_id = %s",
            [customer.account_id],
        )
    return customer


async def in_flight(http: httpx.AsyncClient, customer: Customer, count: int) -> None:
    for _ in range(count):
        assert (await http.post(SCHNELL, headers=customer.auth, json=BODY)).status_code == 200


async def test_4_size_before_media_type(http: httpx.AsyncClient):
    response = await http.post(SCHNELL, content=b" " * 200_000)

    assert error_of(response) == (413, "BSE2010")


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "status", "code"),
    [
        pytest.param("POST", SCHNELL, JSON, b" " * 200_000, 413, "BSE2010", id="size"),
        pytest.param("POST", SCHNELL, {}, b"{}", 415, "BSE2017", id="media type"),
        pytest.param("PUT", SCHNELL, {}, b"", 405, "BSE3005", id="method"),
        pytest.param("GET", "/v1/nothing", {}, b"", 404, "BSE3004", id="route"),
    ],
)
async def test_4_size_route_method_and_media_type_before_the_limit_of_the_address(
    blocked: Blocked, method: str, path: str, headers: dict[str, str], content: bytes, status: int, code: str
):
    response = await blocked.http.request(method, path, headers=headers, content=content)

    assert error_of(response) == (status, code)


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Bearer bye_" + "a" * 43])
async def test_4_the_limit_of_the_address_before_authentication(blocked: Blocked, authorization: str | None):
    headers = {"Authorization": authorization} if authorization else {}

    response = await blocked.http.get("/v1/status", headers=headers)

    assert error_of(response) == (429, "BSE1006")


async def test_4_the_limit_of_the_address_before_a_key_that_is_good(blocked: Blocked, customer: Customer):
    response = await blocked.http.get("/v1/status", headers=customer.auth)

    assert error_of(response) == (429, "BSE1006")


async def test_4_the_state_of_the_key_before_its_account(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    foreign = await closed(pool, await new_customer(region="eu"))

    assert error_of(await http.get("/v1/status", headers=foreign.auth)) == (401, "BSE1002")


async def test_4_the_account_before_the_allowlist(http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool):
    elsewhere = await closed(pool, await new_customer(ip_allowlist=("203.0.113.9",)))

    assert error_of(await http.get("/v1/status", headers=elsewhere.auth)) == (404, "BSE1008")


async def test_4_the_allowlist_before_the_scope(http: httpx.AsyncClient, new_customer: NewCustomer):
    elsewhere = await new_customer(ip_allowlist=("203.0.113.9",), scopes=("library:read",))

    assert error_of(await http.get("/v1/status", headers=elsewhere.auth)) == (403, "BSE1007")


async def test_4_the_scope_before_the_request_limit(
    http: httpx.AsyncClient, new_customer: NewCustomer, exhausted: Customer
):
    narrow = await new_customer(account_id=exhausted.account_id, scopes=("library:read",))

    assert error_of(await http.get("/v1/status", headers=narrow.auth)) == (403, "BSE1003")


async def test_4_the_request_limit_before_the_idempotency_key(http: httpx.AsyncClient, exhausted: Customer):
    response = await http.post(SCHNELL, headers=exhausted.auth | {"Idempotency-Key": "not valid!"}, json=BODY)

    assert error_of(response) == (429, "BSE1005")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/generate/image/no/such-model", BODY, id="an unknown model"),
        pytest.param("/v1/generate/video/bfl/flux-schnell", BODY, id="the other route"),
        pytest.param(SCHNELL, {}, id="no prompt"),
    ],
)
async def test_4_the_form_of_the_idempotency_key_before_model_and_body(
    http: httpx.AsyncClient, customer: Customer, path: str, body: dict[str, Any]
):
    response = await http.post(path, headers=customer.auth | {"Idempotency-Key": ""}, json=body)

    assert error_of(response) == (400, "BSE2014")


async def test_4_a_busy_idempotency_key_before_a_body_that_is_wrong(
    http: httpx.AsyncClient, customer: Customer, pool: Pool
):
    key, wrong = str(uuid.uuid4()), {"generation_prompt": ""}
    claimed = fingerprints.fingerprint(MediaType.IMAGE.value, "bfl/flux-schnell", wrong)
    async with single(pool) as conn:
        await idempotency.claim(conn, customer.account_id, key, claimed, str(uuid.uuid4()), timedelta(seconds=60))

    response = await http.post(SCHNELL, headers=customer.auth | {"Idempotency-Key": key}, json=wrong)

    assert error_of(response) == (409, "BSE2016")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        pytest.param("/v1/generate/image/no/such-model", BODY, "BSE2011", id="an unknown model"),
        pytest.param(SCHNELL, {}, "BSE2001", id="no prompt"),
        pytest.param(SCHNELL, BODY | {"generation_ratio": "1:7"}, "BSE2008", id="another ratio"),
    ],
)
async def test_4_model_and_body_before_the_in_flight_cap(
    http: httpx.AsyncClient, new_customer: NewCustomer, path: str, body: dict[str, Any], code: str
):
    busy = await new_customer(plan="free")
    await in_flight(http, busy, 2)

    assert error_of(await http.post(path, headers=busy.auth, json=body))[1] == code


async def test_4_the_in_flight_cap_before_the_credits(http: httpx.AsyncClient, new_customer: NewCustomer):
    busy = await new_customer(plan="free", credits=2 * SCHNELL_MICROCREDITS)
    await in_flight(http, busy, 2)

    response = await http.post(SCHNELL, headers=busy.auth, json=BODY)

    assert error_of(response) == (429, "BSE1009")


async def test_4_no_provider_at_all_is_said_before_any_credit_is_looked_at(
    new_customer: NewCustomer, settings_app: FastAPI
):
    """Nothing could be bought with the credits, so nobody is told to pay first."""
    poor = await new_customer(credits=0)
    settings_app.state.services = replace(settings_app.state.services, available_providers=frozenset())
    async with reaching(settings_app, "127.0.0.1") as http:
        response = await http.post(SCHNELL, headers=poor.auth, json=BODY)

    assert error_of(response) == (503, "BSE4004")
