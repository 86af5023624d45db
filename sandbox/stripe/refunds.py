"""Refunds: part or all of a charge goes back, and may fail to arrive."""

from __future__ import annotations

from sandbox.stripe.balance import moved
from sandbox.stripe.operations import OPERATIONS_PAGE, Call, Operations, page
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/refunds", "refund", "charge payment_intent")


@OPERATIONS.add("GET", "/charges/{id}/refunds", OPERATIONS_PAGE)
def of_charge(world: World, call: Call) -> Doc:
    return page(world, call, "refund", {"charge": world.get("charge", call.id)["id"]})


@OPERATIONS.add("POST", "/refunds", "charge payment_intent amount:int reason metadata:map instructions_email")
def create(world: World, call: Call) -> Doc:
    charge = charge_of(world, call)
    dispute = next(iter(world.store.find("dispute", {"charge": charge["id"]})), None)
    if dispute is not None and not dispute["is_charge_refundable"]:
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    return refund(world, charge, call.get("amount"), call.get("reason"), call.get("metadata"))


@OPERATIONS.add("POST", "/refunds/{id}", "metadata:map")
def update(world: World, call: Call) -> Doc:
    doc = world.get("refund", call.id)
    world.save(doc, {"metadata": with_metadata(doc, call.get("metadata"))})
    world.happened("refund.updated", doc)
    return doc


def charge_of(world: World, call: Call) -> Doc:
    """The charge that `charge` or `payment_intent` names. Raises a refusal."""
    if given := call.get("charge"):
        return world.get("charge", given, "charge")
    if call.get("payment_intent") is None:
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    intent = world.get("payment_intent", call.get("payment_intent"), "payment_intent")
    if intent["status"] != "succeeded":
        said = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise invalid(said, param="payment_intent")
    return world.get("charge", intent["latest_charge"])


def refund(
    world: World, charge: Doc, amount: int | None, reason: str | None = None, metadata: Doc | None = None
) -> Doc:
    """In minor units; None: all that is left. Raises a refusal for more than that."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} did not succeed and cannot be refunded.", param="charge")
    if left == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = left if amount is None else amount
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        said = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise invalid(said, param="amount")
    doc = world.new(
        "refund",
        {
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "currency": charge["currency"],
            "destination_details": {"type": "card", "card": {"type": "refund", "reference_status": "pending"}},
            "metadata": with_metadata({}, metadata),
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "succeeded",
            "transfer_reversal": None,
        },
    )
    left_us = moved(world, doc, -amount, "refund")
    world.save(doc, {"balance_transaction": left_us["id"]})
    previous = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    world.save(charge, {"amount_refunded": charge["amount_refunded"] + amount, "refunded": amount == left})
    world.happened("charge.refunded", charge, previous)
    world.happened("refund.created", doc)
    return doc


def fail(world: World, doc: Doc, reason: str = "lost_or_stolen_card") -> Doc:
    """The bank sent it back: the money is ours again, and the charge counts it as not refunded."""
    if doc["status"] == "failed":
        raise invalid("This refund has failed already.")
    back = moved(world, doc, doc["amount"], "refund_failure")
    failed = {"status": "failed", "failure_reason": reason, "failure_balance_transaction": back["id"]}
    world.save(doc, failed)
    charge = world.get("charge", doc["charge"])
    world.save(charge, {"amount_refunded": charge["amount_refunded"] - doc["amount"], "refunded": False})
    world.happened("refund.updated", doc, {"status": "succeeded"})
    world.happened("charge.refund.updated", doc, {"status": "succeeded"})
    world.happened("refund.failed", doc)
    return doc
