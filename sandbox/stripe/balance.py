"""Balance transactions: what each movement did to our money at Stripe, for reconciliation; payouts."""

from __future__ import annotations

from typing import Any

from sandbox.stripe.operations import OPERATIONS_PAGE, Call, Operations, page
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World

OPERATIONS = Operations()
OPERATIONS.reads("/payouts", "payout", "status")
_AVAILABLE_AFTER_S = 2 * 86400


@OPERATIONS.add("GET", "/balance_transactions/{id}")
def read(world: World, call: Call) -> Doc:
    return world.get("balance_transaction", call.id)


@OPERATIONS.add("GET", "/balance_transactions", f"currency payout source type created:any {OPERATIONS_PAGE}")
def transactions(world: World, call: Call) -> Doc:
    equal = {name: call.params[name] for name in ("currency", "source", "type") if call.get(name)}
    return page(
        world, call, "balance_transaction", equal | ({"_payout": call.get("payout")} if call.get("payout") else {})
    )


def moved(world: World, source: Doc, amount: int, kind: str, *, category: str | None = None, fee: int = 0) -> Doc:
    """`amount` in minor units, below zero when it leaves us; the fee is taken from it."""
    details = [{"amount": fee, "application": None, "currency": source["currency"], "description": "Stripe fees"}]
    details[0]["type"] = "stripe_fee"
    return world.new(
        "balance_transaction",
        {
            "amount": amount,
            "available_on": world.now + _AVAILABLE_AFTER_S,
            "balance_type": "payments",
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": category or kind,
            "source": source["id"],
            "status": "pending",
            "type": kind,
        },
    )


def charge_fee(amount: int) -> int:
    """2.9 % and 30, as for a card of the United States."""
    return round(amount * 29 / 1000) + 30


def pay_out(world: World, currency: str) -> Doc:
    """Everything not yet paid out in this currency, to the bank."""
    open_ones = world.find("balance_transaction", _payout=None, currency=currency)
    total = sum(one["net"] for one in open_ones)
    if total <= 0:
        raise invalid(
            "You have insufficient funds in your Stripe account for this transfer.", code="balance_insufficient"
        )
    members: dict[str, Any] = {
        "amount": total,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": world.now,
        "automatic": True,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": None,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "reconciliation_status": "completed",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "paid",
        "type": "bank_account",
    }
    payout = world.new("payout", members)
    own = moved(world, payout, -total, "payout")
    for one in [*open_ones, own]:
        world.save(one, {"_payout": payout["id"], "status": "available"})
    world.save(payout, {"balance_transaction": own["id"]})
    for event in ("payout.created", "payout.paid", "payout.reconciliation_completed"):
        world.happened(event, payout)
    amount = [{"amount": 0, "currency": currency, "source_types": {"card": 0}}]
    world.happened(
        "balance.available", {"object": "balance", "available": amount, "livemode": False, "pending": amount}
    )
    return payout
