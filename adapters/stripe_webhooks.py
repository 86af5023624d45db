"""Verifies what Stripe sends, over the raw bytes and before anything is parsed.

Source: docs.stripe.com/webhooks, read 2026-11: `t=<Unix seconds>,v1=<hex>`, HMAC-SHA256 over `<t>.<body>` under the
whole secret; one v1 for each secret that is valid there, two during a rotation. Stripe's own package checks the same,
but takes seconds to load; the tests hold one against the other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence

from adapters.stripe_objects import notice_of
from domain.billing import TOLERANCE, EventNotice
from domain.errors import InvalidInput

_HEADER_CHARS_MAX = 2_000


class StripeWebhooks:
    def __init__(self, secrets: Sequence[str], *, clock: Callable[[], float] = time.time) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets)
        self._clock = clock

    def verify(self, body: bytes, signature: str | None) -> EventNotice:
        """Raises InvalidInput: one answer whatever is wrong."""
        try:
            if self._signed(body, signature or ""):
                return notice_of(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as malformed:
            raise _refusal() from malformed
        raise _refusal()

    def _signed(self, body: bytes, header: str) -> bool:
        if len(header) > _HEADER_CHARS_MAX:
            return False
        parts = [part.strip().partition("=") for part in header.split(",")]
        at = next((value for name, _, value in parts if name == "t"), "")
        if not (at.isascii() and at.isdigit()) or abs(self._clock() - int(at)) > TOLERANCE.total_seconds():
            return False
        sent = [value.encode() for name, _, value in parts if name == "v1"]
        right = [hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest() for secret in self._secrets]
        found = [hmac.compare_digest(one.encode(), other) for one in right for other in sent]  # all, whichever fits
        return any(found)


def _refusal() -> InvalidInput:
    return InvalidInput("The signature of the event does not verify.")
