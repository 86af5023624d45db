"""Early fraud warnings and reviews: made by the control API, read by the product; and the account itself."""

from __future__ import annotations

from sandbox.stripe.credentials import ACCOUNT
from sandbox.stripe.operations import Call, Operations
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World

OPERATIONS = Operations()
OPERATIONS.reads("/radar/early_fraud_warnings", "radar.early_fraud_warning", "charge payment_intent")
OPERATIONS.reads("/reviews", "review")


@OPERATIONS.add("GET", "/account")
def account(_world: World, _call: Call) -> Doc:
    """The cheapest call that shows whether the key works."""
    enabled = {"charges_enabled": True, "payouts_enabled": True, "details_submitted": True}
    place: Doc = {"country": "US", "default_currency": "usd", "email": None, "type": "standard", "metadata": {}}
    return {"id": ACCOUNT, "object": "account", **enabled, **place}


@OPERATIONS.add("POST", "/reviews/{id}/approve")
def approve(world: World, call: Call) -> Doc:
    return close_review(world, world.get("review", call.id), "approved")


def warn(world: World, charge: Doc) -> Doc:
    doc = world.new(
        "radar.early_fraud_warning",
        {
            "actionable": not charge["refunded"],
            "charge": charge["id"],
            "fraud_type": "made_with_stolen_card",
            "payment_intent": charge["payment_intent"],
        },
    )
    world.happened("radar.early_fraud_warning.created", doc)
    return doc


def open_review(world: World, charge: Doc) -> Doc:
    doc = world.new(
        "review",
        {
            "billing_zip": None,
            "charge": charge["id"],
            "closed_reason": None,
            "ip_address": None,
            "ip_address_location": None,
            "open": True,
            "opened_reason": "rule",
            "payment_intent": charge["payment_intent"],
            "reason": "rule",
            "session": None,
        },
    )
    world.save(charge, {"review": doc["id"]})
    world.happened("review.opened", doc)
    return doc


def close_review(world: World, doc: Doc, reason: str) -> Doc:
    """approved, refunded, refunded_as_fraud, disputed ..."""
    if not doc["open"]:
        raise invalid("This review is closed already.")
    world.save(doc, {"open": False, "closed_reason": reason, "reason": reason})
    world.happened("review.closed", doc)
    return doc
