"""Checkout sessions: made by the API, shown on a hosted page, ended by paying or by expiring (`completing.py`)."""

from __future__ import annotations

from typing import Any

from sandbox.stripe.clock import when
from sandbox.stripe.customers import living
from sandbox.stripe.forms import check_address, whole
from sandbox.stripe.invoices import TAX_PERCENT, discount
from sandbox.stripe.operations import OPERATIONS_PAGE, Call, Operations, listing
from sandbox.stripe.prices import currency, price_of
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.subscriptions import coupon_of
from sandbox.stripe.world import World, new_id, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/checkout/sessions", "checkout.session", "customer payment_intent subscription status")
_LIVES_S = 24 * 3600
_MODES = {"payment", "setup", "subscription"}


@OPERATIONS.add("GET", "/checkout/sessions/{id}/line_items", OPERATIONS_PAGE)
def line_items(world: World, call: Call) -> Doc:
    return listing(world.get("checkout.session", call.id)["_line_items"], call)


@OPERATIONS.add(
    "POST",
    "/checkout/sessions",
    "mode! success_url cancel_url return_url ui_mode customer customer_email customer_creation customer_update:map "
    "client_reference_id metadata:map line_items:list payment_intent_data:map subscription_data:map "
    "setup_intent_data:map discounts:list allow_promotion_codes:bool automatic_tax:map currency expires_at:int "
    "payment_method_types:list payment_method_collection shipping_options:list submit_type locale "
    "billing_address_collection saved_payment_method_options:map tax_id_collection:map",
)
def create(world: World, call: Call) -> Doc:
    mode = call.params["mode"]
    if mode not in _MODES:
        raise invalid("Invalid mode: must be one of payment, setup, or subscription", param="mode")
    if call.get("ui_mode") in {None, "hosted", "hosted_page"} and not call.get("success_url"):
        raise invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    for name in ("success_url", "cancel_url", "return_url"):
        check_address(call.get(name), name)
    if customer := call.get("customer"):
        living(world, customer, "customer")
        if call.get("customer_email") or call.get("customer_creation"):
            raise invalid("You may only specify one of these parameters: customer, customer_email.", param="customer")
    items = [_item(world, given, index, mode) for index, given in enumerate(call.get("line_items", []))]
    if mode == "setup" and items:
        raise invalid("`line_items` cannot be used in `setup` mode.", param="line_items")
    if mode != "setup" and not items:
        raise invalid("Missing required param: line_items.", param="line_items", code="parameter_missing")
    units = {item["currency"] for item in items}
    if len(units) > 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    doc = world.new("checkout.session", _members(world, call, mode, items, next(iter(units), None)))
    world.save(doc, {"url": f"{world.base_url}/stripe/pay/checkout/{doc['id']}"})
    world.wake(doc, "session_expires", doc["expires_at"], None)
    return doc


@OPERATIONS.add("POST", "/checkout/sessions/{id}", "metadata:map")
def update(world: World, call: Call) -> Doc:
    doc = world.get("checkout.session", call.id)
    return world.save(doc, {"metadata": with_metadata(doc, call.get("metadata"))})


@OPERATIONS.add("POST", "/checkout/sessions/{id}/expire")
def expire_session(world: World, call: Call) -> Doc:
    doc = world.get("checkout.session", call.id)
    if doc["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{doc['status']}."
        )
    expire(world, doc)
    return doc


@when("session_expires")
def expire(world: World, doc: Doc) -> None:
    if doc["status"] == "open":
        world.save(doc, {"status": "expired", "url": None})
        world.wake(doc, "session_expires", None, None)
        world.happened("checkout.session.expired", doc)


def _item(world: World, given: Any, index: int, mode: str) -> Doc:
    param = f"line_items[{index}]"
    if not isinstance(given, dict):
        raise invalid("Invalid object", param=param)
    price = price_of(world, given, param)
    if mode == "payment" and price["recurring"]:
        raise invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use "
            "only one-time prices."
        )
    quantity = whole(given.get("quantity", "1"), f"{param}[quantity]")
    if quantity < 1:
        raise invalid("This value must be greater than or equal to 1.", param=f"{param}[quantity]")
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("item"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": world.get("product", price["product"])["name"],
        "price": price,
        "quantity": quantity,
    }


