"""Stripe's own Python package, unchanged, against the simulator: every row of what a shop lives through."""

from __future__ import annotations

import importlib
import time
from typing import Any, get_args

import pytest
import stripe
from stripe._object_classes import OBJECT_CLASSES

from tests.support.stripe_shop import Shop, opened

DAY = 86400


@pytest.fixture
def shop(sandbox):
    yield from opened(sandbox)


# --- checkout -----------------------------------------------------------------------------------------------------


def test_a_pack_is_bought_by_card(shop: Shop):
    customer = shop.customer(metadata={"account": "a1"})
    session = shop.paid(customer=customer.id, client_reference_id="a1", metadata={"pack": "small"})

    intent = session.payment_intent
    assert (session.status, session.payment_status, session.amount_total) == ("complete", "paid", 2000)
    assert (intent.status, intent.amount_received, intent.latest_charge.paid) == ("succeeded", 2000, True)
    assert shop.events("ch", "pa") == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


def test_a_declined_card_leaves_the_session_open_and_its_payment_is_tried_again(shop: Shop):
    session = shop.session()
    refused = shop.act(f"/checkout/{session.id}/pay", status=402, **{"with": "pm_card_chargeDeclined"})
    open_one = shop.api.checkout.sessions.retrieve(session.id)
    paid = shop.act(f"/checkout/{session.id}/pay")

    assert refused["error"]["decline_code"] == "generic_decline"
    assert (open_one.status, open_one.payment_intent) == ("open", paid["payment_intent"])
    assert paid["payment_status"] == "paid"


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "paid"), ("failed", "unpaid")])
def test_a_bank_debit_takes_days(shop: Shop, outcome: str, status: str):
    session = shop.session()
    completed = shop.act(f"/checkout/{session.id}/pay", **{"with": "pm_usBankAccount"})
    shop.act(f"/payments/{completed['payment_intent']}/settle", outcome=outcome)

    assert (completed["status"], completed["payment_status"]) == ("complete", "unpaid")
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == status
    assert shop.events("checkout") == ["checkout.session.completed", f"checkout.session.async_payment_{outcome}"]
    assert "payment_intent.processing" in shop.events("payment_intent")


def test_a_full_coupon_leaves_nothing_to_pay_and_no_payment(shop: Shop):
    coupon = shop.api.coupons.create({"percent_off": 100, "duration": "once"})
    session = shop.paid(discounts=[{"coupon": coupon.id}])

    assert (session.payment_status, session.payment_intent, session.amount_total) == ("no_payment_required", None, 0)


def test_tax_and_shipping_stand_apart_from_the_value(shop: Shop):
    shipping = {"shipping_rate_data": {"display_name": "Post", "type": "fixed_amount"}}
    shipping["shipping_rate_data"]["fixed_amount"] = {"amount": 500, "currency": "usd"}  # type: ignore[assignment]
    session = shop.session(automatic_tax={"enabled": True}, shipping_options=[shipping])

    details = session.total_details
    assert (session.amount_subtotal, session.amount_total) == (2000, 2700)
    assert (details.amount_tax, details.amount_shipping, details.amount_discount) == (200, 500, 0)
    (line,) = shop.api.checkout.sessions.line_items.list(session.id).data
    assert (line.amount_subtotal, line.amount_tax, line.amount_total) == (2000, 200, 2200)


def test_a_session_expires_by_the_clock_or_by_the_api(shop: Shop):
    forgotten, dropped = shop.session(), shop.session()
    shop.api.checkout.sessions.expire(dropped.id)
    shop.act("/clock", days=2)

    assert shop.api.checkout.sessions.retrieve(forgotten.id).status == "expired"
    assert shop.events("checkout") == ["checkout.session.expired"] * 2
    shop.act(f"/checkout/{dropped.id}/pay", status=400)


def test_a_method_is_saved_without_paying(shop: Shop):
    customer = shop.customer()
    session = shop.session("setup", customer=customer.id, currency="usd")
    done = shop.act(f"/checkout/{session.id}/pay")

    setup = shop.api.setup_intents.retrieve(done["setup_intent"], {"expand": ["payment_method"]})
    assert (done["payment_status"], setup.status, setup.payment_method.customer) == (
        "no_payment_required",
        "succeeded",
        customer.id,
    )
    assert [one.id for one in shop.api.customers.payment_methods.list(customer.id).data] == [setup.payment_method.id]


