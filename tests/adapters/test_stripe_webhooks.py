"""Our check of signatures against that of Stripe's own package: S1 and S16."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
import stripe

from adapters.stripe_webhooks import StripeWebhooks
from domain.errors import InvalidInput

NOW = 1_780_000_000
OLD, NEW = "whsec_old", "whsec_new"
BODY = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "invoice.paid",
        "created": NOW,
        "livemode": False,
        "data": {"object": {"id": "in_1", "object": "invoice"}},
    }
).encode()


def v1(secret: str, at: int = NOW, body: bytes = BODY) -> str:
    return "v1=" + hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        pytest.param(f"t={NOW},{v1(OLD)}", True, id="s16: the old secret during the window"),
        pytest.param(f"t={NOW},{v1(NEW)}", True, id="s16: the new secret"),
        pytest.param(f"t={NOW},{v1('x')},{v1(NEW)},v0=00", True, id="several, one of which fits"),
        pytest.param(f"t={NOW - 300},{v1(OLD, NOW - 300)}", True, id="as old as it may be"),
        pytest.param(f"t={NOW - 301},{v1(OLD, NOW - 301)}", False, id="too old"),
        pytest.param(f"t={NOW + 301},{v1(OLD, NOW + 301)}", False, id="from the future"),
        pytest.param(f"t={NOW},{v1(OLD, NOW - 1)}", False, id="another time was signed"),
        pytest.param(f"t={NOW},{v1(OLD, body=b'{}')}", False, id="another body was signed"),
        pytest.param(f"t={NOW},{v1('whsec_other')}", False, id="another secret"),
        pytest.param(f"t={NOW},v1=", False, id="empty"),
        pytest.param(f"t={NOW},v1=\xe9", False, id="no hexadecimal"),
        pytest.param(v1(OLD), False, id="no time"),
        pytest.param(f"t=\xb2,{v1(OLD)}", False, id="digits that are none"),
        pytest.param("", False, id="nothing"),
        pytest.param("t=1," + "v1=00," * 1000, False, id="too long"),
    ],
)
def test_s1_a_signature_verifies_over_the_raw_bytes_within_the_tolerance(header: str, accepted: bool):
    check = StripeWebhooks([OLD, NEW], clock=lambda: NOW)

    if accepted:
        assert check.verify(BODY, header).object_id == "in_1"
    else:
        with pytest.raises(InvalidInput):
            check.verify(BODY, header)


def test_s16_after_the_window_the_old_secret_is_refused():
    with pytest.raises(InvalidInput):
        StripeWebhooks([NEW], clock=lambda: NOW).verify(BODY, f"t={NOW},{v1(OLD)}")


def test_stripes_own_package_accepts_what_we_accept():
    assert stripe.WebhookSignature.verify_header(BODY.decode(), f"t={NOW},{v1(OLD)}", OLD, None)
