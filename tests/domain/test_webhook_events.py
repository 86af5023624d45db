"""The text of a webhook, contract 12.2 and 12.4."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.webhook_events import SUBSCRIBABLE, SUBSCRIBED_BY_DEFAULT, WebhookEvent, event_body, timestamp

DELIVERY_ID = "5f0c1b9e-3a52-4a5e-9c0d-2b7f6a1d8e34"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_body_is_the_one_of_the_published_vector() -> None:
    data = {
        "account_id": "7b0c2f4e-8d1a-4c3b-9e5f-6a7d8c9b0e1f",
        "model_identifier": "bfl/flux-schnell",
        "generation_status": "succeeded",
        "generation_id": "00000000-0000-0000-0000-000000000000",
    }

    body = event_body(WebhookEvent.TEST, DELIVERY_ID, NEW_YEAR, data)

    assert body == (
        '{"webhook_event":"webhook.test","webhook_timestamp":"2026-01-01T00:00:00.000Z",'
        '"webhook_delivery_id":"5f0c1b9e-3a52-4a5e-9c0d-2b7f6a1d8e34","webhook_data":{'
        '"account_id":"7b0c2f4e-8d1a-4c3b-9e5f-6a7d8c9b0e1f","model_identifier":"bfl/flux-schnell",'
        '"generation_status":"succeeded","generation_id":"00000000-0000-0000-0000-000000000000"}}'
    )


def test_what_does_not_apply_is_left_out() -> None:
    body = event_body(WebhookEvent.GENERATION_FAILED, DELIVERY_ID, NEW_YEAR, {"generation_error": None, "a": False})

    assert body.endswith('"webhook_data":{"a":false}}')


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 6, 2, 8, 17, 11, 20_999, tzinfo=UTC), "2026-06-02T08:17:11.020Z"),
        (datetime(2026, 6, 2, 10, 17, 11, tzinfo=timezone(timedelta(hours=2))), "2026-06-02T08:17:11.000Z"),
        (datetime(2026, 6, 2, 8, 17, 11, 999_999, tzinfo=UTC), "2026-06-02T08:17:11.999Z"),
    ],
)
def test_a_time_is_utc_with_milliseconds_cut_off(at: datetime, text: str) -> None:
    assert timestamp(at) == text


def test_a_test_cannot_be_subscribed_to_and_low_balance_only_on_purpose() -> None:
    assert WebhookEvent.TEST not in SUBSCRIBABLE
    on_purpose = {
        WebhookEvent.CREDITS_LOW_BALANCE,
        WebhookEvent.CREDITS_SPENDING_LIMIT,
        WebhookEvent.CREDITS_LOW_RUNWAY,
    }
    assert set(SUBSCRIBABLE) - set(SUBSCRIBED_BY_DEFAULT) == on_purpose