def test_a_subscription_is_bought_and_its_invoice_is_what_pays(shop: Shop):
    session = shop.session("subscription", subscription_data={"metadata": {"account": "a1"}})
    done = shop.act(f"/checkout/{session.id}/pay", email="b@example.com")

    invoice = shop.api.invoices.retrieve(done["invoice"], {"expand": ["payments.data.payment.payment_intent"]})
    line = invoice.lines.data[0]
    assert invoice.parent.subscription_details.subscription == done["subscription"]
    assert invoice.parent.subscription_details.metadata["account"] == "a1"
    assert (invoice.billing_reason, invoice.status, invoice.amount_paid) == ("subscription_create", "paid", 2000)
    assert (
        line.pricing.price_details.price
        == shop.api.subscriptions.retrieve(done["subscription"])["items"].data[0].price.id
    )
    assert invoice.payments.data[0].payment.payment_intent.status == "succeeded"
    assert shop.events("customer", "invoice.p", "checkout") == [
        "customer.created",
        "customer.subscription.created",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "checkout.session.completed",
    ]


# --- saved methods ------------------------------------------------------------------------------------------------


def test_a_saved_card_is_charged_while_the_customer_is_away(shop: Shop):
    customer = shop.customer()
    shop.paid(customer=customer.id, payment_intent_data={"setup_future_usage": "off_session"})
    (card,) = shop.api.payment_methods.list({"customer": customer.id, "type": "card"}).data

    asked = {"amount": 1500, "currency": "usd", "customer": customer.id, "payment_method": card.id}
    intent = shop.api.payment_intents.create({**asked, "off_session": True, "confirm": True, "metadata": {"try": "1"}})

    assert (intent.status, intent.amount_received, intent.metadata["try"]) == ("succeeded", 1500, "1")


def test_a_saved_card_stays_with_its_customer(shop: Shop):
    card = shop.saved_card(shop.customer().id)

    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        shop.api.payment_methods.attach(card.id, {"customer": shop.customer().id})


@pytest.mark.parametrize(
    ("behaves", "code", "decline"),
    [
        ("declines", "card_declined", "generic_decline"),
        ("insufficient_funds", "card_declined", "insufficient_funds"),
        ("expired", "expired_card", "expired_card"),
        ("authenticates", "authentication_required", "authentication_required"),
    ],
)
def test_a_saved_card_that_is_refused_raises_a_card_error(shop: Shop, behaves: str, code: str, decline: str):
    customer = shop.customer()
    card = shop.saved_card(customer.id)
    shop.act(f"/payment_methods/{card.id}", behaves=behaves)

    asked = {"amount": 1500, "currency": "usd", "customer": customer.id, "payment_method": card.id}
    with pytest.raises(stripe.CardError) as refused:
        shop.api.payment_intents.create({**asked, "off_session": True, "confirm": True})

    error = refused.value.error
    assert error is not None
    assert (error.code, error.decline_code) == (code, decline)
    kept = shop.api.payment_intents.retrieve(error.payment_intent.id)
    assert (kept.status, kept.last_payment_error.code) == ("requires_payment_method", code)
    assert "payment_intent.payment_failed" in shop.events("payment_intent")
    assert shop.api.payment_intents.cancel(kept.id).status == "canceled"


# --- subscriptions ------------------------------------------------------------------------------------------------


def test_periods_pass_on_a_test_clock_and_no_other_customer_notices(shop: Shop):
    start = int(time.time()) - 400 * DAY
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": start})
    theirs = shop.subscription(shop.customer(test_clock=clock.id))
    others = shop.subscription(shop.customer())

    shop.api.test_helpers.test_clocks.advance(clock.id, {"frozen_time": start + 70 * DAY})

    invoices = shop.api.invoices.list({"subscription": theirs.id}).data
    assert [one.billing_reason for one in invoices] == [
        "subscription_cycle",
        "subscription_cycle",
        "subscription_create",
    ]
    assert invoices[0].created - invoices[1].created in {28 * DAY, 29 * DAY, 30 * DAY, 31 * DAY}
    period = shop.api.subscriptions.retrieve(theirs.id)["items"].data[0]
    assert period.current_period_start == invoices[0].created
    assert len(shop.api.invoices.list({"subscription": others.id}).data) == 1


