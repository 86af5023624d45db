"""Section 3: keys. tests/api/test_keys.py has single scopes, states and allowlists; here are presets and rotation."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.api.conftest import Customer, NewCustomer, reaching
from tests.api.reading import error_of
from tests.contract.routes import ROUTES, Route

SCOPES = ["generation:write", "generation:read", "generation:delete", "account:read", "health:read", "library:read"]
PRESETS = {
    "full_access": set(SCOPES),
    "generate_only": {"generation:write", "generation:read", "library:read"},
    "read_only": {"generation:read", "account:read", "health:read", "library:read"},
    "monitor_only": {"health:read", "library:read"},
}


@pytest.fixture(scope="module")
async def with_preset(new_customer: NewCustomer) -> dict[str, Customer]:
    return {preset: await new_customer(scopes=(preset,)) for preset in PRESETS}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize("preset", PRESETS)
async def test_3_3_a_preset_reaches_the_routes_of_its_scopes_and_no_other(
    http: httpx.AsyncClient, with_preset: dict[str, Customer], preset: str, route: Route
):
    response = await route.ask(http, with_preset[preset].auth)

    if route.scope in PRESETS[preset]:
        assert response.status_code not in {401, 403}, response.text
    else:
        assert error_of(response) == (403, "BSE1003")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_3_3_each_route_needs_its_scope(http: httpx.AsyncClient, new_customer: NewCustomer, route: Route):
    others = await new_customer(scopes=tuple(name for name in SCOPES if name != route.scope))
    only = await new_customer(scopes=(route.scope,))

    refused, let_in = await route.ask(http, others.auth), await route.ask(http, only.auth)

    assert error_of(refused) == (403, "BSE1003")
    assert let_in.status_code not in {401, 403}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
async def test_10_every_route_needs_a_key(http: httpx.AsyncClient, route: Route):
    assert error_of(await route.ask(http, {})) == (401, "BSE1001")


@pytest.mark.parametrize(
    ("allowed", "client_ip"),
    [
        pytest.param("203.0.113.9", "203.0.113.9", id="IPv4"),
        pytest.param("203.0.113.0/24", "203.0.113.200", id="IPv4 block"),
        pytest.param("2001:db8::1", "2001:DB8:0:0::1", id="IPv6, written otherwise"),
        pytest.param("2001:db8::/32", "2001:db8:ffff::5", id="IPv6 block"),
        pytest.param("203.0.113.9", "::ffff:203.0.113.9", id="IPv4 in IPv6"),
    ],
)
async def test_3_4_an_allowlist_compares_addresses_not_texts(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, allowed: str, client_ip: str
):
    customer = await new_customer(ip_allowlist=(allowed,))

    async with reaching(app, client_ip) as inside:
        from_there = await inside.get("/v1/status", headers=customer.auth)
    from_here = await http.get("/v1/status", headers=customer.auth)

    assert from_there.status_code == 200
    assert error_of(from_here) == (403, "BSE1007")


@pytest.fixture
async def made(http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer) -> dict[str, Any]:
    """A key as the operator API makes it."""
    account_id = (await new_customer()).account_id
    body = {"name": "worker", "preset": "full_access"}

    response = await http.post(f"/admin/v1/accounts/{account_id}/keys", headers=operator, json=body)

    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['key']}"}


async def test_3_1_a_key_has_the_published_form_and_is_known_by_its_first_nine_characters(
    http: httpx.AsyncClient, made: dict[str, Any]
):
    status = (await http.get("/v1/status", headers=bearer(made))).json()["data"]

    assert re.fullmatch(r"bye_[A-Za-z0-9_-]{43}", made["key"])
    assert made["prefix"] == status["apikey_prefix"] == made["key"][:9]


@pytest.mark.parametrize("hours", [0, 169, 1.5, "24"])
async def test_3_5_a_grace_period_has_1_to_168_hours(
    http: httpx.AsyncClient, operator: dict[str, str], made: dict[str, Any], hours: object
):
    path = f"/admin/v1/accounts/{made['account_id']}/keys/{made['api_key_id']}/rotate"

    response = await http.post(path, headers=operator, json={"grace_hours": hours})

    assert response.status_code == 400


async def test_3_5_a_rotated_key_works_beside_its_successor_until_the_grace_ends(
    http: httpx.AsyncClient, operator: dict[str, str], made: dict[str, Any]
):
    path = f"/admin/v1/accounts/{made['account_id']}/keys/{made['api_key_id']}/rotate"
    before = datetime.now(UTC)

    rotated = (await http.post(path, headers=operator, json={"grace_hours": 6})).json()["data"]
    again = await http.post(path, headers=operator, json={})
    old, new = [(await http.get("/v1/status", headers=bearer(key))).json()["data"] for key in (made, rotated)]

    assert rotated["key"] != made["key"]
    assert (rotated["name"], rotated["scopes"], rotated["ip_allowlist"]) == ("worker", made["scopes"], [])
    assert new["apikey_expires_at"] is None
    ends = datetime.fromisoformat(old["apikey_expires_at"])
    assert timedelta(hours=5, minutes=59) < ends - before < timedelta(hours=6, minutes=1)
    assert error_of(again) == (409, "BSE3007")  # a key rotates once


@pytest.mark.parametrize("ending", ["revoke", "delete"])
async def test_3_5_a_key_that_was_revoked_or_deleted_is_refused(
    http: httpx.AsyncClient, operator: dict[str, str], made: dict[str, Any], ending: str
):
    path = f"/admin/v1/accounts/{made['account_id']}/keys/{made['api_key_id']}"
    assert (await http.get("/v1/status", headers=bearer(made))).status_code == 200

    ended = await (
        http.delete(path, headers=operator) if ending == "delete" else http.post(f"{path}/revoke", headers=operator)
    )

    assert ended.status_code == 200
    assert error_of(await http.get("/v1/status", headers=bearer(made))) == (401, "BSE1002")


async def test_3_6_an_operator_key_is_no_api_key_and_the_reverse(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer
):
    assert error_of(await http.get("/v1/status", headers=operator)) == (401, "BSE1002")
    assert error_of(await http.get("/admin/v1/accounts", headers=customer.auth)) == (401, "BSE1002")
