"""`python -m cli.sandbox_shop`: what compose runs to fill the simulated Stripe."""

from __future__ import annotations

import subprocess
import sys

import httpx

from catalog.packs import load_packs
from catalog.plans import load_plans
from cli.sandbox_shop import shelves
from embedded.config import SANDBOX_STRIPE_KEY
from tests.support.sandbox import started_sandbox


def fill(sandbox_url: str, api_url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.sandbox_shop", sandbox_url, api_url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_simulated_stripe_sells_our_offers_and_sends_its_events_to_one_api() -> None:
    offered = {product["id"] for product in shelves(load_packs(load_plans()))}
    with started_sandbox() as sandbox:
        for api_url in ("http://api:8080", "http://api:8080", "http://api:9080"):  # again, and after the API moved
            done = fill(sandbox.url, api_url)
            assert (done.returncode, done.stderr) == (0, "")

        with httpx.Client(
            base_url=f"{sandbox.url}/stripe/v1", auth=(SANDBOX_STRIPE_KEY, ""), trust_env=False
        ) as stripe:
            endpoints = stripe.get("/webhook_endpoints").json()["data"]
            products = stripe.get("/products", params={"limit": 100}).json()["data"]
    assert [one["url"] for one in endpoints] == ["http://api:9080/v1/stripe/webhooks"]
    assert {product["id"] for product in products} == offered


def test_a_simulated_stripe_that_is_not_there_is_named() -> None:
    done = fill("http://127.0.0.1:1", "http://api:8080")

    assert done.returncode == 1
    assert done.stderr.startswith("The simulated Stripe cannot be filled: ")
    assert "Traceback" not in done.stderr
