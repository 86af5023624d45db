"""Subscriptions, as the API offers them. What their periods do is `periods.py`."""

from __future__ import annotations

from typing import Any

from sandbox.stripe import periods, prorating
from sandbox.stripe.cards import attach, method_of
from sandbox.stripe.customers import living
from sandbox.stripe.forms import whole
from sandbox.stripe.operations import OPERATIONS_PAGE, Call, Operations, page
from sandbox.stripe.prices import price_of
from sandbox.stripe.problems import card, invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.subscribing import end, new_subscription
from sandbox.stripe.world import World, shown, with_metadata

OPERATIONS = Operations()
_DAY_S = 86400
_COMMON = (
    "default_payment_method metadata:map description cancel_at_period_end:bool collection_method days_until_due:int "
    "discounts:list items:list off_session:bool payment_behavior payment_settings:map proration_behavior trial_end "
    "automatic_tax:map"
)


@OPERATIONS.add("GET", "/subscriptions/{id}")
def read(world: World, call: Call) -> Doc:
    return world.get("subscription", call.id)


@OPERATIONS.add("GET", "/subscriptions", f"customer status price created:any {OPERATIONS_PAGE}")
def subscriptions(world: World, call: Call) -> Doc:
    """Those that ended only when asked for: status `ended`, `canceled` or `all`."""
    equal = {name: call.params[name] for name in ("customer",) if call.get(name)}
    status = call.get("status")
    if status is None:
        equal["status"] = ["active", "trialing", "past_due", "unpaid", "incomplete", "paused"]
    elif status != "all":
        equal["status"] = ["canceled", "incomplete_expired"] if status == "ended" else status
    return page(world, call, "subscription", equal)


@OPERATIONS.add("POST", "/subscriptions", f"customer! {_COMMON} trial_period_days:int add_invoice_items:list currency")
def create(world: World, call: Call) -> Doc:
    customer = living(world, call.params["customer"], "customer")
    doc = new_subscription(
        world,
        customer,
        [_wanted(world, given, index) for index, given in enumerate(call.get("items", []))],
        metadata=call.get("metadata"),
        trial_s=_trial_s(world, call, customer["id"]),
        coupon=coupon_of(world, call.get("discounts")),
        tax=(call.get("automatic_tax") or {}).get("enabled") == "true",
        description=call.get("description"),
    )
    if named := call.get("default_payment_method"):
        method = attach(world, method_of(world, named, "default_payment_method"), customer["id"])
        world.save(doc, {"default_payment_method": method["id"]})
    later = call.get("payment_behavior") == "default_incomplete" or call.get("collection_method") == "send_invoice"
    pays_now = doc["status"] != "trialing" and not later
    if pays_now and not (named or customer["invoice_settings"]["default_payment_method"]):
        raise invalid(
            "This customer has no attached payment source or default payment method. Please consider adding a default "
            "payment method.",
            code="resource_missing",
        )
    if call.get("collection_method") == "send_invoice":
        status = "active" if doc["status"] == "incomplete" else doc["status"]
        world.save(doc, {"collection_method": "send_invoice", "status": status})
    error = periods.begin(world, doc, off_session=bool(call.get("off_session", True)), pays=not later)
    if error is not None and call.get("payment_behavior") == "error_if_incomplete":
        refusal = card(error, {})
        refusal.keeps = False
        raise refusal
    return doc


