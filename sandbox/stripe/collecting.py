"""Collecting an invoice: paid, failed and tried again, voided, given up; and what that means for its subscription."""

from __future__ import annotations

from sandbox.stripe import payments
from sandbox.stripe.clock import when
from sandbox.stripe.invoices import subscription_of
from sandbox.stripe.store import Doc
from sandbox.stripe.subscribing import end
from sandbox.stripe.world import World

RETRIES_AFTER_S = (3 * 86400, 5 * 86400, 7 * 86400)  # after the first try, then after each that failed; then it ends


def collect(
    world: World, invoice: Doc, method: Doc | None = None, *, off_session: bool = True, retries: bool = True
) -> Doc | None:
    """Try to have it paid; the error of a decline. A payment that takes days leaves it open."""
    if invoice["amount_remaining"] == 0:
        _paid(world, invoice)
        return None
    method = method or default_method(world, invoice)
    world.save(invoice, {"attempted": True, "attempt_count": invoice["attempt_count"] + 1})
    intent = _intent(world, invoice)
    if method is None:
        error: Doc | None = {
            "code": "payment_intent_payment_attempt_failed",
            "message": "This customer has no attached payment source or default payment method.",
        }
    else:
        error = payments.attempt(world, intent, method, off_session=off_session)
    if error is not None:
        _failed(world, invoice, error, retries=retries)
    elif intent["status"] == "succeeded":
        settled(world, invoice, intent)
    elif intent["status"] == "requires_action":
        world.happened("invoice.payment_action_required", invoice)
    return error


def settled(world: World, invoice: Doc, intent: Doc) -> None:
    """Its payment arrived."""
    for payment in world.find("invoice_payment", invoice=invoice["id"], status="open"):
        changes = {"status": "paid", "amount_paid": intent["amount_received"]}
        transitions = {"canceled_at": None, "paid_at": world.now_of(invoice["customer"])}
        world.save(payment, {**changes, "status_transitions": transitions})
        world.happened("invoice_payment.paid", payment)
    _paid(world, invoice)


def fail(world: World, invoice: Doc, error: Doc) -> None:
    """A payment that took days did not arrive."""
    _failed(world, invoice, error, retries=True)


def pay_outside(world: World, invoice: Doc) -> None:
    """Paid, but not through Stripe."""
    _cancel_payments(world, invoice)
    _paid(world, invoice, outside=True)


def void(world: World, invoice: Doc) -> None:
    _cancel_payments(world, invoice)
    _ended(world, invoice, "void", "voided_at")
    world.happened("invoice.voided", invoice)


def mark_uncollectible(world: World, invoice: Doc) -> None:
    _ended(world, invoice, "uncollectible", "marked_uncollectible_at")
    world.happened("invoice.marked_uncollectible", invoice)


@when("retry")
def retry(world: World, invoice: Doc) -> None:
    """The next try of the dunning schedule."""
    if invoice["status"] == "open":
        collect(world, invoice)


def default_method(world: World, invoice: Doc) -> Doc | None:
    """The invoice's, the subscription's or the customer's."""
    subscription, customer = subscription_of(invoice), world.get("customer", invoice["customer"])
    named = [
        invoice["default_payment_method"],
        (world.store.get(subscription) or {}).get("default_payment_method") if subscription else None,
        customer["invoice_settings"]["default_payment_method"],
    ]
    found = next((one for one in named if one), None)
    return world.store.get(found) if found else None


def _intent(world: World, invoice: Doc) -> Doc:
    """One payment for the whole of it, whatever the number of tries."""
    for payment in world.find("invoice_payment", invoice=invoice["id"], status="open"):
        intent = world.get("payment_intent", payment["payment"]["payment_intent"])
        if intent["amount"] == invoice["amount_remaining"]:
            return intent
        world.save(payment, {"status": "canceled"})
    intent = payments.new_intent(
        world,
        invoice["amount_remaining"],
        invoice["currency"],
        customer=invoice["customer"],
        description="Subscription update" if subscription_of(invoice) else None,
        setup_future_usage="off_session" if subscription_of(invoice) else None,
        invoice=invoice["id"],
    )
    world.new(
        "invoice_payment",
        {
            "amount_paid": None,
            "amount_requested": invoice["amount_remaining"],
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        },
    )
    return intent


def _paid(world: World, invoice: Doc, *, outside: bool = False) -> None:
    previous, now = {"status": invoice["status"]}, world.now_of(invoice["customer"])
    amount = invoice["amount_due"]
    world.save(
        invoice,
        {
            "amount_paid": amount,
            "amount_paid_off_stripe": amount if outside else 0,
            "amount_remaining": 0,
            "attempted": True,
            "next_payment_attempt": None,
            "status": "paid",
            "status_transitions": {**invoice["status_transitions"], "paid_at": now},
        },
    )
    world.wake(invoice, "retry", None, invoice["customer"])
    world.happened("invoice.updated", invoice, previous)
    world.happened("invoice.paid", invoice)
    world.happened("invoice.payment_succeeded", invoice)
    subscription = _subscription(world, invoice)
    if subscription is not None and subscription["status"] in {"incomplete", "past_due", "unpaid"}:
        world.wake(subscription, "incomplete", None, invoice["customer"])
        _status(world, subscription, "active")


def _failed(world: World, invoice: Doc, error: Doc, *, retries: bool) -> None:
    tries, subscription = invoice["attempt_count"], _subscription(world, invoice)
    first = subscription is not None and subscription["status"] == "incomplete"
    again = None
    if retries and not first and invoice["auto_advance"] and tries <= len(RETRIES_AFTER_S):
        again = world.now_of(invoice["customer"]) + RETRIES_AFTER_S[tries - 1]
    world.save(invoice, {"next_payment_attempt": again})
    world.wake(invoice, "retry", again, invoice["customer"])
    if error.get("code") == "authentication_required":
        world.happened("invoice.payment_action_required", invoice)
    world.happened("invoice.payment_failed", invoice)
    if subscription is None or first or not retries:
        return
    if again is None and tries > len(RETRIES_AFTER_S):
        end(world, subscription, "payment_failed")
    elif subscription["status"] in {"active", "trialing"}:
        _status(world, subscription, "past_due")


def _ended(world: World, invoice: Doc, status: str, transition: str) -> None:
    changed = {**invoice["status_transitions"], transition: world.now_of(invoice["customer"])}
    world.save(invoice, {"status": status, "status_transitions": changed, "next_payment_attempt": None})
    world.wake(invoice, "retry", None, invoice["customer"])


def _cancel_payments(world: World, invoice: Doc) -> None:
    for payment in world.find("invoice_payment", invoice=invoice["id"], status="open"):
        world.save(payment, {"status": "canceled"})
        intent = world.get("payment_intent", payment["payment"]["payment_intent"])
        if intent["status"] not in {"succeeded", "canceled", "processing"}:
            payments.cancel(world, intent, "void_invoice")


def _subscription(world: World, invoice: Doc) -> Doc | None:
    name = subscription_of(invoice)
    return world.store.get(name) if name else None


def _status(world: World, subscription: Doc, status: str) -> None:
    previous = {"status": subscription["status"]}
    world.save(subscription, {"status": status})
    world.happened("customer.subscription.updated", subscription, previous)
