"""Invoice items: what waits for a customer's next invoice, prorations among them."""

from __future__ import annotations

from sandbox.stripe.invoices import line
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World


def new_item(
    world: World,
    customer: str,
    amount: int,
    unit: str,
    quantity: int,
    price: Doc | None,
    *,
    description: str | None,
    parent: Doc | None = None,
    period: tuple[int, int] | None = None,
) -> Doc:
    """Waits for the next invoice. With a `parent` of subscription details it is a proration."""
    now = world.now_of(customer)
    start, end = period or (now, now)
    details = {"price": price["id"], "product": price["product"]} if price else None
    return world.new(
        "invoiceitem",
        {
            "amount": amount,
            "currency": unit,
            "customer": customer,
            "date": now,
            "description": description,
            "discountable": parent is None,
            "discounts": [],
            "invoice": None,
            "metadata": {},
            "net_amount": amount,
            "parent": {"subscription_details": parent, "type": "subscription_details"} if parent else None,
            "period": {"start": start, "end": end},
            "pricing": {"price_details": details, "type": "price_details"} if details else None,
            "proration": parent is not None,
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "tax_rates": [],
            "test_clock": None,
        },
    )


def line_of(world: World, item: Doc) -> Doc:
    """The item as a line of an invoice."""
    details = {"invoice_item": item["id"], "proration": item["proration"], "proration_details": None}
    about = (item["parent"] or {}).get("subscription_details") or {}
    parent = {
        "invoice_item_details": {**details, "subscription": about.get("subscription")},
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }
    price = world.store.get(item["pricing"]["price_details"]["price"]) if item["pricing"] else None
    return line(
        price,
        item["amount"],
        item["quantity"],
        (item["period"]["start"], item["period"]["end"]),
        description=item["description"] or "",
        currency=item["currency"],
        parent=parent,
        metadata=item["metadata"],
    )


def pending_lines(world: World, subscription: Doc, invoice_id: str | None = None) -> list[Doc]:
    """The prorations of a subscription that wait for an invoice, as its lines; they are used up."""
    found = []
    for item in world.find("invoiceitem", customer=subscription["customer"], invoice=None):
        if ((item["parent"] or {}).get("subscription_details") or {}).get("subscription") == subscription["id"]:
            found.append(line_of(world, item))
            world.save(item, {"invoice": invoice_id or "used"})
    return found
