"""Every change of an operator leaves one row in the audit log; what was refused leaves none."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from psycopg import errors

from api.admin import schemas as shapes
from api.openapi import document
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer
from tests.api.reading import data_of, error_of, page_of

PROJECT = Path(__file__).parents[2]
ADMIN = "/admin/v1"
PUBLIC = "https://93.184.215.14/hooks"  # nothing is sent there: no worker of these tests delivers webhooks
CHANGING = {"post", "patch", "put", "delete"}
CHANGES_NOTHING: set[str] = set()  # operations that only look although their method is not GET

# What each operation is sent so that it succeeds, by the name of the operation. The path is filled from `Things`.
BODIES: Mapping[str, dict[str, Any] | None] = {
    "create_account": {"name": "audited {unique}"},
    "update_account": {"plan": "scale"},
    "close_account": None,
    "create_key": {"name": "audited", "preset": "read_only"},
    "rotate_key": {"grace_hours": 2},
    "revoke_key": None,
    "delete_key": None,
    "grant_credits": {"amount": 1.5, "key": "audited {unique}", "note": "why"},
    "pause_provider": {"reason": "audited"},
    "resume_provider": None,
    "create_operator": {"name": "audited {unique}"},
    "revoke_operator": None,
    "create_webhook": {"url": PUBLIC},
    "update_webhook": {"enabled": False},
    "rotate_webhook_secret": None,
    "send_test_webhook": None,
    "drain_webhook": None,
    "replay_webhook_delivery": None,
    "delete_webhook": None,
}

# What needs more than a body to succeed, and where it is walked, with its row of the log.
WALKED_ELSEWHERE = {
    "approve_adjustment": ("tests/api/test_money.py", "adjustment.approve"),
    "link_customer": ("tests/billing/test_payments.py", "stripe.link"),
    "propose_adjustment": ("tests/api/test_money.py", "adjustment.propose"),
    "refund_generation": ("tests/api/test_money.py", "credits.refund"),
    "reject_adjustment": ("tests/api/test_money.py", "adjustment.reject"),
    "remove_spending_limit": ("tests/api/test_money.py", "spending_limit.remove"),
    "retry_stripe_event": ("tests/billing/test_payments.py", "stripe.retry"),
    "set_alerts": ("tests/api/test_money.py", "alerts.set"),
    "set_spending_limit": ("tests/api/test_money.py", "spending_limit.set"),
}


@pytest.fixture
async def things(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer
) -> AsyncIterator[dict[str, str]]:
    """One of everything that a path may name. The provider is running; `resume_provider` pauses it itself."""
    customer = await new_customer()
    made = await http.post(f"{ADMIN}/operators", headers=operator, json={"name": f"thing {uuid.uuid4()}"})
    webhooks = f"{ADMIN}/accounts/{customer.account_id}/webhooks"
    endpoint = (await http.post(webhooks, headers=operator, json={"url": PUBLIC})).json()["data"]["endpoint_id"]
    tested = await http.post(f"{webhooks}/{endpoint}/test", headers=operator)
    yield {
        "account_id": customer.account_id,
        "api_key_id": customer.api_key_id,
        "operator_id": data_of(made, shapes.OperatorMade)["operator_id"],
        "provider": "fal",
        "endpoint_id": endpoint,
        "delivery_id": tested.json()["data"]["delivery_id"],
    }
    await http.post(f"{ADMIN}/providers/fal/resume", headers=operator)


async def rows(pool: Pool) -> list[dict[str, Any]]:
    async with single(pool) as conn:
        cursor = await conn.execute("SELECT to_jsonb(audit_log) FROM store.audit_log ORDER BY audit_id")
        return [row[0] for row in await cursor.fetchall()]


def changing(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Method and path of every operation of the operator API that may change something, by its name."""
    return {
        operation["operationId"]: (method, path)
        for path, operations in document(app)["paths"].items()
        if path.startswith(ADMIN)
        for method, operation in operations.items()
        if method in CHANGING and operation["operationId"] not in CHANGES_NOTHING
    }


def filled(body: dict[str, Any] | None) -> dict[str, Any] | None:
    unique = uuid.uuid4().hex
    if body is None:
        return None
    return {name: value.format(unique=unique) if isinstance(value, str) else value for name, value in body.items()}


def test_every_operation_that_changes_something_is_walked(app: FastAPI):
    walked = set(BODIES) | set(WALKED_ELSEWHERE)
    assert set(changing(app)) == walked, "Say in BODIES what a new operation is sent, or that it changes nothing."


