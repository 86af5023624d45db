"""The webhook endpoint of the demo, written to the database itself: the secret is sealed for its endpoint."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from domain.addresses import AddressRules
from domain.sealing import Keys, seal
from domain.signature import SECRET_RANDOM_BYTES, mint_secret
from settings import Settings
from store import webhook_endpoints
from store.accounts import Account
from store.webhook_endpoints import Endpoint


def new_secret() -> str:
    return mint_secret(os.urandom(SECRET_RANDOM_BYTES))


async def add_endpoint(
    conn: AsyncConnection[Any], settings: Settings, account: Account, *, url: str, secret: str, events: Sequence[str]
) -> Endpoint:
    """Raises AddressRefused for an address that webhooks may not go to, StateConflict when the account has enough."""
    AddressRules(all_private=settings.webhook_private_addresses).parse(url)
    endpoint_id = str(uuid.uuid4())
    derived = Keys.derived_from(settings.secret_key.get_secret_value())
    return await webhook_endpoints.insert(
        conn,
        endpoint_id=endpoint_id,
        account_id=account.account_id,
        url=url,
        secret_sealed=seal(derived.webhook_secrets, secret.encode(), endpoint_id.encode()),
        events=events,
    )
