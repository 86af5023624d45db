"""Payments from the page to the ledger: the simulated Stripe over HTTP, signed webhooks, the real workflow."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

from store import billing, ledger, top_ups
from store.billing import EventState
from store.connection import single
from tests.api.conftest import Customer, NewCustomer
from tests.billing.conftest import CREDIT, NEXT_SECRET, SECRET, Shop, signed, until

T = TypeVar("T")


async def run(step: Callable[[], Awaitable[T]]) -> T:
    """A step as a worker runs it."""
    return await ActivityEnvironment().run(step)


async def subscribed(shop: Shop, buyer: Customer) -> None:
    """To the starter plan, whose first period brings nine credits."""
    await shop.pay(await shop.ask(buyer, "subscription", plan="starter-monthly"))
    await shop.until(buyer, 9)


async def entitled(shop: Shop, buyer: Customer) -> None:
    """A subscription as far as this ledger knows, so that packs may be bought."""
    async with single(shop.pool) as conn:
        await conn.execute(
            "INSERT INTO store.stripe_subscriptions (subscription_id, account_id, customer_id, plan, status,"
            " cancel_at_period_end, created_at, looked_at)"
            " VALUES (%s, %s, 'cus_none', 'Starter Monthly', 'active', false, now(), now())",
            [f"sub_{uuid.uuid4().hex}", buyer.account_id],
        )


async def bought(shop: Shop, buyer: Customer, pack: str = "pack-10") -> Any:
    """Paid; the session."""
    return await shop.pay(await shop.ask(buyer, "checkout", pack=pack))


async def event_of(shop: Shop, kind: str, object_id: str) -> dict[str, Any]:
    return next(one for one in await shop.listed("events", type=kind) if one["data"]["object"]["id"] == object_id)


async def parked(shop: Shop, operator: dict[str, str]) -> list[dict[str, Any]]:
    answer = await shop.http.get("/admin/v1/stripe/events", params={"state": "parked"}, headers=operator)
    events: list[dict[str, Any]] = answer.json()["data"]["events"]
    return events


async def test_a_subscription_and_a_pack_are_bought_and_shown(shop: Shop, buyer: Customer):
    refused = await shop.http.post("/v1/billing/checkout", headers=buyer.auth, json={"pack": "pack-10"})
    await subscribed(shop, buyer)
    await bought(shop, buyer)
    await shop.until(buyer, 19)

    shown = (await shop.http.get("/v1/user/billing", headers=buyer.auth)).json()["data"]
    assert refused.json()["error"]["message"] == "Credit packs need an active subscription."
    assert (shown["billing_plan"], shown["billing_subscription_status"]) == ("Starter Monthly", "active")
    assert (shown["billing_currency"], shown["billing_credit_balance"]) == ("USD", 19)
    assert shown["billing_period_ends_at"] > shown["billing_period_starts_at"]
    assert (await shop.ask(buyer, "portal"))["url"].startswith("http")


async def test_refunds_and_a_dispute_take_their_shares_and_the_win_gives_back(shop: Shop, buyer: Customer):
    await entitled(shop, buyer)
    session = await bought(shop, buyer)
    await shop.until(buyer, 10)
    await shop.act("/refunds", payment_intent=session["payment_intent"], amount=250)
    await shop.until(buyer, 7.5)
    dispute = await shop.act("/disputes", payment_intent=session["payment_intent"], amount=500)
    await shop.until(buyer, 2.5)
    await shop.act(f"/disputes/{dispute['id']}/close", outcome="won")
    await shop.until(buyer, 7.5)

    async with single(shop.pool) as conn:
        assert (await ledger.balance(conn, buyer.account_id)).debt == 0
        assert await ledger.check(conn) == []


async def test_a_dispute_whose_amount_changes_follows_it_and_its_legs_are_booked(shop: Shop, buyer: Customer):
    """R3, and the rows of `charge.dispute.updated` and `funds_withdrawn` in 11.2."""
    await entitled(shop, buyer)
    session = await bought(shop, buyer)
    await shop.until(buyer, 10)
    dispute = await shop.act("/disputes", payment_intent=session["payment_intent"], amount=500)
    await shop.until(buyer, 5)
    await shop.act(f"/disputes/{dispute['id']}/amount", amount=800)
    await shop.until(buyer, 2)
    await shop.act(f"/disputes/{dispute['id']}/amount", amount=300)
    await shop.until(buyer, 7)
    await shop.act(f"/disputes/{dispute['id']}/close", outcome="lost")

    async def settled() -> bool:
        async with single(shop.pool) as conn:
            return (await ledger.balance(conn, buyer.account_id)).disputed == 0

    await until(settled)
    await run(shop.books.compare_books)
    async with single(shop.pool) as conn:
        assert await ledger.check(conn) == []
        legs = await conn.execute(
            "SELECT source_type, amount_minor, fee_minor FROM store.stripe_movements WHERE payment_key = %s"
            " ORDER BY source_type, amount_minor",
            [f"stripe:pi:{session['payment_intent']}"],
        )
        booked = await legs.fetchall()
        income = await conn.execute("SELECT sum(amount_minor), sum(fee_minor), sum(net_minor) FROM store.stripe_income")
        amount, fee, net = await income.fetchone() or (0, 0, 0)
    assert [row[0] for row in booked] == ["charge", "dispute", "dispute", "dispute"]
    assert booked[1:] == [("dispute", -500, 1500), ("dispute", -300, 0), ("dispute", 500, 0)]
    assert net == amount - fee


async def test_a_refund_after_the_credits_were_spent_becomes_debt(shop: Shop, buyer: Customer):
    await subscribed(shop, buyer)
    async with single(shop.pool) as conn:
        work_id = str(uuid.uuid4())
        await ledger.reserve(
            conn,
            account_id=buyer.account_id,
            work_id=work_id,
            amount=8 * CREDIT,
            price_version="test",
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
        await ledger.settle(conn, account_id=buyer.account_id, work_id=work_id, amount=8 * CREDIT)
    (charge,) = await shop.listed("charges", customer=await customer_of(shop, buyer))
    await shop.act("/refunds", charge=charge["id"])
    await shop.until(buyer, 0)

    async with single(shop.pool) as conn:
        assert (await ledger.balance(conn, buyer.account_id)).debt == 8 * CREDIT


async def customer_of(shop: Shop, buyer: Customer) -> str:
    async with single(shop.pool) as conn:
        found = await billing.customer_of(conn, buyer.account_id)
    assert found is not None
    return found


async def test_c11_and_s13_one_event_twenty_times_at_once_is_one_grant(shop: Shop, buyer: Customer):
    await entitled(shop, buyer)
    session = await bought(shop, buyer)
    await shop.until(buyer, 10)
    event = await event_of(shop, "checkout.session.completed", session["id"])
    copies = [event | {"id": f"evt_copy{number % 4}_{session['id']}"} for number in range(20)]

    answers = await asyncio.gather(*(shop.hear(copy) for copy in copies))

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["status"] for answer in answers).count("accepted") == 4
    for copy in copies[:4]:
        await until(lambda event_id=copy["id"]: ended(shop, event_id))
    assert await shop.balance(buyer) == 10 * CREDIT


async def ended(shop: Shop, event_id: str) -> bool:
    async with single(shop.pool) as conn:
        found = await billing.event(conn, event_id)
    return found is not None and found.ended


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET], ids=["old", "new"])
async def test_s16_while_a_secret_is_rotated_both_are_accepted(shop: Shop, secret: str):
    event = an_event()

    first, again = await shop.hear(event, secret), await shop.hear(event, secret)

    assert (first.json(), again.json()) == ({"status": "accepted"}, {"status": "known"})


def an_event(**members: Any) -> dict[str, Any]:
    """Of a type that concerns nobody's money."""
    shown = {"id": "txr_1", "object": "tax_rate"}
    created = int(time.time())
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": "tax_rate.created",
        "created": created,
        "livemode": False,
        "data": {"object": shown},
    } | members


