"""The signature of our webhooks, and the secret behind it: `t=<unix seconds>,v1=<hex HMAC-SHA-256 of "<t>.<body>">`.

The key is the whole secret as text, its `whsec_` prefix included. Receivers refuse what is older or newer than 300 s.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

TOLERANCE_S = 300
SECRET_RANDOM_BYTES = 24

_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)


def mint_secret(random: bytes) -> str:
    """The secret of an endpoint, from 24 random bytes. It is shown once."""
    assert len(random) == SECRET_RANDOM_BYTES
    return f"whsec_{base64.urlsafe_b64encode(random).decode()}"


def sign_webhook(secret: str, body: bytes, at: int) -> str:
    """The value of the signature header for exactly these bytes, sent at `at` (Unix seconds)."""
    return f"t={at},v1={_mac(secret, body, str(at))}"


def verify_webhook(secret: str, header: str, body: bytes, now: int, tolerance_s: int = TOLERANCE_S) -> bool:
    """Whether `header` signs `body` and its time is near enough to `now`. As receivers do it: one `t`, any `v1`."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    macs = [value for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not _TIME.fullmatch(times[0]) or abs(now - int(times[0])) > tolerance_s:
        return False
    expected = _mac(secret, body, times[0]).encode()
    return any(hmac.compare_digest(expected, mac.encode(errors="replace")) for mac in macs)


def _mac(secret: str, body: bytes, at: str) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
