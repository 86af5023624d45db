"""Section 14: which requests are logged, and that no secret is. tests/api/test_request_log.py has the fields."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.api.conftest import PROMPT, Customer, NewCustomer, generate


async def log_of(http: httpx.AsyncClient, operator: dict[str, str], customer: Customer) -> list[dict[str, Any]]:
    """Oldest first."""
    response = await http.get(f"/admin/v1/accounts/{customer.account_id}/requests", headers=operator)
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()["data"]["requests"]
    return rows[::-1]


async def test_14_every_authenticated_request_is_logged_once(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer
):
    customer, key = await new_customer(), {"Idempotency-Key": "log"}

    await http.get("/v1/status", headers=customer.auth)
    await generate(http, customer, headers=key)
    await generate(http, customer, headers=key)
    await http.get("/v1/estimate/no/model?count=2", headers=customer.auth)

    rows = await log_of(http, operator, customer)
    assert [(row["method"], row["path"], row["status"], row["code"], row["replayed"]) for row in rows] == [
        ("GET", "/v1/status", 200, None, False),
        ("POST", "/v1/generate/image/bfl/flux-schnell", 200, None, False),
        ("POST", "/v1/generate/image/bfl/flux-schnell", 200, None, True),
        ("GET", "/v1/estimate/no/model", 404, "BSE2011", False),
    ]


async def test_14_a_refusal_after_authentication_is_logged_and_one_before_is_not(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer
):
    narrow = await new_customer(scopes=("library:read",))

    await http.get("/v1/status", headers=narrow.auth)
    await http.get("/v1/status", headers={"Authorization": narrow.auth["Authorization"] + "x"})

    (row,) = await log_of(http, operator, narrow)
    assert (row["status"], row["code"]) == (403, "BSE1003")


async def test_14_neither_body_nor_key_nor_address_is_kept(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer
):
    customer = await new_customer()
    await generate(http, customer)
    await http.get(f"/v1/status?key={customer.key}", headers=customer.auth)

    rows = await log_of(http, operator, customer)

    text = str(rows)
    assert customer.key not in text
    assert PROMPT not in text
    assert "127.0.0.1" not in text
    assert {row["key_prefix"] for row in rows} == {customer.key[:9]}
    assert all(re.fullmatch(r"[0-9a-f]{64}", row["client_ip_hash"]) for row in rows)


async def test_14_a_deleted_key_takes_its_rows_with_it_and_leaves_the_totals(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer
):
    first = await new_customer()
    second = await new_customer(account_id=first.account_id)
    await http.get("/v1/status", headers=first.auth)
    await http.get("/v1/status", headers=second.auth)
    assert len(await log_of(http, operator, first)) == 2

    await http.delete(f"/admin/v1/accounts/{first.account_id}/keys/{first.api_key_id}", headers=operator)

    assert [row["api_key_id"] for row in await log_of(http, operator, first)] == [second.api_key_id]
    usage = (await http.get("/v1/usage", headers=second.auth)).json()["data"]
    by_endpoint = {row["endpoint"]: row["total_requests"] for row in usage["usage_endpoints"]}
    assert by_endpoint["/v1/status"] == 2