@OPERATIONS.add(
    "POST",
    "/subscriptions/{id}",
    f"{_COMMON} pause_collection:map cancel_at cancellation_details:map billing_cycle_anchor",
)
def update(world: World, call: Call) -> Doc:
    doc = world.get("subscription", call.id)
    if doc["status"] in {"canceled", "incomplete_expired"}:
        raise invalid(f"A {doc['status']} subscription can only update its cancellation_details and metadata.")
    before = shown(doc)
    changes: dict[str, Any] = {
        name: call.params[name]
        for name in ("description", "pause_collection", "default_payment_method")
        if name in call
    }
    if "cancel_at_period_end" in call:
        ends = bool(call.get("cancel_at_period_end"))
        period_end = doc["items"]["data"][0]["current_period_end"]
        changes |= {"cancel_at_period_end": ends, "cancel_at": period_end if ends else None}
        changes["canceled_at"] = world.now_of(doc["customer"]) if ends else None
        changes["cancellation_details"] = {"comment": None, "feedback": None, "reason": None} | (
            {"reason": "cancellation_requested"} if ends else {}
        )
    if "discounts" in call:
        coupon = coupon_of(world, call.get("discounts"))
        changes |= {"_coupon": coupon, "discounts": [f"di_{coupon['id']}"] if coupon else []}
    world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})
    if call.get("trial_end") == "now" and doc["status"] == "trialing":
        world.save(doc, {"trial_end": world.now_of(doc["customer"])})
        periods.renew(world, doc, "subscription_cycle", restarts=True)
        return world.get("subscription", doc["id"])
    wanted = [_wanted(world, given, index, doc) for index, given in enumerate(call.get("items", []))]
    behavior = call.get("proration_behavior", "create_prorations")
    restarts = prorating.change_items(world, doc, wanted, prorates=behavior != "none")
    previous = {name: before[name] for name in before if before[name] != shown(doc[name])}
    world.happened("customer.subscription.updated", doc, previous)
    if restarts:
        periods.renew(world, doc, "subscription_update", restarts=True)
    elif wanted and behavior == "always_invoice":
        prorating.invoice_now(world, doc)
    return world.get("subscription", doc["id"])


@OPERATIONS.add("DELETE", "/subscriptions/{id}", "invoice_now:bool prorate:bool cancellation_details:map")
def cancel(world: World, call: Call) -> Doc:
    doc = world.get("subscription", call.id)
    if doc["status"] == "canceled":
        raise invalid(f"No such subscription: '{doc['id']}'", param="id", code="resource_missing", status=404)
    end(world, doc, "cancellation_requested")
    return doc


@OPERATIONS.add("POST", "/subscriptions/{id}/pause", "bill_for:map invoicing_behavior type")
def pause(world: World, call: Call) -> Doc:
    doc = world.get("subscription", call.id)
    world.save(doc, {"status": "paused"})
    world.happened("customer.subscription.paused", doc)
    return doc


@OPERATIONS.add("POST", "/subscriptions/{id}/resume", "billing_cycle_anchor proration_behavior payment_behavior")
def resume(world: World, call: Call) -> Doc:
    doc = world.get("subscription", call.id)
    if doc["status"] != "paused":
        raise invalid("Only a paused subscription can be resumed.")
    world.save(doc, {"status": "active"})
    world.happened("customer.subscription.resumed", doc)
    periods.renew(world, doc, "subscription_cycle", restarts=True)
    return world.get("subscription", doc["id"])


def coupon_of(world: World, discounts: Any) -> Doc | None:
    """The first discount's coupon. Raises a refusal."""
    given = discounts[0] if discounts else None
    return world.get("coupon", given["coupon"], "discounts[0][coupon]") if isinstance(given, dict) else None


def _wanted(world: World, given: Any, index: int, doc: Doc | None = None) -> tuple[Doc, int, Doc | None]:
    """(price, quantity, the item that it changes); quantity 0 removes it."""
    param = f"items[{index}]"
    if not isinstance(given, dict):
        raise invalid("Invalid object", param=param)
    item = None
    if "id" in given:
        found = [one for one in (doc or {"items": {"data": []}})["items"]["data"] if one["id"] == given["id"]]
        if not found:
            raise invalid(f"No such subscription item: '{given['id']}'", param=f"{param}[id]", code="resource_missing")
        item = found[0]
    price = item["price"] if item and "price" not in given else price_of(world, given, param)
    quantity = (
        whole(given["quantity"], f"{param}[quantity]") if "quantity" in given else item["quantity"] if item else 1
    )
    return price, 0 if given.get("deleted") == "true" else quantity, item


def _trial_s(world: World, call: Call, customer: str) -> int:
    if days := call.get("trial_period_days"):
        return int(days) * _DAY_S
    if (until := call.get("trial_end")) and until != "now":
        return max(0, whole(until, "trial_end") - world.now_of(customer))
    return 0
