"""Section 3: who may do what, from where and until when; section 3.6: in which order it is found out."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI

import composition
from domain.keys import mint
from settings import Settings
from store import keys as key_records
from store.connection import Pool, single, transaction
from store.keys import Successor
from tests.api.conftest import SCHNELL, Customer, NewCustomer, generate, reaching
from tests.api.reading import error_of
from tests.support.waiting import until_async

AN_ID = "2d6b8f0e-94a1-4f0c-8a57-0c3e6b1d9f22"

ROUTES = [
    ("POST", SCHNELL, "generation:write"),
    ("POST", "/v1/generate/video/google/veo-2", "generation:write"),
    ("GET", f"/v1/content/{AN_ID}", "generation:read"),
    ("GET", "/v1/content/list", "generation:read"),
    ("DELETE", f"/v1/content/{AN_ID}", "generation:delete"),
    ("POST", f"/v1/content/generation/cancel/{AN_ID}", "generation:delete"),
    ("GET", "/v1/status", "account:read"),
    ("GET", "/v1/library/providers", "library:read"),
    ("GET", "/v1/library/models", "library:read"),
    ("GET", "/v1/estimate/bfl/flux-schnell", "library:read"),
]
SCOPES = ["generation:write", "generation:read", "generation:delete", "account:read", "health:read", "library:read"]
by_route = pytest.mark.parametrize(("method", "path", "scope"), ROUTES, ids=[f"{m} {p}" for m, p, _ in ROUTES])


async def ask(http: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    json_body = {"json": {}} if "/generate/" in path else {}
    return await http.request(method, path, headers=headers, **json_body)  # type: ignore[arg-type]


@by_route
async def test_3_3_each_route_refuses_a_key_without_its_scope(
    http: httpx.AsyncClient, new_customer: NewCustomer, method: str, path: str, scope: str
):
    others = await new_customer(scopes=tuple(name for name in SCOPES if name != scope))

    response = await ask(http, method, path, others.auth)

    assert error_of(response) == (403, "BSE1003")


@by_route
async def test_3_3_each_route_accepts_a_key_with_its_scope_alone(
    http: httpx.AsyncClient, new_customer: NewCustomer, method: str, path: str, scope: str
):
    only = await new_customer(scopes=(scope,))

    response = await ask(http, method, path, only.auth)

    assert response.status_code not in {401, 403}


@by_route
async def test_10_every_route_needs_a_key(http: httpx.AsyncClient, method: str, path: str, scope: str):
    response = await ask(http, method, path, {})

    assert error_of(response) == (401, "BSE1001")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        pytest.param({}, "BSE1001", id="no header"),
        pytest.param({"Authorization": "Bearer "}, "BSE1001", id="an empty bearer"),
        pytest.param({"Authorization": "Basic dXNlcjpwYXNz"}, "BSE1001", id="another scheme"),
        pytest.param({"Authorization": "bye_" + "a" * 43}, "BSE1001", id="no scheme"),
        pytest.param({"X-Api-Key": "bye_" + "a" * 43}, "BSE1001", id="another header"),
        pytest.param({"Authorization": "Bearer nonsense"}, "BSE1002", id="not a key"),
        pytest.param({"Authorization": "Bearer bye_" + "a" * 43}, "BSE1002", id="a key that does not exist"),
    ],
)
async def test_3_6_a_key_that_is_missing_or_unknown(http: httpx.AsyncClient, header: dict[str, str], code: str):
    response = await http.get("/v1/status", headers=header)

    assert error_of(response) == (401, code)
    assert response.json()["error"]["retryable"] is False


async def test_3_6_a_key_in_the_query_is_ignored(http: httpx.AsyncClient, customer: Customer):
    response = await http.get(f"/v1/status?api_key={customer.key}")

    assert error_of(response) == (401, "BSE1001")


async def test_3_6_the_scheme_is_read_in_any_case(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/status", headers={"Authorization": f"bearer {customer.key}"})

    assert response.status_code == 200


async def test_3_1_a_key_of_another_region_is_unknown_here(http: httpx.AsyncClient, new_customer: NewCustomer):
    foreign = await new_customer(region="eu")

    response = await http.get("/v1/status", headers=foreign.auth)

    assert error_of(response) == (401, "BSE1002")


async def test_3_5_an_expired_key_is_refused(http: httpx.AsyncClient, new_customer: NewCustomer):
    expired = await new_customer(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    response = await http.get("/v1/status", headers=expired.auth)

    assert error_of(response) == (401, "BSE1002")


async def test_3_5_a_revoked_key_is_refused_when_the_second_of_memory_is_over(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()
    assert (await http.get("/v1/status", headers=customer.auth)).status_code == 200

    async with single(pool) as conn:
        await key_records.revoke(conn, customer.api_key_id)
    app.state.services.authenticator.forget()

    assert error_of(await http.get("/v1/status", headers=customer.auth)) == (401, "BSE1002")


async def test_3_5_a_rotated_key_works_beside_its_successor_until_the_grace_period_ends(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, settings: Settings, pool: Pool
):
    customer = await new_customer(scopes=("account:read",))
    minted = mint(composition.keys(settings).api_keys, os.urandom(32))
    async with transaction(pool) as conn:
        successor = Successor(str(uuid.uuid4()), minted.prefix, minted.key_hash)
        await key_records.rotate(conn, customer.api_key_id, successor)

    answers = [await http.get("/v1/status", headers={"Authorization": f"Bearer {minted.secret}"})]
    answers.append(await http.get("/v1/status", headers=customer.auth))
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.api_keys SET expires_at = now() WHERE api_key_id = %s::uuid", [customer.api_key_id]
        )
    app.state.services.authenticator.forget()
    after = await http.get("/v1/status", headers=customer.auth)

    assert [answer.json()["data"]["apikey_id"] for answer in answers] == [successor.api_key_id, customer.api_key_id]
    assert error_of(after) == (401, "BSE1002")


async def test_3_5_a_deleted_key_is_unknown(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    async with single(pool) as conn:
        await key_records.delete(conn, customer.api_key_id)

    assert error_of(await http.get("/v1/status", headers=customer.auth)) == (401, "BSE1002")


async def test_3_5_a_key_that_expires_while_it_is_remembered_stops_at_once(
    settings_app: FastAPI, new_customer: NewCustomer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(settings_app.state.services.authenticator, "_clock", lambda: 1000.0)  # it never forgets
    customer = await new_customer(expires_at=datetime.now(UTC) + timedelta(seconds=0.5))

    async with reaching(settings_app, "127.0.0.1") as client:

        async def refused() -> bool:
            return (await client.get("/v1/status", headers=customer.auth)).status_code != 200

        await until_async(refused)
        answer = await client.get("/v1/status", headers=customer.auth)

    assert error_of(answer) == (401, "BSE1002")


async def test_4_a_key_of_a_closed_account_finds_no_account_whatever_else_is_wrong(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer(ip_allowlist=("203.0.113.9",), scopes=("library:read",))
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.accounts SET frozen_at = now(), closed_at = now() WHERE account_id = %s::uuid",
            [customer.account_id],
        )

    response = await http.get("/v1/status", headers=customer.auth)

    assert error_of(response) == (404, "BSE1008")
    assert response.json()["error"]["retryable"] is False


async def test_3_4_a_key_with_an_allowlist_works_from_there_only(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer
):
    customer = await new_customer(ip_allowlist=("203.0.113.0/24",))

    async with reaching(app, "203.0.113.9") as inside:
        allowed = await inside.get("/v1/status", headers=customer.auth)
    refused = await http.get("/v1/status", headers=customer.auth)

    assert allowed.status_code == 200
    assert error_of(refused) == (403, "BSE1007")


async def test_3_4_the_address_is_the_sockets_not_what_a_header_says(
    http: httpx.AsyncClient, new_customer: NewCustomer
):
    customer = await new_customer(ip_allowlist=("203.0.113.9",))

    response = await http.get("/v1/status", headers=customer.auth | {"X-Forwarded-For": "203.0.113.9"})

    assert error_of(response) == (403, "BSE1007")


async def test_3_6_the_allowlist_is_asked_before_the_scope(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(ip_allowlist=("203.0.113.9",), scopes=("library:read",))

    response = await http.get("/v1/status", headers=customer.auth)

    assert error_of(response) == (403, "BSE1007")


async def test_3_6_another_accounts_header_changes_nothing(
    http: httpx.AsyncClient, new_customer: NewCustomer, customer: Customer
):
    mine = await new_customer()

    response = await http.get("/v1/status", headers=mine.auth | {"X-Account-Id": customer.account_id})

    assert response.json()["data"]["account_id"] == mine.account_id


async def test_3_2_the_last_use_of_a_key_is_noted(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    await http.get("/v1/status", headers=customer.auth)
    await app.state.services.authenticator.close()

    async with single(pool) as conn:
        (row,) = await key_records.of_account(conn, customer.account_id)
    assert row.last_used_at is not None


async def test_4_authentication_comes_before_the_body_is_understood(http: httpx.AsyncClient):
    response = await http.post(SCHNELL, headers={"Content-Type": "application/json"}, content=b"{")

    assert error_of(response) == (401, "BSE1001")


async def test_4_the_media_type_comes_before_authentication(http: httpx.AsyncClient):
    response = await http.post(SCHNELL, content=b"{}")

    assert error_of(response) == (415, "BSE2017")


async def test_4_the_size_comes_before_authentication(http: httpx.AsyncClient):
    response = await http.post(SCHNELL, headers={"Content-Type": "application/json"}, content=b" " * 200_000)

    assert error_of(response) == (413, "BSE2010")


async def test_4_the_idempotency_key_comes_before_the_model(http: httpx.AsyncClient, customer: Customer):
    response = await http.post(
        "/v1/generate/image/no/such-model", headers=customer.auth | {"Idempotency-Key": ""}, json={}
    )

    assert error_of(response) == (400, "BSE2014")


async def test_4_validation_comes_before_credits(http: httpx.AsyncClient, new_customer: NewCustomer):
    poor = await new_customer(credits=0)

    response = await generate(http, poor, generation_ratio="1:7")

    assert error_of(response)[1] == "BSE2008"
