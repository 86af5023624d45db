"""Webhook endpoints as the command line makes them: the address checked, the secret sealed for its endpoint."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from adapters.addresses import AddressRules
from cli.errors import CommandFailed
from domain.sealing import Keys, seal
from settings import Settings
from store import webhooks
from store.accounts import Account

ENDPOINTS_MAX = 10  # per account, disabled ones included


def new_secret() -> str:
    """32 characters of base64url: 24 random bytes."""
    return f"whsec_{secrets.token_urlsafe(24)}"


async def add_endpoint(
    conn: AsyncConnection[Any], settings: Settings, account: Account, *, url: str, secret: str, events: Sequence[str]
) -> webhooks.Endpoint:
    """Raises AddressRefused for an address that webhooks may not go to, CommandFailed when the account has enough."""
    AddressRules(all_private=settings.webhook_private_addresses).parse(url)
    if len(await webhooks.endpoints(conn, account.account_id)) >= ENDPOINTS_MAX:
        raise CommandFailed(f"Account {account.name!r} has {ENDPOINTS_MAX} webhook endpoints; there cannot be more.")
    endpoint_id = str(uuid.uuid4())
    derived = Keys.derived_from(settings.secret_key.get_secret_value())
    return await webhooks.insert_endpoint(
        conn,
        endpoint_id=endpoint_id,
        account_id=account.account_id,
        url=url,
        secret_sealed=seal(derived.webhook_secrets, secret.encode(), endpoint_id.encode()),
        events=list(dict.fromkeys(events)),
    )
