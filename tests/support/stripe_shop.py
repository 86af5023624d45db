"""What the tests of the simulated Stripe share: a client, the control API, an ear that is told of events, a price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import stripe

from sandbox.stripe import credentials
from tests.support.callback_ear import Ear
from tests.support.sandbox import SandboxProcess

SUCCESS = "https://shop.example/done?session={CHECKOUT_SESSION_ID}"


@dataclass(frozen=True)
class Shop:
    """An empty Stripe account. `api` is the official client, `http` speaks to the wire, `act` is the control API."""

    url: str
    api: Any
    http: httpx.Client

    def act(self, path: str, method: str = "POST", status: int = 200, **body: Any) -> Any:
        answer = self.http.request(method, f"/sandbox/stripe{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, key: str | None = None, **form: Any) -> httpx.Response:
        headers = {"idempotency-key": key} if key else {}
        answer = self.http.post(f"/stripe/v1{path}", data=form, headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    def customer(self, **params: Any) -> Any:
        return self.api.customers.create({"email": "a@example.com", **params})

    def price(self, amount: int = 2000, interval: str | None = None, currency: str = "usd") -> Any:
        recurring: Any = {"recurring": {"interval": interval}} if interval else {}
        asked = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Credits"}, **recurring}
        return self.api.prices.create(asked)

    def session(self, mode: str = "payment", **params: Any) -> Any:
        if mode != "setup" and "line_items" not in params:
            price = self.price(interval="month" if mode == "subscription" else None)
            params["line_items"] = [{"price": price.id, "quantity": 1}]
        return self.api.checkout.sessions.create({"mode": mode, "success_url": SUCCESS, **params})

    def paid(self, **params: Any) -> Any:
        """A session that was paid by card, with its payment intent expanded."""
        session = self.session(**params)
        self.act(f"/checkout/{session.id}/pay")
        return self.api.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})

    def saved_card(self, customer: str, token: str = "pm_card_visa") -> Any:
        return self.api.payment_methods.attach(token, {"customer": customer})

    def subscription(self, customer: Any, **params: Any) -> Any:
        card = self.saved_card(customer.id)
        asked = {"customer": customer.id, "default_payment_method": card.id, **params}
        return self.api.subscriptions.create({"items": [{"price": self.price(interval="month").id}], **asked})

    def listening(self, ear: Ear, *types: str, path: str = "/callback") -> Any:
        asked = {"url": ear.url(path), "enabled_events": list(types) or ["*"]}
        return self.api.webhook_endpoints.create(asked)

    def events(self, *prefixes: str) -> list[str]:
        """The types so far, oldest first, without those of products and prices; or those with one of the prefixes."""
        listed = self.api.events.list({"limit": 100}).auto_paging_iter()
        types = [event.type for event in listed][::-1]
        return [one for one in types if one.startswith(prefixes or ("c", "i", "pay", "r", "s"))]

    def settled(self) -> list[dict[str, Any]]:
        """The deliveries, when nothing is left to be sent."""
        told = self.http.get("/sandbox/stripe/deliveries", params={"settled_within": 10}).json()
        assert told["settled"]
        deliveries: list[dict[str, Any]] = told["deliveries"]
        return deliveries


def opened(sandbox: SandboxProcess) -> Iterator[Shop]:
    headers = {"authorization": f"Bearer {credentials.KEY}"}
    client = stripe.StripeClient(
        credentials.KEY, base_addresses={"api": f"{sandbox.url}/stripe"}, max_network_retries=0
    )
    with httpx.Client(base_url=sandbox.url, headers=headers, timeout=15) as http:
        shop = Shop(sandbox.url, client.v1, http)
        shop.act("", "DELETE")
        yield shop
        shop.act("", "DELETE")


def told(call: Any, secret: str = credentials.WEBHOOK_SECRET) -> Any:
    """The event of a webhook. Raises SignatureVerificationError."""
    return stripe.Webhook.construct_event(call.body, call.headers["stripe-signature"], secret)


def type_of(call: Any) -> str:
    return str(json.loads(call.body)["type"])
