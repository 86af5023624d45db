"""The signature of Replicate's callbacks: HMAC-SHA-256 over `id.timestamp.body`, base64, labelled `v1`.

Stricter than the vendor's own client: a good MAC under another label, or without one, is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping

from domain.errors import CallbackRefused
from domain.provider import CallbackNotice

TOLERANCE_S = 300

_PREFIX = "whsec_"
_SIGNATURES_MAX = 16


def key_of(secret: str) -> bytes:
    """The key inside `whsec_<base64>`. Raises ValueError."""
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("the Replicate webhook secret is not base64 after whsec_") from error
    if encoded == secret or not key:
        raise ValueError("the Replicate webhook secret does not begin with whsec_")
    return key


def verified(key: bytes | None, headers: Mapping[str, str], body: bytes, *, now: float) -> CallbackNotice:
    """Raises CallbackRefused; without a key every callback is refused."""
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if key is None or not event_id or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise CallbackRefused("The callback is not signed.")
    if abs(now - int(timestamp)) > TOLERANCE_S:
        raise CallbackRefused("The callback is too old, or from the future.")
    mac = hmac.new(key, f"{event_id}.{timestamp}.".encode(errors="replace") + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(mac)
    signatures = headers.get("webhook-signature", "").split(" ", _SIGNATURES_MAX)[:_SIGNATURES_MAX]
    if not any(hmac.compare_digest(expected, signature.encode(errors="replace")) for signature in signatures):
        raise CallbackRefused("The callback's signature does not verify.")
    return CallbackNotice(event_id=event_id, job_id=_job_id(body))


def _job_id(body: bytes) -> str | None:
    try:
        prediction = json.loads(body)
    except (ValueError, RecursionError):
        return None
    job_id = prediction.get("id") if isinstance(prediction, dict) else None
    return job_id if isinstance(job_id, str) else None
