"""The simulated Stripe as a whole: its parts, its routes, its start and end."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import Route

from sandbox.stripe import (
    balance,
    cards,
    checkout,
    clock,
    credit_notes,
    customers,
    disputes,
    endpoints,
    intents,
    invoicing,
    portal,
    prices,
    refunds,
    risk,
    subscriptions,
)
from sandbox.stripe.acting import Actor
from sandbox.stripe.api import StripeApi
from sandbox.stripe.control import Control
from sandbox.stripe.faults import Faults
from sandbox.stripe.operations import Operations
from sandbox.stripe.pages import Pages
from sandbox.stripe.store import Store
from sandbox.stripe.webhooks import Webhooks
from sandbox.stripe.world import World

_OFFERED = (
    balance, cards, checkout, clock, credit_notes, customers, disputes, endpoints, intents, invoicing, portal, prices,
    refunds, risk, subscriptions,
)  # fmt: skip


class StripeService:
    """`resume` continues what a killed process left to be sent."""

    def __init__(self, data: Path, *, retry_scale: float = 1.0) -> None:
        self._store = Store(data)
        world, faults = World(self._store), Faults(self._store)
        self._webhooks = Webhooks(world, faults, retry_scale=retry_scale)
        actor = Actor(world, self._webhooks)
        operations = Operations(one for module in _OFFERED for one in module.OPERATIONS)
        self._routes = [
            *StripeApi(world, operations, faults, self._webhooks).routes(),
            *Pages(actor).routes(),
            *Control(actor, faults).routes(),
        ]

    def routes(self) -> list[Route]:
        return self._routes

    def resume(self) -> None:
        self._webhooks.wake()

    async def close(self) -> None:
        await self._webhooks.close()
        self._store.close()
