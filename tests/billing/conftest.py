"""The API and the worker of payments on a simulated Stripe, which calls the API over HTTP as the real one does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from temporalio.client import Client

import composition
from activities.billing import BillingActivities
from activities.stripe_books import BooksActivities
from api.app import create_app
from catalog.packs import load_packs
from catalog.plans import load_plans
from cli.sandbox_shop import shelves
from domain.billing import Payments
from settings import Settings
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import (  # noqa: F401 - fixtures
    Customer,
    NewCustomer,
    database_url,
    engine,
    new_customer,
    operator,
    pool,
    settings,
)
from tests.support.sandbox import running_sandbox
from worker import Parts, billing_worker

KEY = "sk_test_sandbox0000000000000000000000000000"
SECRET, NEXT_SECRET = "whsec_sandbox00000000000000000000000000", "whsec_sandbox11111111111111111111111111"
CREDIT = 1_000_000


def signed(body: bytes, secret: str = SECRET, at: int | None = None) -> dict[str, str]:
    """The header that Stripe sends with a body."""
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}


@dataclass(frozen=True)
class Shop:
    """Our side and theirs. `http` reaches the API, `stripe` the simulated Stripe."""

    http: httpx.AsyncClient
    stripe: httpx.AsyncClient
    pool: Pool
    payments: Payments
    billing: BillingActivities
    books: BooksActivities
    started: list[str]  # events that the sweeps started

    async def act(self, path: str, method: str = "POST", **body: Any) -> Any:
        """What customers and banks do."""
        answer = await self.stripe.request(method, f"/sandbox/stripe{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def ask(self, customer: Customer, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/v1/billing/{path}", headers=customer.auth, json=body)
        assert answer.status_code == 200, answer.text
        return cast(dict[str, Any], answer.json()["data"])

    async def pay(self, page: dict[str, Any], **how: Any) -> Any:
        session_id = page["url"].rstrip("/").rsplit("/", 1)[1].partition("?")[0].partition("#")[0]
        return await self.act(f"/checkout/{session_id}/pay", **how)

    async def listed(self, path: str, **query: Any) -> list[dict[str, Any]]:
        answer = await self.stripe.get(f"/stripe/v1/{path}", params={"limit": 100, **query})
        assert answer.is_success, answer.text
        return cast(list[dict[str, Any]], answer.json()["data"])

    async def hear(self, event: dict[str, Any], secret: str = SECRET) -> httpx.Response:
        """Send an event as Stripe does."""
        body = json.dumps(event).encode()
        return await self.http.post("/v1/stripe/webhooks", content=body, headers=signed(body, secret))

    async def balance(self, customer: Customer) -> int:
        async with single(self.pool) as conn:
            return (await ledger.balance(conn, customer.account_id)).available

    async def until(self, customer: Customer, credits: float) -> None:
        """Wait for that balance."""
        await until(lambda: self._has(customer, round(credits * CREDIT)))

    async def _has(self, customer: Customer, micros: int) -> bool:
        return await self.balance(customer) == micros


async def until(true: Callable[[], Awaitable[bool]], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
async def shop(settings: Settings, engine: Client, pool: Pool) -> AsyncIterator[Shop]:  # noqa: F811
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(running_sandbox(options=("--retry-scale", "0.1")))
        own = settings.model_copy(
            update={
                "stripe_key": SecretStr(KEY),
                "stripe_webhook_secrets": SecretStr(f"{SECRET}, {NEXT_SECRET}"),
                "stripe_base_url": f"{sandbox.url}/stripe",
            }
        )
        payments = composition.payments(own)
        assert payments is not None
        parts = Parts(
            client=engine,
            pool=pool,
            keys=composition.keys(own),
            providers={},
            store=cast(Any, None),
            fetcher=cast(Any, None),
            sender=cast(Any, None),
            settings=own,
            payments=payments,
        )
        await stack.enter_async_context(billing_worker(parts))
        app = create_app(own)
        await stack.enter_async_context(app.router.lifespan_context(app))
        url = await stack.enter_async_context(Served(app))
        theirs = httpx.AsyncClient(base_url=sandbox.url, auth=(KEY, ""), timeout=15, trust_env=False)
        http = httpx.AsyncClient(base_url=url, timeout=15, trust_env=False)
        stack.push_async_callback(theirs.aclose)
        stack.push_async_callback(http.aclose)
        offers = load_packs(load_plans())
        started: list[str] = []

        async def start(event_id: str) -> None:
            started.append(event_id)
            await composition.start_stripe_event(engine, event_id)

        given: Any = {"pool": pool, "payments": payments, "offers": offers, "livemode": False, "start_event": start}
        billing = BillingActivities(**given, stripe_account=None, list_every=timedelta(0))
        found = Shop(http, theirs, pool, payments, billing, BooksActivities(**given), started)
        await found.act("/catalog", products=shelves(offers))
        endpoint = {"url": f"{url}/v1/stripe/webhooks", "enabled_events[0]": "*"}
        (await theirs.post("/stripe/v1/webhook_endpoints", data=endpoint)).raise_for_status()
        yield found


class Served:
    """An application on a port of its own; its life span is the caller's."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="error")
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        assert self._task is not None
        await self._task


@pytest.fixture
async def buyer(new_customer: NewCustomer) -> Customer:  # noqa: F811
    """An account without credits, whose key may buy."""
    return await new_customer(credits=0, scopes=("billing:write", "account:read"), plan="free")
