"""Callbacks signed as "Standard Webhooks" has it: HMAC-SHA-256 over `id.timestamp.body`, base64, labelled `v1`.

Stricter than the vendors' own clients: a good MAC under another label, or without one, is refused. While a secret is
being changed the header has a signature for each, so one secret is enough here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

from domain.errors import CallbackRefused

TOLERANCE_S = 300
PREFIX = "whsec_"

_SIGNATURES_MAX = 16


def key_of(secret: str, provider: str) -> bytes:
    """The key inside `whsec_<base64>`. Raises ValueError."""
    encoded = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the {provider} webhook secret is not base64 after {PREFIX}") from error
    if encoded == secret or not key:
        raise ValueError(f"the {provider} webhook secret does not begin with {PREFIX}")
    return key


def verified_event(key: bytes | None, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """The id of the event. Raises CallbackRefused; without a key every callback is refused."""
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
    return event_id
