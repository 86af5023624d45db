"""How the hosted pages and the control API change something: one transaction, as a request of the API is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from sandbox.stripe import clock
from sandbox.stripe.problems import StripeRefusal
from sandbox.stripe.webhooks import Webhooks
from sandbox.stripe.world import World
from sandbox.submissions import base_url

Result = TypeVar("Result")


class Actor:
    def __init__(self, world: World, webhooks: Webhooks) -> None:
        self.world = world
        self.webhooks = webhooks

    def act(self, request: Request, change: Callable[[World], Result]) -> Result:
        """Raises a refusal; what a declined payment left behind is kept then."""
        world = self.world
        world.request_id, world.key, world.base_url = None, None, base_url(request)
        kept: StripeRefusal | None = None
        with world.store.transaction():
            clock.tick(world)
            try:
                result = change(world)
            except StripeRefusal as refusal:
                if not refusal.keeps:
                    raise
                kept = refusal
        self.webhooks.wake()
        if kept is not None:
            raise kept
        return result
