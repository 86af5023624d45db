"""The API on a real PostgreSQL and a real Temporal server, with a worker whose providers are staged."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

import catalog
import composition
from adapters.local_store import LocalStore
from adapters.providers import fal
from adapters.providers import replicate as replicate_adapter
from adapters.providers.settings import ProviderSettings
from api.app import create_app
from domain import keys
from domain.generation import CallbackReceived, attempt_id, workflow_id
from domain.operators import mint_operator_key
from settings import Settings
from store import accounts, ledger, operators
from store import keys as key_records
from store.connection import Pool, open_pool, single, transaction
from tests.support.postgres import fresh_database
from tests.support.staged_worker import StagedProvider, staged_worker
from tests.support.temporal import dev_server
from workflows.generation import GenerationWorkflow

REPLICATE_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"replicate-callback-secret").decode()
PROMPT = "Harbour at dawn"
_ADDRESSES = count()
SCHNELL = "/v1/generate/image/bfl/flux-schnell"


@pytest.fixture(scope="session")
async def database_url() -> str:
    return await fresh_database()


@pytest.fixture(scope="session")
async def engine() -> AsyncIterator[Client]:
    async with dev_server() as environment:
        yield environment.client


@pytest.fixture(scope="session")
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, size_max=8)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def settings(database_url: str, engine: Client, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        region="us",
        secret_key="a root secret of the tests, long enough",
        database_url=database_url,
        temporal_address=engine.service_client.config.target_host,
        temporal_namespace=engine.namespace,
        public_url="http://testserver",
        storage_path=tmp_path_factory.mktemp("artifacts"),
        providers=keyed_providers(),
        admission_timeout_s=10,
        breakers_reorder=False,  # what other tests made fail would change the order of the next
        plans_file=roomy_plans(tmp_path_factory.mktemp("plans") / "plans.yml"),
    )


def keyed_providers() -> dict[str, ProviderSettings]:
    return {
        "replicate": replicate_adapter.Settings(
            _env_file=None,  # type: ignore[call-arg]
            api_token="r8_test",
            webhook_secret=REPLICATE_WEBHOOK_SECRET,
        ),
        "fal": fal.Settings(_env_file=None, key="key-id:key-secret"),  # type: ignore[call-arg]
    }


def roomy_plans(path: Path) -> Path:
    """The built-in plans, but on the widest one no test meets the cap because of jobs that others left running."""
    path.write_text((Path(catalog.__file__).parent / "plans.yml").read_text().replace("{image: 100,", "{image: 10000,"))
    return path


@pytest.fixture(scope="session")
def objects(settings: Settings) -> LocalStore:
    store = composition.object_store(settings, file_urls_key=composition.keys(settings).file_urls)
    assert isinstance(store, LocalStore)
    return store


@pytest.fixture(scope="session")
def replicate() -> StagedProvider:
    return StagedProvider("replicate")


@pytest.fixture(scope="session")
async def worker(engine: Client, pool: Pool, objects: LocalStore, replicate: StagedProvider) -> AsyncIterator[None]:
    providers = {"replicate": replicate, "fal": StagedProvider("fal")}
    async with staged_worker(engine, pool, objects, providers):
        yield


@asynccontextmanager
async def serving(settings: Settings, client_ip: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """A started application and a client that reaches it."""
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield await stack.enter_async_context(reaching(app, client_ip))


def own_address() -> str:
    """Failed authentications are counted by address, those of each test apart."""
    return str(IPv4Address("127.0.0.1") + next(_ADDRESSES))


def reaching(app: FastAPI, client_ip: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(client_ip, 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", timeout=30)


@pytest.fixture(scope="session")
async def app(settings: Settings, worker: None) -> AsyncIterator[FastAPI]:
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def settings_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """An application of its own, to be altered."""
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with reaching(app, own_address()) as client:
        yield client


@dataclass(frozen=True)
class Customer:
    """An account with credits and one key."""

    account_id: str
    api_key_id: str
    key: str

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


NewCustomer = Callable[..., Awaitable[Customer]]


@pytest.fixture(scope="session")
def new_customer(settings: Settings, pool: Pool) -> NewCustomer:
    return customers_on(settings, pool)


def customers_on(settings: Settings, pool: Pool) -> NewCustomer:
    """Makes customers in the database of that pool."""
    pepper = composition.keys(settings).api_keys

    async def made(
        *,
        credits: int = 1_000_000,
        scopes: tuple[str, ...] = ("full_access",),
        plan: str = "enterprise",
        account_id: str | None = None,
        region: str = "us",
        ip_allowlist: tuple[str, ...] = (),
        expires_at: datetime | None = None,
    ) -> Customer:
        minted = keys.mint(pepper, os.urandom(32))
        key_id = str(uuid.uuid4())
        async with transaction(pool) as conn:
            if account_id is None:
                account_id = (await accounts.create(conn, f"account {key_id}", plan=plan)).account_id
                if credits:
                    await ledger.grant(
                        conn,
                        account_id=account_id,
                        amount=credits,
                        source=ledger.GrantSource.ADJUSTMENT,
                        key=f"test:{account_id}",
                    )
            await key_records.insert(
                conn,
                key_records.ApiKeyRow(
                    api_key_id=key_id,
                    account_id=account_id,
                    name="test key",
                    prefix=minted.prefix,
                    key_hash=minted.key_hash,
                    scopes=[scope.value for scope in keys.scopes_of(scopes)],
                    region=region,
                    ip_allowlist=list(ip_allowlist),
                    expires_at=expires_at,
                ),
            )
        return Customer(account_id, key_id, minted.secret)

    return made


@pytest.fixture(scope="session")
async def customer(new_customer: NewCustomer) -> Customer:
    return await new_customer(credits=100_000_000)


@pytest.fixture(scope="session")
async def operator(settings: Settings, pool: Pool) -> dict[str, str]:
    """The Authorization header of an operator named `tester`."""
    minted = mint_operator_key(composition.keys(settings).operator_keys, os.urandom(32))
    async with single(pool) as conn:
        await operators.create(conn, "tester", minted)
    return {"Authorization": f"Bearer {minted.secret}"}


async def generate(
    http: httpx.AsyncClient, customer: Customer, *, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    """Ask replicate for one image."""
    asked = {"generation_prompt": PROMPT, "generation_provider_order": "replicate", **body}
    return await http.post(SCHNELL, headers=customer.auth | (headers or {}), json=asked)


async def a_running(http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider) -> str:
    """A generation whose job the provider has accepted."""
    created = await generate(http, customer)
    assert created.status_code == 200, created.text
    generation_id: str = created.json()["data"]["generation_id"]
    await replicate.submitted(attempt_id(generation_id, 1))
    return generation_id


async def a_finished(http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider) -> str:
    """A generation that succeeded; the doorbell is rung by hand."""
    generation_id = await a_running(http, customer, replicate)
    replicate.finish(await replicate.submitted(attempt_id(generation_id, 1)))
    handle = engine.get_workflow_handle_for(GenerationWorkflow.run, workflow_id(generation_id))
    await handle.signal(GenerationWorkflow.provider_callback, CallbackReceived(1, "rung by hand"))
    await handle.result()
    return generation_id
