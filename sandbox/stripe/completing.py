"""What follows when a customer pays on the hosted page, and when a payment that took days arrives or does not."""

from __future__ import annotations

from sandbox.stripe import collecting, payments, periods
from sandbox.stripe.cards import attach, method_of
from sandbox.stripe.customers import new_customer
from sandbox.stripe.forms import whole
from sandbox.stripe.intents import new_setup, set_up
from sandbox.stripe.problems import StripeRefusal, card, invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.subscribing import new_subscription
from sandbox.stripe.world import World, shown, with_metadata

_EMAIL = "jenny.rosen@example.com"


def pay(world: World, session: Doc, token: str = "pm_card_visa", email: str | None = None) -> Doc:  # noqa: S107
    """The customer fills in the page. Raises a refusal for a declined card: then the session stays open."""
    if session["status"] != "open":
        raise invalid(f"This Checkout Session is {session['status']}.")
    method = method_of(world, token, "payment_method")
    _know_customer(world, session, email)
    if session["mode"] == "setup":
        _set_up(world, session, method)
    elif session["mode"] == "subscription":
        _subscribe(world, session, method)
    elif session["amount_total"] == 0:
        world.save(session, {"payment_status": "no_payment_required"})
    else:
        _pay_once(world, session, method)
    world.save(session, {"status": "complete", "url": None})
    world.wake(session, "session_expires", None, None)
    world.happened("checkout.session.completed", session)
    return session


def settle(world: World, intent: Doc, *, succeeds: bool) -> Doc:
    """A payment that is processing arrives, or does not; its session and its invoice follow."""
    if intent["status"] not in {"processing", "requires_action"}:
        raise invalid(f"A payment that is {intent['status']} cannot be settled.")
    method = world.get("payment_method", intent["payment_method"])
    if intent["status"] == "requires_action":
        charge = payments.new_charge(world, intent, method, "pending")
    else:
        charge = world.get("charge", intent["latest_charge"])
    invoice = world.store.get(intent["_invoice"]) if intent["_invoice"] else None
    by = {"invoice": invoice["id"]} if invoice else {"payment_intent": intent["id"]}
    session = next(iter(world.find("checkout.session", **by)), None)
    if succeeds:
        payments.succeed(world, intent, charge, method)
        if invoice is not None:
            collecting.settled(world, invoice, intent)
    else:
        error = payments.decline(world, intent, method, "insufficient_funds", charge)
        if invoice is not None:
            collecting.fail(world, invoice, error)
    if session is not None and session["status"] == "complete" and session["payment_status"] == "unpaid":
        world.save(session, {"payment_status": "paid" if succeeds else "unpaid"})
        world.happened(f"checkout.session.async_payment_{'succeeded' if succeeds else 'failed'}", session)
    return intent


def _know_customer(world: World, session: Doc, email: str | None) -> None:
    """A subscription or a setup needs a customer; a payment without one is a guest's."""
    known = world.store.get(session["customer"]) if session["customer"] else None
    email = email or (known or {}).get("email") or session["customer_email"] or _EMAIL
    details = {
        "address": {"country": "US", "postal_code": "94107"},
        "email": email,
        "name": "Jenny Rosen",
        "phone": None,
    }
    world.save(session, {"customer_details": {**details, "tax_exempt": "none", "tax_ids": []}})
    if known is None and session["customer_creation"] == "always":
        known = new_customer(world, email=email, name="Jenny Rosen")
        world.happened("customer.created", known)
        world.save(session, {"customer": known["id"]})


def _pay_once(world: World, session: Doc, method: Doc) -> None:
    data = session["_payment_intent_data"]
    if session["payment_intent"]:
        intent = world.get("payment_intent", session["payment_intent"])
    else:
        intent = payments.new_intent(
            world,
            session["amount_total"],
            session["currency"],
            customer=session["customer"],
            description=data.get("description"),
            metadata=data.get("metadata"),
            setup_future_usage=data.get("setup_future_usage"),
            types=session["payment_method_types"],
        )
        world.save(session, {"payment_intent": intent["id"]})
    error = payments.attempt(world, intent, method, off_session=False)
    if error is not None:
        raise card({**error, "payment_method": shown(method)}, shown(intent))
    if intent["status"] == "requires_action":  # on the page the customer authenticates
        settle(world, intent, succeeds=True)
    world.save(session, {"payment_status": "paid" if intent["status"] == "succeeded" else "unpaid"})


def _set_up(world: World, session: Doc, method: Doc) -> None:
    data = session["_setup_intent_data"]
    setup = new_setup(world, session["customer"], data.get("metadata"))
    world.save(setup, {"payment_method": method["id"], "description": data.get("description")})
    set_up(world, setup)
    world.save(session, {"setup_intent": setup["id"]})


def _subscribe(world: World, session: Doc, method: Doc) -> None:
    """The first payment must succeed, or there is no subscription."""
    data = session["_subscription_data"]
    days = (
        whole(data["trial_period_days"], "subscription_data[trial_period_days]") if "trial_period_days" in data else 0
    )
    customer = world.get("customer", session["customer"])
    refused = _refusal(method, session)
    if refused is not None:
        raise refused
    attach(world, method, customer["id"])
    subscription = new_subscription(
        world,
        customer,
        [(item["price"], item["quantity"], None) for item in session["_line_items"]],
        metadata=with_metadata({}, data.get("metadata")),
        trial_s=days * 86400,
        coupon=session["_coupon"],
        tax=session["automatic_tax"]["enabled"],
        description=data.get("description"),
    )
    world.save(subscription, {"default_payment_method": method["id"]})
    periods.begin(world, subscription, off_session=False)
    invoice = world.get("invoice", subscription["latest_invoice"])
    if invoice["status"] == "open":
        intent = world.find("payment_intent", _invoice=invoice["id"])[-1]
        if intent["status"] == "requires_action":
            settle(world, intent, succeeds=True)
            invoice = world.get("invoice", invoice["id"])
    due = invoice["total"] > 0
    paid = "paid" if invoice["status"] == "paid" else "unpaid"
    world.save(
        session,
        {
            "subscription": subscription["id"],
            "invoice": invoice["id"],
            "payment_status": paid if due else "no_payment_required",
        },
    )


def _refusal(method: Doc, session: Doc) -> StripeRefusal | None:
    declined = method["_behaves"] in {"declines", "insufficient_funds", "expired"}
    if not declined or session["amount_total"] == 0:
        return None
    error = {"code": "card_declined", "decline_code": "generic_decline", "message": "Your card was declined."}
    return card(error, {})
