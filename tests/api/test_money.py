"""Alerts, spending limits and statements: what operators set, and what customers meet."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from api.admin import costs as costs_shapes
from api.admin import money_schemas as shapes
from api.admin import schemas as admin_shapes
from api.admin import statement as statement_routes
from store import accounts, alerts, attempts, generations, ledger, lots
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer, generate
from tests.api.reading import data_of, page_of, refusal_of
from tests.store import builders

Admin = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def admin(http: httpx.AsyncClient, operator: dict[str, str]) -> Admin:
    """A request of the operator."""

    async def asked(method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return await http.request(method, f"/admin/v1{path}", headers=operator, json=body, params=query)

    return asked


async def an_account(pool: Pool, *, credits: int = 0) -> str:
    async with single(pool) as conn:
        account = await accounts.create(conn, f"studio {uuid.uuid4().hex}")
        if credits:
            await grant(pool, account.account_id, credits)
    return account.account_id


async def grant(pool: Pool, account_id: str, credits: int) -> None:
    async with single(pool) as conn:
        await ledger.grant(
            conn,
            account_id=account_id,
            amount=credits * 1_000_000,
            source=ledger.GrantSource.PAYMENT,
            key=f"invoice:{uuid.uuid4()}",
        )


async def audited(admin: Admin, account_id: str) -> list[str]:
    rows = page_of(await admin("GET", "/audit", account_id=account_id), admin_shapes.AuditList)
    return [row["action"] for row in rows["entries"]]


# --- alerts -------------------------------------------------------------------------------------------------------


async def test_11_3_an_account_begins_with_one_threshold_and_may_have_others(admin: Admin, pool: Pool):
    account_id = await an_account(pool, credits=10)
    path = f"/accounts/{account_id}/alerts"

    first = data_of(await admin("GET", path), shapes.AlertsShown)
    changed = data_of(await admin("PUT", path, {"thresholds": [12.5, 0.000001]}), shapes.AlertsShown)
    again = data_of(await admin("PUT", path, {"thresholds": [0.000001, 12.5]}), shapes.AlertsShown)

    assert (first["enabled"], first["thresholds"]) == (True, [{"threshold": 0.5, "armed": True}])
    assert changed["thresholds"] == [{"threshold": 12.5, "armed": False}, {"threshold": 0.000001, "armed": True}]
    assert again == changed
    assert await audited(admin, account_id) == ["alerts.set"]


async def test_11_3_what_was_told_can_be_read(admin: Admin, pool: Pool):
    account_id = await an_account(pool, credits=10)
    path = f"/accounts/{account_id}/alerts"
    await admin("PUT", path, {"thresholds": [5]})
    async with single(pool) as conn:
        later = datetime.now(UTC) + timedelta(hours=1)
        await ledger.reserve(
            conn,
            account_id=account_id,
            work_id=str(uuid.uuid4()),
            amount=6_000_000,
            price_version="1",
            expires_at=later,
        )

    [told] = data_of(await admin("GET", path), shapes.AlertsShown)["latest"]

    assert (told["balance"], told["thresholds_crossed"]) == (4.0, [5.0])


async def test_a7_a_runway_is_set_beside_the_thresholds_and_goes_when_it_is_not_named(admin: Admin, pool: Pool):
    account_id = await an_account(pool, credits=10)
    path = f"/accounts/{account_id}/alerts"

    made = data_of(await admin("PUT", path, {"thresholds": [], "runway_hours": 24}), shapes.AlertsShown)
    async with single(pool) as conn:
        await ledger.reserve(
            conn,
            account_id=account_id,
            work_id=str(uuid.uuid4()),
            amount=6_000_000,
            price_version="1",
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
        await alerts.watch_runway(conn, account_id)
    told = data_of(await admin("GET", path), shapes.AlertsShown)
    gone = data_of(await admin("PUT", path, {"thresholds": []}), shapes.AlertsShown)

    assert made["runway"] == {"hours": 24, "armed": True, "told_at": None}
    assert (told["runway"]["armed"], told["runway"]["told_at"] is None) == (False, False)
    assert gone["runway"] is None
    assert await audited(admin, account_id) == ["alerts.set", "alerts.set"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"thresholds": [], "runway_hours": 0}, id="no hours"),
        pytest.param({"thresholds": [], "runway_hours": 1.5}, id="half an hour"),
        pytest.param({"thresholds": [0]}, id="zero"),
        pytest.param({"thresholds": [0.0000001]}, id="seven decimals"),
        pytest.param({"thresholds": list(range(1, 12))}, id="eleven"),
        pytest.param({"enabled": False}, id="no thresholds"),
    ],
)
async def test_thresholds_that_cannot_be_are_refused(admin: Admin, pool: Pool, body: dict[str, Any]):
    answer = await admin("PUT", f"/accounts/{await an_account(pool)}/alerts", body)

    assert refusal_of(answer)["code"] == "BSE2001"


# --- spending limits ----------------------------------------------------------------------------------------------


async def test_bse1010_a_hard_limit_refuses_a_generation_before_anything_is_held(
    http: httpx.AsyncClient, admin: Admin, new_customer: NewCustomer
):
    customer: Customer = await new_customer()
    path = f"/accounts/{customer.account_id}/spending-limits"
    made = data_of(await admin("POST", path, {"period": "day", "amount": 0.001}), shapes.SpendingLimitShown)

    refused = refusal_of(await generate(http, customer))

    assert (refused["code"], refused["type"], refused["retryable"]) == ("BSE1010", "spending_limit_reached", False)
    assert refused["details"] == {
        "limited": "account",
        "period": "day",
        "limit_microcredits": 1000,
        "spent_microcredits": 0,
        "resets_at": made["resets_at"],
    }
    data_of(await admin("DELETE", f"{path}/{made['limit_id']}"), shapes.SpendingLimitRemoved)
    assert (await generate(http, customer)).status_code == 200
    assert await audited(admin, customer.account_id) == ["spending_limit.remove", "spending_limit.set"]


async def test_a_key_may_come_with_its_limits(http: httpx.AsyncClient, admin: Admin, new_customer: NewCustomer):
    customer: Customer = await new_customer()
    asked = {
        "name": "small",
        "preset": "full_access",
        "spending_limits": [
            {"period": "day", "amount": 0},
            {"period": "month", "amount": 12.5, "hard": False},
        ],
    }

    key = data_of(await admin("POST", f"/accounts/{customer.account_id}/keys", asked), admin_shapes.KeyMade)

    found = page_of(await admin("GET", f"/accounts/{customer.account_id}/spending-limits"), shapes.SpendingLimitList)
    assert [(one["api_key_id"], one["period"], one["amount"], one["hard"]) for one in found["limits"]] == [
        (key["api_key_id"], "day", 0.0, True),
        (key["api_key_id"], "month", 12.5, False),
    ]
    answer = await http.post(
        "/v1/generate/image/bfl/flux-schnell",
        headers={"Authorization": f"Bearer {key['key']}"},
        json={"generation_prompt": "a harbour"},
    )
    assert refusal_of(answer)["details"]["limited"] == "key"


async def test_limits_of_what_does_not_exist_are_not_found(admin: Admin, pool: Pool):
    path = f"/accounts/{await an_account(pool)}/spending-limits"

    refused = [
        await admin("POST", path, {"period": "day", "amount": 1, "api_key_id": str(uuid.uuid4())}),
        await admin("DELETE", f"{path}/{uuid.uuid4()}"),
        await admin("POST", f"/accounts/{uuid.uuid4()}/spending-limits", {"period": "day", "amount": 1}),
    ]

    assert [refusal_of(answer)["code"] for answer in refused] == ["BSE3006"] * 3


# --- adjustments --------------------------------------------------------------------------------------------------


async def test_an_adjustment_takes_two_operators_and_both_are_in_the_log(
    http: httpx.AsyncClient, admin: Admin, pool: Pool
):
    account_id = await an_account(pool, credits=10)
    asked = {"amount": -2.5, "reason": "granted twice", "key": f"ticket {account_id}"}
    kim = data_of(await admin("POST", "/operators", {"name": f"kim {account_id}"}), admin_shapes.OperatorMade)
    other = {"Authorization": f"Bearer {kim['key']}"}

    proposal = data_of(await admin("POST", f"/accounts/{account_id}/adjustments", asked), shapes.AdjustmentShown)
    path = f"/adjustments/{proposal['adjustment_id']}/approve"
    own = refusal_of(await admin("POST", path))
    waiting = page_of(await admin("GET", "/adjustments", account_id=account_id, waiting=True), shapes.AdjustmentList)
    approved = data_of(await http.post(f"/admin/v1{path}", headers=other), shapes.AdjustmentShown)
    twice = refusal_of(await http.post(f"/admin/v1{path}", headers=other))

    assert (own["code"], twice["message"]) == ("BSE3007", "The adjustment is approved.")
    assert waiting["adjustments"] == [proposal]
    assert (proposal["state"], approved["state"], approved["decided_by"]) == ("proposed", "approved", kim["name"])
    balance = data_of(await admin("GET", f"/accounts/{account_id}/credits"), admin_shapes.Balance)
    assert balance["available"] == 7.5
    rows = page_of(await admin("GET", "/audit", account_id=account_id), admin_shapes.AuditList)["entries"]
    assert [(row["action"], row["actor"]) for row in rows] == [
        ("adjustment.approve", kim["name"]),
        ("adjustment.propose", "tester"),
    ]


async def test_a_proposal_is_withdrawn_and_nothing_moves(admin: Admin, pool: Pool):
    account_id = await an_account(pool)
    asked = {"amount": 5, "reason": "goodwill", "key": f"ticket {account_id}"}
    path = f"/accounts/{account_id}/adjustments"
    proposal = data_of(await admin("POST", path, asked), shapes.AdjustmentShown)
    again = data_of(await admin("POST", path, asked), shapes.AdjustmentShown)

    rejected = data_of(await admin("POST", f"/adjustments/{proposal['adjustment_id']}/reject"), shapes.AdjustmentShown)

    assert (again, rejected["state"]) == (proposal, "rejected")
    assert refusal_of(await admin("POST", path, asked | {"amount": 6}))["code"] == "BSE3007"
    assert refusal_of(await admin("POST", path, asked | {"amount": 0}))["code"] == "BSE2008"
    assert refusal_of(await admin("POST", f"/adjustments/{uuid.uuid4()}/approve"))["code"] == "BSE3006"
    assert await audited(admin, account_id) == ["adjustment.reject", "adjustment.propose"]


# --- refunds ------------------------------------------------------------------------------------------------------


async def a_paid_generation(pool: Pool, account_id: str, credits: int) -> str:
    work_id = str(uuid.uuid4())
    async with single(pool) as conn:
        later = datetime.now(UTC) + timedelta(hours=1)
        hold = {"account_id": account_id, "work_id": work_id, "amount": credits * 1_000_000}
        await ledger.reserve(conn, **hold, price_version="1", expires_at=later)  # type: ignore[arg-type]
        await ledger.settle(conn, **hold)  # type: ignore[arg-type]
    return work_id


async def test_a_generation_is_refunded_once_per_key_and_never_beyond_its_price(admin: Admin, pool: Pool):
    account_id = await an_account(pool, credits=10)
    generation_id = await a_paid_generation(pool, account_id, 4)
    path, asked = f"/accounts/{account_id}/credits/refunds", {"generation_id": generation_id, "reason": "unusable"}

    part = data_of(await admin("POST", path, asked | {"key": "one", "amount": 1.5}), shapes.Refunded)
    repeat = data_of(await admin("POST", path, asked | {"key": "one", "amount": 1.5}), shapes.Refunded)
    whole = refusal_of(await admin("POST", path, asked | {"key": "two"}))
    other = refusal_of(await admin("POST", path, asked | {"key": "one", "amount": 1}))
    unknown = refusal_of(await admin("POST", path, asked | {"key": "two", "generation_id": str(uuid.uuid4())}))

    assert (part["result"], part["refunded"], part["available"]) == ("refunded", 1.5, 7.5)
    assert repeat == part | {"result": "already_refunded"}
    assert (whole["details"], other["details"], unknown["code"]) == ({"field": "amount"}, {"field": "key"}, "BSE3006")
    assert await audited(admin, account_id) == ["credits.refund"]


# --- statements ---------------------------------------------------------------------------------------------------


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


async def test_e21_a_statement_begins_and_ends_with_a_balance_and_has_every_entry_between(
    admin: Admin, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(statement_routes, "CHUNK", 2)
    account_id = await an_account(pool)
    for credits in (1, 2, 3):
        await grant(pool, account_id, credits)
    async with single(pool) as conn:
        second = (await ledger.entries(conn, account_id))[1]
    middle, path = second.created_at.isoformat(), f"/accounts/{account_id}/statement"

    before = {"from": "2026-01-01T00:00:00Z", "to": middle}
    after = {"from": middle, "to": "2100-01-01T00:00:00Z"}
    first = data_of(await admin("GET", path, **before), shapes.Statement)
    rest = data_of(await admin("GET", path, **after), shapes.Statement)

    assert [entry["amount"] for entry in first["entries"]] == ["1"]
    assert [(one["number"], one["amount"], one["balance_after"]) for one in rest["entries"]] == [
        (2, "2", "3"),
        (3, "3", "6"),
    ]
    assert (first["opening"]["available"], first["closing"], rest["closing"]["available"]) == (
        "0",
        rest["opening"],
        "6",
    )
    as_csv = rows_of(await admin("GET", path, format="csv", **after))
    assert [(row["number"], row["operation"], row["amount"], row["balance_after"]) for row in as_csv] == [
        ("", "opening", "", "1"),
        ("2", "grant", "2", "3"),
        ("3", "grant", "3", "6"),
        ("", "closing", "", "6"),
    ]


async def test_a_period_without_entries_is_a_statement(admin: Admin, pool: Pool):
    account_id = await an_account(pool, credits=1)

    found = data_of(await admin("GET", f"/accounts/{account_id}/statement", period="2020-02"), shapes.Statement)

    assert (found["period_start"], found["period_end"]) == ("2020-02-01T00:00:00.000Z", "2020-03-01T00:00:00.000Z")
    assert (found["entries"], found["opening"], found["closing"]["available"]) == ([], found["closing"], "0")


@pytest.mark.parametrize(
    "query",
    [{}, {"period": "2026-13"}, {"period": "2026", "from": "2026-01-01T00:00:00Z"}, {"from": "2026-01-01T00:00:00Z"}],
    ids=["none", "no month", "both", "no end"],
)
async def test_a_statement_needs_a_period(admin: Admin, pool: Pool, query: dict[str, str]):
    account_id = await an_account(pool)

    assert refusal_of(await admin("GET", f"/accounts/{account_id}/statement", **query))["code"] == "BSE2001"


# --- costs --------------------------------------------------------------------------------------------------------


async def test_r4_what_attempts_cost_is_read_page_by_page(admin: Admin, pool: Pool):
    """Section 12, R4: this is what a provider's statement is held against."""
    account_id, made = await an_account(pool, credits=1), []
    async with single(pool) as conn:
        for cost in (1, 25_000):
            request = await builders.an_admitted(conn, account_id)
            intent = replace(builders.an_intent(request), provider="bfl", cost_microcredits=cost)
            await attempts.begin(conn, intent)
            made.append(intent.attempt_id)

    async def page(**query: Any) -> dict[str, Any]:
        year = f"{datetime.now(UTC):%Y}"
        answer = await admin("GET", "/costs/attempts", provider="bfl", period=year, **query)
        return data_of(answer, costs_shapes.AttemptCosts)

    whole, after, paged = await page(), None, []
    while True:
        part = await page(limit=1, **({"after": after} if after else {}))
        paged += part["attempts"]
        if (after := part["next_after"]) is None:
            break

    assert whole["next_after"] is None
    assert paged == whole["attempts"]
    costs = {one["attempt_id"]: one["cost"] for one in paged}
    assert [costs[attempt_id] for attempt_id in made] == ["0.000001", "0.025"]


