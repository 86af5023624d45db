"""Answers about money as the reference shows them."""

from __future__ import annotations

from typing import Any

from api.admin.samples import KEY_ID
from api.samples import ACCOUNT_ID, IMAGE_ID, success

_AT = "2026-06-02T08:15:30.412Z"
_ID = "4f8a2d10-6c1b-4e83-9b77-0d52a8e0c1d6"

ALERTS_BODY = {"thresholds": [5, 0.5], "runway_hours": 24}
_ALERTS: dict[str, Any] = {
    "account_id": ACCOUNT_ID,
    "enabled": True,
    "thresholds": [{"threshold": 5.0, "armed": False}, {"threshold": 0.5, "armed": True}],
    "runway": {"hours": 24, "armed": True, "told_at": None},
    "latest": [{"alert_id": _ID, "balance": 4.995, "thresholds_crossed": [5.0], "created_at": _AT}],
}
ALERTS = success("Low-balance alerts", _ALERTS)

LIMIT_BODY = {"period": "month", "amount": 100, "api_key_id": KEY_ID}
_LIMIT: dict[str, Any] = {
    "limit_id": _ID,
    "account_id": ACCOUNT_ID,
    "api_key_id": KEY_ID,
    "period": "month",
    "amount": 100.0,
    "hard": True,
    "spent": 12.48,
    "resets_at": "2026-07-01T00:00:00.000Z",
}
LIMIT_SET = success("Spending limit set", _LIMIT)
LIMITS = success("Spending limits", {"limits": [_LIMIT]}, total=1, limit=50, offset=0)
LIMIT_REMOVED = success("Spending limit removed", {"limit_id": _ID})

ADJUSTMENT_BODY = {"amount": -2.5, "reason": "granted twice", "key": "ticket-4711"}
_ADJUSTMENT: dict[str, Any] = {
    "adjustment_id": _ID,
    "account_id": ACCOUNT_ID,
    **ADJUSTMENT_BODY,
    "state": "proposed",
    "proposed_by": "alex",
    "proposed_at": _AT,
    "expires_at": "2026-06-09T08:15:30.412Z",
    "decided_by": None,
    "decided_at": None,
}
ADJUSTMENT_PROPOSED = success("Adjustment proposed", _ADJUSTMENT)
ADJUSTMENTS = success("Adjustments", {"adjustments": [_ADJUSTMENT]}, total=1, limit=50, offset=0)
_DECIDED = {"decided_by": "kim", "decided_at": _AT}
ADJUSTMENT_APPROVED = success("Adjustment approved", _ADJUSTMENT | _DECIDED | {"state": "approved"})
ADJUSTMENT_REJECTED = success("Adjustment rejected", _ADJUSTMENT | _DECIDED | {"state": "rejected"})

REFUND_BODY = {"generation_id": IMAGE_ID, "reason": "the image was unusable", "key": "ticket-4712"}
REFUNDED = success(
    "Generation refunded",
    {
        "result": "refunded",
        "generation_id": IMAGE_ID,
        "refunded": 0.005,
        "account_id": ACCOUNT_ID,
        "available": 25.0,
        "held": 0.0,
        "debt": 0.0,
    },
)

STATEMENT = success(
    "Statement",
    {
        "account_id": ACCOUNT_ID,
        "name": "studio",
        "period_start": "2026-06-01T00:00:00.000Z",
        "period_end": "2026-07-01T00:00:00.000Z",
        "opening": {"available": "0", "held": "0", "debt": "0"},
        "closing": {"available": "24.995", "held": "0.005", "debt": "0"},
        "entries": [
            {
                "number": 1,
                "at": "2026-06-02T08:15:20.001Z",
                "operation": "grant",
                "amount": "25",
                "balance_after": "25",
                "generation_id": None,
                "key": "invoice:2026-0001",
            },
            {
                "number": 2,
                "at": "2026-06-02T08:15:24.101Z",
                "operation": "reserve",
                "amount": "-0.005",
                "balance_after": "24.995",
                "generation_id": IMAGE_ID,
                "key": None,
            },
        ],
    },
)
STATEMENT_CSV = (
    "number,at,operation,amount,balance_after,generation_id,key\r\n"
    ",2026-06-01T00:00:00.000Z,opening,,0,,\r\n"
    "1,2026-06-02T08:15:20.001Z,grant,25,25,,invoice:2026-0001\r\n"
    f"2,2026-06-02T08:15:24.101Z,reserve,-0.005,24.995,{IMAGE_ID},\r\n"
    ",2026-07-01T00:00:00.000Z,closing,,24.995,,\r\n"
)

MARGINS = success(
    "Margins",
    {
        "period_start": "2026-06-01T00:00:00.000Z",
        "period_end": "2026-07-01T00:00:00.000Z",
        "revenue": "12.48",
        "cost": "9.36",
        "margin": "3.12",
        "models": [
            {"provider": "fal", "model": "bfl/flux-schnell", "revenue": "12.48", "cost": "9.36", "margin": "3.12"}
        ],
    },
)
COSTS = success(
    "Attempt costs",
    {
        "attempts": [
            {
                "attempt_id": _ID,
                "generation_id": IMAGE_ID,
                "model": "bfl/flux-schnell",
                "native_model": "fal-ai/flux/schnell",
                "job_id": "764cabcf-b745-4b3e-ae38-1200304cf45b",
                "state": "used",
                "cost": "0.003",
                "begun_at": "2026-06-02T08:15:24.140Z",
            }
        ],
        "next_after": None,
    },
)
