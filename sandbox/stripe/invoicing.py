"""Invoices, invoice items and invoice payments, as the API offers them."""

from __future__ import annotations

from sandbox.stripe import collecting
from sandbox.stripe.cards import method_of
from sandbox.stripe.customers import living
from sandbox.stripe.invoice_items import line_of, new_item
from sandbox.stripe.invoices import draft, finalize, set_lines
from sandbox.stripe.operations import OPERATIONS_PAGE, Call, Operations, listing, page
from sandbox.stripe.prices import currency, price_of
from sandbox.stripe.problems import StripeRefusal, card, invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, shown, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/invoiceitems", "invoiceitem", "customer invoice")


@OPERATIONS.add("GET", "/invoices/{id}")
def read(world: World, call: Call) -> Doc:
    return world.get("invoice", call.id)


@OPERATIONS.add("GET", "/invoices", f"customer subscription status collection_method created:any {OPERATIONS_PAGE}")
def invoices(world: World, call: Call) -> Doc:
    equal = {name: call.params[name] for name in ("customer", "status", "collection_method") if call.get(name)}
    if subscription := call.get("subscription"):
        equal["parent.subscription_details.subscription"] = subscription
    return page(world, call, "invoice", equal)


@OPERATIONS.add("GET", "/invoices/{id}/lines", OPERATIONS_PAGE)
def lines(world: World, call: Call) -> Doc:
    return listing(world.get("invoice", call.id)["lines"]["data"], call)


@OPERATIONS.add("GET", "/invoice_payments/{id}")
def read_payment(world: World, call: Call) -> Doc:
    return world.get("invoice_payment", call.id)


@OPERATIONS.add("GET", "/invoice_payments", f"invoice payment:map status created:any {OPERATIONS_PAGE}")
def invoice_payments(world: World, call: Call) -> Doc:
    """By invoice, or by payment: the way from a charge back to its invoice."""
    equal = {name: call.params[name] for name in ("invoice", "status") if call.get(name)}
    given = call.get("payment") or {}
    if "payment_intent" in given:
        equal["payment.payment_intent"] = given["payment_intent"]
    return page(world, call, "invoice_payment", equal)


@OPERATIONS.add(
    "POST",
    "/invoices",
    "customer! auto_advance:bool collection_method description metadata:map currency days_until_due:int "
    "pending_invoice_items_behavior automatic_tax:map default_payment_method discounts:list",
)
def create(world: World, call: Call) -> Doc:
    customer = living(world, call.params["customer"], "customer")
    tax = (call.get("automatic_tax") or {}).get("enabled") == "true"
    items = world.find("invoiceitem", customer=customer["id"], invoice=None)
    if call.get("pending_invoice_items_behavior") == "exclude":
        items = []
    unit = call.get("currency") or (items[0]["currency"] if items else "usd")
    doc = draft(
        world,
        customer,
        currency(unit),
        "manual",
        [line_of(world, item) for item in items],
        metadata=call.get("metadata"),
        auto_advance=bool(call.get("auto_advance", False)),
        collection_method=call.get("collection_method", "charge_automatically"),
        description=call.get("description"),
        tax=tax,
    )
    for item in items:
        world.save(item, {"invoice": doc["id"]})
    return doc


@OPERATIONS.add("POST", "/invoices/{id}", "description metadata:map auto_advance:bool default_payment_method")
def update(world: World, call: Call) -> Doc:
    doc = world.get("invoice", call.id)
    names = ("description", "auto_advance", "default_payment_method")
    changes = {name: call.params[name] for name in names if name in call}
    world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})
    world.happened("invoice.updated", doc)
    return doc


@OPERATIONS.add("DELETE", "/invoices/{id}")
def delete(world: World, call: Call) -> Doc:
    _in_state(world, call, {"draft"}, "delete")
    world.store.remove(call.id)
    return {"id": call.id, "object": "invoice", "deleted": True}


