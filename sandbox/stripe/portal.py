"""Billing portal sessions: an address where a customer cancels or resumes subscriptions."""

from __future__ import annotations

from sandbox.stripe.customers import living
from sandbox.stripe.forms import check_address
from sandbox.stripe.operations import Call, Operations
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World

OPERATIONS = Operations()


@OPERATIONS.add("POST", "/billing_portal/sessions", "customer! return_url configuration locale flow_data:map")
def create(world: World, call: Call) -> Doc:
    living(world, call.params["customer"], "customer")
    check_address(call.get("return_url"), "return_url")
    doc = world.new(
        "billing_portal.session",
        {
            "configuration": call.get("configuration", "bpc_1sandbox"),
            "customer": call.params["customer"],
            "flow": None,
            "locale": call.get("locale"),
            "on_behalf_of": None,
            "return_url": call.get("return_url"),
            "url": None,
        },
    )
    world.save(doc, {"url": f"{world.base_url}/stripe/pay/portal/{doc['id']}"})
    world.happened("billing_portal.session.created", doc)
    return doc