def test_a_renewal_that_fails_is_tried_again_until_the_subscription_ends(shop: Shop):
    subscription = shop.subscription(shop.customer())
    shop.act(f"/payment_methods/{subscription.default_payment_method}", behaves="declines")

    shop.act("/clock", days=32)
    first = shop.api.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    shop.act("/clock", days=16)

    assert (first.status, first.latest_invoice.status, first.latest_invoice.attempt_count) == ("past_due", "open", 1)
    assert shop.api.subscriptions.retrieve(subscription.id).status == "canceled"
    assert shop.events("invoice.payment_failed") == ["invoice.payment_failed"] * 4
    assert shop.events("customer.subscription")[-1] == "customer.subscription.deleted"


def test_a_renewal_that_fails_once_recovers(shop: Shop):
    subscription = shop.subscription(shop.customer())
    card = subscription.default_payment_method
    shop.act(f"/payment_methods/{card}", behaves="authenticates")
    shop.act("/clock", days=32)
    shop.act(f"/payment_methods/{card}", behaves="pays")
    shop.act("/clock", days=4)

    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    assert "invoice.payment_action_required" in shop.events("invoice")


def test_a_trial_warns_ends_and_then_is_paid_for(shop: Shop):
    subscription = shop.subscription(shop.customer(), trial_period_days=7)
    first = shop.api.invoices.retrieve(subscription.latest_invoice)
    shop.act("/clock", days=5)
    warned = shop.events("customer.subscription.trial_will_end")
    shop.act("/clock", days=3)

    ended = shop.api.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (subscription.status, first.status, first.total) == ("trialing", "paid", 0)
    assert warned == ["customer.subscription.trial_will_end"]
    assert (ended.status, ended.latest_invoice.amount_paid) == ("active", 2000)


def test_a_larger_plan_is_prorated_and_invoiced_at_once(shop: Shop):
    subscription = shop.subscription(shop.customer())
    item, larger = subscription["items"].data[0], shop.price(6000, "month")
    shop.act("/clock", days=10)

    changed = shop.api.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item.id, "price": larger.id}],
            "proration_behavior": "always_invoice",
            "expand": ["latest_invoice"],
        },
    )

    invoice = changed.latest_invoice
    unused, remaining = (line.amount for line in invoice.lines.data)
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "paid")
    assert unused < 0 < remaining
    assert invoice.total == unused + remaining


def test_a_smaller_plan_leaves_credit_that_the_next_invoice_uses(shop: Shop):
    customer = shop.customer()
    subscription = shop.subscription(customer)
    item, smaller = subscription["items"].data[0], shop.price(100, "month")
    items = [{"id": item.id, "price": smaller.id}]
    shop.api.subscriptions.update(subscription.id, {"items": items, "proration_behavior": "always_invoice"})
    owed = shop.api.customers.retrieve(customer.id).balance

    shop.act("/clock", days=32)

    invoice = shop.api.invoices.list({"subscription": subscription.id, "limit": 1}).data[0]
    assert owed < -100
    assert (invoice.total, invoice.amount_due, invoice.amount_paid, invoice.status) == (100, 0, 0, "paid")
    assert shop.api.customers.retrieve(customer.id).balance == owed + 100


def test_a_subscription_ends_with_its_period_when_told_so(shop: Shop):
    subscription = shop.subscription(shop.customer())
    told = shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    shop.act("/clock", days=32)

    assert told.cancel_at == told["items"].data[0].current_period_end
    assert shop.api.subscriptions.retrieve(subscription.id).status == "canceled"
    assert shop.api.subscriptions.list().data == []
    assert len(shop.api.subscriptions.list({"status": "all"}).data) == 1


