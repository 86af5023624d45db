"""Objects of Stripe as they come over the wire, cut down to what is read. Source: the simulated Stripe."""

from __future__ import annotations

from typing import Any

from adapters import stripe_objects as read
from domain.billing import Dispute, Done, Purchase, Recorded, Refund, did_of
from domain.billing_rules import effects_of
from domain.offers import Currency, Offer, Offers, Policy

ACCOUNT, OTHER = "9a4e3c58-1b07-4d2f-8e66-70f5c1d2ab34", "5a1e0b7c-3c1d-4e52-9f0a-b6c2d4e8f013"
CREDIT = 1_000_000
Doc = dict[str, Any]


def offers(**policy: bool) -> Offers:
    return Offers(
        packs={
            "pack-10": Offer("pack-10", "10 credits", "pack_10", 10 * CREDIT),
            "any": Offer("any", "What you pay", "price_any", None),
        },
        subscriptions={
            "starter-monthly": Offer("starter-monthly", "Starter", "starter_monthly", 9 * CREDIT, "Starter Monthly")
        },
        currencies={"usd": Currency(2, CREDIT), "jpy": Currency(0, 6_600), "kwd": Currency(3, 3_250_000)},
        top_up_currency="usd",
        policy=Policy(**policy),
    )


def a_session(**members: Any) -> Doc:
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "payment_intent": "pi_1",
        "customer": "cus_1",
        "client_reference_id": ACCOUNT,
        "metadata": {"account_id": ACCOUNT, "pack": "pack-10"},
        "currency": "usd",
        "amount_total": 1000,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "livemode": False,
    } | members


def a_line(price: str = "price_1", key: str | None = "pack_10", *, total: int = 1000, tax: int = 0) -> Doc:
    return {"price": {"id": price, "lookup_key": key}, "quantity": 1, "amount_total": total, "amount_tax": tax}


def an_invoice(*lines: Doc, **members: Any) -> Doc:
    shown = list(lines) or [an_invoice_line()]
    return {
        "id": "in_1",
        "object": "invoice",
        "status": "paid",
        "customer": "cus_1",
        "currency": "usd",
        "amount_paid": 900,
        "total": 900,
        "total_excluding_tax": 900,
        "attempt_count": 1,
        "billing_reason": "subscription_cycle",
        "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"account_id": ACCOUNT}}},
        "lines": {"data": shown},
    } | members


def an_invoice_line(price: str = "price_starter", amount: int = 900, *, proration: bool = False) -> Doc:
    return {
        "amount": amount,
        "quantity": 1,
        "pricing": {"price_details": {"price": price}},
        "parent": {"subscription_item_details": {"proration": proration}},
    }


def an_intent(**members: Any) -> Doc:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "amount_received": 2500,
        "currency": "usd",
        "customer": "cus_1",
        "metadata": {"purpose": "top_up", "account_id": ACCOUNT, "top_up_id": "t-1"},
    } | members


def a_refund(refund_id: str, amount: int, *, status: str = "succeeded", created: int = 1) -> Refund:
    return read.refund({"id": refund_id, "amount": amount, "status": status, "created": created})


def a_dispute(status: str, *, amount: int = 1000, rows: list[Doc] | None = None) -> Dispute:
    return read.dispute({"id": "du_1", "amount": amount, "status": status, "balance_transactions": rows or []})


def a_movement(movement_id: str, category: str, amount: int, *, fee: int = 0) -> Doc:
    return {
        "id": movement_id,
        "type": "adjustment",
        "reporting_category": category,
        "source": "du_1",
        "amount": amount,
        "fee": fee,
        "currency": "usd",
        "created": 1,
    }


def bought(
    session: Doc | None = None,
    *lines: Doc,
    intent: Doc | None = None,
    refunds: tuple[Refund, ...] = (),
    disputes: tuple[Dispute, ...] = (),
) -> Purchase:
    """A pack of ten credits for ten dollars, unless the session says otherwise."""
    return read.session_purchase(session or a_session(), list(lines) or [a_line()], intent, (refunds, disputes))


def invoiced(
    invoice: Doc | None = None,
    *,
    refunds: tuple[Refund, ...] = (),
    disputes: tuple[Dispute, ...] = (),
    notes: tuple[Doc, ...] = (),
) -> Purchase:
    keys = {"price_starter": "starter_monthly"}
    return read.invoice_purchase(invoice or an_invoice(), keys, "pi_1", (refunds, disputes), notes)


class Books:
    """What a ledger would hold after the effects: the spendable balance, what is disputed, and every key once."""

    def __init__(self, sold: Offers | None = None) -> None:
        self.offers = sold or offers()
        self.recorded: dict[str, Done] = {}
        self.available = 0
        self.disputed = 0

    def apply(self, purchase: Purchase, account_id: str | None = ACCOUNT) -> list[str]:
        """The keys of what was owed now."""
        owed = effects_of(purchase, account_id, self.recorded, self.offers)
        for effect in owed:
            assert effect.key not in self.recorded
            self.recorded[effect.key] = Done(did_of(effect), effect.amount)
            sign, held = _MOVES[did_of(effect)]
            self.available += sign * effect.amount
            self.disputed += held * effect.amount
            assert self.available >= 0
            assert self.disputed >= 0
        return [effect.key for effect in owed]

    @property
    def as_recorded(self) -> Recorded:
        return self.recorded


_MOVES = {
    "grant": (1, 0),
    "claw_back": (-1, 0),
    "restore": (1, 0),
    "dispute_hold": (-1, 1),
    "dispute_restored": (1, -1),
    "dispute_lost": (0, -1),
    "freeze": (0, 0),
    "stop_top_ups": (0, 0),
    "remember": (0, 0),
}
