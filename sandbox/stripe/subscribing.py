"""Subscriptions as documents: their items, and their end."""

from __future__ import annotations

from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, listed, new_id, with_metadata


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
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`."
        )
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