@OPERATIONS.add("POST", "/invoices/{id}/finalize", "auto_advance:bool")
def finalize_invoice(world: World, call: Call) -> Doc:
    doc = finalize(world, _in_state(world, call, {"draft"}, "finalize"))
    if doc["amount_remaining"] == 0 or call.get("auto_advance"):
        collecting.collect(world, doc)
    return doc


@OPERATIONS.add("POST", "/invoices/{id}/pay", "payment_method paid_out_of_band:bool off_session:bool")
def pay(world: World, call: Call) -> Doc:
    doc = _in_state(world, call, {"draft", "open", "uncollectible"}, "pay")
    if doc["status"] == "draft":
        finalize(world, doc)
    if call.get("paid_out_of_band"):
        collecting.pay_outside(world, doc)
        return doc
    named = call.get("payment_method")
    method = method_of(world, named, "payment_method") if named else None
    error = collecting.collect(world, doc, method, off_session=bool(call.get("off_session", True)))
    if error is not None:
        payment = world.store.find("invoice_payment", {"invoice": doc["id"]})[0]
        raise card(error, shown(world.get("payment_intent", payment["payment"]["payment_intent"])))
    return doc


@OPERATIONS.add("POST", "/invoices/{id}/void")
def void(world: World, call: Call) -> Doc:
    doc = _in_state(world, call, {"open", "uncollectible"}, "void")
    collecting.void(world, doc)
    return doc


@OPERATIONS.add("POST", "/invoices/{id}/mark_uncollectible")
def mark_uncollectible(world: World, call: Call) -> Doc:
    doc = _in_state(world, call, {"open"}, "mark as uncollectible")
    collecting.mark_uncollectible(world, doc)
    return doc


@OPERATIONS.add("POST", "/invoices/{id}/send")
def send(world: World, call: Call) -> Doc:
    doc = _in_state(world, call, {"open"}, "send")
    world.happened("invoice.sent", doc)
    return doc


@OPERATIONS.add(
    "POST",
    "/invoiceitems",
    "customer! amount:int currency description invoice metadata:map quantity:int pricing:map price_data:map",
)
def create_item(world: World, call: Call) -> Doc:
    customer = living(world, call.params["customer"], "customer")
    quantity, price = call.get("quantity", 1), None
    if call.get("pricing") or call.get("price_data"):
        price = price_of(world, {**(call.get("pricing") or {}), **_price_data(call)}, "pricing")
    amount = call.get("amount") if price is None else price["unit_amount"] * quantity
    if amount is None:
        raise invalid("Missing required param: amount.", param="amount", code="parameter_missing")
    unit = price["currency"] if price else currency(call.get("currency", "usd"))
    doc = new_item(world, customer["id"], amount, unit, quantity, price, description=call.get("description"))
    world.save(doc, {"metadata": with_metadata({}, call.get("metadata"))})
    if named := call.get("invoice"):
        invoice = world.get("invoice", named, "invoice")
        if invoice["status"] != "draft":
            raise invalid("Can't create a new line item on an invoice that is not a draft.", param="invoice")
        world.save(doc, {"invoice": named})
        set_lines(world, invoice, [*invoice["lines"]["data"], line_of(world, doc)])
    world.happened("invoiceitem.created", doc)
    return doc


def _price_data(call: Call) -> Doc:
    return {"price_data": call.get("price_data")} if call.get("price_data") else {}


def _in_state(world: World, call: Call, states: set[str], verb: str) -> Doc:
    doc = world.get("invoice", call.id)
    if doc["status"] not in states:
        raise _wrong_state(doc, verb)
    return doc


def _wrong_state(doc: Doc, verb: str) -> StripeRefusal:
    if doc["status"] == "paid" and verb == "pay":
        return invalid("Invoice is already paid", code="invoice_already_paid")
    return invalid(f"You can't {verb} an invoice that is {doc['status']}.", code="invoice_not_editable")
