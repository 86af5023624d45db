"""What an operator names in a path: it must exist, and where it is to be changed it must still be open."""

from __future__ import annotations

import uuid
from typing import Any

from psycopg import AsyncConnection

from domain.errors import ResourceNotFound, StateConflict
from store import accounts
from store.accounts import Account


def id_of(text: str, kind: str) -> str:
    """An id in the spelling of the database. Raises ResourceNotFound for what cannot be one."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise not_found(kind) from None


def not_found(kind: str) -> ResourceNotFound:
    return ResourceNotFound(f"There is no such {kind}.")


async def account_of(conn: AsyncConnection[Any], account_id: str) -> Account:
    """To be read; closed ones, too. Raises ResourceNotFound."""
    account = await accounts.get(conn, id_of(account_id, "account"))
    if account is None:
        raise not_found("account")
    return account


async def open_account(conn: AsyncConnection[Any], account_id: str) -> Account:
    """To be changed: locked until the end of the transaction. Raises ResourceNotFound, StateConflict when closed."""
    account = await accounts.locked(conn, id_of(account_id, "account"))
    if account is None:
        raise not_found("account")
    if account.closed_at is not None:
        raise StateConflict("The account is closed.")
    return account
