"""Sections 10.2 to 10.4: usage, account and billing."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from api import samples, schemas
from api.dependencies import AccountReader
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer, a_finished, a_running, generate, reaching
from tests.api.reading import data_of, error_of
from tests.support.staged_worker import StagedProvider

BILLING_OF_NO_SUBSCRIPTION = {
    "billing_subscription_status",
    "billing_cancel_at_period_end",
    "billing_currency",
    "billing_period_starts_at",
    "billing_period_ends_at",
    "billing_created_at",
    "billing_updated_at",
}


async def usage(http: httpx.AsyncClient, customer: Customer, query: str = "") -> dict[str, Any]:
    return data_of(await http.get(f"/v1/usage{query}", headers=customer.auth), schemas.Usage)


async def test_10_2_requests_are_counted_by_endpoint_class_and_code(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer()
    paths = ["/v1/status", "/v1/status", "/v1/content/nothing", "/v1/content/else", "/v1/estimate/a/b"]
    for path in (*paths, "/v1/content/list?limit=x"):
        await http.get(path, headers=customer.auth)

    used = await usage(http, customer)

    assert used["usage_endpoints"] == [
        endpoint("/v1/content/list", client_errors=1, codes={"BSE2001": 1}),
        endpoint("/v1/content/{generation_id}", client_errors=2, codes={"BSE3001": 2}),
        endpoint("/v1/estimate/{model_identifier}", client_errors=1, codes={"BSE2011": 1}),
        endpoint("/v1/status", success=2, codes={}),
    ]
    totals = {name.removeprefix("usage_total_"): used[name] for name in used if name.startswith("usage_total_")}
    assert totals == {
        "requests": 6,
        "success": 2,
        "client_errors": 4,
        "server_errors": 0,
        "generations": 0,
        "provider_submissions": 0,
        "estimated_cost": 0.0,
    }


def endpoint(name: str, *, success: int = 0, client_errors: int = 0, codes: dict[str, int]) -> dict[str, Any]:
    return {
        "endpoint": name,
        "total_requests": success + client_errors,
        "success_count": success,
        "client_error_count": client_errors,
        "server_error_count": 0,
        "error_codes": codes,
    }


async def test_10_2_a_server_error_is_counted_as_such(settings_app: FastAPI, new_customer: NewCustomer):
    customer = await new_customer()

    async def broken(_: AccountReader) -> None:
        raise ZeroDivisionError

    settings_app.add_api_route("/v1/broken", broken)
    async with reaching(settings_app, "127.0.0.1") as http:
        await http.get("/v1/broken", headers=customer.auth)
        used = await usage(http, customer)

    assert (used["usage_total_requests"], used["usage_total_server_errors"]) == (1, 1)
    assert used["usage_endpoints"][0]["error_codes"] == {"BSE5001": 1}


async def test_10_2_generations_and_attempts_are_counted_with_their_outcomes(
    http: httpx.AsyncClient, new_customer: NewCustomer, engine: Client, replicate: StagedProvider
):
    customer = await new_customer(credits=100_000_000)
    finished = await a_finished(http, engine, customer, replicate)
    canceled = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{canceled}", headers=customer.auth)
    running = await a_running(http, customer, replicate)
    await http.delete(f"/v1/content/{finished}", headers=customer.auth)

    used = await usage(http, customer)

    assert used["usage_total_generations"] == 3, "a deleted one still counts"
    assert used["usage_total_provider_submissions"] == 3
    (provider,) = used["usage_providers"]
    costs = {name: provider.pop(name) for name in ("total_estimated_cost", "wasted_estimated_cost")}
    assert provider == {
        "provider": "replicate",
        "total_submissions": 3,
        "used_count": 1,
        "cancelled_count": 1,
        "discarded_count": 0,
        "failed_count": 0,
    }, "one is pending"
    assert costs["total_estimated_cost"] == used["usage_total_estimated_cost"] > 0
    assert costs["wasted_estimated_cost"] == 0, "the canceled one cost nothing"
    await http.post(f"/v1/content/generation/cancel/{running}", headers=customer.auth)


async def test_10_2_the_totals_are_the_sums_of_their_columns(
    http: httpx.AsyncClient, new_customer: NewCustomer, engine: Client, replicate: StagedProvider
):
    customer = await new_customer(credits=100_000_000)
    await a_finished(http, engine, customer, replicate)
    await asyncio.gather(*(http.get(f"/v1/content/{n}", headers=customer.auth) for n in range(5)))

    used = await usage(http, customer)

    columns = {
        "usage_total_requests": ("usage_endpoints", "total_requests"),
        "usage_total_success": ("usage_endpoints", "success_count"),
        "usage_total_client_errors": ("usage_endpoints", "client_error_count"),
        "usage_total_server_errors": ("usage_endpoints", "server_error_count"),
        "usage_total_provider_submissions": ("usage_providers", "total_submissions"),
        "usage_total_estimated_cost": ("usage_providers", "total_estimated_cost"),
    }
    assert {total: used[total] for total in columns} == {
        total: sum(row[column] for row in used[rows]) for total, (rows, column) in columns.items()
    }


async def test_10_2_a_replayed_create_is_a_request_and_no_generation(
    http: httpx.AsyncClient, new_customer: NewCustomer, worker: None
):
    customer = await new_customer()
    for _ in range(2):
        await generate(http, customer, headers={"Idempotency-Key": "once"})

    used = await usage(http, customer)

    assert (used["usage_total_requests"], used["usage_total_generations"]) == (2, 1)


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("", 30),
        ("?days=7", 7),
        ("?days=1", 1),
        ("?days=90", 90),
        ("?days=0", 1),
        ("?days=-5", 1),
        ("?days=91", 90),
        (f"?days={'9' * 40}", 90),
        ("?days=%2B7", 7),
        ("?days=7&unknown=x", 7),
    ],
)
async def test_10_2_days_are_clamped(http: httpx.AsyncClient, customer: Customer, query: str, days: int):
    assert (await usage(http, customer, query))["usage_period_days"] == days


@pytest.mark.parametrize("days", ["", "week", "7.5", "7.0", "1e1", "1_0", "0x1", "%D9%A7", "null", "7%00"])
async def test_10_2_days_that_are_no_integer_are_refused(http: httpx.AsyncClient, customer: Customer, days: str):
    response = await http.get(f"/v1/usage?days={days}", headers=customer.auth)

    assert error_of(response) == (400, "BSE2001")
    assert response.json()["error"]["details"] == {"field": "days"}


async def test_10_2_the_balance_is_what_may_be_spent(
    http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider
):
    customer = await new_customer(credits=1_234_567)
    before = (await usage(http, customer))["usage_credit_balance"]
    running = await a_running(http, customer, replicate)
    during = (await usage(http, customer))["usage_credit_balance"]
    await http.post(f"/v1/content/generation/cancel/{running}", headers=customer.auth)

    assert (before, during) == (1.234, 1.229)
    assert (await usage(http, customer))["usage_credit_balance"] == 1.234


async def test_10_2_costs_are_numbers_to_the_microdollar(
    http: httpx.AsyncClient, new_customer: NewCustomer, engine: Client, replicate: StagedProvider, pool: Pool
):
    customer = await new_customer()
    generation_id = await a_finished(http, engine, customer, replicate)
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.attempts SET cost_microcredits = 3400001 WHERE generation_id = %s", [generation_id]
        )

    response = await http.get("/v1/usage", headers=customer.auth)

    assert '"usage_total_estimated_cost":3.400001,' in response.text


async def test_10_3_the_account_is_shown(http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool):
    customer = await new_customer()

    data = data_of(await http.get("/v1/user/account", headers=customer.auth), schemas.Account)

    created_at = data.pop("account_created_at")
    assert created_at.endswith("Z")
    assert data == {
        "account_id": customer.account_id,
        "account_name": f"account {customer.api_key_id}",
        "account_email": None,
        "account_is_personal": True,
        "account_picture_url": None,
    }


async def test_10_3_a_team_account_with_email_and_picture(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.accounts SET email = 'ops@example.com', is_personal = false,"
            " picture_url = 'https://example.com/pier.png' WHERE account_id = %s",
            [customer.account_id],
        )

    data = data_of(await http.get("/v1/user/account", headers=customer.auth), schemas.Account)

    assert (data["account_email"], data["account_is_personal"]) == ("ops@example.com", False)
    assert data["account_picture_url"] == "https://example.com/pier.png"


@pytest.mark.parametrize(
    ("plan", "label"),
    [
        ("free", None),
        ("unheard of", None),
        ("starter", "Starter"),
        ("scale", "Scale"),
        ("Starter Monthly", "Starter Monthly"),
        ("pro Yearly", "Pro Yearly"),
    ],
)
async def test_10_4_billing_names_the_plan_and_what_only_a_subscription_knows_is_null(
    http: httpx.AsyncClient, new_customer: NewCustomer, plan: str, label: str | None
):
    customer = await new_customer(plan=plan, credits=820_000)

    data = data_of(await http.get("/v1/user/billing", headers=customer.auth), schemas.Billing)

    assert data == {
        "account_id": customer.account_id,
        "billing_plan": label,
        "billing_credit_balance": 0.82,
        **dict.fromkeys(BILLING_OF_NO_SUBSCRIPTION),
    }


async def test_10_4_the_balance_is_a_number_with_three_decimals(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer(credits=12_345_678)

    response = await http.get("/v1/user/billing", headers=customer.auth)

    assert '"billing_credit_balance":12.345,' in response.text
    async with single(pool) as conn:
        assert (await ledger.balance(conn, customer.account_id)).available == 12_345_678


@pytest.mark.parametrize(
    ("path", "sample"),
    [("/v1/usage", samples.USAGE), ("/v1/user/account", samples.ACCOUNT), ("/v1/user/billing", samples.BILLING)],
)
async def test_10_an_account_without_anything_gets_every_field_of_the_sample(
    http: httpx.AsyncClient, new_customer: NewCustomer, path: str, sample: dict[str, Any]
):
    customer = await new_customer(plan="free", credits=0)

    response = await http.get(path, headers=customer.auth)

    assert set(response.json()["data"]) == set(sample["data"])
