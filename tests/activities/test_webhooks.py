"""One delivery's attempts: five for the customer's trouble, none for ours."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.webhooks import WebhookActivities
from domain import ending
from domain.sealing import derive_key, seal
from domain.signature import verify_webhook
from store import webhooks
from store.connection import transaction
from tests.activities.conftest import Bench

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
        await webhooks.insert_endpoint(
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


def deliver(bench: Bench, sender: ScriptedSender, delivery_id: str, *, run: int = 1) -> Awaitable[str]:
    async def never(_: str) -> None: ...

    steps = WebhookActivities(pool=bench.pool, sender=sender, sealing_key=KEY, start_delivery=never, timeout_s=1)
    environment = ActivityEnvironment()
    environment.info = environment.info.__class__(**{**environment.info.__dict__, "attempt": run})
    return environment.run(steps.deliver_webhook, delivery_id)


async def test_a_delivery_is_signed_over_the_exact_bytes(bench: Bench) -> None:
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


async def test_a_disabled_endpoint_is_left_alone(bench: Bench) -> None:
    sender = ScriptedSender()
    delivery_id, endpoint_id = await a_delivery(bench)
    async with transaction(bench.pool) as conn:
        await webhooks.set_enabled(conn, bench.account_id, endpoint_id, enabled=False)

    assert await deliver(bench, sender, delivery_id) == "skipped"
    assert sender.posted == []


async def test_no_answer_at_all_is_tried_again(bench: Bench) -> None:
    delivery_id, _ = await a_delivery(bench)

    with pytest.raises(ApplicationError, match="no route"):
        await deliver(bench, ScriptedSender([Reply(None, error="no route")]), delivery_id)
