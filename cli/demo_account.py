"""The account that a fresh stack comes with: credits to play with, and a key that is kept in the data folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cli.accounts import account_with_credits, make_key
from cli.deployment import Deployment
from store.accounts import Account
from store.connection import Pool, transaction

NAME = "demo"
PLAN = "pro"
CREDITS = 25_000_000  # micro-credits, granted once
GRANT_KEY = "demo/welcome"
KEY_FILE = "demo_key"


@dataclass(frozen=True)
class DemoAccount:
    account: Account
    key: str


async def prepare(deployment: Deployment, pool: Pool, data: Path) -> DemoAccount:
    """Make whatever of it is missing. Safe to repeat: the grant has a key of its own."""
    file = data / KEY_FILE
    async with transaction(pool) as conn:
        account = await account_with_credits(conn, NAME, plan=PLAN, microcredits=CREDITS, reason=GRANT_KEY)
        if file.exists():
            return DemoAccount(account, file.read_text().strip())
        _, key = await make_key(conn, deployment.settings, account, scopes=["full_access"], name="demo")
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(key + "\n")
    new.replace(file)
    return DemoAccount(account, key)
