"""Operators and what they manage: /admin/v1, with keys of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.admin import schemas as shapes
from domain.operators import is_operator_key, mint_operator_key
from tests.api.conftest import Customer, NewCustomer, generate, serving
from tests.api.reading import data_of, page_of, refusal_of

ACCOUNTS = "/admin/v1/accounts"
Admin = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def admin(http: httpx.AsyncClient, operator: dict[str, str]) -> Admin:
    """A request of the operator."""

    async def asked(method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return await http.request(method, f"/admin/v1{path}", headers=operator, json=body, params=query)

    return asked


def a_name() -> str:
    return f"studio {uuid.uuid4().hex[:8]}"


async def an_account(admin: Admin, **facts: Any) -> dict[str, Any]:
    return data_of(await admin("POST", "/accounts", {"name": a_name(), **facts}), shapes.AccountShown)


async def a_key(admin: Admin, account_id: str, **facts: Any) -> dict[str, Any]:
    asked = {"name": "worker", "preset": "full_access", **facts}
    return data_of(await admin("POST", f"/accounts/{account_id}/keys", asked), shapes.KeyMade)


async def status_of(http: httpx.AsyncClient, key: str) -> int:
    return (await http.get("/v1/status", headers={"Authorization": f"Bearer {key}"})).status_code


# --- who may ------------------------------------------------------------------------------------------------------


def test_an_operator_key_has_a_form_of_its_own():
    key = mint_operator_key(b"pepper", os.urandom(32))

    assert is_operator_key(key.secret)
    assert not is_operator_key(key.secret.replace("byo_", "bye_"))
    assert (len(key.secret), key.prefix, len(key.key_hash)) == (47, key.secret[:9], 32)


async def test_neither_kind_of_key_opens_the_other_api(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer
):
    assert refusal_of(await http.get(ACCOUNTS, headers=customer.auth))["code"] == "BSE1002"
    assert refusal_of(await http.get("/v1/status", headers=operator))["code"] == "BSE1002"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param({}, "BSE1001", id="no key"),
        pytest.param({"Authorization": "Basic Ynll"}, "BSE1001", id="another scheme"),
        pytest.param({"Authorization": "Bearer byo_short"}, "BSE1002", id="malformed"),
        pytest.param({"Authorization": "Bearer byo_" + "a" * 43}, "BSE1002", id="unknown"),
    ],
)
async def test_without_a_key_that_works_nothing_is_told(http: httpx.AsyncClient, sent: dict[str, str], code: str):
    answer = await http.get(f"{ACCOUNTS}/{uuid.uuid4()}", headers=sent)

    assert answer.status_code == 401
    assert refusal_of(answer)["code"] == code


async def test_an_address_that_tries_out_keys_is_turned_away(settings: Any, operator: dict[str, str]):
    async with serving(settings, "198.51.100.7") as client:
        wrong = [await client.get(ACCOUNTS, headers={"Authorization": "Bearer byo_" + "a" * 43}) for _ in range(31)]
        right = await client.get(ACCOUNTS, headers=operator)

    assert {answer.status_code for answer in wrong[:29]} == {401}
    assert refusal_of(wrong[-1])["code"] == refusal_of(right)["code"] == "BSE1006"


async def test_a_new_operator_is_one_until_revoked(admin: Admin, http: httpx.AsyncClient):
    name = a_name()
    made = data_of(await admin("POST", "/operators", {"name": name}), shapes.OperatorMade)
    auth = {"Authorization": f"Bearer {made['key']}"}
    assert (await http.get(ACCOUNTS, headers=auth)).status_code == 200
    assert refusal_of(await admin("POST", "/operators", {"name": name}))["code"] == "BSE3007"

    revoked = data_of(await admin("POST", f"/operators/{made['operator_id']}/revoke"), shapes.OperatorShown)

    assert revoked["revoked_at"] is not None
    assert refusal_of(await http.get(ACCOUNTS, headers=auth))["code"] == "BSE1002"
    assert refusal_of(await admin("POST", f"/operators/{made['operator_id']}/revoke"))["code"] == "BSE3007"
    listed = await admin("GET", "/operators", limit=100)
    assert made["key"] not in listed.text
    assert name in {row["name"] for row in page_of(listed, shapes.OperatorList)["operators"]}
    again = data_of(await admin("POST", "/operators", {"name": name}), shapes.OperatorMade)
    assert again["key"] != made["key"]


async def test_answers_are_kept_by_nobody_on_the_way(admin: Admin):
    answer = await admin("GET", "/accounts")

    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


# --- accounts -----------------------------------------------------------------------------------------------------


async def test_an_account_is_opened_read_found_and_changed(admin: Admin):
    opened = await an_account(admin, email="ops@example.com", plan="Pro Yearly", is_personal=False)
    path = f"/accounts/{opened['account_id']}"

    changed = data_of(
        await admin("PATCH", path, {"plan": "scale", "email": None, "picture_url": "https://img.example.com/a.png"}),
        shapes.AccountShown,
    )

    assert changed == opened | {"plan": "scale", "email": None, "picture_url": "https://img.example.com/a.png"}
    assert data_of(await admin("GET", path), shapes.AccountShown) == changed
    assert page_of(await admin("GET", "/accounts", name=opened["name"]), shapes.AccountList)["accounts"] == [changed]
    page = (await admin("GET", "/accounts", limit=1, offset=0)).json()
    assert (page["limit"], page["offset"], len(page["data"]["accounts"])) == (1, 0, 1)
    assert page["total"] >= 1


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        pytest.param({}, "name", "name is required.", id="no name"),
        pytest.param({"name": "x", "nmae": "y"}, "nmae", "There is no field nmae. Did you mean name?", id="unknown"),
        pytest.param({"name": " x"}, "name", "name must be one line", id="blank at its end"),
        pytest.param({"name": "x\u0000"}, "name", "name must be one line", id="NUL"),
        pytest.param({"name": "x" * 101}, "name", "name is not accepted: string should have at most 100", id="long"),
        pytest.param({"name": 5}, "name", "name is not accepted: input should be a valid string", id="a number"),
        pytest.param({"name": "x", "email": "nobody"}, "email", "email must be an email address.", id="email"),
        pytest.param({"name": "x", "picture_url": "http://x.example"}, "picture_url", "https address", id="picture"),
        pytest.param({"name": "x", "plan": "gold"}, "plan", "There is no such plan; known are free", id="plan"),
        pytest.param([], "body", "must be a JSON object, not a list", id="a list"),
    ],
)
async def test_a_refused_body_names_the_field_and_the_rule(admin: Admin, body: Any, field: str, says: str):
    error = refusal_of(await admin("POST", "/accounts", body))

    assert (error["code"], error["details"]["field"]) == ("BSE2001", field)
    assert says in error["message"]


async def test_a_body_of_another_media_type_is_refused(http: httpx.AsyncClient, operator: dict[str, str]):
    answer = await http.post(ACCOUNTS, headers=operator, content=b"name=x")

    assert refusal_of(answer)["code"] == "BSE2017"


async def test_a_name_belongs_to_one_account(admin: Admin):
    first, second = await an_account(admin), await an_account(admin)

    taken = await admin("POST", "/accounts", {"name": first["name"]})
    moved = await admin("PATCH", f"/accounts/{second['account_id']}", {"name": first["name"]})

    assert [refusal_of(answer)["code"] for answer in (taken, moved)] == ["BSE3007", "BSE3007"]


async def test_a_frozen_account_starts_nothing_new(admin: Admin, http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer()
    path = f"/accounts/{customer.account_id}"

    assert data_of(await admin("PATCH", path, {"frozen": True}), shapes.AccountShown)["frozen"]
    refused = await generate(http, customer)
    await admin("PATCH", path, {"frozen": False})

    assert refusal_of(refused)["code"] == "BSE1003"
    assert (await generate(http, customer)).status_code == 200


async def test_a_closed_account_is_closed_for_good(admin: Admin, http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer()
    path = f"/accounts/{customer.account_id}"
    assert await status_of(http, customer.key) == 200

    closed = data_of(await admin("POST", f"{path}/close"), shapes.AccountShown)

    assert closed["frozen"]
    assert await status_of(http, customer.key) == 404  # BSE1008: the account does not exist any more
    grant = {"amount": 1, "key": f"after {customer.account_id}"}
    for method, below, body in (
        ("POST", "/close", None),
        ("PATCH", "", {"frozen": False}),
        ("POST", "/keys", {"name": "x", "preset": "read_only"}),
        ("POST", "/credits/grants", grant),
    ):
        assert refusal_of(await admin(method, f"{path}{below}", body))["code"] == "BSE3007"
    assert data_of(await admin("GET", path), shapes.AccountShown)["closed_at"] == closed["closed_at"]


@pytest.mark.parametrize("account_id", ["00000000-0000-4000-8000-000000000000", "nonsense"])
@pytest.mark.parametrize("below", ["", "/keys", "/credits", "/credits/entries"])
async def test_what_does_not_exist_is_not_found(admin: Admin, account_id: str, below: str):
    assert refusal_of(await admin("GET", f"/accounts/{account_id}{below}"))["code"] == "BSE3006"


async def test_the_plans_are_those_of_the_deployment(admin: Admin):
    plans = page_of(await admin("GET", "/plans"), shapes.PlanList)["plans"]

    assert [plan["plan"] for plan in plans] == ["free", "starter", "pro", "scale", "enterprise"]
    assert plans[0]["retention_hours"]["output_files"] == 1


# --- keys ---------------------------------------------------------------------------------------------------------


async def test_a_key_lives_as_its_operator_says(admin: Admin, http: httpx.AsyncClient):
    account_id = (await an_account(admin))["account_id"]
    keys = f"/accounts/{account_id}/keys"
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()

    first = await a_key(admin, account_id, expires_at=until, ip_allowlist=["127.0.0.0/8"])
    second = data_of(await admin("POST", f"{keys}/{first['api_key_id']}/rotate", {"grace_hours": 1}), shapes.KeyMade)
    both = [await status_of(http, key["key"]) for key in (first, second)]
    await admin("POST", f"{keys}/{second['api_key_id']}/revoke")
    await admin("DELETE", f"{keys}/{first['api_key_id']}")

    assert both == [200, 200]
    assert {name: second[name] for name in ("name", "scopes", "ip_allowlist", "expires_at")} == {
        name: first[name] for name in ("name", "scopes", "ip_allowlist", "expires_at")
    }
    assert [await status_of(http, key["key"]) for key in (first, second)] == [401, 401]
    listed = await admin("GET", keys)
    assert [(key["api_key_id"], key["state"]) for key in listed.json()["data"]["keys"]] == [
        (second["api_key_id"], "revoked")
    ]
    assert second["key"] not in listed.text
    assert refusal_of(await admin("GET", f"/keys/{first['api_key_id']}"))["code"] == "BSE3006"
    assert data_of(await admin("GET", f"/keys/{second['api_key_id']}"), shapes.KeyShown)["account_id"] == account_id


async def test_a_key_rotates_once(admin: Admin):
    account_id = (await an_account(admin))["account_id"]
    path = f"/accounts/{account_id}/keys/{(await a_key(admin, account_id))['api_key_id']}/rotate"

    assert (await admin("POST", path)).status_code == 200

    assert refusal_of(await admin("POST", path))["code"] == "BSE3007"
    assert refusal_of(await admin("POST", path, {"grace_hours": 169}))["details"]["field"] == "grace_hours"


async def test_a_key_is_changed_in_its_own_account_only(admin: Admin, http: httpx.AsyncClient):
    owner, other = (await an_account(admin))["account_id"], (await an_account(admin))["account_id"]
    key = await a_key(admin, owner)
    path = f"/accounts/{other}/keys/{key['api_key_id']}"

    refused = [await admin("POST", f"{path}/{verb}") for verb in ("rotate", "revoke")] + [await admin("DELETE", path)]

    assert [refusal_of(answer)["code"] for answer in refused] == ["BSE3006"] * 3
    assert await status_of(http, key["key"]) == 200


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        pytest.param({}, "body", id="neither preset nor scopes"),
        pytest.param({"preset": "read_only", "scopes": ["account:read"]}, "body", id="both"),
        pytest.param({"preset": "nope"}, "scopes", id="unknown preset"),
        pytest.param({"scopes": ["account:write"]}, "scopes", id="unknown scope"),
        pytest.param({"scopes": []}, "scopes", id="no scope"),
        pytest.param({"preset": "read_only", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at", id="past"),
        pytest.param({"preset": "read_only", "expires_at": "2099-01-01"}, "expires_at", id="no offset"),
        pytest.param({"preset": "read_only", "expires_at": "9999-12-31T23:59:59-01:00"}, "expires_at", id="too late"),
        pytest.param({"preset": "read_only", "ip_allowlist": ["example.com"]}, "ip_allowlist", id="no address"),
        pytest.param({"preset": "read_only", "ip_allowlist": ["10.0.0.1"] * 51}, "ip_allowlist", id="too many"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(admin: Admin, facts: dict[str, Any], field: str):
    account_id = (await an_account(admin))["account_id"]

    error = refusal_of(await admin("POST", f"/accounts/{account_id}/keys", {"name": "x", **facts}))

    assert (error["code"], error["details"]["field"]) == ("BSE2001", field)


# --- credits ------------------------------------------------------------------------------------------------------


async def test_a_grant_is_made_once_per_key(admin: Admin):
    account_id = (await an_account(admin))["account_id"]
    path = f"/accounts/{account_id}/credits"
    asked = {"amount": 0.000001, "key": f"invoice:{account_id}"}

    results = [data_of(await admin("POST", f"{path}/grants", asked), shapes.Granted) for _ in range(2)]
    other = refusal_of(await admin("POST", f"{path}/grants", asked | {"amount": 2}))

    assert [(one["result"], one["available"]) for one in results] == [
        ("granted", 0.000001),
        ("already_granted", 0.000001),
    ]
    assert (other["code"], other["details"]["field"]) == ("BSE3007", "key")
    assert data_of(await admin("GET", path), shapes.Balance)["available"] == 0.000001


@pytest.mark.parametrize("amount", [0, -1, 0.0000001, 10**9 + 1, True, "1"])
async def test_what_is_no_amount_is_not_granted(admin: Admin, customer: Customer, amount: Any):
    asked = {"amount": amount, "key": str(uuid.uuid4())}

    error = refusal_of(await admin("POST", f"/accounts/{customer.account_id}/credits/grants", asked))

    assert (error["code"], error["details"]["field"]) == ("BSE2001", "amount")


async def test_the_entries_of_an_account_are_read_by_the_page(admin: Admin):
    account_id = (await an_account(admin))["account_id"]
    path = f"/accounts/{account_id}/credits"
    for amount in (1, 2.5, 3):
        await admin("POST", f"{path}/grants", {"amount": amount, "key": f"{amount} {account_id}"})

    answer = await admin("GET", f"{path}/entries", limit=2, offset=1)

    page = answer.json()
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
    entries = page_of(answer, shapes.EntryList)["entries"]
    assert [(entry["operation"], entry["amount"], entry["balance_after"]) for entry in entries] == [
        ("grant", 2.5, 3.5),
        ("grant", 1.0, 1.0),
    ]
