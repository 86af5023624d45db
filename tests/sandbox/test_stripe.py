"""The wire of the simulated Stripe: forms, errors, idempotency, pages, webhooks, faults, the hosted pages."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import datetime

import httpx
import pytest
import stripe
from starlette.applications import Starlette

from sandbox.stripe import StripeService, credentials
from sandbox.stripe.faults import WORDS
from sandbox.stripe.forms import checked, decoded
from sandbox.stripe.pages import money
from sandbox.stripe.periods import later
from sandbox.stripe.problems import StripeRefusal
from sandbox.stripe.store import Store
from sandbox.stripe.webhooks import signature
from sandbox.stripe.world import World
from tests.support.sandbox import started_sandbox
from tests.support.stripe_shop import Shop, opened, told, type_of


@pytest.fixture
def shop(sandbox):
    yield from opened(sandbox)


def error_of(answer: httpx.Response) -> dict[str, str]:
    error: dict[str, str] = answer.json()["error"]
    return error


# --- forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoded", "nested"),
    [
        pytest.param("a=1&b=", {"a": "1", "b": ""}, id="plain"),
        pytest.param("m[a]=1&m[b][c]=2", {"m": {"a": "1", "b": {"c": "2"}}}, id="maps"),
        pytest.param("l[]=x&l[]=y", {"l": ["x", "y"]}, id="lists without numbers"),
        pytest.param("l[1][p]=y&l[0][p]=x&l[0][q]=2", {"l": [{"p": "x", "q": "2"}, {"p": "y"}]}, id="lists by number"),
        pytest.param("metadata[7]=x&metadata[%C3%A9]=%F0%9F%8C%8A", {"metadata": {"7": "x", "é": "🌊"}}, id="metadata"),
    ],
)
def test_brackets_are_read(encoded: str, nested: object):
    assert decoded(encoded) == nested


@pytest.mark.parametrize("encoded", ["a[b=1", "[a]=1", "a=1&a[b]=2", "a[b]c=1"])
def test_a_key_that_is_no_form_is_refused(encoded: str):
    with pytest.raises(StripeRefusal):
        decoded(encoded)


def test_parameters_are_typed_and_an_empty_one_unsets():
    given = {"n": "-5", "f": "true", "t": "", "l": ["a"], "m": {"a": "1"}}

    typed = checked(given, "n:int f:bool t l:list m:map absent")

    assert typed == {"n": -5, "f": True, "t": None, "l": ["a"], "m": {"a": "1"}}


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"amount": "12.5", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": "1e3", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": "49", "currency": "usd"}, "amount_too_small", "amount"),
        ({"amount": "1005", "currency": "kwd"}, "invalid_charge_amount", "amount"),
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": "100", "currency": "usd", "foo": "1"}, "parameter_unknown", "foo"),
        ({"amount": "100", "currency": "usd", "customer": "cus_none"}, "resource_missing", "customer"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(shop: Shop, form: dict[str, str], code: str, param: str):
    error = error_of(shop.post("/payment_intents", 400, **form))

    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert shop.events() == []


# --- keys, versions, ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer sk_test_wrong"}, 401),
        ({"authorization": f"bearer {credentials.KEY}"}, 200),
        ({"authorization": httpx.BasicAuth(credentials.KEY, "")._auth_header}, 200),
        ({"stripe-version": "2024-06-20"}, 200),
    ],
)
def test_the_key_opens_and_any_version_is_taken(shop: Shop, headers: dict[str, str], status: int):
    answer = shop.http.get("/stripe/v1/account", headers=headers)

    assert answer.status_code == status
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == headers.get("stripe-version", credentials.API_VERSION)


def test_what_is_not_there_is_said_in_stripes_words(shop: Shop):
    unknown = shop.http.get("/stripe/v1/customers/cus_none")
    elsewhere = shop.http.get("/stripe/v1/nowhere")

    assert (unknown.status_code, error_of(unknown)["message"]) == (404, "No such customer: 'cus_none'")
    assert (elsewhere.status_code, error_of(elsewhere)["type"]) == (404, "invalid_request_error")


def test_an_id_of_another_kind_is_not_found(shop: Shop):
    assert shop.http.get(f"/stripe/v1/charges/{shop.customer().id}").status_code == 404


def test_ids_are_expanded_and_other_members_are_not(shop: Shop):
    charge = shop.paid(customer=shop.customer().id).payment_intent.latest_charge
    path = f"/stripe/v1/charges/{charge.id}"

    deep = shop.http.get(path, params={"expand[]": "balance_transaction.source"}).json()
    refused = shop.http.get(path, params={"expand[]": "amount"})

    assert deep["balance_transaction"]["source"]["id"] == charge.id
    assert "refunds" not in deep
    assert error_of(refused)["message"] == "This property cannot be expanded (amount)."
    assert shop.http.get(path, params={"expand[]": "nothing"}).status_code == 400


# --- idempotency --------------------------------------------------------------------------------------------------


def test_a_repeat_is_told_the_first_answer(shop: Shop):
    first = shop.post("/customers", key="k1", email="a@example.com", name="A")
    again = shop.post("/customers", key="k1", name="A", email="a@example.com")

    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert shop.events() == ["customer.created"]


def test_a_key_belongs_to_its_parameters_and_its_endpoint(shop: Shop):
    shop.post("/customers", key="k1", name="A")

    others = error_of(shop.post("/customers", 400, key="k1", name="B"))
    elsewhere = error_of(shop.post("/products", 400, key="k1", name="A"))

    assert others["type"] == elsewhere["type"] == "idempotency_error"
    assert "same parameters" in others["message"]
    assert "'/v1/products' vs '/v1/customers'" in elsewhere["message"]


def test_a_key_is_free_again_after_a_refusal_and_after_a_day(shop: Shop):
    shop.post("/customers", 400, key="k1", nonsense="1")
    first = shop.post("/customers", key="k1", name="A").json()
    shop.act("/clock", hours=25)

    assert shop.post("/customers", key="k1", name="A").json()["id"] != first["id"]


def test_a_declined_payment_is_remembered_under_its_key(shop: Shop):
    form = {"amount": "500", "currency": "usd", "confirm": "true", "payment_method": "pm_card_chargeDeclined"}
    first = shop.post("/payment_intents", 402, key="k1", **form)
    again = shop.post("/payment_intents", 402, key="k1", **form)

    assert again.content == first.content
    assert error_of(first)["decline_code"] == "generic_decline"
    assert shop.events("payment_intent") == ["payment_intent.created", "payment_intent.payment_failed"]


async def test_a_key_in_flight_is_a_conflict(tmp_path):
    service = StripeService(tmp_path / "stripe.sqlite")
    headers = {"authorization": f"Bearer {credentials.KEY}", "idempotency-key": "k1"}
    wire = httpx.ASGITransport(Starlette(routes=service.routes()))
    slow = {"word": "slow", "on": "POST /v1/customers", "times": 1, "seconds": 1}

    async with httpx.AsyncClient(base_url="http://stripe", headers=headers, transport=wire) as http:
        await http.put("/sandbox/stripe/faults", json={"faults": [slow]})
        first, second = await asyncio.gather(*(http.post("/stripe/v1/customers", data={"name": "A"}) for _ in "12"))
    await service.close()

    assert (first.status_code, second.status_code) == (200, 409)
    assert error_of(second)["code"] == "idempotency_key_in_use"


@pytest.mark.parametrize(
    ("begins", "recurring", "ends"),
    [
        pytest.param("2026-01-31", ("month", 1), "2026-02-28", id="a short month"),
        pytest.param("2026-02-28", ("month", 1), "2026-03-31", id="the anchor's day comes back"),
        pytest.param("2026-10-31", ("month", 3), "2027-01-31", id="over the year"),
        pytest.param("2026-01-31", ("year", 1), "2027-01-31", id="a year"),
        pytest.param("2026-01-31", ("week", 2), "2026-02-14", id="weeks"),
    ],
)
def test_a_period_keeps_to_the_day_it_is_anchored_on(begins: str, recurring: tuple[str, int], ends: str):
    def at(day: str) -> int:
        return int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp())

    interval, count = recurring

    assert later(at(begins), {"interval": interval, "interval_count": count}, at("2026-01-31")) == at(ends)


# --- lists --------------------------------------------------------------------------------------------------------


def test_a_page_has_a_cursor_in_both_directions(shop: Shop):
    made = [shop.customer().id for _ in range(5)][::-1]

    def page(**params: str | int) -> tuple[list[str], bool]:
        answer = shop.http.get("/stripe/v1/customers", params=params).json()
        assert (answer["object"], answer["url"]) == ("list", "/v1/customers")
        return [one["id"] for one in answer["data"]], answer["has_more"]

    assert page(limit=2) == (made[:2], True)
    assert page(limit=2, starting_after=made[1]) == (made[2:4], True)
    assert page(starting_after=made[3]) == (made[4:], False)
    assert page(limit=2, ending_before=made[4]) == (made[2:4], True)


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"starting_after": "cus_x"}, {"created[near]": 1}])
def test_a_wrong_page_is_refused(shop: Shop, params: dict[str, str]):
    assert shop.http.get("/stripe/v1/customers", params=params).status_code == 400


def test_a_list_is_filtered_by_time_and_member(shop: Shop):
    old = shop.customer(email="old@example.com")
    shop.act("/clock", days=3)
    new = shop.customer(email="new@example.com")

    since = shop.api.customers.list({"created": {"gt": old.created}}).data
    until = shop.api.customers.list({"created": {"gte": old.created, "lt": new.created}}).data

    assert ([one.id for one in since], [one.id for one in until]) == ([new.id], [old.id])
    assert [one.id for one in shop.api.customers.list({"email": "old@example.com"}).data] == [old.id]
    assert shop.api.events.list({"types": ["customer.created"], "limit": 1}).has_more


# --- webhooks -----------------------------------------------------------------------------------------------------


def test_the_signature_is_what_the_package_verifies():
    body = b'{"id": "evt_1", "object": "event"}'
    header = signature(body, ["whsec_new", "whsec_old"], int(time.time()))

    for secret in ("whsec_new", "whsec_old"):
        assert stripe.Webhook.construct_event(body, header, secret).id == "evt_1"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, header, "whsec_other")


async def test_events_are_told_in_order_to_who_asked_for_them(shop: Shop, ear):
    endpoint = shop.listening(ear, "customer.created", "customer.updated", path="/some")
    shop.listening(ear, path="/all")
    customer = shop.customer()
    shop.api.customers.update(customer.id, {"name": "B"})
    shop.price()

    some, everything = await ear.heard(2, "/some"), await ear.heard(4, "/all")

    assert endpoint.secret == credentials.WEBHOOK_SECRET
    assert [told(call).type for call in some] == ["customer.created", "customer.updated"]
    assert [told(call).type for call in everything][2:] == ["product.created", "price.created"]
    event = told(some[1])
    assert event.data.previous_attributes.to_dict() == {"name": None}
    assert event.request.id.startswith("req_")
    assert "secret" not in shop.http.get(f"/stripe/v1/webhook_endpoints/{endpoint.id}").json()


async def test_a_refused_webhook_is_repeated_and_then_no_longer_pending(shop: Shop, ear):
    ear.statuses = [500, 302]
    shop.listening(ear)
    customer = shop.customer()

    calls = await ear.heard(3)
    await asyncio.to_thread(shop.settled)

    assert {told(call).id for call in calls} == {shop.api.events.list({"limit": 1}).data[0].id}
    (delivery,) = shop.settled()
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("sent", 3, 200)
    assert shop.api.events.list().data[0].pending_webhooks == 0
    assert told(calls[2]).data.object.id == customer.id


async def test_both_secrets_sign_while_a_rotation_lasts(shop: Shop, ear):
    endpoint = shop.listening(ear, "customer.created")
    shop.act(f"/webhook_endpoints/{endpoint.id}/roll", keeps_s=3600)
    shop.customer()
    (during,) = await ear.heard(1)
    shop.act("/clock", hours=2)
    shop.customer()
    after = (await ear.heard(2))[1]

    for secret in (credentials.WEBHOOK_SECRET, credentials.NEXT_WEBHOOK_SECRET):
        assert told(during, secret).type == "customer.created"
    assert told(after, credentials.NEXT_WEBHOOK_SECRET)
    with pytest.raises(stripe.SignatureVerificationError):
        told(after)


async def test_webhooks_are_held_and_sent_in_any_order(shop: Shop, ear):
    shop.listening(ear)
    shop.act("/webhooks", "PUT", held=True)
    for _ in range(3):
        shop.customer()
    ids = [event.id for event in shop.api.events.list().data][::-1]

    sent = await asyncio.to_thread(shop.act, "/webhooks/send", events=[ids[2], ids[0], ids[2]])
    first = await ear.heard(3)
    shop.act("/webhooks", "PUT", held=False)
    rest = await ear.heard(4)

    assert [one["status"] for one in sent["sent"]] == [200, 200, 200]
    assert [told(call).id for call in first] == [ids[2], ids[0], ids[2]]
    assert [told(call).id for call in rest[3:]] == [ids[1]]


@pytest.mark.parametrize("signed", ["wrong", "stale", "none"])
async def test_a_webhook_can_be_sent_wrongly_signed(shop: Shop, ear, signed: str):
    shop.act("/webhooks", "PUT", held=True)
    shop.listening(ear)
    shop.customer()
    event = shop.api.events.list({"limit": 1}).data[0]

    await asyncio.to_thread(shop.act, "/webhooks/send", events=[event.id], signed=signed)
    (call,) = await ear.heard(1)

    if signed == "none":
        assert "stripe-signature" not in call.headers
    else:
        with pytest.raises(stripe.SignatureVerificationError):
            told(call)


@pytest.mark.parametrize(
    ("fault", "types"),
    [
        ({"word": "webhook_dropped", "on": "customer.created"}, ["product.created", "price.created"]),
        (
            {"word": "webhook_duplicate", "on": "customer.*"},
            ["customer.created"] * 2 + ["product.created", "price.created"],
        ),
        (
            {"word": "webhook_reordered", "on": "*", "count": 3},
            ["price.created", "product.created", "customer.created"],
        ),
        (
            {"word": "webhook_forged", "on": "customer.*"},
            ["customer.created"] * 2 + ["product.created", "price.created"],
        ),
    ],
    ids=["dropped", "duplicate", "reordered", "forged"],
)
async def test_webhooks_go_astray_on_demand(shop: Shop, ear, fault: dict[str, object], types: list[str]):
    shop.act("/faults", "PUT", faults=[fault])
    shop.listening(ear)
    shop.customer()
    shop.price()

    calls = await ear.heard(len(types))
    await asyncio.to_thread(shop.settled)

    assert [type_of(call) for call in ear.calls] == types
    if fault["word"] == "webhook_forged":
        with pytest.raises(stripe.SignatureVerificationError):
            told(calls[0])
    assert told(calls[-1])


async def test_a_webhook_comes_late_on_demand(shop: Shop, ear):
    shop.act("/faults", "PUT", faults=[{"word": "webhook_late", "on": "customer.created", "seconds": 0.3}])
    shop.listening(ear)
    before = time.time()
    shop.customer()
    (call,) = await ear.heard(1)

    assert call.at >= before + 0.3


# --- faults of requests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("error_401", stripe.AuthenticationError),
        ("error_429", stripe.RateLimitError),
        ("error_500", stripe.APIError),
        ("reset_before", stripe.APIConnectionError),
    ],
)
def test_a_request_fails_before_anything_happens(shop: Shop, word: str, error: type[Exception]):
    shop.act("/faults", "PUT", faults=[{"word": word, "on": "POST /v1/customers", "times": 1}])

    with pytest.raises(error):
        shop.api.customers.create({"name": "A"}, {"idempotency_key": "k1"})

    assert shop.events() == []
    assert shop.api.customers.create({"name": "A"}, {"idempotency_key": "k1"}).name == "A"


def test_a_lost_answer_is_told_again_under_the_same_key(shop: Shop):
    intent = shop.paid().payment_intent
    shop.act("/faults", "PUT", faults=[{"word": "answer_lost", "on": "POST /v1/refunds", "times": 1}])
    asked = {"payment_intent": intent.id, "amount": 500}

    with pytest.raises(stripe.APIConnectionError):
        shop.api.refunds.create(asked, {"idempotency_key": "r1"})
    refund = shop.api.refunds.create(asked, {"idempotency_key": "r1"})

    assert refund.last_response.headers["idempotent-replayed"] == "true"
    assert [one.id for one in shop.api.refunds.list().data] == [refund.id]


def test_an_error_after_the_effect_is_what_a_repeat_is_told(shop: Shop):
    shop.act("/faults", "PUT", faults=[{"word": "error_500_after", "on": "POST *", "times": 1}])

    first = shop.post("/customers", 500, key="k1", name="A")
    again = shop.post("/customers", 500, key="k1", name="A")

    assert first.content == again.content
    assert shop.events() == ["customer.created"]


def test_the_package_repeats_by_itself_and_acts_once(shop: Shop):
    shop.act("/faults", "PUT", faults=[{"word": "answer_lost", "on": "POST /v1/customers", "times": 1}])
    client = stripe.StripeClient(credentials.KEY, base_addresses={"api": f"{shop.url}/stripe"}, max_network_retries=1)

    client.v1.customers.create({"name": "A"})

    assert len(shop.api.customers.list().data) == 1


@pytest.mark.parametrize(
    "rule", [{"word": "nonsense"}, {"word": "slow", "times": 0}, {"word": "slow", "wrong": 1}, "slow"]
)
def test_a_fault_that_is_not_understood_is_refused(shop: Shop, rule: object):
    answer = shop.http.put("/sandbox/stripe/faults", json={"faults": [rule]})

    assert answer.status_code == 400
    assert shop.http.get("/sandbox/stripe/faults").json() == {"configured": [], "known_faults": dict(WORDS)}


# --- pages --------------------------------------------------------------------------------------------------------


def test_the_hosted_page_works_without_javascript(shop: Shop):
    session = shop.session(cancel_url="https://shop.example/cart?a=1&b=<2>")
    page = httpx.get(session.url).text

    declined = httpx.post(session.url, data={"method": "pm_card_chargeDeclined"})
    paid = httpx.post(session.url, data={"method": "pm_card_visa", "email": "b@example.com"})
    over = httpx.get(session.url).text

    assert "20.00 USD" in page
    assert "<script" not in page
    assert re.findall(r"<button>(\w+)</button>", page) == ["Pay"]
    assert 'href="https://shop.example/cart?a=1&amp;b=&lt;2&gt;"' in page
    assert (declined.status_code, "Your card was declined." in declined.text) == (402, True)
    assert paid.headers["location"] == f"https://shop.example/done?session={session.id}"
    assert "is complete" in over
    assert shop.api.checkout.sessions.retrieve(session.id).customer_details.email == "b@example.com"


def test_the_portal_ends_a_subscription_with_its_period_and_takes_it_back(shop: Shop):
    subscription = shop.subscription(shop.customer(email="<b>@example.com"))
    portal = shop.api.billing_portal.sessions.create(
        {"customer": subscription.customer, "return_url": "https://shop.example"}
    )

    def change(word: str) -> bool:
        asked = {"subscription": subscription.id, "change": word}
        assert httpx.post(portal.url, data=asked).status_code == 303
        return bool(shop.api.subscriptions.retrieve(subscription.id).cancel_at_period_end)

    others = shop.subscription(shop.customer())

    assert httpx.post(portal.url, data={"subscription": others.id, "change": "cancel"}).status_code == 404
    assert "&lt;b&gt;@example.com" in httpx.get(portal.url).text
    assert (change("cancel"), change("resume")) == (True, False)
    assert httpx.get(f"{shop.url}/stripe/pay/portal/bps_none").status_code == 404


@pytest.mark.parametrize("path", ["/checkout/sessions", "/billing_portal/sessions", "/webhook_endpoints"])
def test_an_address_that_is_none_is_refused(shop: Shop, path: str):
    wrong = "javascript:alert(1)"
    form = {
        "/checkout/sessions": {"mode": "payment", "success_url": wrong},
        "/billing_portal/sessions": {"customer": shop.customer().id, "return_url": wrong},
        "/webhook_endpoints": {"url": wrong, "enabled_events[]": "*"},
    }[path]

    assert error_of(shop.post(path, 400, **form))["code"] == "url_invalid"


def test_an_invoice_can_be_looked_at(shop: Shop):
    subscription = shop.subscription(shop.customer())
    invoice = shop.api.invoices.retrieve(subscription.latest_invoice)

    assert "20.00 USD" in httpx.get(invoice.hosted_invoice_url).text


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (1250, "usd", "12.50 USD"),
        (5, "usd", "0.05 USD"),
        (500, "jpy", "500 JPY"),
        (1500, "kwd", "1.500 KWD"),
        (-70, "eur", "-0.70 EUR"),
    ],
)
def test_amounts_are_written_by_their_currency(amount: int, currency: str, said: str):
    assert money(amount, currency) == said


# --- state --------------------------------------------------------------------------------------------------------


async def test_a_killed_process_forgets_nothing(ear):
    with started_sandbox(options=("--retry-scale", "0.02")) as sandbox:
        for shop in opened(sandbox):
            shop.listening(ear)
            ear.statuses = [500] * 3
            shop.post("/customers", key="k1", name="A")
            await ear.heard(1)
            await asyncio.to_thread(sandbox.kill)
            await asyncio.to_thread(sandbox.start)

            again = shop.post("/customers", key="k1", name="A")
            await asyncio.to_thread(shop.settled)

            assert again.headers["idempotent-replayed"] == "true"
            assert shop.act("", "GET")["objects"]["customer"] == 1
            assert told(ear.calls[-1]).type == "customer.created"


def test_a_refused_request_leaves_nothing_behind(shop: Shop):
    shop.customer()
    before = shop.act("", "GET")["objects"]

    shop.post("/prices", 400, currency="usd", unit_amount="-1", **{"product_data[name]": "Half made"})

    assert shop.act("", "GET")["objects"] == before


def test_the_clock_only_goes_forward(tmp_path):
    world = World(Store(tmp_path / "stripe.sqlite"))
    world.run_ahead(86400)

    assert world.now - time.time() == pytest.approx(86400, abs=5)
