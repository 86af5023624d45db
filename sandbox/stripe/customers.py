"""Customers."""

from __future__ import annotations

from sandbox.stripe.cards import attach, method_of
from sandbox.stripe.operations import Call, Operations, page
from sandbox.stripe.problems import invalid, missing
from sandbox.stripe.store import Doc
from sandbox.stripe.subscribing import end
from sandbox.stripe.world import World, token, with_metadata

OPERATIONS = Operations()
_TEXTS = ("email", "name", "description", "phone")
_WORDS = "email name description phone metadata:map balance:int payment_method invoice_settings:map address:map"


@OPERATIONS.add("POST", "/customers", f"{_WORDS} test_clock tax:map preferred_locales:list")
def create(world: World, call: Call) -> Doc:
    if clock := call.get("test_clock"):
        world.get("test_helpers.test_clock", clock, "test_clock")
    doc = new_customer(world, email=call.get("email"), name=call.get("name"), test_clock=clock)
    _apply(world, doc, call)
    world.happened("customer.created", doc)
    return doc


@OPERATIONS.add("POST", "/customers/{id}", _WORDS)
def update(world: World, call: Call) -> Doc:
    doc = living(world, call.id, None)
    before = dict(doc)
    _apply(world, doc, call)
    world.happened("customer.updated", doc, {name: before[name] for name in doc if before.get(name) != doc[name]})
    return doc


@OPERATIONS.add("GET", "/customers/{id}")
def read(world: World, call: Call) -> Doc:
    """A deleted one is still found, as a stub."""
    doc = world.get("customer", call.id)
    return {"id": doc["id"], "object": "customer", "deleted": True} if doc.get("_deleted") else doc


@OPERATIONS.add("DELETE", "/customers/{id}")
def delete(world: World, call: Call) -> Doc:
    """Its subscriptions end with it."""
    doc = living(world, call.id, None)
    for subscription in world.find("subscription", customer=doc["id"]):
        if subscription["status"] != "canceled":
            end(world, subscription)
    world.save(doc, {"_deleted": True})
    world.happened("customer.deleted", doc)
    return {"id": doc["id"], "object": "customer", "deleted": True}


@OPERATIONS.add("GET", "/customers", "email test_clock created:any limit:int starting_after ending_before")
def living_ones(world: World, call: Call) -> Doc:
    asked = {name: call.params[name] for name in ("email", "test_clock") if call.get(name)}
    return page(world, call, "customer", {"_deleted": None, **asked})


def living(world: World, customer_id: str, param: str | None) -> Doc:
    """Raises a refusal for one that is deleted, too."""
    doc = world.get("customer", customer_id, param)
    if doc.get("_deleted"):
        raise missing("customer", customer_id, param)
    return doc


def new_customer(
    world: World, *, email: str | None = None, name: str | None = None, test_clock: str | None = None
) -> Doc:
    return world.new(
        "customer",
        {
            "address": None,
            "balance": 0,  # below zero: what we owe them, used by the next invoice
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "email": email,
            "invoice_prefix": token(8).upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "metadata": {},
            "name": name,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": test_clock,
        },
    )


def _apply(world: World, doc: Doc, call: Call) -> None:
    changes = {name: call.params[name] for name in _TEXTS if name in call}
    if "balance" in call:
        changes["balance"] = call.get("balance", 0)
    world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})
    if method := call.get("payment_method"):
        attach(world, method_of(world, method, "payment_method"), doc["id"])
    default = (call.get("invoice_settings") or {}).get("default_payment_method")
    if default:
        method_doc = world.get("payment_method", default, "invoice_settings[default_payment_method]")
        if method_doc["customer"] != doc["id"]:
            raise invalid(
                f"The customer does not have a payment method with the ID {default}. The payment method must be "
                "attached to the customer.",
                param="invoice_settings[default_payment_method]",
                code="resource_missing",
            )
        world.save(doc, {"invoice_settings": {**doc["invoice_settings"], "default_payment_method": default}})
