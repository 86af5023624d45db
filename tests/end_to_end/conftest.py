"""One stack for the session, and a caller with credits on it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import PROJECT, Caller, StackProcess, babysea


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        babysea(*arguments), cwd=PROJECT, env=os.environ, capture_output=True, text=True, timeout=180, check=False
    )


def a_caller(stack: StackProcess, found: object, account: str, credits: str = "10") -> Caller:
    key = run("keys", "create", "--account", account, "--preset", "full_access", "--json", "--data", str(stack.data))
    assert key.returncode == 0, key.stderr
    grant = run(
        "credits",
        "grant",
        "--account",
        account,
        "--amount",
        credits,
        "--key",
        f"test:{account}",
        "--data",
        str(stack.data),
    )
    assert grant.returncode == 0, grant.stderr
    return Caller(found, json.loads(key.stdout)["key"])  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    running = StackProcess(tmp_path_factory.mktemp("stack"))
    try:
        running.found = running.start()  # type: ignore[attr-defined]
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def caller(stack: StackProcess) -> Caller:
    return a_caller(stack, stack.found, "studio")  # type: ignore[attr-defined]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