def test_a_paused_subscription_is_not_invoiced_until_it_is_resumed(shop: Shop):
    subscription = shop.subscription(shop.customer())
    shop.api.subscriptions.pause(subscription.id, {"type": "subscription"})
    shop.act("/clock", days=70)
    shop.api.subscriptions.resume(subscription.id)

    reasons = [one.billing_reason for one in shop.api.invoices.list({"subscription": subscription.id}).data]
    assert reasons == ["subscription_cycle", "subscription_create"]
    assert shop.events("customer.subscription.p", "customer.subscription.r") == [
        "customer.subscription.paused",
        "customer.subscription.resumed",
    ]


# --- invoices -----------------------------------------------------------------------------------------------------


def test_a_manual_invoice_is_paid_outside(shop: Shop):
    customer = shop.customer()
    shop.api.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd", "description": "Help"})
    draft = shop.api.invoices.create({"customer": customer.id, "collection_method": "send_invoice"})
    shop.api.invoices.finalize_invoice(draft.id)

    paid = shop.api.invoices.pay(draft.id, {"paid_out_of_band": True})

    assert (paid.status, paid.billing_reason, paid.amount_paid_off_stripe) == ("paid", "manual", 700)
    assert shop.api.invoice_payments.list({"invoice": draft.id, "status": "paid"}).data == []


def test_an_invoice_is_given_up_then_paid_or_voided(shop: Shop):
    customer = shop.customer()
    done = []
    for end in ("pay", "void_invoice"):
        shop.api.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
        invoice = shop.api.invoices.create({"customer": customer.id})
        shop.api.invoices.finalize_invoice(invoice.id)
        shop.api.invoices.mark_uncollectible(invoice.id)
        shop.saved_card(customer.id)
        params = {"payment_method": "pm_card_visa"} if end == "pay" else {}
        done.append(getattr(shop.api.invoices, end)(invoice.id, params).status)

    assert done == ["paid", "void"]
    assert shop.events("invoice.v", "invoice.m") == [
        "invoice.marked_uncollectible",
        "invoice.marked_uncollectible",
        "invoice.voided",
    ]
    with pytest.raises(stripe.InvalidRequestError, match="paid"):
        shop.api.invoices.pay(shop.api.invoices.list({"status": "paid"}).data[0].id)


def test_a_payment_leads_back_to_its_invoice(shop: Shop):
    subscription = shop.subscription(shop.customer())
    payment = shop.api.invoice_payments.list({"invoice": subscription.latest_invoice}).data[0].payment

    asked = {"payment": {"type": "payment_intent", "payment_intent": payment.payment_intent}}
    (found,) = shop.api.invoice_payments.list(asked).data

    assert (found.invoice, found.status) == (subscription.latest_invoice, "paid")


def test_a_credit_note_refunds_a_paid_invoice_once(shop: Shop):
    subscription = shop.subscription(shop.customer())
    note = shop.api.credit_notes.create(
        {"invoice": subscription.latest_invoice, "amount": 800, "refund_amount": 500, "credit_amount": 300}
    )

    refund = shop.api.refunds.retrieve(note.refunds[0].refund)
    assert (note.type, note.post_payment_amount, refund.amount) == ("post_payment", 800, 500)
    assert shop.api.customers.retrieve(subscription.customer).balance == -300
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.credit_notes.void_credit_note(note.id)
    assert shop.act(f"/credit_notes/{note.id}/void")["status"] == "void"
    assert shop.events("credit_note") == ["credit_note.created", "credit_note.voided"]


# --- refunds, disputes, risk --------------------------------------------------------------------------------------


def test_refunds_come_in_parts_and_never_exceed_the_charge(shop: Shop):
    intent = shop.paid().payment_intent
    first = shop.api.refunds.create({"payment_intent": intent.id, "amount": 500, "metadata": {"why": "half"}})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        shop.api.refunds.create({"charge": intent.latest_charge.id, "amount": 1501})
    rest = shop.api.refunds.create({"charge": intent.latest_charge.id})

    charge = shop.api.charges.retrieve(intent.latest_charge.id, {"expand": ["refunds"]})
    assert [one.id for one in charge.refunds.data] == [rest.id, first.id]
    assert (rest.amount, charge.amount_refunded, charge.refunded) == (1500, 2000, True)
    with pytest.raises(stripe.InvalidRequestError) as again:
        shop.api.refunds.create({"charge": charge.id})
    assert again.value.code == "charge_already_refunded"
    assert shop.events("charge.r", "refund") == ["charge.refunded", "refund.created"] * 2


