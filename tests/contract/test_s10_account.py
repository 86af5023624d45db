"""Sections 10.1 to 10.5: the key, the usage, the account, the bill and the estimate, member by member."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.api.conftest import Customer, NewCustomer, a_finished, a_running, generate
from tests.api.reading import error_of
from tests.support.staged_worker import StagedProvider

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ESTIMATE = {
    "model_identifier",
    "model_type",
    "assets_count",
    "cost_per_generation",
    "cost_total_consumed",
    "credit_balance",
    "credit_balance_can_afford",
    "credit_balance_max_affordable",
}
VIDEO = {"cost_per_second", "duration_seconds"}


async def data_at(http: httpx.AsyncClient, customer: Customer, path: str) -> dict[str, Any]:
    response = await http.get(path, headers=customer.auth)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


# --- 10.1 ---------------------------------------------------------------------------------------------------------


async def test_10_1_the_status_has_exactly_these_members(http: httpx.AsyncClient, customer: Customer):
    data = await data_at(http, customer, "/v1/status")

    assert set(data) == {
        "account_id",
        "apikey_id",
        "apikey_name",
        "apikey_prefix",
        "apikey_created_at",
        "apikey_last_used_at",
        "apikey_expires_at",
    }
    assert str(uuid.UUID(data["account_id"])) == customer.account_id
    assert str(uuid.UUID(data["apikey_id"])) == customer.api_key_id
    assert data["apikey_prefix"] == customer.key[:9]
    assert TIMESTAMP.fullmatch(data["apikey_created_at"])
    assert data["apikey_expires_at"] is None


async def test_10_1_the_last_use_is_this_one(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer()
    before = datetime.now(UTC).replace(microsecond=0)

    data = await data_at(http, customer, "/v1/status")

    assert before <= datetime.fromisoformat(data["apikey_last_used_at"]) <= datetime.now(UTC)


# --- 10.2 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "days"), [("", 30), ("?days=7", 7), ("?days=0", 1), ("?days=-5", 1), ("?days=91", 90), ("?days=9999", 90)]
)
async def test_10_2_the_days_are_clamped(http: httpx.AsyncClient, customer: Customer, query: str, days: int):
    assert (await data_at(http, customer, f"/v1/usage{query}"))["usage_period_days"] == days


@pytest.mark.parametrize("days", ["seven", "1.5", "", "0x10", "7 days"])
async def test_10_2_days_that_are_no_integer_are_refused(http: httpx.AsyncClient, customer: Customer, days: str):
    response = await http.get("/v1/usage", params={"days": days}, headers=customer.auth)

    assert error_of(response) == (400, "BSE2001")
    assert response.json()["error"]["details"]["field"] == "days"


async def test_10_2_the_usage_has_exactly_these_members(
    http: httpx.AsyncClient, engine: Client, new_customer: NewCustomer, replicate: StagedProvider
):
    customer = await new_customer()
    await a_finished(http, engine, customer, replicate)

    data = await data_at(http, customer, "/v1/usage?days=7")

    assert set(data) == {
        "account_id",
        "usage_period_days",
        "usage_credit_balance",
        "usage_total_requests",
        "usage_total_success",
        "usage_total_client_errors",
        "usage_total_server_errors",
        "usage_total_generations",
        "usage_total_provider_submissions",
        "usage_total_estimated_cost",
        "usage_endpoints",
        "usage_providers",
    }
    assert data["account_id"] == customer.account_id
    assert data["usage_credit_balance"] == 0.995
    assert data["usage_total_generations"] == 1
    (provider,) = data["usage_providers"]
    assert provider == {
        "provider": "replicate",
        "total_submissions": 1,
        "used_count": 1,
        "cancelled_count": 0,
        "discarded_count": 0,
        "failed_count": 0,
        "total_estimated_cost": 0.003,
        "wasted_estimated_cost": 0,
    }


async def test_10_2_the_totals_are_the_sums_of_the_columns(
    http: httpx.AsyncClient, engine: Client, new_customer: NewCustomer, replicate: StagedProvider
):
    customer = await new_customer()
    await a_finished(http, engine, customer, replicate)
    running = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{running}", headers=customer.auth)
    await http.get(f"/v1/content/{uuid.uuid4()}", headers=customer.auth)
    await http.get("/v1/content/list?limit=x", headers=customer.auth)

    data = await usage_with(http, customer, requests=5)

    for total, column in [
        ("requests", "total_requests"),
        ("success", "success_count"),
        ("client_errors", "client_error_count"),
        ("server_errors", "server_error_count"),
    ]:
        assert data[f"usage_total_{total}"] == sum(endpoint[column] for endpoint in data["usage_endpoints"])
    assert data["usage_total_provider_submissions"] == sum(row["total_submissions"] for row in data["usage_providers"])
    by_endpoint = {endpoint["endpoint"]: endpoint for endpoint in data["usage_endpoints"]}
    assert by_endpoint["/v1/content/{generation_id}"] == {
        "endpoint": "/v1/content/{generation_id}",
        "total_requests": 1,
        "success_count": 0,
        "client_error_count": 1,
        "server_error_count": 0,
        "error_codes": {"BSE3001": 1},
    }
    assert by_endpoint["/v1/content/list"]["error_codes"] == {"BSE2001": 1}
    assert by_endpoint["/v1/generate/image/{model_identifier}"]["total_requests"] == 2


async def usage_with(http: httpx.AsyncClient, customer: Customer, *, requests: int) -> dict[str, Any]:
    """The usage once that many requests are in it: the log is written beside the answers."""
    for _ in range(200):
        data = await data_at(http, customer, "/v1/usage")
        endpoints = [row for row in data["usage_endpoints"] if row["endpoint"] != "/v1/usage"]
        if sum(row["total_requests"] for row in endpoints) >= requests:
            return data
    raise AssertionError(data)


# --- 10.3 and 10.4 ------------------------------------------------------------------------------------------------


async def test_10_3_the_account_has_exactly_these_members(http: httpx.AsyncClient, customer: Customer):
    data = await data_at(http, customer, "/v1/user/account")

    assert set(data) == {
        "account_id",
        "account_name",
        "account_email",
        "account_is_personal",
        "account_picture_url",
        "account_created_at",
    }
    assert data["account_id"] == customer.account_id
    assert isinstance(data["account_name"], str)
    assert isinstance(data["account_is_personal"], bool)
    assert TIMESTAMP.fullmatch(data["account_created_at"])


BILLING = {
    "account_id",
    "billing_plan",
    "billing_credit_balance",
    "billing_subscription_status",
    "billing_cancel_at_period_end",
    "billing_currency",
    "billing_period_starts_at",
    "billing_period_ends_at",
    "billing_created_at",
    "billing_updated_at",
}


async def test_10_4_the_bill_of_a_free_account_is_null_but_for_the_balance(
    http: httpx.AsyncClient, new_customer: NewCustomer
):
    customer = await new_customer(plan="free", credits=820_000)

    data = await data_at(http, customer, "/v1/user/billing")

    assert set(data) == BILLING
    assert (data["account_id"], data["billing_credit_balance"]) == (customer.account_id, 0.82)
    assert {data[name] for name in BILLING - {"account_id", "billing_credit_balance"}} == {None}


@pytest.mark.parametrize(("plan", "shown"), [("scale", "Scale"), ("Starter Monthly", "Starter Monthly")])
async def test_10_4_a_plan_has_its_display_name(
    http: httpx.AsyncClient, new_customer: NewCustomer, plan: str, shown: str
):
    customer = await new_customer(plan=plan)

    data = await data_at(http, customer, "/v1/user/billing")

    assert set(data) == BILLING
    assert data["billing_plan"] == shown


# --- 10.5 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "members"),
    [
        pytest.param("bfl/flux-schnell", ESTIMATE, id="an image"),
        pytest.param("pixverse/v5?duration=5", ESTIMATE | VIDEO | {"resolution"}, id="a video priced by resolution"),
        pytest.param("kling/v2.5-turbo-pro?duration=5", ESTIMATE | VIDEO, id="a video at one price"),
    ],
)
async def test_10_5_the_estimate_has_exactly_these_members(
    http: httpx.AsyncClient, customer: Customer, path: str, members: set[str]
):
    data = await data_at(http, customer, f"/v1/estimate/{path}")

    assert set(data) == members
    assert data["assets_count"] == 1
    assert data["model_type"] == ("video" if members >= VIDEO else "image")


async def test_10_5_an_estimate_reserves_nothing(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(credits=10_000_000)

    first, second = [await data_at(http, customer, "/v1/estimate/bfl/flux-schnell?count=3") for _ in range(2)]

    assert first == second
    assert (first["credit_balance"], first["credit_balance_max_affordable"]) == (10.0, 2000)


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("pixverse/v5", 400, "BSE2001", "duration"),
        ("pixverse/v5?duration=", 400, "BSE2001", "duration"),
        ("pixverse/v5?duration=6.5", 422, "BSE2008", "duration"),
        ("pixverse/v5?duration=5&resolution=9p", 422, "BSE2008", "resolution"),
        ("bfl/flux-schnell?count=x", 400, "BSE2001", "count"),
    ],
)
async def test_10_5_what_cannot_be_priced_is_refused_by_its_name(
    http: httpx.AsyncClient, customer: Customer, path: str, status: int, code: str, field: str
):
    response = await http.get(f"/v1/estimate/{path}", headers=customer.auth)

    assert error_of(response) == (status, code)
    assert response.json()["error"]["details"]["field"] == field


@pytest.mark.parametrize("model", ["BFL/flux-schnell", "bfl", "bfl/flux-schnell/x", "bfl%2Fflux", "%00"])
async def test_10_5_identifiers_are_matched_exactly(http: httpx.AsyncClient, customer: Customer, model: str):
    assert error_of(await http.get(f"/v1/estimate/{model}", headers=customer.auth)) == (404, "BSE2011")


async def test_10_5_a_slash_at_the_end_is_ignored(http: httpx.AsyncClient, customer: Customer):
    data = await data_at(http, customer, "/v1/estimate/bfl/flux-schnell/")

    assert data["model_identifier"] == "bfl/flux-schnell"


async def test_10_2_a_running_generation_counts_in_the_usage(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer()
    await generate(http, customer)

    data = await data_at(http, customer, "/v1/usage")

    assert data["usage_total_generations"] == 1
    assert data["usage_credit_balance"] == 0.995
