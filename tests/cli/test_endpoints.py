"""The endpoint of the demo, written to the database itself."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection

import composition
from cli.accounts import account_with_credits
from cli.endpoints import add_endpoint, new_secret
from domain.errors import AddressRefused
from domain.sealing import unseal
from settings import Settings
from store import ledger, webhook_endpoints
from store.accounts import Account
from store.connection import open_pool, single
from tests.support.postgres import fresh_database

SETTINGS = Settings(_env_file=None, secret_key="s" * 40, database_url="postgresql://x")
EVENTS = ["generation.completed"]


@pytest.fixture(scope="module")
async def conn() -> AsyncIterator[AsyncConnection[Any]]:
    pool = await open_pool(await fresh_database(), size_max=1)
    async with single(pool) as conn:
        yield conn
    await pool.close()


@pytest.fixture
async def account(conn: AsyncConnection[Any]) -> Account:
    return await account_with_credits(conn, f"a-{uuid.uuid4()}", plan="pro", microcredits=5, reason="welcome")


async def test_the_credits_of_a_reason_are_granted_once(conn: AsyncConnection[Any], account: Account):
    again = await account_with_credits(conn, account.name, plan="free", microcredits=5, reason="welcome")

    assert again == account
    assert (await ledger.balance(conn, account.account_id)).available == 5


async def test_the_secret_is_kept_sealed_as_the_services_open_it(conn: AsyncConnection[Any], account: Account):
    secret = new_secret()

    made = await add_endpoint(conn, SETTINGS, account, url="https://x.example", secret=secret, events=EVENTS)

    key = composition.keys(SETTINGS).webhook_secrets
    assert unseal(key, made.secret_sealed, made.endpoint_id.encode()) == secret.encode()


@pytest.mark.parametrize("url", ["http://x.example", "https://127.0.0.1/", "https://x.example:8443/"])
async def test_an_address_that_is_not_public_is_refused_unless_the_deployment_allows_it(
    conn: AsyncConnection[Any], account: Account, url: str
):
    with pytest.raises(AddressRefused):
        await add_endpoint(conn, SETTINGS, account, url=url, secret=new_secret(), events=EVENTS)
    assert await webhook_endpoints.of_account(conn, account.account_id) == []

    allowing = SETTINGS.model_copy(update={"webhook_private_addresses": True})
    assert (await add_endpoint(conn, allowing, account, url=url, secret=new_secret(), events=EVENTS)).url == url
