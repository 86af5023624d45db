"""Answers of the operator API as the reference shows them."""

from __future__ import annotations

from typing import Any

from api.samples import ACCOUNT_ID, IMAGE_ID, success

KEY_ID = "c92f4d10-77b8-4a0d-8b5e-1f2a3c4d5e6f"
OPERATOR_ID = "0d4c9b52-6a1f-4e83-9b77-52a8e0c1d6f3"
_AT = "2026-06-02T08:15:30.412Z"

_ACCOUNT: dict[str, Any] = {
    "account_id": ACCOUNT_ID,
    "name": "studio",
    "email": "ops@example.com",
    "plan": "pro",
    "is_personal": False,
    "picture_url": None,
    "frozen": False,
    "moderation_failover": False,
    "created_at": _AT,
    "closed_at": None,
}
ACCOUNT_BODY = {"name": "studio", "email": "ops@example.com", "plan": "pro", "is_personal": False}
ACCOUNT_CHANGE = {"plan": "scale"}
ACCOUNT_CREATED = success("Account created", _ACCOUNT)
ACCOUNT_READ = success("Account", _ACCOUNT)
ACCOUNT_UPDATED = success("Account updated", _ACCOUNT | ACCOUNT_CHANGE)
ACCOUNTS = success("Accounts", {"accounts": [_ACCOUNT]}, total=1, limit=50, offset=0)
ACCOUNT_CLOSED = success("Account closed", _ACCOUNT | {"frozen": True, "closed_at": _AT})

_PLAN = {
    "plan": "pro",
    "label": "Pro",
    "requests_per_minute": 300,
    "in_flight": {"image": 10, "video": 5},
    "retention_hours": {"output_files": 24, "generation_records": 720, "request_log": 720, "webhook_deliveries": 720},
}
PLANS = success("Plans", {"plans": [_PLAN]}, total=1, limit=50, offset=0)

_KEY: dict[str, Any] = {
    "api_key_id": KEY_ID,
    "account_id": ACCOUNT_ID,
    "name": "worker-us",
    "prefix": "bye_Qk7Zd",
    "scopes": ["generation:write", "generation:read", "library:read"],
    "state": "active",
    "region": "us",
    "ip_allowlist": [],
    "created_at": _AT,
    "expires_at": None,
    "rotated_at": None,
    "revoked_at": None,
    "last_used_at": None,
}
_SECRET = {"key": "bye_..."}
KEY_BODY = {"name": "worker-us", "preset": "generate_only"}
KEY_CREATED = success("Key created", _KEY | _SECRET)
KEY_READ = success("Key", _KEY)
KEYS = success("Keys", {"keys": [_KEY]}, total=1, limit=50, offset=0)
KEY_ROTATION = {"grace_hours": 24}
KEY_ROTATED = success("Key rotated", _KEY | _SECRET)
KEY_REVOKED = success("Key revoked", _KEY | {"state": "revoked", "revoked_at": _AT})
KEY_DELETED = success("Key deleted", {"api_key_id": KEY_ID})

_BALANCE = {"account_id": ACCOUNT_ID, "available": 24.995, "held": 0.005, "debt": 0.0}
BALANCE = success("Credit balance", _BALANCE)
GRANT_BODY = {"amount": 25, "key": "invoice:2026-0001", "source": "payment"}
GRANTED = success("Credits granted", {"result": "granted", **_BALANCE})
ENTRIES = success(
    "Credit entries",
    {
        "entries": [
            {
                "entry_id": 2,
                "operation": "reserve",
                "amount": -0.005,
                "balance_after": 24.995,
                "generation_id": IMAGE_ID,
                "key": None,
                "created_at": _AT,
            }
        ]
    },
    total=1,
    limit=50,
    offset=0,
)

LOTS = success(
    "Expiring credits",
    {
        "lots": [
            {
                "lot_id": "7d1f4c1e-3f0b-4a55-9d5a-5d1d6a0c9b11",
                "key": "promo:welcome:2026-11",
                "note": None,
                "granted": 5,
                "granted_at": _AT,
                "expires_at": "2026-12-31T00:00:00.000Z",
                "state": "open",
                "left": 4.98,
                "held": 0.005,
                "spent": 0.015,
                "burned": 0,
            }
        ]
    },
    total=1,
    limit=50,
    offset=0,
)

_PROVIDER = {"provider": "fal", "name": "fal", "state": "active", "paused_at": None, "paused_by": None, "reason": None}
_PAUSED = _PROVIDER | {"state": "paused", "paused_at": _AT, "paused_by": "alex", "reason": "incident"}
PROVIDERS = success("Providers", {"providers": [_PROVIDER]}, total=1, limit=50, offset=0)
PAUSE_BODY = {"reason": "incident"}
PAUSED = success("Provider paused", _PAUSED)
RESUMED = success("Provider resumed", _PROVIDER)

_OPERATOR: dict[str, Any] = {
    "operator_id": OPERATOR_ID,
    "name": "alex",
    "prefix": "byo_m3Xv0",
    "created_at": _AT,
    "revoked_at": None,
    "last_used_at": None,
}
OPERATOR_BODY = {"name": "alex"}
OPERATOR_CREATED = success("Operator created", _OPERATOR | {"key": "byo_..."})
OPERATORS = success("Operators", {"operators": [_OPERATOR]}, total=1, limit=50, offset=0)
OPERATOR_REVOKED = success("Operator revoked", _OPERATOR | {"revoked_at": _AT})

AUDIT = success(
    "Audit log",
    {
        "entries": [
            {
                "audit_id": 7,
                "at": _AT,
                "actor": "alex",
                "action": "provider.pause",
                "target_type": "provider",
                "target_id": "fal",
                "account_id": None,
                "request_id": "req_3f0d2c7a9be14c5f8d61a0b47e52c913",
                "details": {"reason": "incident"},
            }
        ]
    },
    total=1,
    limit=50,
    offset=0,
)

_REQUEST: dict[str, Any] = {
    "at": _AT,
    "request_id": "req_0c6e1d7a9be14c5f8d61a0b47e52c913",
    "api_key_id": KEY_ID,
    "key_name": "worker",
    "key_prefix": "bye_Qk7Zd",
    "key_state": "active",
    "method": "GET",
    "path": "/v1/content/list",
    "endpoint": "/v1/content/list",
    "query": "limit=20",
    "status": 200,
    "code": None,
    "replayed": False,
    "client_ip_hash": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "user_agent": "babysea-node/1.4.6 (node/20.11.1)",
    "sdk_name": "babysea-node",
    "sdk_version": "1.4.6",
    "sdk_runtime": "node",
    "sdk_runtime_version": "20.11.1",
    "duration_ms": 3,
}
REQUESTS = success("Request log", {"requests": [_REQUEST], "next_before": None})
REQUESTS_CSV = "at,request_id,api_key_id,...\r\n2026-06-02T08:15:24.101Z,req_0c6e1d7a9be14c5f8d61a0b47e52c913,...\r\n"
