"""Invoices as documents: lines, totals, tax, what the customer's balance pays. Collecting the money is `collecting.py`.

The shape is that of API 2025-03-31 and later: `parent.subscription_details`, `lines[].pricing.price_details`, payments
as objects of their own. With automatic tax, ten percent come on top.
"""

from __future__ import annotations

from typing import Any

from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, listed, new_id, token, with_metadata

TAX_PERCENT = 10


def line(
    price: Doc | None,
    amount: int,
    quantity: int,
    period: tuple[int, int],
    *,
    description: str,
    currency: str,
    parent: Doc,
    metadata: Doc | None = None,
) -> Doc:
    """`amount` in minor units for the whole line; it may be below zero."""
    pricing = None
    if price is not None:
        details = {"price": price["id"], "product": price["product"]}
        pricing = {"price_details": details, "type": "price_details", "unit_amount_decimal": str(price["unit_amount"])}
    return {
        "id": new_id("line_item"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "livemode": False,
        "metadata": metadata or {},
        "parent": parent,
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": pricing,
        "quantity": quantity,
        "subtotal": amount,
        "taxes": [],
    }


def of_subscription_item(subscription: str, item: str, *, proration: bool = False) -> Doc:
    details = {"invoice_item": None, "proration": proration, "proration_details": None, "subscription": subscription}
    return {
        "invoice_item_details": None,
        "subscription_item_details": {**details, "subscription_item": item},
        "type": "subscription_item_details",
    }


def draft(
    world: World,
    customer: Doc,
    currency: str,
    reason: str,
    lines: list[Doc],
    *,
    subscription: Doc | None = None,
    coupon: Doc | None = None,
    metadata: Doc | None = None,
    tax: bool = False,
    auto_advance: bool = True,
    collection_method: str = "charge_automatically",
    description: str | None = None,
) -> Doc:
    """Told as created. `reason`: subscription_create, subscription_cycle, subscription_update or manual."""
    now = world.now_of(customer["id"])
    parent: Doc | None = None
    if subscription is not None:
        details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
        parent = {"quote_details": None, "subscription_details": details, "type": "subscription_details"}
    doc = world.new(
        "invoice",
        {
            "account_country": "US",
            "account_name": "Sandbox",
            "account_tax_ids": None,
            "amount_due": 0,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_paid_off_stripe": 0,
            "amount_remaining": 0,
            "amount_shipping": 0,
            "application": None,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": auto_advance,
            "automatic_tax": {
                "enabled": tax,
                "liability": None,
                "provider": None,
                "status": "complete" if tax else None,
            },
            "automatically_finalizes_at": None,
            "billing_reason": reason,
            "collection_method": collection_method,
            "currency": currency,
            "custom_fields": None,
            "customer": customer["id"],
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_shipping": None,
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": description,
            "discounts": [],
            "due_date": None,
            "effective_at": None,
            "ending_balance": None,
            "footer": None,
            "from_invoice": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "issuer": {"type": "self"},
            "last_finalization_error": None,
            "latest_revision": None,
            "metadata": with_metadata({}, metadata),
            "next_payment_attempt": now if auto_advance and collection_method == "charge_automatically" else None,
            "number": None,
            "on_behalf_of": None,
            "parent": parent,
            "payment_settings": {"payment_method_options": None, "payment_method_types": None},
            "period_end": now,
            "period_start": now,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": None,
            "rendering": None,
            "shipping_cost": None,
            "shipping_details": None,
            "starting_balance": customer["balance"],
            "statement_descriptor": None,
            "status": "draft",
            "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
            "test_clock": customer["test_clock"],
            "webhooks_delivered_at": None,
            "_coupon": coupon,
        },
        created=now,
    )
    set_lines(world, doc, lines)
    world.happened("invoice.created", doc)
    return doc


def set_lines(world: World, doc: Doc, lines: list[Doc]) -> Doc:
    """The lines, and the totals that follow from them."""
    for one in lines:
        one["invoice"] = doc["id"]
    subtotal = sum(one["amount"] for one in lines)
    off = discount(doc["_coupon"], subtotal)
    taxable = subtotal - off
    tax = round(taxable * TAX_PERCENT / 100) if doc["automatic_tax"]["enabled"] else 0
    total = taxable + tax
    due = max(0, total + doc["starting_balance"])
    return world.save(
        doc,
        {
            "lines": listed(lines, f"/v1/invoices/{doc['id']}/lines"),
            "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal,
            "total": total,
            "total_discount_amounts": [{"amount": off, "discount": f"di_{token(8)}"}] if off else [],
            "total_excluding_tax": taxable,
            "total_pretax_credit_amounts": [],
            "total_taxes": [_tax(tax, taxable)] if tax else [],
            "amount_due": due,
            "amount_remaining": due,
        },
    )


def finalize(world: World, doc: Doc) -> Doc:
    """Open from here on: the number is given, the customer's balance is used."""
    customer = world.get("customer", doc["customer"])
    after = doc["total"] + customer["balance"]
    due, now = max(0, after), world.now_of(customer["id"])
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    page = f"{world.base_url}/stripe/pay/invoices/{doc['id']}"
    world.save(
        doc,
        {
            "amount_due": due,
            "amount_remaining": due,
            "effective_at": now,
            "ending_balance": min(0, after),
            "hosted_invoice_url": page,
            "invoice_pdf": f"{page}/pdf",
            "number": number,
            "starting_balance": customer["balance"],
            "status": "open",
            "status_transitions": {**doc["status_transitions"], "finalized_at": now},
        },
    )
    changes: dict[str, Any] = {
        "next_invoice_sequence": customer["next_invoice_sequence"] + 1,
        "currency": doc["currency"],
    }
    world.save(customer, {**changes, "balance": min(0, after)})
    world.happened("invoice.finalized", doc)
    return doc


def subscription_of(doc: Doc) -> str | None:
    details = (doc["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")


def discount(coupon: Doc | None, subtotal: int) -> int:
    if coupon is None or subtotal <= 0:
        return 0
    if coupon["percent_off"] is not None:
        return round(subtotal * float(coupon["percent_off"]) / 100)
    return min(subtotal, int(coupon["amount_off"]))


def _tax(amount: int, taxable: int) -> Doc:
    return {
        "amount": amount,
        "tax_behavior": "exclusive",
        "tax_rate_details": {"tax_rate": "txr_1sandbox"},
        "taxability_reason": "standard_rated",
        "taxable_amount": taxable,
        "type": "tax_rate_details",
    }
