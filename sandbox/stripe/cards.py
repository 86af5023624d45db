"""Payment methods, and how each behaves when it is charged: Stripe's test cards and tokens.

Source: the tokens and numbers of docs.stripe.com/testing; how each ends is that page's, in our words.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.stripe.operations import Call, Operations, page
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, token, with_metadata

OPERATIONS = Operations()
BEHAVIOURS = {
    "pays": "the charge succeeds",
    "declines": "card_declined, generic_decline",
    "insufficient_funds": "card_declined, insufficient_funds",
    "expired": "expired_card",
    "authenticates": "wants the customer to authenticate: off session that is a decline",
    "takes_days": "the payment is processing until it is settled by the control API",
    "is_disputed": "succeeds, then a dispute is opened",
    "is_inquired": "succeeds, then an inquiry is opened",
}


@dataclass(frozen=True, slots=True)
class Token:
    behaves: str = "pays"
    last4: str = "4242"
    brand: str = "visa"
    type: str = "card"


TOKENS = {
    "pm_card_visa": Token(),
    "pm_card_mastercard": Token(last4="4444", brand="mastercard"),
    "pm_card_visa_chargeDeclined": Token("declines", "0002"),
    "pm_card_chargeDeclined": Token("declines", "0002"),
    "pm_card_chargeCustomerFail": Token("declines", "0341"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Token("insufficient_funds", "9995"),
    "pm_card_chargeDeclinedInsufficientFunds": Token("insufficient_funds", "9995"),
    "pm_card_chargeDeclinedExpiredCard": Token("expired", "0069"),
    "pm_card_authenticationRequired": Token("authenticates", "3184"),
    "pm_card_createDispute": Token("is_disputed", "0259"),
    "pm_card_createDisputeInquiry": Token("is_inquired", "1976"),
    "pm_usBankAccount": Token("takes_days", "6789", "", "us_bank_account"),
}
_NUMBERS = {one.last4: one for one in TOKENS.values()}


def method_of(world: World, given: str, param: str) -> Doc:
    """A payment method by id; a token makes a new one. Raises a refusal."""
    if (found := TOKENS.get(given)) is not None:
        return new_method(world, found)
    return world.get("payment_method", given, param)


def new_method(world: World, given: Token, metadata: Doc | None = None) -> Doc:
    card = {
        "brand": given.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": given.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"fp{given.last4}",
        "funding": "credit",
        "last4": given.last4,
    }
    details = card if given.type == "card" else {"bank_name": "STRIPE TEST BANK", "last4": given.last4}
    return world.new(
        "payment_method",
        {
            "allow_redisplay": "unspecified",
            "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
            given.type: details,
            "customer": None,
            "metadata": with_metadata({}, metadata),
            "type": given.type,
            "_behaves": given.behaves,
        },
    )


def attach(world: World, method: Doc, customer: str) -> Doc:
    """Raises a refusal when it belongs to somebody else."""
    world.get("customer", customer, "customer")
    if method["customer"] == customer:
        return method
    if method["customer"] is not None:
        raise invalid(
            "The payment method you provided has already been attached to a customer.", param="payment_method"
        )
    world.save(method, {"customer": customer})
    world.happened("payment_method.attached", method)
    return method


@OPERATIONS.add("POST", "/payment_methods", "type! card:map us_bank_account:map billing_details:map metadata:map")
def create(world: World, call: Call) -> Doc:
    if call.params["type"] == "us_bank_account":
        return new_method(world, TOKENS["pm_usBankAccount"], call.get("metadata"))
    card = call.get("card") or {}
    number, named = str(card.get("number", "")), str(card.get("token", ""))
    found = TOKENS.get(named.replace("tok_", "pm_card_", 1)) or _NUMBERS.get(number[-4:])
    if found is None or found.type != "card":
        raise invalid("Your card number is incorrect.", param="card[number]", code="incorrect_number", status=402)
    return new_method(world, found, call.get("metadata"))


@OPERATIONS.add("GET", "/payment_methods/{id}")
def read(world: World, call: Call) -> Doc:
    return world.get("payment_method", call.id)


@OPERATIONS.add("POST", "/payment_methods/{id}", "metadata:map billing_details:map")
def update(world: World, call: Call) -> Doc:
    doc = world.get("payment_method", call.id)
    world.save(doc, {"metadata": with_metadata(doc, call.get("metadata"))})
    world.happened("payment_method.updated", doc)
    return doc


@OPERATIONS.add("GET", "/payment_methods", "customer type limit:int starting_after ending_before")
@OPERATIONS.add("GET", "/customers/{id}/payment_methods", "type limit:int starting_after ending_before")
def listed_methods(world: World, call: Call) -> Doc:
    customer = call.id or call.get("customer")
    world.get("customer", customer, None if call.id else "customer")
    equal = {"customer": customer, **({"type": call.get("type")} if call.get("type") else {})}
    return page(world, call, "payment_method", equal)


@OPERATIONS.add("POST", "/payment_methods/{id}/attach", "customer!")
def attach_method(world: World, call: Call) -> Doc:
    return attach(world, method_of(world, call.id, "payment_method"), call.params["customer"])


@OPERATIONS.add("POST", "/payment_methods/{id}/detach")
def detach(world: World, call: Call) -> Doc:
    doc = world.get("payment_method", call.id)
    if doc["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    for holder in [*world.find("customer", id=doc["customer"]), *world.find("subscription", customer=doc["customer"])]:
        settings = holder.get("invoice_settings", {})
        if settings.get("default_payment_method") == doc["id"]:
            world.save(holder, {"invoice_settings": {**settings, "default_payment_method": None}})
        if holder.get("default_payment_method") == doc["id"]:
            world.save(holder, {"default_payment_method": None})
    previous = {"customer": doc["customer"]}
    world.save(doc, {"customer": None})
    world.happened("payment_method.detached", doc, previous)
    return doc


def secret_of(object_id: str) -> str:
    return f"{object_id}_secret_{token(25)}"
