"""One delivery's attempts: five for the customer's trouble, one by hand, none for ours."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.webhooks import WebhookActivities
from domain import ending
from domain.sealing import derive_key, seal
from domain.signature import verify_webhook
from store import webhook_endpoints, webhooks
from store.connection import transaction
from store.webhooks import DeliveryState
from tests.activities.conftest import Bench
from tests.store.builders import a_test_delivery

SECRET = "whsec_abcdefghijklmnopqrstuvwxyz012345"
KEY = derive_key("a root secret that is long enough for this", "webhook-secrets")


@dataclass
class Reply:
    status: int | None
    head: str = ""
    error: str | None = None


@dataclass
class ScriptedSender:
    replies: list[Reply] = field(default_factory=lambda: [Reply(204)])
    posted: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Reply:
        self.posted.append((body, headers))
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


async def a_delivery(bench: Bench) -> tuple[str, str]:
    """The row of a canceled generation's webhook, and its endpoint."""
    endpoint_id = str(uuid.uuid4())
    async with transaction(bench.pool) as conn:
        await webhook_endpoints.insert(
            conn,
            endpoint_id=endpoint_id,
            account_id=bench.account_id,
            url="https://customer.example/hook",
            secret_sealed=seal(KEY, SECRET.encode(), endpoint_id.encode()),
            events=["generation.canceled"],
        )
    request, _ = await bench.admitted()
    finished = await bench.records.finish_generation(ending.canceled(request, []))
    (delivery_id,) = finished.deliveries
    return delivery_id, endpoint_id


async def switch(bench: Bench, endpoint_id: str, *, enabled: bool) -> None:
    async with transaction(bench.pool) as conn:
        await webhook_endpoints.change(conn, bench.account_id, endpoint_id, enabled=enabled)


def steps(bench: Bench, sender: ScriptedSender) -> WebhookActivities:
    async def never(_: str) -> None: ...

    return WebhookActivities(pool=bench.pool, sender=sender, sealing_key=KEY, start_delivery=never, timeout_s=1)


def deliver(bench: Bench, sender: ScriptedSender, delivery_id: str, *, run: int = 1) -> Awaitable[str]:
    environment = ActivityEnvironment()
    environment.info = environment.info.__class__(**{**environment.info.__dict__, "attempt": run})
    return environment.run(steps(bench, sender).deliver_webhook, delivery_id)


def take(bench: Bench, sender: ScriptedSender, endpoint_id: str) -> Awaitable[str | None]:
    return ActivityEnvironment().run(steps(bench, sender).take_queued, endpoint_id)


async def test_a_delivery_is_signed_over_the_exact_bytes(bench: Bench) -> None:
    """12.4."""
    sender = ScriptedSender()
    delivery_id, _ = await a_delivery(bench)

    assert await deliver(bench, sender, delivery_id) == "delivered"

    ((body, headers),) = sender.posted
    signature = headers["x-babysea-signature"]
    at = int(signature.split(",")[0].removeprefix("t="))
    assert verify_webhook(SECRET, signature, body, now=at)
    assert headers["x-babysea-event"] == "generation.canceled"


async def test_a_delivered_one_is_not_sent_again(bench: Bench) -> None:
    sender = ScriptedSender()
    delivery_id, _ = await a_delivery(bench)
    await deliver(bench, sender, delivery_id)

    assert await deliver(bench, sender, delivery_id, run=2) == "delivered"
    assert len(sender.posted) == 1


async def test_the_schedule_is_the_contracts_and_the_body_never_changes(bench: Bench) -> None:
    """12.5."""
    sender = ScriptedSender([Reply(500)])
    delivery_id, _ = await a_delivery(bench)
    pauses = []

    for run in range(1, 5):
        with pytest.raises(ApplicationError) as again:
            await deliver(bench, sender, delivery_id, run=run)
        pauses.append(again.value.next_retry_delay)
    last = await deliver(bench, sender, delivery_id, run=5)

    assert pauses == [timedelta(seconds=seconds) for seconds in (0.5, 1.5, 3, 5)]
    assert last == "failed"
    assert len({body for body, _ in sender.posted}) == 1


async def test_a_restart_of_ours_costs_the_customer_no_attempt(bench: Bench) -> None:
    sender = ScriptedSender([Reply(500), Reply(204)])
    delivery_id, _ = await a_delivery(bench)

    with pytest.raises(ApplicationError):
        await deliver(bench, sender, delivery_id, run=9)

    assert await deliver(bench, sender, delivery_id, run=10) == "delivered"


async def test_an_event_whose_endpoint_is_disabled_meanwhile_is_queued_for_it(bench: Bench) -> None:
    """12.6."""
    sender = ScriptedSender()
    delivery_id, endpoint_id = await a_delivery(bench)
    await switch(bench, endpoint_id, enabled=False)

    assert await deliver(bench, sender, delivery_id) == "queued"
    assert await deliver(bench, sender, delivery_id, run=2) == "queued"
    assert sender.posted == []


