"""Answers about buying credits, as the reference shows them."""

from __future__ import annotations

from typing import Any

from api.samples import ACCOUNT_ID, success

BUY_BODY: dict[str, Any] = {"pack": "pack-25"}
SUBSCRIBE_BODY: dict[str, Any] = {"plan": "pro-monthly"}
TOP_UP_BODY: dict[str, Any] = {"enabled": True, "amount": 25, "daily_max": 2}
OFFERS = success(
    "Offers",
    {
        "packs": [{"name": "pack-25", "label": "25 credits", "credits": 25}],
        "subscriptions": [{"name": "pro-monthly", "label": "Pro Monthly", "credits": 29}],
    },
)
PAGE = success("Checkout", {"url": "https://checkout.stripe.com/c/pay/cs_test_a1b2c3"})
TOP_UP = success(
    "Automatic top-up",
    {"enabled": True, "amount": 25, "daily_max": 2, "payment_method_saved": True, "stopped_because": None},
)

EVENT: dict[str, Any] = {
    "event_id": "evt_1Qm3xY2eZvKYlo2C",
    "type": "checkout.session.completed",
    "object_id": "cs_test_a1b2c3",
    "state": "parked",
    "reason": "customer_unknown",
    "explanation": "No account is linked to the customer cus_Qk7Zd.",
    "tries": 3,
    "received_at": "2026-06-02T08:15:30.412Z",
    "tried_at": "2026-06-02T09:31:12.007Z",
}
EVENTS = success("Stripe events", {"events": [EVENT]}, total=1, limit=50, offset=0)
EVENT_RETRIED = success("Stripe event", EVENT)
LINK_BODY: dict[str, Any] = {"account_id": ACCOUNT_ID, "customer_id": "cus_Qk7Zd"}
LINKED = success("Customer linked", LINK_BODY)
DIFFERENCES = success(
    "Differences",
    {
        "differences": [
            {
                "source_id": "ch_3Qm3xY2eZvKYlo2C",
                "difference": "amount",
                "explanation": "Booked with 1000: the charge ch_3Qm3xY2eZvKYlo2C of 1200 usd.",
                "found_at": "2026-06-02T03:00:04.120Z",
            }
        ]
    },
)
