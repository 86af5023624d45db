"""Webhook endpoints and the events they are told of, as the API shows them."""

from __future__ import annotations

from sandbox.stripe import credentials
from sandbox.stripe.forms import check_address
from sandbox.stripe.operations import Call, Operations
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/webhook_endpoints", "webhook_endpoint")
OPERATIONS.reads("/events", "event", "type types:list")


@OPERATIONS.add(
    "POST", "/webhook_endpoints", "url! enabled_events!:list api_version description metadata:map connect:bool"
)
def create(world: World, call: Call) -> Doc:
    """The secret is told here and never again."""
    check_address(call.params["url"], "url")
    doc = world.new(
        "webhook_endpoint",
        {
            "api_version": call.get("api_version"),
            "application": None,
            "description": call.get("description"),
            "enabled_events": call.params["enabled_events"],
            "metadata": with_metadata({}, call.get("metadata")),
            "status": "enabled",
            "url": call.params["url"],
            "_secret": credentials.WEBHOOK_SECRET,
            "_old": None,
            "_old_until": None,
        },
    )
    return {**doc, "secret": doc["_secret"]}


@OPERATIONS.add("POST", "/webhook_endpoints/{id}", "url enabled_events:list description metadata:map disabled:bool")
def update(world: World, call: Call) -> Doc:
    doc = world.get("webhook_endpoint", call.id)
    changes = {name: call.params[name] for name in ("url", "enabled_events", "description") if name in call}
    if "disabled" in call:
        changes["status"] = "disabled" if call.get("disabled") else "enabled"
    return world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})


@OPERATIONS.add("DELETE", "/webhook_endpoints/{id}")
def delete(world: World, call: Call) -> Doc:
    world.get("webhook_endpoint", call.id)
    world.store.remove(call.id)
    return {"id": call.id, "object": "webhook_endpoint", "deleted": True}


def roll(world: World, endpoint_id: str, keeps_s: int) -> Doc:
    """A new secret; the old one goes on to be used besides it for so many seconds."""
    doc = world.get("webhook_endpoint", endpoint_id)
    first = doc["_secret"] == credentials.WEBHOOK_SECRET
    new = credentials.NEXT_WEBHOOK_SECRET if first else credentials.WEBHOOK_SECRET
    return world.save(doc, {"_secret": new, "_old": doc["_secret"], "_old_until": world.now + keeps_s})
