"""One stack for the session, and a caller with credits on it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from embedded.running import RunningStack
from tests.support.stack import PROJECT, Caller, StackProcess, babysea


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        babysea(*arguments), cwd=PROJECT, env=os.environ, capture_output=True, text=True, timeout=180, check=False
    )


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
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    stack = StackProcess(tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def caller(stack: StackProcess) -> Caller:
    return a_caller(stack, stack.found, "studio")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
