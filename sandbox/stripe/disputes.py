"""Disputes: opened on a charge, the money taken and perhaps given back. An inquiry (`warning_*`) moves none."""

from __future__ import annotations

from sandbox.stripe.balance import moved
from sandbox.stripe.operations import Call, Operations
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, shown, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/disputes", "dispute", "charge payment_intent")
_FEE = 1500
_DUE_S = 7 * 86400
_ENDED = {"won", "lost", "warning_closed"}


def open_dispute(
    world: World, charge: Doc, *, amount: int | None = None, inquiry: bool = False, reason: str = "fraudulent"
) -> Doc:
    """Of the whole charge unless an amount in minor units is given."""
    if charge["status"] != "succeeded":
        raise invalid("Only a charge that succeeded can be disputed.", param="charge")
    doc = world.new(
        "dispute",
        {
            "amount": charge["amount"] - charge["amount_refunded"] if amount is None else amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {},
            "evidence_details": {
                "due_by": world.now + _DUE_S,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": inquiry,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "warning_needs_response" if inquiry else "needs_response",
        },
    )
    world.save(charge, {"disputed": True})
    world.happened("charge.dispute.created", doc)
    if not inquiry:
        _withdraw(world, doc)
    return doc


def escalate(world: World, doc: Doc) -> Doc:
    """An inquiry becomes a dispute."""
    if not doc["status"].startswith("warning_") or doc["status"] in _ENDED:
        raise invalid("Only an open inquiry can be escalated.")
    previous = {"status": doc["status"]}
    world.save(doc, {"status": "needs_response", "is_charge_refundable": False})
    world.happened("charge.dispute.updated", doc, previous)
    _withdraw(world, doc)
    return doc


def change_amount(world: World, doc: Doc, amount: int) -> Doc:
    """The bank disputes more or less than before; what was withdrawn is corrected."""
    previous = {"amount": doc["amount"]}
    charge = world.get("charge", doc["charge"])
    if doc["balance_transactions"]:
        rest = moved(world, {**charge, "id": doc["id"]}, doc["amount"] - amount, "adjustment", category="dispute")
        doc["balance_transactions"].append(shown(rest))
    world.save(doc, {"amount": amount})
    world.happened("charge.dispute.updated", doc, previous)
    return doc


def close(world: World, doc: Doc, outcome: str) -> Doc:
    """won, lost or, for an inquiry, warning_closed."""
    inquiry = doc["status"].startswith("warning_")
    if doc["status"] in _ENDED:
        raise invalid("This dispute is already closed.", code="dispute_already_closed")
    if (outcome == "warning_closed") != inquiry or outcome not in _ENDED:
        raise invalid(f"A dispute that is {doc['status']} cannot end as {outcome}.", param="outcome")
    previous = {"status": doc["status"]}
    world.save(doc, {"status": outcome, "is_charge_refundable": outcome != "lost"})
    if outcome == "won":
        back = moved(world, doc, doc["amount"], "adjustment", category="dispute_reversal")
        world.save(doc, {"balance_transactions": [*doc["balance_transactions"], shown(back)]})
        world.happened("charge.dispute.funds_reinstated", doc)
    world.happened("charge.dispute.closed", doc, previous)
    return doc


def _withdraw(world: World, doc: Doc) -> None:
    taken = moved(world, doc, -doc["amount"], "adjustment", category="dispute", fee=_FEE)
    world.save(doc, {"balance_transactions": [*doc["balance_transactions"], shown(taken)]})
    world.happened("charge.dispute.funds_withdrawn", doc)


@OPERATIONS.add("POST", "/disputes/{id}", "evidence:map metadata:map submit:bool")
def update(world: World, call: Call) -> Doc:
    """Submitted evidence whose text is `winning_evidence` or `losing_evidence` decides at once, as at Stripe."""
    doc = world.get("dispute", call.id)
    evidence = {**doc["evidence"], **(call.get("evidence") or {})}
    world.save(doc, {"evidence": evidence, "metadata": with_metadata(doc, call.get("metadata"))})
    if evidence and call.get("submit", True):
        inquiry = doc["status"].startswith("warning_")
        previous = {"status": doc["status"]}
        world.save(doc, {"status": "warning_under_review" if inquiry else "under_review"})
        world.happened("charge.dispute.updated", doc, previous)
        decided = {"winning_evidence": "won", "losing_evidence": "lost"}.get(evidence.get("uncategorized_text", ""))
        if decided:
            close(world, doc, "warning_closed" if inquiry and decided == "won" else decided)
    else:
        world.happened("charge.dispute.updated", doc, {})
    return doc


@OPERATIONS.add("POST", "/disputes/{id}/close")
def accept(world: World, call: Call) -> Doc:
    """We accept the loss."""
    return close(world, world.get("dispute", call.id), "lost")
