"""Objects of Stripe, as they come over the wire, in our words. Pure; tested on recorded bodies.

Source: docs.stripe.com/api, version 2026-10-28, read 2026-11. Since 2025-03 an invoice names its subscription under
`parent`, its lines name prices under `pricing`, and its payments are objects of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from domain.billing import (
    TOP_UP,
    CreditNote,
    Dispute,
    DisputeMovement,
    EventNotice,
    Line,
    Movement,
    Purchase,
    PurchaseKind,
    PurchaseState,
    Refund,
    SavedMethod,
    Subscription,
)

Doc = Mapping[str, Any]

_MOVEMENTS = {"dispute": "withdrawn", "dispute_reversal": "reinstated"}
_INVOICE_STATES = {
    "paid": PurchaseState.PAID,
    "void": PurchaseState.VOID,
    "uncollectible": PurchaseState.UNCOLLECTIBLE,
}


def id_of(found: Any) -> str | None:
    """The id of an object that may have been expanded: keys are made from ids only."""
    if isinstance(found, Mapping):
        found = found.get("id")
    return found if isinstance(found, str) and found else None


def notice_of(event: Doc) -> EventNotice:
    """Raises KeyError, TypeError or ValueError for what is no event."""
    named = event["data"]["object"]
    return EventNotice(
        event_id=str(event["id"]),
        type=str(event["type"]),
        created=int(event["created"]),
        livemode=event["livemode"] is True,
        account=id_of(event.get("account")),
        object_type=str(named.get("object", "")),
        object_id=str(named.get("id", "")),
    )


def session_purchase(
    session: Doc, lines: Sequence[Doc], intent: Doc | None, taken: tuple[tuple[Refund, ...], tuple[Dispute, ...]]
) -> Purchase:
    """Of a checkout session in mode payment. Tax and shipping are in its total and not in its value."""
    intent_id = id_of(session.get("payment_intent"))
    total, details = int(session["amount_total"] or 0), session.get("total_details") or {}
    metadata = session.get("metadata") or {}
    return Purchase(
        key=f"stripe:pi:{intent_id}" if intent_id else f"stripe:cs:{session['id']}",
        kind=PurchaseKind.CHECKOUT,
        source_id=session["id"],
        customer_id=id_of(session.get("customer")),
        currency=session["currency"],
        state=_session_state(session, intent),
        paid=total,
        value=total - int(details.get("amount_tax") or 0) - int(details.get("amount_shipping") or 0),
        payment_intent_id=intent_id,
        references=_references(session.get("client_reference_id"), metadata.get("account_id")),
        pack=metadata.get("pack"),
        lines=tuple(_session_line(line) for line in lines),
        under_review=bool(intent and id_of(intent.get("review"))),
        refunds=taken[0],
        disputes=taken[1],
    )


def _session_state(session: Doc, intent: Doc | None) -> PurchaseState:
    if session["payment_status"] in {"paid", "no_payment_required"} and session["status"] == "complete":
        return PurchaseState.PAID
    if session["status"] == "expired":
        return PurchaseState.EXPIRED
    failed = session["status"] == "complete" and (intent or {}).get("status") in {"requires_payment_method", "canceled"}
    return PurchaseState.FAILED if failed else PurchaseState.AWAITING


def _session_line(line: Doc) -> Line:
    price = line.get("price") or {}
    return Line(
        price_id=id_of(price),
        lookup_key=price.get("lookup_key") if isinstance(price, Mapping) else None,
        quantity=int(line.get("quantity") or 0),
        amount=int(line["amount_total"]) - int(line.get("amount_tax") or 0),
    )


def invoice_purchase(
    invoice: Doc,
    lookup_keys: Mapping[str, str | None],
    intent_id: str | None,
    taken: tuple[tuple[Refund, ...], tuple[Dispute, ...]],
    notes: Sequence[Doc],
) -> Purchase:
    """Its worth is in its lines; `lookup_keys` by price id."""
    details = ((invoice.get("parent") or {}).get("subscription_details")) or {}
    return Purchase(
        key=f"stripe:invoice:{invoice['id']}",
        kind=PurchaseKind.INVOICE,
        source_id=invoice["id"],
        customer_id=id_of(invoice.get("customer")),
        currency=invoice["currency"],
        state=_INVOICE_STATES.get(str(invoice["status"]), PurchaseState.AWAITING),
        paid=int(invoice["amount_paid"]),
        value=int(
            invoice["total_excluding_tax"] if invoice.get("total_excluding_tax") is not None else invoice["total"]
        ),
        payment_intent_id=intent_id,
        references=_references((details.get("metadata") or {}).get("account_id")),
        lines=tuple(_invoice_line(line, lookup_keys) for line in invoice["lines"]["data"]),
        billing_reason=invoice.get("billing_reason"),
        failed_attempts=int(invoice.get("attempt_count") or 0) if invoice["status"] == "open" else 0,
        out_of_band=bool(invoice.get("paid_out_of_band") or invoice.get("amount_paid_off_stripe")),
        refunds=taken[0],
        disputes=taken[1],
        credit_notes=tuple(credit_note(note) for note in notes),
    )


def price_ids(invoice: Doc) -> list[str]:
    """The prices that its lines name, each once."""
    found = (_price_of_line(line) for line in invoice["lines"]["data"])
    return list(dict.fromkeys(price for price in found if price))


def _price_of_line(line: Doc) -> str | None:
    pricing = line.get("pricing") or {}
    return id_of((pricing.get("price_details") or {}).get("price")) or id_of(line.get("price"))


def _invoice_line(line: Doc, lookup_keys: Mapping[str, str | None]) -> Line:
    price_id, parent = _price_of_line(line), line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    discounts = sum(int(one["amount"]) for one in line.get("discount_amounts") or ())
    inclusive = sum(int(one["amount"]) for one in line.get("taxes") or () if one.get("tax_behavior") == "inclusive")
    return Line(
        price_id=price_id,
        lookup_key=lookup_keys.get(price_id or ""),
        quantity=int(line.get("quantity") or 0),
        amount=int(line["amount"]) - discounts - inclusive,
        proration=bool(details.get("proration") or line.get("proration")),
    )


def top_up_purchase(intent: Doc, taken: tuple[tuple[Refund, ...], tuple[Dispute, ...]]) -> Purchase:
    """Of a payment that we asked for ourselves, from a saved method."""
    states = {
        "succeeded": PurchaseState.PAID,
        "canceled": PurchaseState.FAILED,
        "requires_payment_method": PurchaseState.FAILED,
    }
    received = int(intent.get("amount_received") or 0)
    tip = int(((intent.get("amount_details") or {}).get("tip") or {}).get("amount") or 0)
    return Purchase(
        key=f"stripe:pi:{intent['id']}",
        kind=PurchaseKind.TOP_UP,
        source_id=intent["id"],
        customer_id=id_of(intent.get("customer")),
        currency=intent["currency"],
        state=states.get(intent["status"], PurchaseState.AWAITING),
        paid=received,
        value=received - tip,
        payment_intent_id=intent["id"],
        references=_references((intent.get("metadata") or {}).get("account_id")),
        top_up_id=(intent.get("metadata") or {}).get("top_up_id"),
        under_review=id_of(intent.get("review")) is not None,
        refunds=taken[0],
        disputes=taken[1],
    )


def is_top_up(intent: Doc) -> bool:
    return (intent.get("metadata") or {}).get("purpose") == TOP_UP


def refund(found: Doc) -> Refund:
    failed = found.get("status") in {"failed", "canceled"}
    return Refund(found["id"], int(found["amount"]), failed, int(found["created"]))


def dispute(found: Doc) -> Dispute:
    rows = [row for row in found.get("balance_transactions") or () if isinstance(row, Mapping)]
    times = Counter[str]()
    moved = []
    for row in rows:
        if name := _MOVEMENTS.get(str(row.get("reporting_category"))):
            times[name] += 1
            numbered = name if times[name] == 1 else f"{name}:{times[name]}"
            moved.append(DisputeMovement(numbered, movement(row)))
    return Dispute(found["id"], int(found["amount"]), str(found["status"]), tuple(moved))


def credit_note(found: Doc) -> CreditNote:
    """What it credits of money that had been paid, without what it gave back as refunds."""
    credited = found.get("post_payment_amount")
    total = int(found["total"] if credited is None else credited)
    refunded = sum(int(one.get("amount_refunded") or 0) for one in found.get("refunds") or ())
    if not refunded and id_of(found.get("refund")):
        refunded = total
    return CreditNote(found["id"], max(0, total - refunded), found["status"] == "void")


def subscription(found: Doc) -> Subscription:
    """By its first item: we sell subscriptions of one."""
    item = found["items"]["data"][0]
    price = item.get("price") or {}
    return Subscription(
        subscription_id=found["id"],
        customer_id=id_of(found["customer"]) or "",
        price_id=id_of(price),
        lookup_key=price.get("lookup_key"),
        status=found["status"],
        cancel_at_period_end=bool(found.get("cancel_at_period_end")),
        currency=found.get("currency"),
        period_starts_at=_moment(item.get("current_period_start") or found.get("current_period_start")),
        period_ends_at=_moment(item.get("current_period_end") or found.get("current_period_end")),
        created_at=datetime.fromtimestamp(int(found["created"]), UTC),
        references=_references((found.get("metadata") or {}).get("account_id")),
    )


def saved_method(session: Doc, intent: Doc) -> SavedMethod | None:
    """Of a checkout session in mode setup that was completed."""
    customer_id, method_id = id_of(session.get("customer")), id_of(intent.get("payment_method"))
    if intent.get("status") != "succeeded" or customer_id is None or method_id is None:
        return None
    metadata = session.get("metadata") or {}
    references = _references(session.get("client_reference_id"), metadata.get("account_id"))
    return SavedMethod(customer_id, method_id, references)


def movement(found: Doc) -> Movement:
    source = id_of(found.get("source")) or ""
    return Movement(
        movement_id=found["id"],
        kind=found["type"],
        source_type={
            "ch": "charge",
            "py": "charge",
            "re": "refund",
            "pyr": "refund",
            "dp": "dispute",
            "du": "dispute",
        }.get(source.partition("_")[0], ""),
        source_id=source,
        amount=int(found["amount"]),
        fee=int(found.get("fee") or 0),
        currency=found["currency"],
        created=int(found["created"]),
    )


def _references(*accounts: Any) -> tuple[str, ...]:
    return tuple(str(account) for account in accounts if account)


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)
