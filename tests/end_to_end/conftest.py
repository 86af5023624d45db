"""A caller with credits on the stack that the tests share."""

from __future__ import annotations

import json
import os
from subprocess import CompletedProcess
from uuid import uuid4

import psycopg
import pytest

from embedded.running import RunningStack
from tests.support.commands import forked
from tests.support.stack import PROJECT, Caller, StackProcess


def run(*arguments: str) -> CompletedProcess[str]:
    return forked(*arguments, environment=os.environ, folder=PROJECT, timeout_s=180)


def a_caller(stack: StackProcess, found: RunningStack, account: str, credits: str = "10") -> Caller:
    """On the plan with the widest limits, so that no test meets the account's request limit."""
    with psycopg.connect(found.database_url) as conn:
        conn.execute(
            "INSERT INTO store.accounts (account_id, name, plan) VALUES (%s, %s, 'enterprise')", [uuid4(), account]
        )
    data = ("--data", str(stack.data))
    key = run("keys", "create", "--account", account, "--preset", "full_access", "--json", *data)
    assert key.returncode == 0, key.stderr
    grant = run("credits", "grant", "--account", account, "--amount", credits, "--key", f"test:{account}", *data)
    assert grant.returncode == 0, grant.stderr
    return Caller(found, json.loads(key.stdout)["key"])


@pytest.fixture(scope="session")
def caller(stack: StackProcess) -> Caller:
    return a_caller(stack, stack.found, "studio")