async def test_margins_are_sums_of_their_columns(admin: Admin, pool: Pool):
    async with single(pool) as conn:
        request = await builders.a_processing(conn, await an_account(pool, credits=1))
        await generations.finish(conn, builders.success(request, cost_microcredits=3_000))

    empty = data_of(await admin("GET", "/costs", period="1999-12"), costs_shapes.Margins)
    now = data_of(await admin("GET", "/costs", period=f"{datetime.now(UTC):%Y}"), costs_shapes.Margins)

    assert (empty["models"], empty["revenue"], empty["cost"], empty["margin"]) == ([], "0", "0", "0")
    assert Decimal(now["cost"]) >= Decimal("0.003")
    assert Decimal(now["margin"]) == Decimal(now["revenue"]) - Decimal(now["cost"])
    for name in ("revenue", "cost", "margin"):
        assert sum(Decimal(one[name]) for one in now["models"]) == Decimal(now[name])


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        pytest.param("/costs", {"period": "soon"}, "BSE2001", id="no period"),
        pytest.param("/costs/attempts", {"provider": "bfl"}, "BSE2001", id="no period of attempts"),
        pytest.param("/costs/attempts", {"provider": "nobody", "period": "2026"}, "BSE3006", id="no provider"),
        pytest.param(
            "/costs/attempts", {"provider": "bfl", "period": "2026", "after": "1-x"}, "BSE2001", id="no position"
        ),
    ],
)
async def test_costs_that_cannot_be_read_are_refused(admin: Admin, path: str, query: dict[str, str], code: str):
    assert refusal_of(await admin("GET", path, **query))["code"] == code