async def test_one_that_was_enabled_again_in_the_same_moment_is_looked_at_once_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = ScriptedSender()
    delivery_id, endpoint_id = await a_delivery(bench)
    await switch(bench, endpoint_id, enabled=False)
    set_aside = webhooks.set_aside

    async def a_moment_later(conn: AsyncConnection[Any], one: str) -> DeliveryState | None:
        await switch(bench, endpoint_id, enabled=True)
        return await set_aside(conn, one)

    monkeypatch.setattr(webhooks, "set_aside", a_moment_later)

    with pytest.raises(ApplicationError, match="enabled again"):
        await deliver(bench, sender, delivery_id)
    assert await deliver(bench, sender, delivery_id, run=2) == "delivered"


@pytest.mark.parametrize("purpose", ["test", "replay"])
async def test_by_hand_there_is_a_single_attempt(bench: Bench, purpose: str) -> None:
    """12.6."""
    sender = ScriptedSender([Reply(500)])
    delivery_id, endpoint_id = await a_delivery(bench)
    async with transaction(bench.pool) as conn:
        found = await webhook_endpoints.get(conn, bench.account_id, endpoint_id)
        assert found is not None
        by_hand = await a_test_delivery(conn, found) if purpose == "test" else await webhooks.replay(conn, delivery_id)

    assert await deliver(bench, sender, by_hand) == "failed"
    assert await deliver(bench, sender, by_hand, run=2) == "failed"

    ((body, headers),) = sender.posted
    assert json.loads(body)["webhook_delivery_id"] == headers["x-babysea-delivery-id"] == by_hand
    assert json.loads(body)["webhook_timestamp"] == headers["x-babysea-timestamp"]


async def test_every_header_of_the_contract_is_sent_and_agrees_with_the_body(bench: Bench) -> None:
    """12.3."""
    sender = ScriptedSender()
    delivery_id, _ = await a_delivery(bench)

    await deliver(bench, sender, delivery_id)

    ((body, headers),) = sender.posted
    message = json.loads(body)
    assert set(headers) == {
        "content-type",
        "user-agent",
        "x-babysea-signature",
        "x-babysea-event",
        "x-babysea-timestamp",
        "x-babysea-delivery-id",
    }
    assert (headers["content-type"], headers["user-agent"]) == ("application/json", "BabySea-Webhook/1.0")
    assert (headers["x-babysea-event"], headers["x-babysea-timestamp"], headers["x-babysea-delivery-id"]) == (
        message["webhook_event"],
        message["webhook_timestamp"],
        message["webhook_delivery_id"],
    )


async def test_an_attempt_after_a_rotation_is_signed_with_the_new_secret_alone(bench: Bench) -> None:
    """12.4: at once, no dual signing."""
    sender = ScriptedSender([Reply(500), Reply(204)])
    delivery_id, endpoint_id = await a_delivery(bench)
    with pytest.raises(ApplicationError):
        await deliver(bench, sender, delivery_id)
    new = "whsec_" + "n" * 32
    async with transaction(bench.pool) as conn:
        sealed = seal(KEY, new.encode(), endpoint_id.encode())
        await webhook_endpoints.replace_secret(conn, bench.account_id, endpoint_id, secret_sealed=sealed)

    await deliver(bench, sender, delivery_id, run=2)

    body, headers = sender.posted[-1]
    signature = headers["x-babysea-signature"]
    at = int(signature.split(",")[0].removeprefix("t="))
    assert signature.count("v1=") == 1
    assert verify_webhook(new, signature, body, now=at)
    assert not verify_webhook(SECRET, signature, body, now=at)


async def test_a_drain_is_told_the_same_delivery_until_it_has_ended(bench: Bench) -> None:
    """12.6."""
    sender = ScriptedSender()
    delivery_id, endpoint_id = await a_delivery(bench)
    await switch(bench, endpoint_id, enabled=False)
    await deliver(bench, sender, delivery_id)
    await switch(bench, endpoint_id, enabled=True)

    taken = [await take(bench, sender, endpoint_id) for _ in range(2)]
    assert taken[0] is not None
    ended = await deliver(bench, sender, taken[0])
    afterwards = await take(bench, sender, endpoint_id)

    assert taken == [taken[0]] * 2
    assert taken[0] != delivery_id
    assert (ended, afterwards) == ("delivered", None)
    assert [headers["x-babysea-delivery-id"] for _, headers in sender.posted] == [taken[0]]


async def test_no_answer_at_all_is_tried_again(bench: Bench) -> None:
    delivery_id, _ = await a_delivery(bench)

    with pytest.raises(ApplicationError, match="no route"):
        await deliver(bench, ScriptedSender([Reply(None, error="no route")]), delivery_id)
