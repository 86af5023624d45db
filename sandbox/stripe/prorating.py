"""A change of plan within a period: what is unused comes back, what is new is charged, by the seconds that remain."""

from __future__ import annotations

from sandbox.stripe import collecting, subscribing
from sandbox.stripe.invoice_items import new_item, pending_lines
from sandbox.stripe.invoices import draft, finalize
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World


def change_items(world: World, subscription: Doc, wanted: list[tuple[Doc, int, Doc | None]], *, prorates: bool) -> bool:
    """Make the items as wanted; whether a new period must begin, because the interval is another one.

    Prorations wait for the next invoice.
    """
    items, now = subscription["items"]["data"], world.now_of(subscription["customer"])
    start, end = items[0]["current_period_start"], items[0]["current_period_end"]
    before = items[0]["price"]["recurring"]
    restarts = any(price["recurring"]["interval"] != before["interval"] for price, quantity, _ in wanted if quantity)
    for price, quantity, item in wanted:
        if item is not None and prorates and subscription["status"] == "active":
            unused = item["price"]["unit_amount"] * item["quantity"]
            _prorate(world, subscription, item["price"], item, -unused, (now, end, start))
        if item is None:
            item = subscribing.new_item(subscription["id"], price, quantity, now)  # noqa: PLW2901
            item |= {"current_period_start": start, "current_period_end": end}
            items.append(item)
        elif quantity == 0:
            items.remove(item)
        item |= {"price": price, "quantity": quantity}
        if prorates and quantity and not restarts and subscription["status"] == "active":
            _prorate(world, subscription, price, item, price["unit_amount"] * quantity, (now, end, start))
    world.save(subscription)
    return restarts


def invoice_now(world: World, subscription: Doc) -> Doc:
    """Invoice what waits, outside the cycle."""
    customer = world.get("customer", subscription["customer"])
    lines = pending_lines(world, subscription)
    invoice = draft(
        world,
        customer,
        subscription["currency"],
        "subscription_update",
        lines,
        subscription=subscription,
        tax=subscription["automatic_tax"]["enabled"],
    )
    world.save(subscription, {"latest_invoice": invoice["id"]})
    finalize(world, invoice)
    collecting.collect(world, invoice)
    return invoice


def _prorate(world: World, subscription: Doc, price: Doc, item: Doc, amount: int, times: tuple[int, int, int]) -> None:
    now, end, start = times
    part = round(amount * (end - now) / (end - start))
    if part == 0:
        return
    said = "Unused time on" if amount < 0 else "Remaining time on"
    made = new_item(
        world,
        subscription["customer"],
        part,
        price["currency"],
        item["quantity"],
        price,
        description=f"{said} {price['nickname'] or price['product']}",
        parent={"subscription": subscription["id"], "subscription_item": item["id"]},
        period=(now, end),
    )
    world.happened("invoiceitem.created", made)
