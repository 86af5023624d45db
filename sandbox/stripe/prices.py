"""Products, prices and coupons."""

from __future__ import annotations

from typing import Any

from sandbox.stripe.forms import text, whole
from sandbox.stripe.operations import Call, Operations
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/products", "product", "active:bool ids:list")
OPERATIONS.reads("/prices", "price", "active:bool lookup_keys:list product type currency")
OPERATIONS.reads("/coupons", "coupon")
_INTERVALS = {"day", "week", "month", "year"}


@OPERATIONS.add(
    "POST", "/products", "id name! active:bool description metadata:map tax_code unit_label default_price_data:map"
)
def create_product(world: World, call: Call) -> Doc:
    doc = new_product(world, call.params["name"], call.get("metadata"), call.get("id"), call.get("description"))
    if given := call.get("default_price_data"):
        price = new_price(world, doc["id"], given)
        world.save(doc, {"default_price": price["id"]})
    return doc


@OPERATIONS.add("POST", "/products/{id}", "name active:bool description metadata:map default_price")
def update_product(world: World, call: Call) -> Doc:
    doc = world.get("product", call.id)
    changes = {name: call.params[name] for name in ("name", "active", "description", "default_price") if name in call}
    world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata")), "updated": world.now})
    world.happened("product.updated", doc)
    return doc


@OPERATIONS.add(
    "POST",
    "/prices",
    "currency! unit_amount:int unit_amount_decimal product product_data:map recurring:map active:bool nickname "
    "metadata:map lookup_key transfer_lookup_key:bool tax_behavior billing_scheme",
)
def create_price(world: World, call: Call) -> Doc:
    given = dict(call.params)
    if call.get("product") is None:
        given["product"] = _product_of(world, given)
    if call.get("transfer_lookup_key"):
        for other in world.find("price", lookup_key=call.get("lookup_key")):
            world.save(other, {"lookup_key": None})
    elif call.get("lookup_key") and world.find("price", lookup_key=call.get("lookup_key")):
        raise invalid(f"A price with lookup key '{call.get('lookup_key')}' already exists.", param="lookup_key")
    return new_price(world, given["product"], given)


@OPERATIONS.add("POST", "/prices/{id}", "active:bool nickname metadata:map lookup_key transfer_lookup_key:bool")
def update_price(world: World, call: Call) -> Doc:
    doc = world.get("price", call.id)
    changes = {name: call.params[name] for name in ("active", "nickname", "lookup_key") if name in call}
    world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})
    world.happened("price.updated", doc)
    return doc


@OPERATIONS.add("POST", "/coupons", "id percent_off:any amount_off:int currency duration name metadata:map")
def create_coupon(world: World, call: Call) -> Doc:
    if call.get("percent_off") is None and call.get("amount_off") is None:
        raise invalid("Must provide percent_off or amount_off.", param="percent_off", code="parameter_missing")
    percent = call.get("percent_off")
    doc = world.new(
        "coupon",
        {
            "amount_off": call.get("amount_off"),
            "currency": call.get("currency"),
            "duration": call.get("duration", "once"),
            "duration_in_months": None,
            "max_redemptions": None,
            "metadata": with_metadata({}, call.get("metadata")),
            "name": call.get("name"),
            "percent_off": float(percent) if percent is not None else None,
            "redeem_by": None,
            "times_redeemed": 0,
            "valid": True,
        },
        object_id=call.get("id"),
    )
    world.happened("coupon.created", doc)
    return doc


def new_product(
    world: World, name: str, metadata: Doc | None = None, product_id: str | None = None, description: str | None = None
) -> Doc:
    if product_id is not None and world.store.get(product_id):
        raise invalid("Product already exists.", param="id", code="resource_already_exists")
    doc = world.new(
        "product",
        {
            "active": True,
            "default_price": None,
            "description": description,
            "images": [],
            "marketing_features": [],
            "metadata": with_metadata({}, metadata),
            "name": name,
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": None,
            "updated": world.now,
            "url": None,
        },
        object_id=product_id,
    )
    world.happened("product.created", doc)
    return doc


def new_price(world: World, product: str, given: Doc, price_id: str | None = None) -> Doc:
    """`given` as the API has it: currency, unit_amount, recurring ... Raises a refusal."""
    world.get("product", product, "product")
    amount = _whole(given.get("unit_amount"), "unit_amount")
    if amount < 0:
        raise invalid("Invalid non-negative integer", param="unit_amount", code="parameter_invalid_integer")
    doc = world.new(
        "price",
        {
            "active": True,
            "billing_scheme": "per_unit",
            "currency": currency(given.get("currency")),
            "custom_unit_amount": None,
            "lookup_key": given.get("lookup_key"),
            "metadata": with_metadata({}, given.get("metadata")),
            "nickname": given.get("nickname"),
            "product": product,
            "recurring": _recurring(given.get("recurring")),
            "tax_behavior": given.get("tax_behavior") or "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if given.get("recurring") else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        },
        object_id=price_id,
    )
    world.happened("price.created", doc)
    return doc


def price_of(world: World, given: Doc, param: str) -> Doc:
    """The price of a line: named, or made from `price_data`. Raises a refusal."""
    if "price" in given:
        doc = world.get("price", text(given["price"], f"{param}[price]"), f"{param}[price]")
        if not doc["active"]:
            said = f"The price specified is inactive. This field only accepts active prices: {doc['id']}"
            raise invalid(said, param=f"{param}[price]")
        return doc
    data = given.get("price_data")
    if not isinstance(data, dict):
        raise invalid(f"Missing required param: {param}[price].", param=f"{param}[price]", code="parameter_missing")
    product = data.get("product") or _product_of(world, data)
    return new_price(world, product, data)


def currency(given: Any) -> str:
    """Any three letters are a currency here, so that one nobody knows can be tried. Raises a refusal."""
    if isinstance(given, str) and len(given) == 3 and given.isascii() and given.isalpha():
        return given.lower()
    raise invalid(f"Invalid currency: {given}", param="currency")


def _product_of(world: World, given: Doc) -> str:
    data = given.get("product_data")
    if not isinstance(data, dict) or not data.get("name"):
        raise invalid("Missing required param: product.", param="product", code="parameter_missing")
    return str(new_product(world, data["name"], data.get("metadata"))["id"])


def _recurring(given: Any) -> Doc | None:
    if not given:
        return None
    if given.get("interval") not in _INTERVALS:
        raise invalid(
            "Invalid recurring[interval]: must be one of day, week, month, or year", param="recurring[interval]"
        )
    count = _whole(given.get("interval_count", 1), "recurring[interval_count]")
    usage = {"meter": None, "trial_period_days": None, "usage_type": "licensed"}
    return {"interval": given["interval"], "interval_count": count, **usage}


def _whole(given: Any, param: str) -> int:
    if given is None:
        raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    return given if type(given) is int else whole(given, param)