@pytest.mark.parametrize(
    ("body", "secret", "age_s"),
    [
        pytest.param(b'{"id": "evt_x"}', "whsec_another", 0, id="s16: a secret after its rotation"),
        pytest.param(b'{"id": "evt_x"}', SECRET, 301, id="s1: too old"),
        pytest.param(b"\xff\xfe", SECRET, 0, id="no text"),
        pytest.param(b"[1]", SECRET, 0, id="no event"),
        pytest.param(b"{}", SECRET, 0, id="an empty one"),
    ],
)
async def test_s1_what_does_not_verify_is_answered_400(shop: Shop, body: bytes, secret: str, age_s: int):
    headers = signed(body, secret, int(time.time()) - age_s)

    answer = await shop.http.post("/v1/stripe/webhooks", content=body, headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BSE2001")


async def test_s1_one_changed_byte_is_refused_and_a_mebibyte_is_the_most(shop: Shop):
    body = json.dumps(an_event()).encode()

    changed = await shop.http.post("/v1/stripe/webhooks", content=body + b" ", headers=signed(body))
    unsigned = await shop.http.post("/v1/stripe/webhooks", content=body)
    large = await shop.http.post("/v1/stripe/webhooks", content=b" " * (2**20 + 1), headers=signed(body))

    assert (changed.status_code, unsigned.status_code, large.status_code) == (400, 400, 413)


async def test_s6_and_e22_an_event_of_the_other_mode_or_of_another_stripe_account_is_parked(
    shop: Shop, operator: dict[str, str]
):
    live, foreign = an_event(livemode=True), an_event(account="acct_other")
    await shop.hear(live)
    await shop.hear(foreign)

    async def both_parked() -> bool:
        reasons = {one["event_id"]: one["reason"] for one in await parked(shop, operator)}
        return (reasons.get(live["id"]), reasons.get(foreign["id"])) == ("wrong_mode", "stripe_account")

    await until(both_parked)


async def test_s5_and_s12_a_payment_of_an_unknown_customer_is_parked_and_granted_once_linked(
    shop: Shop, buyer: Customer, operator: dict[str, str]
):
    customer = (await shop.stripe.post("/stripe/v1/customers", data={"name": "New"})).json()
    asked = {
        "mode": "payment",
        "customer": customer["id"],
        "line_items[0][price]": "price_pack_25",
        "line_items[0][quantity]": "1",
        "success_url": "https://shop.example",
    }
    session = (await shop.stripe.post("/stripe/v1/checkout/sessions", data=asked)).json()
    await shop.act(f"/checkout/{session['id']}/pay")
    event_id = (await event_of(shop, "checkout.session.completed", session["id"]))["id"]

    async def is_parked() -> bool:
        return event_id in {one["event_id"] for one in await parked(shop, operator)}

    await until(is_parked)
    link = {"account_id": buyer.account_id, "customer_id": customer["id"]}
    linked = await shop.http.post("/admin/v1/stripe/customers", headers=operator, json=link)
    retried = await shop.http.post(f"/admin/v1/stripe/events/{event_id}/retry", headers=operator)
    await shop.until(buyer, 25)

    assert (linked.status_code, retried.status_code) == (200, 200)
    await until(lambda: ended(shop, event_id))
    again = await shop.http.post(f"/admin/v1/stripe/events/{event_id}/retry", headers=operator)
    assert again.json()["error"]["message"] == "The event was applied already."
    logged = await shop.http.get("/admin/v1/audit", params={"limit": 20}, headers=operator)
    done = [(row["action"], row["target_id"]) for row in logged.json()["data"]["entries"]]
    assert [each for each in done if each[0].startswith("stripe.") and each[1] in {event_id, customer["id"]}] == [
        ("stripe.retry", event_id),
        ("stripe.link", customer["id"]),
    ]


async def test_k15_an_event_whose_webhook_was_lost_is_found_in_stripes_list(shop: Shop, buyer: Customer):
    await entitled(shop, buyer)
    await shop.act("/webhooks", "PUT", held=True)
    await bought(shop, buyer)
    assert await shop.balance(buyer) == 0

    found = await run(shop.billing.find_missed_events)
    await shop.until(buyer, 10)
    await shop.act("/webhooks", "PUT", held=False)

    assert found > 0


async def test_k16_and_r3_the_comparison_of_the_books_grants_exactly_what_is_missing(shop: Shop, buyer: Customer):
    await entitled(shop, buyer)
    await shop.act("/webhooks", "PUT", held=True)
    session = await bought(shop, buyer)
    await shop.act("/refunds", payment_intent=session["payment_intent"], amount=400)

    first = await run(shop.books.compare_books)
    await shop.until(buyer, 6)
    again = await run(shop.books.compare_books)
    await shop.act("/webhooks", "PUT", held=False)

    assert first.missing_here > 0
    assert again.missing_here == 0


async def test_a8_a_low_balance_buys_credits_once_for_each_crossing(shop: Shop, buyer: Customer):
    nothing_saved = await shop.http.post("/v1/billing/top_up", headers=buyer.auth, json={"enabled": True})
    await shop.pay(await shop.ask(buyer, "payment_method"))
    await until(lambda: method_saved(shop, buyer))
    rule = await shop.ask(buyer, "top_up", enabled=True, amount=12.5, daily_max=1)
    await crossing(shop, buyer)

    assert await run(shop.billing.charge_top_ups) >= 1
    await shop.until(buyer, 12.5)
    await crossing(shop, buyer)
    async with single(shop.pool) as conn:
        await top_ups.take(conn)
        charging = [one for one in await top_ups.charging(conn) if one.account_id == buyer.account_id]

    assert nothing_saved.json()["error"]["message"] == "Save a payment method first."
    assert (rule["payment_method_saved"], rule["amount"]) == (True, 12.5)
    assert charging == [], "the daily limit is one"


async def test_a8_a_refusal_by_the_bank_stops_top_ups_until_they_are_enabled_again(shop: Shop, buyer: Customer):
    await shop.pay(await shop.ask(buyer, "payment_method"))
    await until(lambda: method_saved(shop, buyer))
    await shop.ask(buyer, "top_up", enabled=True)
    async with single(shop.pool) as conn:
        rule = await top_ups.rule(conn, buyer.account_id)
    assert rule is not None
    await shop.act(f"/payment_methods/{rule.payment_method_id}", behaves="declines")
    await crossing(shop, buyer)

    await run(shop.billing.charge_top_ups)

    shown = (await shop.http.get("/v1/billing/top_up", headers=buyer.auth)).json()["data"]
    assert (shown["enabled"], shown["stopped_because"]) == (False, "The bank refused the payment.")
    assert await shop.balance(buyer) == 0


async def method_saved(shop: Shop, buyer: Customer) -> bool:
    async with single(shop.pool) as conn:
        rule = await top_ups.rule(conn, buyer.account_id)
    return rule is not None and rule.payment_method_id is not None


async def crossing(shop: Shop, buyer: Customer) -> None:
    """What the ledger writes down when the balance falls below a threshold."""
    async with single(shop.pool) as conn:
        await conn.execute(
            "INSERT INTO store.low_balance_alerts (account_id, balance_micros, thresholds_micros)"
            " VALUES (%s, 400000, '{500000}')",
            [buyer.account_id],
        )


async def test_a_key_without_the_scope_buys_nothing_and_an_unknown_offer_is_named(
    shop: Shop, buyer: Customer, new_customer: NewCustomer
):
    published = await new_customer()

    refused = await shop.http.post("/v1/billing/portal", headers=published.auth, json={})
    unknown = await shop.http.post("/v1/billing/subscription", headers=buyer.auth, json={"plan": "gold"})

    assert refused.json()["error"]["code"] == "BSE1003"
    assert unknown.json()["error"]["details"]["field"] == "plan"


async def test_bse5007_a_stripe_that_does_not_answer_is_said_and_nothing_is_bought(shop: Shop, buyer: Customer):
    await shop.act("/faults", "PUT", faults=[{"word": "reset_before", "on": "POST /v1/customers", "times": 1}])

    answer = await shop.http.post("/v1/billing/portal", headers=buyer.auth, json={})

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "BSE5007")


async def test_events_are_listed_by_state(shop: Shop, operator: dict[str, str]):
    event = an_event()
    await shop.hear(event)
    await until(lambda: ended(shop, event["id"]))

    answer: httpx.Response = await shop.http.get(
        "/admin/v1/stripe/events", params={"state": "ignored"}, headers=operator
    )

    listed = {one["event_id"]: one for one in answer.json()["data"]["events"]}
    assert listed[event["id"]]["state"] == EventState.IGNORED
    assert (await shop.http.get("/admin/v1/stripe/differences", headers=operator)).status_code == 200
