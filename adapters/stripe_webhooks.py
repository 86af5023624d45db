"""Verifies what Stripe sends, over the raw bytes and before anything is parsed.

Source: docs.stripe.com/webhooks, read 2026-11: HMAC-SHA256 over `<t>.<body>`; during a rotation two secrets are valid.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

from adapters.stripe_objects import notice_of
from domain.billing import TOLERANCE, EventNotice
from domain.errors import InvalidInput


class StripeWebhooks:
    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)

    def verify(self, body: bytes, signature: str | None) -> EventNotice:
        """Raises InvalidInput: one answer whatever is wrong."""
        try:
            text = body.decode()
            if not any(self._signed(text, signature, secret) for secret in self._secrets):
                raise InvalidInput("The signature of the event does not verify.")
            return notice_of(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as malformed:
            raise InvalidInput("The signature of the event does not verify.") from malformed

    def _signed(self, text: str, signature: str | None, secret: str) -> bool:
        try:
            return bool(WebhookSignature.verify_header(text, signature or "", secret, int(TOLERANCE.total_seconds())))
        except SignatureVerificationError:
            return False
