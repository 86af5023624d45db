"""The payment service, loaded when it is first asked: its package takes seconds to load, and a start must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from domain.billing import Charged, EventNotice, Facts, Movement, Payments, ReturnTo
from domain.offers import Offer


class LateStripe:
    def __init__(self, key: str, *, base_url: str) -> None:
        self._key = key
        self._base_url = base_url
        self._made: Payments | None = None
        self._making = asyncio.Lock()

    async def _stripe(self) -> Payments:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            return self._made

    def _make(self) -> Payments:
        from adapters.stripe_api import StripeApi

        return StripeApi(self._key, base_url=self._base_url)

    async def look(self, event: EventNotice) -> Facts:
        return await (await self._stripe()).look(event)

    async def create_customer(self, account_id: str, name: str, email: str | None) -> str:
        return await (await self._stripe()).create_customer(account_id, name, email)

    async def checkout_pack(self, account_id: str, customer_id: str, offer: Offer, to: ReturnTo) -> str:
        return await (await self._stripe()).checkout_pack(account_id, customer_id, offer, to)

    async def checkout_subscription(self, account_id: str, customer_id: str, offer: Offer, to: ReturnTo) -> str:
        return await (await self._stripe()).checkout_subscription(account_id, customer_id, offer, to)

    async def checkout_method(self, account_id: str, customer_id: str, currency: str, to: ReturnTo) -> str:
        return await (await self._stripe()).checkout_method(account_id, customer_id, currency, to)

    async def portal(self, customer_id: str, return_url: str) -> str:
        return await (await self._stripe()).portal(customer_id, return_url)

    async def charge(
        self, top_up_id: str, account_id: str, customer_id: str, payment_method_id: str, amount: int, currency: str
    ) -> Charged:
        stripe = await self._stripe()
        return await stripe.charge(top_up_id, account_id, customer_id, payment_method_id, amount, currency)

    async def events(self, since: datetime) -> AsyncIterator[EventNotice]:
        async for event in (await self._stripe()).events(since):
            yield event

    async def movements(self, since: datetime) -> AsyncIterator[Movement]:
        async for movement in (await self._stripe()).movements(since):
            yield movement
