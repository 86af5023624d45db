"""Billing periods: what happens when one ends, when a trial does, when the first payment stays out."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

from sandbox.stripe import collecting
from sandbox.stripe.clock import when
from sandbox.stripe.invoice_items import pending_lines
from sandbox.stripe.invoices import draft, finalize, line, of_subscription_item
from sandbox.stripe.store import Doc
from sandbox.stripe.subscribing import end
from sandbox.stripe.world import World

_TRIAL_WARNING_S = 3 * 86400
_FIRST_PAYMENT_WITHIN_S = 23 * 3600


def later(at: int, recurring: Doc, anchor: int) -> int:
    """The end of the period that begins at `at`; months end where the anchor's day does not exist."""
    count, start = int(recurring["interval_count"]), datetime.fromtimestamp(at, UTC)
    if recurring["interval"] in {"day", "week"}:
        return int((start + timedelta(**{f"{recurring['interval']}s": count})).timestamp())
    months = start.month - 1 + count * (12 if recurring["interval"] == "year" else 1)
    year, month = start.year + months // 12, months % 12 + 1
    day = min(datetime.fromtimestamp(anchor, UTC).day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def begin(world: World, subscription: Doc, *, off_session: bool, pays: bool = True) -> Doc | None:
    """The first period, or the trial. The error of a declined payment."""
    items, now = subscription["items"]["data"], world.now_of(subscription["customer"])
    trial_end = subscription["trial_end"]
    _set_period(world, subscription, now, trial_end or later(now, items[0]["price"]["recurring"], now))
    if trial_end:
        world.wake(subscription, "trial_ends_soon", max(now, trial_end - _TRIAL_WARNING_S), subscription["customer"])
    world.happened("customer.subscription.created", subscription)
    invoice = _invoice(world, subscription, "subscription_create", trial=trial_end is not None)
    error = None
    if pays or invoice["amount_remaining"] == 0:
        error = collecting.collect(world, invoice, off_session=off_session, retries=False)
    subscription.update(world.get("subscription", subscription["id"]))
    if subscription["status"] == "incomplete" and _is_processing(world, invoice):
        world.save(subscription, {"status": "active"})  # a bank debit is trusted to arrive
        world.happened("customer.subscription.updated", subscription, {"status": "incomplete"})
    elif subscription["status"] == "incomplete":
        world.wake(subscription, "incomplete", now + _FIRST_PAYMENT_WITHIN_S, subscription["customer"])
    return error


@when("trial_ends_soon")
def trial_ends_soon(world: World, subscription: Doc) -> None:
    if subscription["status"] == "trialing":
        world.happened("customer.subscription.trial_will_end", subscription)


@when("incomplete")
def never_paid(world: World, subscription: Doc) -> None:
    if subscription["status"] != "incomplete":
        return
    collecting.void(world, world.get("invoice", subscription["latest_invoice"]))
    world.save(subscription, {"status": "incomplete_expired", "ended_at": world.now_of(subscription["customer"])})
    world.wake(subscription, "period", None, subscription["customer"])
    world.happened("customer.subscription.updated", subscription, {"status": "incomplete"})


@when("period")
def period_ends(world: World, subscription: Doc) -> None:
    """The end of a period or a trial: the next one begins, or all ends."""
    if subscription["status"] in {"canceled", "incomplete_expired", "paused", "incomplete"}:
        return
    if subscription["cancel_at_period_end"]:
        end(world, subscription, "cancellation_requested")
        return
    renew(world, subscription, "subscription_cycle")


def renew(world: World, subscription: Doc, reason: str, *, restarts: bool = False) -> Doc:
    """A new period from now on, invoiced and collected."""
    items = subscription["items"]["data"]
    start = world.now_of(subscription["customer"])
    previous: Doc = {"items": {"data": [{"current_period_start": items[0]["current_period_start"]}]}}
    if restarts:
        world.save(subscription, {"billing_cycle_anchor": start})
    if subscription["status"] == "trialing":
        previous["status"] = "trialing"
        world.save(subscription, {"status": "active"})
    anchor = subscription["billing_cycle_anchor"]
    _set_period(world, subscription, start, later(start, items[0]["price"]["recurring"], anchor))
    world.happened("customer.subscription.updated", subscription, previous)
    invoice = _invoice(world, subscription, reason)
    collects = subscription["collection_method"] == "charge_automatically" and not subscription["pause_collection"]
    if collects:
        collecting.collect(world, invoice)
    return invoice


def _invoice(world: World, subscription: Doc, reason: str, *, trial: bool = False) -> Doc:
    """Made and finalized at once; at Stripe about an hour lies between."""
    customer = world.get("customer", subscription["customer"])
    lines = [_line(subscription, item, trial=trial) for item in subscription["items"]["data"]]
    invoice = draft(
        world,
        customer,
        subscription["currency"],
        reason,
        [*pending_lines(world, subscription), *lines],
        subscription=subscription,
        coupon=subscription["_coupon"],
        tax=subscription["automatic_tax"]["enabled"],
        collection_method=subscription["collection_method"],
    )
    world.save(subscription, {"latest_invoice": invoice["id"]})
    if subscription["_coupon"] and subscription["_coupon"]["duration"] == "once":
        world.save(subscription, {"_coupon": None, "discounts": []})
    paused = (subscription["pause_collection"] or {}).get("behavior")
    if paused != "keep_as_draft":
        finalize(world, invoice)
    if paused == "void":
        collecting.void(world, invoice)
    if paused == "mark_uncollectible":
        collecting.mark_uncollectible(world, invoice)
    return invoice


def _line(subscription: Doc, item: Doc, *, trial: bool) -> Doc:
    price, quantity = item["price"], item["quantity"]
    said = "Trial period for" if trial else f"{quantity} x"
    return line(
        price,
        0 if trial else price["unit_amount"] * quantity,
        quantity,
        (item["current_period_start"], item["current_period_end"]),
        description=f"{said} {price['nickname'] or price['product']}",
        currency=price["currency"],
        parent=of_subscription_item(subscription["id"], item["id"]),
        metadata=subscription["metadata"],
    )


def _is_processing(world: World, invoice: Doc) -> bool:
    return any(one["status"] == "processing" for one in world.find("payment_intent", _invoice=invoice["id"]))


def _set_period(world: World, subscription: Doc, start: int, until: int) -> None:
    for item in subscription["items"]["data"]:
        item |= {"current_period_start": start, "current_period_end": until}
    world.save(subscription)
    world.wake(subscription, "period", until, subscription["customer"])
