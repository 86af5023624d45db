"""Payment intents and their charges: an attempt succeeds, is declined, wants authentication or takes days."""

from __future__ import annotations

from typing import Any

from sandbox.stripe import disputes
from sandbox.stripe.balance import charge_fee, moved
from sandbox.stripe.cards import attach, secret_of
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, shown, with_metadata

_DECLINES = {
    "declines": ("card_declined", "generic_decline", "Your card was declined."),
    "insufficient_funds": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "expired": ("expired_card", "expired_card", "Your card has expired."),
    "authenticates": (
        "authentication_required",
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
}


def new_intent(
    world: World,
    amount: int,
    currency: str,
    *,
    customer: str | None = None,
    description: str | None = None,
    metadata: Doc | None = None,
    setup_future_usage: str | None = None,
    types: list[str] | None = None,
    invoice: str | None = None,
) -> Doc:
    """In minor units. Told as created; nothing is charged yet."""
    doc = world.new(
        "payment_intent",
        {
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": None if types else {"allow_redirects": "always", "enabled": True},
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": None,
            "confirmation_method": "automatic",
            "currency": currency,
            "customer": customer,
            "description": description,
            "last_payment_error": None,
            "latest_charge": None,
            "metadata": with_metadata({}, metadata),
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_options": {},
            "payment_method_types": types or ["card", "us_bank_account"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": setup_future_usage,
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
            "_invoice": invoice,
        },
    )
    world.save(doc, {"client_secret": secret_of(doc["id"])})
    world.happened("payment_intent.created", doc)
    return doc


def attempt(world: World, intent: Doc, method: Doc, *, off_session: bool) -> Doc | None:
    """Charge the method; the error of a decline, None otherwise: then the intent's status says how it stands."""
    behaves = method["_behaves"]
    world.save(intent, {"payment_method": method["id"], "next_action": None})
    if behaves == "authenticates" and not off_session:
        redirect = {"return_url": None, "url": f"{world.base_url}/sandbox/stripe"}
        action = {"type": "redirect_to_url", "redirect_to_url": redirect}
        world.save(intent, {"status": "requires_action", "next_action": action})
        world.happened("payment_intent.requires_action", intent)
        return None
    if behaves in _DECLINES:
        return decline(world, intent, method, behaves)
    if behaves == "takes_days":
        charge = new_charge(world, intent, method, "pending")
        world.save(intent, {"status": "processing", "latest_charge": charge["id"]})
        world.happened("payment_intent.processing", intent)
        world.happened("charge.pending", charge)
        return None
    succeed(world, intent, new_charge(world, intent, method, "pending"), method)
    return None


def succeed(world: World, intent: Doc, charge: Doc, method: Doc) -> None:
    """The money came."""
    paid = moved(world, charge, charge["amount"], "charge", fee=charge_fee(charge["amount"]))
    world.save(
        charge,
        {"balance_transaction": paid["id"], "captured": True, "amount_captured": charge["amount"], "paid": True}
        | {"status": "succeeded", "outcome": _outcome(None)},
    )
    received = {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
    world.save(intent, {**received, "last_payment_error": None, "processing": None})
    if intent["setup_future_usage"] and intent["customer"]:
        attach(world, method, intent["customer"])
    world.happened("charge.succeeded", charge)
    world.happened("payment_intent.succeeded", intent)
    if method["_behaves"] in {"is_disputed", "is_inquired"}:
        disputes.open_dispute(world, charge, inquiry=method["_behaves"] == "is_inquired")


def decline(world: World, intent: Doc, method: Doc, behaves: str, charge: Doc | None = None) -> Doc:
    """The attempt failed: the intent wants another method."""
    code, decline_code, message = _DECLINES[behaves]
    charge = charge or new_charge(world, intent, method, "failed")
    failure = {"failure_code": code, "failure_message": message, "outcome": _outcome(decline_code)}
    world.save(charge, {"status": "failed", **failure})
    error: dict[str, Any] = {"code": code, "decline_code": decline_code, "message": message, "charge": charge["id"]}
    error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
    kept = {**error, "payment_method": shown(method), "type": "card_error"}
    again = {"status": "requires_payment_method", "payment_method": None, "last_payment_error": kept}
    world.save(intent, {**again, "latest_charge": charge["id"]})
    world.happened("charge.failed", charge)
    world.happened("payment_intent.payment_failed", intent)
    return error


def cancel(world: World, intent: Doc, reason: str | None) -> None:
    canceled = {"status": "canceled", "canceled_at": world.now, "cancellation_reason": reason}
    world.save(intent, canceled)
    world.happened("payment_intent.canceled", intent)


def new_charge(world: World, intent: Doc, method: Doc, status: str) -> Doc:
    kind = method["type"]
    return world.new(
        "charge",
        {
            "amount": intent["amount"],
            "amount_captured": 0,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": None,
            "billing_details": method["billing_details"],
            "calculated_statement_descriptor": "SANDBOX",
            "captured": False,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "fraud_details": {},
            "metadata": intent["metadata"],
            "on_behalf_of": None,
            "outcome": None,
            "paid": False,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {"type": kind, kind: method[kind]},
            "receipt_email": None,
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "review": None,
            "shipping": None,
            "source": None,
            "source_transfer": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": status,
            "transfer_data": None,
            "transfer_group": None,
        },
    )


def _outcome(decline_code: str | None) -> Doc:
    told = {"network_advice_code": None, "network_decline_code": None, "risk_level": "normal"}
    if decline_code is None:
        said = {"network_status": "approved_by_network", "reason": None, "type": "authorized"}
        return {**told, **said, "seller_message": "Payment complete."}
    said = {"network_status": "declined_by_network", "reason": decline_code, "type": "issuer_declined"}
    return {**told, **said, "seller_message": "The bank declined the payment."}
