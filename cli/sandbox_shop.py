"""Fills the simulated Stripe: our offers as products with prices, and where it sends events.

An embedded stack does so when it starts. For any other: `python -m cli.sandbox_shop SANDBOX_URL API_URL`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from domain.offers import Offer, Offers
from embedded.config import SANDBOX_STRIPE_KEY
from embedded.errors import StackError

CENTS_MICROCREDITS = 10_000  # a credit costs a dollar
WEBHOOKS = "/v1/stripe/webhooks"


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits with 1 and a message when the simulated Stripe cannot be filled."""
    parser = argparse.ArgumentParser(prog="python -m cli.sandbox_shop", description="Fill the simulated Stripe.")
    parser.add_argument("sandbox_url", help="where the simulated providers are, such as http://127.0.0.1:8090")
    parser.add_argument("api_url", help="where it reaches the API with its events, such as http://127.0.0.1:8080")
    asked = parser.parse_args(arguments)
    try:
        stock(asked.sandbox_url, asked.api_url)
    except StackError as error:
        sys.exit(str(error))


def stock(sandbox_url: str, api_url: str) -> None:
    """Safe to repeat. Raises StackError."""
    import httpx

    from catalog.packs import load_packs
    from catalog.plans import load_plans

    url = f"{api_url}{WEBHOOKS}"
    endpoints = "/stripe/v1/webhook_endpoints"
    try:
        with httpx.Client(base_url=sandbox_url, auth=(SANDBOX_STRIPE_KEY, ""), timeout=10, trust_env=False) as http:
            products = {"products": shelves(load_packs(load_plans()))}
            http.post("/sandbox/stripe/catalog", json=products).raise_for_status()
            known = http.get(endpoints).raise_for_status().json()["data"]
            for other in (one for one in known if one["url"] != url):  # of an earlier start on another port
                http.delete(f"{endpoints}/{other['id']}").raise_for_status()
            if not any(one["url"] == url for one in known):
                http.post(endpoints, data={"url": url, "enabled_events[0]": "*"}).raise_for_status()
    except httpx.HTTPError as failure:
        raise StackError(f"The simulated Stripe cannot be filled: {failure}.") from failure


def shelves(offers: Offers) -> list[dict[str, Any]]:
    """The products that its control API takes; each price has the offer's own name as lookup key."""
    return [_product(offer) for offer in (*offers.packs.values(), *offers.subscriptions.values())]


def _product(offer: Offer) -> dict[str, Any]:
    price: dict[str, Any] = {
        "id": f"price_{offer.name.replace('-', '_')}",
        "currency": "usd",
        "unit_amount": (offer.microcredits or 0) // CENTS_MICROCREDITS,
        "lookup_key": offer.price,
    }
    if offer.plan is not None:
        price["recurring"] = {"interval": "year" if offer.name.endswith("yearly") else "month"}
    return {"id": f"prod_{offer.name.replace('-', '_')}", "name": offer.label, "prices": [price]}


if __name__ == "__main__":
    main()
