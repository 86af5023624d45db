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
from sandbox.stripe.world import World, listed, new_id, shown, with_metadata

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
    elif not customer["invoice_settings"]["default_payment_method"] and doc["status"] != "trialing":
        if call.get("payment_behavior") != "default_incomplete" and call.get("collection_method") != "send_invoice":
            raise invalid(
                "This customer has no attached payment source or default payment method. Please consider adding a "
                "default payment method.",
                code="resource_missing",
            )
    later = call.get("payment_behavior") == "default_incomplete" or call.get("collection_method") == "send_invoice"
    world.save(doc, {"collection_method": call.get("collection_method", "charge_automatically")})
    error = periods.begin(world, doc, off_session=bool(call.get("off_session", True)), pays=not later)
    if error is not None and call.get("payment_behavior") == "error_if_incomplete":
        refusal = card(error, {})
        refusal.keeps = False
        raise refusal
    return doc


@OPERATIONS.add("POST", "/subscriptions/{id}", f"{_COMMON} pause_collection:map cancel_at cancellation_details:map billing_cycle_anchor")
def update(world: World, call: Call) -> Doc:
    doc = world.get("subscription", call.id)
    if doc["status"] in {"canceled", "incomplete_expired"}:
        raise invalid(f"A {doc['status']} subscription can only update its cancellation_details and metadata.")
    before = shown(doc)
    changes: dict[str, Any] = {
        name: call.params[name] for name in ("description", "pause_collection", "default_payment_method") if name in call
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


def end(world: World, doc: Doc, reason: str | None = None) -> None:
    """Ended at once."""
    now = world.now_of(doc["customer"])
    details = {"comment": None, "feedback": None, "reason": reason}
    ended = {"status": "canceled", "ended_at": now, "canceled_at": doc["canceled_at"] or now}
    world.save(doc, {**ended, "cancellation_details": details})
    world.store.drop_timers(doc["id"])
    world.happened("customer.subscription.deleted", doc)


def new_subscription(
    world: World,
    customer: Doc,
    wanted: list[tuple[Doc, int, Doc | None]],
    *,
    metadata: Doc | None = None,
    trial_s: int = 0,
    coupon: Doc | None = None,
    tax: bool = False,
    description: str | None = None,
) -> Doc:
    """Not yet begun: `periods.begin` follows. Raises a refusal."""
    if not wanted:
        raise invalid("Missing required param: items.", param="items", code="parameter_missing")
    if any(price["recurring"] is None for price, _, _ in wanted):
        raise invalid("The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.")
    now, subscription_id = world.now_of(customer["id"]), new_id("subscription")
    items = [new_item(subscription_id, price, quantity, now) for price, quantity, _ in wanted]
    return world.new(
        "subscription",
        {
            "application": None,
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": tax, "liability": None},
            "billing_cycle_anchor": now + trial_s,
            "billing_cycle_anchor_config": None,
            "billing_mode": {"flexible": None, "type": "classic"},
            "billing_thresholds": None,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": {"comment": None, "feedback": None, "reason": None},
            "collection_method": "charge_automatically",
            "currency": wanted[0][0]["currency"],
            "customer": customer["id"],
            "days_until_due": None,
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": description,
            "discounts": [f"di_{coupon['id']}"] if coupon else [],
            "ended_at": None,
            "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
            "items": listed(items, f"/v1/subscription_items?subscription={subscription_id}"),
            "latest_invoice": None,
            "metadata": with_metadata({}, metadata),
            "next_pending_invoice_item_invoice": None,
            "on_behalf_of": None,
            "pause_collection": None,
            "payment_settings": {"payment_method_options": None, "save_default_payment_method": "off"},
            "pending_invoice_item_interval": None,
            "pending_setup_intent": None,
            "pending_update": None,
            "schedule": None,
            "start_date": now,
            "status": "trialing" if trial_s else "incomplete",
            "test_clock": customer["test_clock"],
            "transfer_data": None,
            "trial_end": now + trial_s if trial_s else None,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": now if trial_s else None,
            "_coupon": coupon,
        },
        object_id=subscription_id,
        created=now,
    )


def new_item(subscription_id: str, price: Doc, quantity: int, now: int) -> Doc:
    return {
        "id": new_id("subscription_item"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": now,
        "current_period_start": now,
        "discounts": [],
        "metadata": {},
        "price": price,
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }


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
    quantity = whole(given["quantity"], f"{param}[quantity]") if "quantity" in given else item["quantity"] if item else 1
    return price, 0 if given.get("deleted") == "true" else quantity, item


def _trial_s(world: World, call: Call, customer: str) -> int:
    if days := call.get("trial_period_days"):
        return int(days) * _DAY_S
    if (until := call.get("trial_end")) and until != "now":
        return max(0, whole(until, "trial_end") - world.now_of(customer))
    return 0