def test_a_refund_may_fail_afterwards(shop: Shop):
    refund = shop.api.refunds.create({"payment_intent": shop.paid().payment_intent.id, "amount": 500})
    failed = shop.act(f"/refunds/{refund.id}/fail")

    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert shop.api.charges.retrieve(refund.charge).amount_refunded == 0
    assert shop.events("refund") == ["refund.created", "refund.updated", "refund.failed"]


@pytest.mark.parametrize(("outcome", "net"), [("won", 0), ("lost", -2000)])
def test_a_dispute_takes_the_money_and_may_give_it_back(shop: Shop, outcome: str, net: int):
    charge = shop.paid().payment_intent.latest_charge
    dispute = shop.act("/disputes", charge=charge.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.api.refunds.create({"charge": charge.id})
    evidence = {"winning_evidence": "won", "losing_evidence": "lost"}
    text = next(key for key, end in evidence.items() if end == outcome)
    closed = shop.api.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": text}})

    moved = shop.api.balance_transactions.list({"type": "adjustment", "source": dispute["id"]}).data
    reinstated = ["charge.dispute.funds_reinstated"] if outcome == "won" else []
    assert refused.value.code == "charge_disputed"
    assert closed.status == outcome
    assert sum(one.amount for one in moved) == net
    assert shop.events("charge.dispute") == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        *reinstated,
        "charge.dispute.closed",
    ]


def test_an_inquiry_moves_no_money_until_it_is_escalated(shop: Shop):
    charge = shop.paid().payment_intent.latest_charge
    inquiry = shop.act("/disputes", charge=charge.id, inquiry=True)
    before = shop.api.balance_transactions.list({"type": "adjustment"}).data
    escalated = shop.act(f"/disputes/{inquiry['id']}/escalate")
    shop.act(f"/disputes/{inquiry['id']}/amount", amount=1200)

    moved = shop.api.balance_transactions.list({"type": "adjustment"}).data
    assert (inquiry["status"], before, escalated["status"]) == ("warning_needs_response", [], "needs_response")
    assert sum(one.amount for one in moved) == -1200


def test_an_inquiry_is_closed_without_a_dispute(shop: Shop):
    inquiry = shop.act("/disputes", charge=shop.paid().payment_intent.latest_charge.id, inquiry=True)

    assert shop.act(f"/disputes/{inquiry['id']}/close", outcome="warning_closed")["status"] == "warning_closed"
    shop.act(f"/disputes/{inquiry['id']}/close", status=400, outcome="warning_closed")


def test_warnings_and_reviews_are_told_and_read(shop: Shop):
    charge = shop.paid().payment_intent.latest_charge
    warning, review = shop.act("/fraud_warnings", charge=charge.id), shop.act("/reviews", charge=charge.id)

    assert shop.api.radar.early_fraud_warnings.retrieve(warning["id"]).charge == charge.id
    assert shop.api.reviews.approve(review["id"]).closed_reason == "approved"
    assert shop.events("radar", "review") == ["radar.early_fraud_warning.created", "review.opened", "review.closed"]


# --- reconciliation -----------------------------------------------------------------------------------------------


def test_balance_transactions_add_up_to_the_payout(shop: Shop):
    charge = shop.paid().payment_intent.latest_charge
    shop.api.refunds.create({"charge": charge.id, "amount": 300})
    payout = shop.act("/payouts", currency="usd")

    parts = shop.api.balance_transactions.list({"payout": payout["id"]}).data
    assert sum(one.net for one in parts) == 0
    assert {one.type: one.net for one in parts} == {"charge": 2000 - 88, "refund": -300, "payout": -payout["amount"]}
    assert shop.api.payouts.retrieve(payout["id"]).status == "paid"


def test_pages_of_a_list_are_followed_to_the_end(shop: Shop):
    made = [shop.customer().id for _ in range(7)]
    shop.api.customers.delete(made[3])

    listed = [one.id for one in shop.api.customers.list({"limit": 2}).auto_paging_iter()]

    assert listed == [one for one in reversed(made) if one != made[3]]
    assert shop.api.customers.retrieve(made[3]).deleted