def _members(world: World, call: Call, mode: str, items: list[Doc], unit: str | None) -> Doc:
    coupon = coupon_of(world, call.get("discounts"))
    subtotal = sum(item["amount_subtotal"] for item in items)
    off = discount(coupon, subtotal)
    taxed = (call.get("automatic_tax") or {}).get("enabled") == "true"
    tax = round((subtotal - off) * TAX_PERCENT / 100) if taxed else 0
    shipping = _shipping(call)
    _spread(items, "amount_discount", off, -1)
    _spread(items, "amount_tax", tax, 1)
    details = {"amount_discount": off, "amount_shipping": shipping, "amount_tax": tax}
    now = world.now
    return {
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": call.get("allow_promotion_codes"),
        "amount_subtotal": subtotal if items else None,
        "amount_total": subtotal - off + tax + shipping if items else None,
        "automatic_tax": {
            "enabled": taxed,
            "liability": None,
            "provider": None,
            "status": "complete" if taxed else None,
        },
        "billing_address_collection": call.get("billing_address_collection"),
        "cancel_url": call.get("cancel_url"),
        "client_reference_id": call.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "currency": unit or (currency(call.get("currency")) if call.get("currency") else None),
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")),
        "customer": call.get("customer"),
        "customer_creation": call.get("customer_creation") or (None if call.get("customer") else _creation(mode)),
        "customer_details": None,
        "customer_email": call.get("customer_email"),
        "discounts": [{"coupon": coupon["id"], "promotion_code": None}] if coupon else [],
        "expires_at": call.get("expires_at", now + _LIVES_S),
        "invoice": None,
        "invoice_creation": {"enabled": False, "invoice_data": {}} if mode == "payment" else None,
        "locale": call.get("locale"),
        "metadata": with_metadata({}, call.get("metadata")),
        "mode": mode,
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": call.get(
            "payment_method_collection", "if_required" if mode == "payment" else "always"
        ),
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": call.get("payment_method_types") or ["card", "us_bank_account"],
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": {"amount_subtotal": shipping, "amount_tax": 0, "amount_total": shipping} if shipping else None,
        "shipping_options": [],
        "status": "open",
        "submit_type": call.get("submit_type"),
        "subscription": None,
        "success_url": call.get("success_url"),
        "total_details": details if items else None,
        "ui_mode": "hosted_page",
        "url": None,
        "wallet_options": None,
        "_coupon": coupon,
        "_line_items": items,
        "_payment_intent_data": call.get("payment_intent_data") or {},
        "_setup_intent_data": call.get("setup_intent_data") or {},
        "_subscription_data": call.get("subscription_data") or {},
    }


def _creation(mode: str) -> str | None:
    return {"payment": "if_required", "subscription": "always"}.get(mode, "always")


def _shipping(call: Call) -> int:
    """The first option's fixed price."""
    options = call.get("shipping_options") or []
    data = options[0].get("shipping_rate_data", {}) if options else {}
    fixed = data.get("fixed_amount", {}).get("amount") if isinstance(data, dict) else None
    return 0 if fixed is None else whole(fixed, "shipping_options[0][shipping_rate_data][fixed_amount][amount]")


def _spread(items: list[Doc], member: str, whole_amount: int, sign: int) -> None:
    """Over the lines by their share; the last takes what rounding left."""
    rest, subtotal = whole_amount, sum(item["amount_subtotal"] for item in items)
    for index, item in enumerate(items):
        last = index == len(items) - 1
        part = rest if last else round(whole_amount * item["amount_subtotal"] / subtotal) if subtotal else 0
        item |= {member: part, "amount_total": item["amount_total"] + sign * part}
        rest -= part
