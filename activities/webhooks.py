"""Telling customers: ring the delivery of an outbox row, and deliver it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

from temporalio import activity

from activities.failures import WEBHOOK_NOT_DELIVERED, again, named_failures
from domain.sealing import unseal
from domain.signature import sign_webhook
from store import webhooks
from store.connection import Pool, single
from store.webhooks import DeliveryState

# The contract's schedule: the pause after attempt n, counted from its end. Five attempts in all.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (0.5, 1.5, 3.0, 5.0))


class WebhookReply(Protocol):
    """The customer's answer: `status` is None when there was none, and then `error` says why."""

    @property
    def status(self) -> int | None: ...
    @property
    def head(self) -> str: ...
    @property
    def error(self) -> str | None: ...


class WebhookPoster(Protocol):
    async def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> WebhookReply: ...


class WebhookActivities:
    def __init__(
        self,
        *,
        pool: Pool,
        sender: WebhookPoster,
        sealing_key: bytes,
        start_delivery: Callable[[str], Awaitable[None]],
        timeout_s: float,
        pauses: Sequence[timedelta] = PAUSES,
    ) -> None:
        self._pool = pool
        self._sender = sender
        self._sealing_key = sealing_key
        self._start_delivery = start_delivery
        self._timeout_s = timeout_s
        self._pauses = pauses

    @activity.defn
    async def ring_deliveries(self, delivery_ids: list[str]) -> None:
        """Start one durable delivery per outbox row. Its id is the row's, so ringing twice starts it once."""
        for delivery_id in delivery_ids:
            await self._start_delivery(delivery_id)

    @activity.defn
    async def deliver_webhook(self, delivery_id: str) -> str:
        """One attempt to deliver; the body never changes, the signature is made anew. Repeated on the contract's
        schedule by the server's retry. Answers `delivered`, `failed`, or `queued` for an event whose endpoint is
        disabled meanwhile."""
        with named_failures():
            async with single(self._pool) as conn:
                delivery = await webhooks.delivery(conn, delivery_id)
            if delivery.state is not DeliveryState.PENDING:
                return delivery.state.value
            if not delivery.endpoint_enabled:
                return await self._set_aside(delivery_id)
            number = delivery.attempts_made + 1  # a restart of ours costs the customer none of the five
            body = delivery.body.encode()
            secret = unseal(self._sealing_key, delivery.secret_sealed, delivery.endpoint_id.encode()).decode()
            reply = await self._sender.post(
                delivery.url,
                body,
                {
                    "content-type": "application/json",
                    "user-agent": "BabySea-Webhook/1.0",
                    "x-babysea-signature": sign_webhook(secret, body, int(time.time())),
                    "x-babysea-event": delivery.event,
                    "x-babysea-timestamp": delivery.timestamp,
                    "x-babysea-delivery-id": delivery_id,
                },
                self._timeout_s,
            )
            final = delivery.purpose.by_hand or number > len(self._pauses)
            async with single(self._pool) as conn:
                await webhooks.record_attempt(
                    conn,
                    delivery_id,
                    number=number,
                    status_code=reply.status,
                    error=reply.error,
                    reply_head=reply.head,
                    final=final,
                )
            if reply.status is not None and 200 <= reply.status < 300:
                return DeliveryState.DELIVERED.value
            if final:
                return DeliveryState.FAILED.value
            raise again(
                WEBHOOK_NOT_DELIVERED, reply.error or f"the endpoint answered {reply.status}", self._pauses[number - 1]
            )

    @activity.defn
    async def take_queued(self, endpoint_id: str) -> str | None:
        """The delivery that a drain sends next; None when there is nothing left to send. Safe to repeat: one that was
        taken and has not ended is answered again."""
        with named_failures():
            async with single(self._pool) as conn:
                return await webhooks.take_queued(conn, endpoint_id)

    async def _set_aside(self, delivery_id: str) -> str:
        async with single(self._pool) as conn:
            state = await webhooks.set_aside(conn, delivery_id)
        if state is None:
            raise again(WEBHOOK_NOT_DELIVERED, "the endpoint was enabled again meanwhile", self._pauses[0])
        return state.value