def test_any_event_can_be_told(shop: Shop):
    doc = {"id": "acct_1", "object": "account"}
    made = shop.act("/events", type="account.updated", object=doc, livemode=True, account="acct_2")

    event = shop.api.events.retrieve(made["id"])
    assert (event.data.object.id, event.livemode, event.account) == ("acct_1", True, "acct_2")


def test_prices_of_a_file_keep_their_ids(shop: Shop):
    price = {"id": "price_pack_small", "currency": "usd", "unit_amount": 1000, "lookup_key": "pack_small"}
    catalog = {"products": [{"id": "prod_pack", "name": "Pack", "prices": [price]}]}

    assert shop.act("/catalog", **catalog)["created"] == ["prod_pack", "price_pack_small"]
    assert shop.act("/catalog", **catalog)["created"] == []
    assert [one.id for one in shop.api.prices.list({"lookup_keys": ["pack_small"]}).data] == ["price_pack_small"]


# --- the shapes ---------------------------------------------------------------------------------------------------


MATRIX = {
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
    "checkout.session.expired", "invoice.created", "invoice.finalized", "invoice.updated", "invoice.paid",
    "invoice.payment_succeeded", "invoice.payment_failed", "invoice.payment_action_required", "invoice.voided",
    "invoice.marked_uncollectible", "payment_intent.succeeded", "payment_intent.payment_failed",
    "payment_intent.canceled", "payment_intent.processing", "refund.created", "refund.updated", "refund.failed",
    "charge.refunded", "charge.dispute.created", "charge.dispute.updated", "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated", "charge.dispute.closed", "radar.early_fraud_warning.created", "review.opened",
    "review.closed", "credit_note.created", "credit_note.voided", "customer.subscription.created",
    "customer.subscription.updated", "customer.subscription.deleted", "customer.subscription.trial_will_end",
    "customer.subscription.paused", "customer.subscription.resumed", "customer.updated", "customer.deleted",
    "price.created", "price.updated", "product.created", "product.updated", "coupon.created", "payout.paid",
    "balance.available",
}  # fmt: skip
OBJECTS = {
    "balance_transaction", "billing_portal.session", "charge", "checkout.session", "coupon", "credit_note", "customer",
    "dispute", "event", "invoice", "invoice_payment", "invoiceitem", "item", "payment_intent", "payment_method",
    "payout", "price", "product", "radar.early_fraud_warning", "refund", "review", "setup_intent", "subscription",
    "subscription_item", "test_helpers.test_clock",
}  # fmt: skip


@pytest.fixture(scope="module")
def lived(sandbox) -> list[dict[str, Any]]:
    """Every object that a shop has seen after all that can happen, events and their objects included."""
    for shop in opened(sandbox):
        happenings(shop)
        seen = [event.to_dict() for event in shop.api.events.list({"limit": 100}).auto_paging_iter()]
        seen += [event["data"]["object"] for event in seen]
        for name in ("balance_transactions", "invoice_payments"):
            seen += [one.to_dict() for one in getattr(shop.api, name).list().data]
        clocks = shop.api.test_helpers.test_clocks.list()
        sessions = shop.api.checkout.sessions.list({"expand": ["data.line_items"]})
        subscriptions = shop.api.subscriptions.list({"status": "all"})
        seen += [clocks.data[0].to_dict(), sessions.data[0].line_items.data[0].to_dict()]
        seen += [subscriptions.data[0]["items"].data[0].to_dict()]
    return seen