# --- credits that expire ------------------------------------------------------------------------------------------


async def test_e16_a_promotion_that_expires_is_granted_once_and_shown(admin: Admin, pool: Pool):
    account_id = await an_account(pool, credits=1)
    path = f"/accounts/{account_id}/credits"
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    body = {"amount": 5, "key": f"promo:{account_id}", "source": "promotion", "expires_at": expires_at.isoformat()}

    made = [data_of(await admin("POST", f"{path}/grants", body), admin_shapes.Granted)["result"] for _ in range(2)]
    other = await admin("POST", f"{path}/grants", body | {"expires_at": "2999-01-01T00:00:00Z"})
    async with single(pool) as conn:
        await lots.expire(conn, account_id, by=expires_at)
    (lot,) = page_of(await admin("GET", f"{path}/lots"), admin_shapes.LotList)["lots"]
    period = {"from": "2026-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"}
    shown = (await admin("GET", f"/accounts/{account_id}/statement", **period)).json()["data"]

    assert made == ["granted", "already_granted"]
    assert (other.status_code, "key" in refusal_of(other)["message"]) == (409, True)
    assert (lot["state"], lot["granted"], lot["left"], lot["spent"], lot["burned"]) == ("expired", 5, 0, 0, 5)
    assert datetime.fromisoformat(lot["expires_at"]) == expires_at
    last = shown["entries"][-1]
    assert (last["operation"], last["amount"], last["key"]) == ("burn", "-5", f"lot:{lot['lot_id']}:expired")
    assert shown["closing"]["available"] == "1"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"expires_at": "2026-01-01T00:00:00Z"}, "expires_at", id="past"),
        pytest.param({"expires_at": "2999-01-01"}, "expires_at", id="no offset"),
        pytest.param({"expires_at": "soon"}, "expires_at", id="no time"),
        pytest.param({"source": "payment"}, "source", id="paid for"),
        pytest.param({"source": "adjustment"}, "source", id="by hand"),
    ],
)
async def test_e16_an_expiry_that_cannot_be_is_refused(admin: Admin, pool: Pool, changes: dict[str, Any], field: str):
    account_id = await an_account(pool)
    body = {"amount": 5, "key": account_id, "source": "promotion", "expires_at": "2999-01-01T00:00:00Z"} | changes

    refused = await admin("POST", f"/accounts/{account_id}/credits/grants", body)

    assert refused.status_code == 400
    assert field in refused.text
    async with single(pool) as conn:
        assert (await ledger.balance(conn, account_id)).available == 0
