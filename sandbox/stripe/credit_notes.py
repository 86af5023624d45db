"""Credit notes: an invoice lowered afterwards: by a refund, as credit on the customer's balance, or outside."""

from __future__ import annotations

from sandbox.stripe import refunds
from sandbox.stripe.operations import OPERATIONS_PAGE, Call, Operations, listing
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, listed, new_id, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/credit_notes", "credit_note", "customer invoice")


@OPERATIONS.add("GET", "/credit_notes/{id}/lines", OPERATIONS_PAGE)
def lines(world: World, call: Call) -> Doc:
    return listing(world.get("credit_note", call.id)["lines"]["data"], call)


@OPERATIONS.add(
    "POST",
    "/credit_notes",
    "invoice! amount:int refund_amount:int credit_amount:int out_of_band_amount:int memo metadata:map reason "
    "refunds:list email_type",
)
def create(world: World, call: Call) -> Doc:
    """On an open invoice it lowers what is due; on a paid one `refund_amount` is refunded, the rest is credit."""
    invoice = world.get("invoice", call.params["invoice"], "invoice")
    amount = _amount(invoice, call)
    paid = invoice["status"] == "paid"
    refunded = call.get("refund_amount", 0) if paid else 0
    outside = call.get("out_of_band_amount", 0) if paid else 0
    credited = call.get("credit_amount", amount - refunded - outside) if paid else 0
    if paid and refunded + outside + credited != amount:
        raise invalid("The sum of credit amount, refund amount and out of band amount must equal the amount.")
    doc = world.new("credit_note", _members(world, invoice, amount, call, paid=paid))
    made = []
    if refunded:
        charge = _charge_of(world, invoice)
        made.append({"amount_refunded": refunded, "refund": refunds.refund(world, charge, refunded)["id"]})
        made[0] |= {"payment_record_refund": None, "type": "refund"}
    if credited:
        customer = world.get("customer", invoice["customer"])
        world.save(customer, {"balance": customer["balance"] - credited})
    world.save(doc, {"refunds": made, "_credited": credited})
    counter = "post_payment_credit_notes_amount" if paid else "pre_payment_credit_notes_amount"
    world.save(invoice, {counter: invoice[counter] + amount})
    if not paid:
        rest = invoice["amount_remaining"] - amount
        world.save(invoice, {"amount_due": invoice["amount_due"] - amount, "amount_remaining": rest})
    world.happened("credit_note.created", doc)
    return doc


@OPERATIONS.add("POST", "/credit_notes/{id}", "memo metadata:map")
def update(world: World, call: Call) -> Doc:
    doc = world.get("credit_note", call.id)
    changes = {"memo": call.params["memo"]} if "memo" in call else {}
    world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})
    world.happened("credit_note.updated", doc)
    return doc


@OPERATIONS.add("POST", "/credit_notes/{id}/void")
def void_note(world: World, call: Call) -> Doc:
    doc = world.get("credit_note", call.id)
    if world.get("invoice", doc["invoice"])["status"] != "open":
        raise invalid("You can only void a credit note of an invoice that is open.")
    return void(world, doc)


def void(world: World, doc: Doc) -> Doc:
    """Taken back, whatever the invoice's state: the control API may, the API only while it is open."""
    if doc["status"] == "void":
        raise invalid("This credit note is void already.")
    invoice = world.get("invoice", doc["invoice"])
    paid = doc["pre_payment_amount"] == 0
    counter = "post_payment_credit_notes_amount" if paid else "pre_payment_credit_notes_amount"
    world.save(invoice, {counter: invoice[counter] - doc["amount"]})
    if not paid:
        rest = invoice["amount_remaining"] + doc["amount"]
        world.save(invoice, {"amount_due": invoice["amount_due"] + doc["amount"], "amount_remaining": rest})
    if doc["_credited"]:
        customer = world.get("customer", invoice["customer"])
        world.save(customer, {"balance": customer["balance"] + doc["_credited"]})
    world.save(doc, {"status": "void", "voided_at": world.now})
    world.happened("credit_note.voided", doc)
    return doc


def _amount(invoice: Doc, call: Call) -> int:
    amount = call.get("amount")
    if amount is None:
        amount = sum(call.get(name, 0) for name in ("refund_amount", "credit_amount", "out_of_band_amount"))
    if invoice["status"] not in {"open", "paid"}:
        raise invalid("You can only create a credit note for an invoice that is open or paid.", param="invoice")
    before = invoice["post_payment_credit_notes_amount"] + invoice["pre_payment_credit_notes_amount"]
    left = invoice["amount_remaining"] if invoice["status"] == "open" else invoice["total"] - before
    if not 0 < amount <= left:
        raise invalid(f"The amount of the credit note must be between 1 and {left}.", param="amount")
    return int(amount)


def _charge_of(world: World, invoice: Doc) -> Doc:
    payments = world.find("invoice_payment", invoice=invoice["id"], status="paid")
    if not payments:
        raise invalid("There is no payment of this invoice to refund.", param="refund_amount")
    return world.get("charge", world.get("payment_intent", payments[0]["payment"]["payment_intent"])["latest_charge"])


def _members(world: World, invoice: Doc, amount: int, call: Call, *, paid: bool) -> Doc:
    number = len(world.find("credit_note", invoice=invoice["id"])) + 1
    line: Doc = {
        "id": new_id("credit_note_line_item"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": call.get("memo") or "Credit",
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": "custom_line_item",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    return {
        "amount": amount,
        "amount_shipping": 0,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": world.now,
        "invoice": invoice["id"],
        "lines": listed([line], "/v1/credit_notes/lines"),
        "memo": call.get("memo"),
        "metadata": with_metadata({}, call.get("metadata")),
        "number": f"{invoice['number']}-CN-{number:02d}",
        "out_of_band_amount": call.get("out_of_band_amount"),
        "pdf": f"{invoice['hosted_invoice_url']}/credit_notes/{number}",
        "post_payment_amount": amount if paid else 0,
        "pre_payment_amount": 0 if paid else amount,
        "pretax_credit_amounts": [],
        "reason": call.get("reason"),
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": "post_payment" if paid else "pre_payment",
        "voided_at": None,
        "_credited": 0,
    }