def happenings(shop: Shop) -> None:
    customer = shop.customer()
    saving = shop.session("setup", customer=customer.id, currency="usd")
    shop.act(f"/checkout/{saving.id}/pay")
    trying = shop.subscription(customer, trial_period_days=3)
    subscription = shop.subscription(customer)
    shop.api.subscriptions.pause(subscription.id, {"type": "subscription"})
    shop.api.subscriptions.resume(subscription.id)
    debited = [shop.session(customer=customer.id) for _ in "12"]
    for session, outcome in zip(debited, ("succeeded", "failed"), strict=True):
        intent = shop.act(f"/checkout/{session.id}/pay", **{"with": "pm_usBankAccount"})["payment_intent"]
        shop.act(f"/payments/{intent}/settle", outcome=outcome)
    shop.api.payment_intents.cancel(intent)
    for token in ("pm_card_createDispute", "pm_card_createDisputeInquiry"):
        shop.act(f"/checkout/{shop.session(customer=customer.id).id}/pay", **{"with": token})
    inquiry, dispute = shop.api.disputes.list().data
    shop.act(f"/disputes/{inquiry.id}/escalate")
    shop.act(f"/disputes/{dispute.id}/close", outcome="won")
    for act in ("/reviews", "/fraud_warnings"):
        shop.act(act, charge=dispute.charge)
    shop.api.reviews.approve(shop.api.reviews.list().data[0].id)
    refund = shop.api.refunds.create({"charge": dispute.charge, "amount": 100})
    shop.act(f"/refunds/{refund.id}/fail")
    note = {"invoice": subscription.latest_invoice, "amount": 100, "refund_amount": 100}
    shop.act(f"/credit_notes/{shop.api.credit_notes.create(note).id}/void")
    shop.api.coupons.create({"amount_off": 100, "currency": "usd"})
    for _ in "12":
        shop.api.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
        invoice = shop.api.invoices.create({"customer": customer.id})
        shop.api.invoices.finalize_invoice(invoice.id)
        shop.api.invoices.mark_uncollectible(invoice.id)
    shop.api.invoices.void_invoice(invoice.id)
    shop.act(f"/payment_methods/{trying.default_payment_method}", behaves="authenticates")
    price = shop.api.prices.update(shop.price().id, {"nickname": "Old"})
    shop.api.products.update(price.product, {"name": "Old"})
    shop.act("/payouts")
    shop.api.billing_portal.sessions.create({"customer": customer.id})
    shop.api.test_helpers.test_clocks.create({"frozen_time": 1})
    shop.session()
    shop.act("/clock", days=4)
    shop.api.customers.update(customer.id, {"name": "B"})
    shop.api.customers.delete(customer.id)


def test_every_row_of_the_shops_matrix_happens_here(lived: list[dict[str, Any]]):
    types = {one["type"] for one in lived if one["object"] == "event"}

    assert types >= MATRIX
    assert types <= set(get_args(stripe.Event.__annotations__["type"]))


def test_every_object_has_the_members_that_the_package_knows(lived: list[dict[str, Any]]):
    assert not {problem for one in lived for problem in problems(one)}
    assert {one["object"] for one in lived} >= OBJECTS


def test_a_debit_for_a_subscription_is_trusted_until_it_fails(shop: Shop):
    session = shop.session("subscription")
    done = shop.act(f"/checkout/{session.id}/pay", **{"with": "pm_usBankAccount"})
    before = shop.api.subscriptions.retrieve(done["subscription"]).status
    (payment,) = shop.api.invoice_payments.list({"invoice": done["invoice"]}).data
    shop.act(f"/payments/{payment.payment.payment_intent}/settle", outcome="failed")

    assert (done["payment_status"], before) == ("unpaid", "active")
    assert shop.api.subscriptions.retrieve(done["subscription"]).status == "past_due"
    assert shop.events("checkout")[-1] == "checkout.session.async_payment_failed"


# the deprecated twin of a price is not made
LEFT_OUT = {"subscription_item": {"plan"}, "subscription": {"billing_schedules"}}
ADDED = {"balance"}


def problems(doc: dict[str, Any]) -> list[str]:
    """Members that the package's class does not have, or demands and we lack."""
    kind = doc["object"]
    if kind in ADDED:
        return []
    module, name = OBJECT_CLASSES[kind]
    known = getattr(importlib.import_module(module), name).__annotations__
    needed = {
        member for member, hint in known.items() if member != "OBJECT_NAME" and type(None) not in get_args(hint)
    } - LEFT_OUT.get(kind, set())
    return [f"{kind} has {one}" for one in doc.keys() - known.keys()] + [
        f"{kind} lacks {one}" for one in needed - doc.keys()
    ]