@pytest.mark.parametrize("name", sorted(WALKED_ELSEWHERE))
def test_what_is_walked_elsewhere_is_looked_up_in_the_log_there(name: str):
    file, action = WALKED_ELSEWHERE[name]
    assert f'"{action}"' in (PROJECT / file).read_text()


@pytest.mark.parametrize("name", sorted(BODIES))
async def test_a_change_leaves_one_row_and_a_refusal_none(
    app: FastAPI, http: httpx.AsyncClient, operator: dict[str, str], pool: Pool, things: dict[str, str], name: str
):
    method, path = changing(app)[name]
    if name == "resume_provider":
        await http.post(f"{ADMIN}/providers/fal/pause", headers=operator)
    before = await rows(pool)
    strange = path.format_map(dict.fromkeys(things, str(uuid.uuid4())))
    refused = [
        await http.request(method, path.format_map(things), json=filled(BODIES[name])),
        await http.request(method, strange, headers=operator, json={"no_such_field": 1}),
        *([await http.request(method, strange, headers=operator, json=filled(BODIES[name]))] if "{" in path else []),
    ]
    assert refused[0].status_code == 401
    assert all(400 <= answer.status_code < 500 for answer in refused), [answer.text for answer in refused]
    assert await rows(pool) == before

    done = await http.request(method, path.format_map(things), headers=operator, json=filled(BODIES[name]))

    assert done.status_code == 200, done.text
    (row,) = (await rows(pool))[len(before) :]
    assert (row["actor"], row["request_id"]) == ("tester", done.json()["request_id"])
    assert row["action"].partition(".")[0] in name
    if "{account_id}" in path:
        assert row["account_id"] == things["account_id"]
    for name_of_secret in ("key", "secret"):
        assert done.json()["data"].get(name_of_secret, "no secret") not in str(row)


async def test_a_change_that_changes_nothing_leaves_no_row(
    http: httpx.AsyncClient, operator: dict[str, str], pool: Pool, things: dict[str, str]
):
    account = f"{ADMIN}/accounts/{things['account_id']}"
    grant = {"amount": 2, "key": f"once {uuid.uuid4()}"}
    await http.post(f"{account}/credits/grants", headers=operator, json=grant)
    await http.patch(account, headers=operator, json={"plan": "pro"})
    before = await rows(pool)

    answers = [
        await http.post(f"{account}/credits/grants", headers=operator, json=grant),
        await http.patch(account, headers=operator, json={"plan": "pro"}),
        await http.patch(account, headers=operator, json={}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert await rows(pool) == before


async def test_the_log_says_what_changed_and_keeps_no_personal_data(
    http: httpx.AsyncClient, operator: dict[str, str], pool: Pool, things: dict[str, str]
):
    change = {"plan": "free", "email": "someone@example.com", "frozen": True}

    await http.patch(f"{ADMIN}/accounts/{things['account_id']}", headers=operator, json=change)

    assert (await rows(pool))[-1]["details"] == {
        "plan": {"from": "enterprise", "to": "free"},
        "email": "changed",
        "frozen": {"from": False, "to": True},
    }


async def test_the_log_is_read_by_account_and_by_actor(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, things: dict[str, str]
):
    for plan in ("free", "pro"):
        await http.patch(f"{ADMIN}/accounts/{things['account_id']}", headers=operator, json={"plan": plan})

    async def read(**query: Any) -> list[dict[str, Any]]:
        answer = await http.get(f"{ADMIN}/audit", headers=operator, params=query)
        found: list[dict[str, Any]] = page_of(answer, shapes.AuditList)["entries"]
        return found

    of_account = await read(account_id=things["account_id"])
    assert [row["details"]["plan"]["to"] for row in of_account[:2]] == ["pro", "free"]
    assert {row["actor"] for row in await read(actor="tester", limit=5)} == {"tester"}
    assert await read(actor="nobody") == await read(account_id=str(uuid.uuid4())) == []
    wrong = await http.get(f"{ADMIN}/audit", headers=operator, params={"account_id": "nonsense"})
    assert error_of(wrong) == (400, "BSE2001")
    assert error_of(await http.get(f"{ADMIN}/audit", headers=customer.auth)) == (401, "BSE1002")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE store.audit_log SET actor = 'somebody else'",
        "DELETE FROM store.audit_log",
        "TRUNCATE store.audit_log",
    ],
)
async def test_a_row_is_neither_altered_nor_removed(
    http: httpx.AsyncClient, operator: dict[str, str], pool: Pool, things: dict[str, str], statement: str
):
    assert await rows(pool)
    async with single(pool) as conn:
        with pytest.raises(errors.RestrictViolation, match="append-only"):
            await conn.execute(statement)
